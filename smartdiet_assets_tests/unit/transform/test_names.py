"""Whatever a field, a column, a table or a constant is called: the generated code is the same, and reads that name."""

from collections.abc import Callable
from datetime import datetime
from types import CodeType, FunctionType
from typing import Any, cast

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from smartdiet_assets.schema.model import ArraySource, ForeignKey, Table, WinnerOrder
from smartdiet_assets.transform.row_function import build_row_function, compose_row_function
from smartdiet_assets_tests.support.tables import column, condition

#: Names that each ended, began or broke something in Python's source once, and some that look harmless.
HOSTILE = (
    "'", '"', '"""', "'''", "\\", "\\'", '\\"', "\n", "\r", "\t", "\f", "\0", "\x1b[2J", "\x85", "\u2028", "\u2029",
    "\ud800", "\udfff", "\N{RIGHT-TO-LEFT OVERRIDE}", "#", "{}", "{0}", "{value}", "{remembered}", "%s", "%(a)s", "$",
    "[red]", "`id`", "; DROP TABLE x; --", "None", "True", "class", "lambda", "document", "get", "value", "item", "c0",
    "name_0", "convert_0", "read_rows", "MISSING", "__class__", "x\n    raise SystemExit\n    #", '"""\nexit()\n"""',
    "v'] + exit() + document['", "\\N{BULLET}", "\\u0027", " ", "é", "日本", "a b", "A",
)  # fmt: skip
#: As many names as `TABLES` ask for.
NAMES = 24
PLAIN = [f"plain_{number}" for number in range(NAMES)]

name = st.one_of(
    st.sampled_from(HOSTILE),
    st.builds("".join, st.lists(st.sampled_from(HOSTILE), min_size=1, max_size=4)),
    st.text(min_size=1),
).map(lambda text: text.replace(".", "·"))
names = st.lists(name.filter(lambda text: text != "_id"), min_size=NAMES, max_size=NAMES, unique=True)


def entity(named: list[str], constant: str) -> Table:
    """A name in every place where a table of documents has one; `constant` stands where a text of a file does."""
    n = iter(named)
    root, nested = next(n), next(n)
    columns = (
        column(next(n), "VARCHAR", "_id", nullable=False),
        column(next(n), "VARCHAR(40)", root, default=constant, on_invalid="clamp"),
        column(next(n), "INTEGER", f"{nested}.{next(n)}", f"{nested}.{next(n)}.{next(n)}", on_invalid="null"),
        column(next(n), "BOOLEAN", f"{nested}.{next(n)}", default=True),
        column(next(n), "VARCHAR", next(n), foreign_key=ForeignKey(table=next(n), column=next(n))),
        column(next(n), "DATE", root, "_id", timezone="Europe/Paris"),
        column(next(n), "JSONB", root, nullable=False),
    )
    key = next(n)
    return Table(
        name=next(n),
        mongo_collection=next(n),
        columns=(*columns, column(key, "TEXT", next(n), nullable=False)),
        shape="one_per_key",
        document_column=columns[0].name,
        key=(key,),
        unique_constraints=((columns[1].name, key),),
        winner=(WinnerOrder(column=columns[2].name, descending=True),),
        created_field=root,
        updated_field=f"{nested}.{next(n)}",
        filter=(
            condition(root, "$exists", True),
            condition(nested, "$ne", None),
            condition(next(n), "$eq", constant),
            condition(f"{nested}.{root}", "$ne", constant),
            condition(root, "$nin", (constant, 1)),
        ),
    )


def items(named: list[str], constant: str) -> Table:
    """A name in every place where a table of items has one."""
    n = iter(named)
    document, item, kind, other = (next(n) for _ in range(4))
    return Table(
        name=next(n),
        mongo_collection=next(n),
        columns=(
            column(document, "VARCHAR", "_id", nullable=False),
            column(item, "VARCHAR", nullable=False, item_field=(next(n), f"{next(n)}.{next(n)}", ".")),
            column(kind, "VARCHAR", nullable=False, default=constant),
            column(other, "TIMESTAMP", item_field=("_id", next(n))),
            column(next(n), "TEXT", next(n), default=constant),
        ),
        shape="items",
        document_column=document,
        key=(document, item, kind),
        created_field=next(n),
        updated_field=next(n),
        arrays=(
            ArraySource(field=next(n), set=((kind, constant),)),
            ArraySource(field=f"{next(n)}.{next(n)}", set=((kind, f"{constant}2"),)),
        ),
    )


TABLES = [entity, items]
Build = Callable[[list[str], str], Table]


def describe(code: CodeType) -> Any:
    """Everything of a code object but the objects it refers to by name."""
    constants = [describe(found) if isinstance(found, CodeType) else repr(found) for found in code.co_consts]
    return (
        code.co_code, constants, code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars, code.co_flags,
        code.co_name, code.co_filename, code.co_argcount, bytes(code.co_linetable), code.co_exceptiontable,
    )  # fmt: skip


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("build", TABLES)
@settings(max_examples=60)
@given(named=names, constant=st.sampled_from([text for text in HOSTILE if text.isprintable()]))
@example(named=[*HOSTILE[:NAMES]], constant="'")
@example(named=[*HOSTILE[-NAMES:]], constant='"""')
def test_code_is_the_same_whatever_the_names_are(build: Build, fast: bool, named: list[str], constant: str) -> None:
    hostile = cast(FunctionType, build_row_function(build(named, constant), fast=fast))
    plain = cast(FunctionType, build_row_function(build(PLAIN, "plain"), fast=fast))
    assert describe(hostile.__code__) == describe(plain.__code__)
    assert hostile.__globals__.keys() == plain.__globals__.keys()
    assert compose_row_function(build(named, constant), fast=fast) == compose_row_function(
        build(PLAIN, "plain"), fast=fast
    )


def run(table: Table, document: dict[str, Any]) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    build_row_function(table)([document], rows, [], [], datetime.min)
    return rows


@settings(max_examples=100)
@given(field=name, below=name)
def test_fields_of_any_name_are_read(field: str, below: str) -> None:
    assume("_id" not in (field, below))
    table = Table(
        name="t",
        mongo_collection="c",
        columns=(
            column("id", "VARCHAR", "_id", nullable=False),
            column("a", "VARCHAR", f"{field}.{below}"),
            column("b", "VARCHAR", f"{field}.{below}", default="c"),
        ),
        shape="one_row",
        document_column="id",
        key=("id",),
        filter=(condition(field, "$exists", True), condition(field, "$ne", None)),
    )
    assert run(table, {"_id": "1", field: {below: "x"}}) == [("1", "x", "x")]
    assert run(table, {"_id": "1"}) == []
