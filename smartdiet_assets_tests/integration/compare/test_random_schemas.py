"""Any declared schema can be made of any other one by the statements, in a database that holds it."""

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from smartdiet_assets.compare.reconciling import compose_script
from smartdiet_assets.compare.running import compare_structure_sides
from smartdiet_assets.load.records.ddl import apply_bookkeeping
from smartdiet_assets.load.structure.creation import apply_table
from smartdiet_assets.schema.model import Schema
from smartdiet_assets_tests.integration.compare.pair import Pair, list_differences
from smartdiet_assets_tests.support.configured import parse_side
from smartdiet_assets_tests.support.declared import declare

_TYPES = {
    "VARCHAR": "x", "VARCHAR(9)": "it's", "CHAR(3)": "a", "TEXT": "\\", "SMALLINT": -1, "INTEGER": 0, "BIGINT": 5,
    "REAL": 0.5, "DOUBLE PRECISION": 1, "NUMERIC": 1, "NUMERIC(4,1)": 1.5, "BOOLEAN": False, "DATE": "2024-03-06",
    "TIMESTAMP": "2024-03-06 23:00:00", "TIMESTAMPTZ": None, "JSONB": "{}", "UUID": None, "BYTEA": None, "TIME": None,
}  # fmt: skip
_NAMES = ("a", "b", "c", "Order")
_TABLES = ("t1", "t2", "Group")


@st.composite
def _tables(draw: st.DrawFn, name: str, parents: list[str]) -> dict[str, object]:
    columns: list[dict[str, object]] = []
    numbered = draw(st.booleans())
    if numbered:
        columns.append({"name": "id", "sql_type": draw(st.sampled_from(["SERIAL", "BIGSERIAL"])), "primary_key": True})
        columns.append({"name": "code", "sql_type": "VARCHAR", "nullable": False, "mongo_field": "_id"})
    else:
        columns.append({"name": "id", "sql_type": "VARCHAR", "primary_key": True, "mongo_field": "_id"})
    for column in draw(st.lists(st.sampled_from(_NAMES), unique=True)):
        sql_type = draw(st.sampled_from(sorted(_TYPES)))
        entry: dict[str, object] = {"name": column, "sql_type": sql_type, "nullable": draw(st.booleans())}
        if _TYPES[sql_type] is not None and draw(st.booleans()):
            entry["default"] = _TYPES[sql_type]
        if draw(st.booleans()):
            entry["description"] = draw(st.sampled_from(["One", "It's \\ % {} two"]))
        columns.append(entry)
    names = [str(entry["name"]) for entry in columns[1:]]
    columns += [
        {"name": f"{parent}_id", "sql_type": "VARCHAR", "foreign_key": parent}
        for parent in (draw(st.lists(st.sampled_from(parents), unique=True)) if parents else [])
    ]
    declared: dict[str, object] = {"columns": columns, "import_strategy": "direct"}
    keys = st.lists(st.lists(st.sampled_from(names), min_size=1, max_size=2, unique=True), max_size=2, unique_by=set_of)
    if names:
        if numbered:
            declared["unique_constraints"] = [["code"]]
        declared["indexes"] = draw(keys)
    if draw(st.booleans()):
        declared["description"] = f"Table {name}"
    return declared


def set_of(names: list[str]) -> frozenset[str]:
    return frozenset(names)


@st.composite
def schemas(draw: st.DrawFn) -> Schema:
    """A declared schema of up to three tables that point at each other's text keys."""
    tables: dict[str, dict[str, object]] = {}
    for name in draw(st.lists(st.sampled_from(_TABLES), min_size=1, unique=True)):
        tables[name] = draw(_tables(name, list(tables)))
    for declared in tables.values():
        for column in declared["columns"]:  # type: ignore[attr-defined]
            if parent := column.get("foreign_key"):
                key = "code" if len(tables[parent].get("unique_constraints", ())) else "id"  # type: ignore[arg-type]
                column["foreign_key"] = f"{parent}({key})"
    return declare(yaml.safe_dump({"tables": tables}, sort_keys=False))


@settings(max_examples=10)
@given(wanted=schemas(), present=schemas())
def test_the_statements_make_any_schema_of_any_other(pair: Pair, wanted: Schema, present: Schema) -> None:
    for side in (pair.left, pair.right):
        side.forget()
    pair.left.create(wanted)
    pair.right.create(present)
    pair.reconcile()
    assert pair.find() == set()


@settings(max_examples=6)
@given(wanted=schemas(), present=schemas())
def test_the_statements_make_any_declaration_true(pair: Pair, wanted: Schema, present: Schema) -> None:
    pair.right.forget()
    pair.right.create(present)
    sides = parse_side("schema"), parse_side(pair.right.url)
    outcome = compare_structure_sides(*sides, wanted, None, undeclared=True)
    assert outcome.structure is not None
    pair.right.run_script(compose_script(outcome.structure, drop=True))
    assert list_differences(compare_structure_sides(*sides, wanted, None, undeclared=True)) == set()
    apply_bookkeeping(pair.right.connection)
    for table in wanted.tables.values():
        assert not apply_table(pair.right.connection, wanted, table).created, "a run of the mirror takes it as it is"
