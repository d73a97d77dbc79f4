"""Whatever a file holds, loading it gives a schema or a SchemaFileError, and nothing else."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from smartdiet_assets.errors import SchemaFileError
from smartdiet_assets.schema.legacy import LEGACY_STRATEGIES
from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets.schema.strategies import STRATEGIES
from smartdiet_assets_tests.unit.schema.schema_files import EVERY_KEY

_WORDS = ("a", "b", "id", "_id", "type", "a(id)", "b(a)", "VARCHAR", "SERIAL", "DATE", "NUMERIC(3,1)", "2h", ".", "document_id")  # fmt: skip  # noqa: E501
_KEYS = (*EVERY_KEY, "$in", "$exists")

_scalars = st.one_of(
    st.sampled_from(_WORDS),
    st.sampled_from([*STRATEGIES, *LEGACY_STRATEGIES]),
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.dates(),
    st.datetimes(),
    st.text(max_size=4),
)
_anything = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_KEYS) | _scalars, inner, max_size=4),
    max_leaves=12,
)
_flags = st.booleans() | _scalars


def _some(keys: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=keys)


_names = st.sampled_from(["id", "a", "b", "type", "created_at", "document_id"])
_columns = st.lists(
    st.fixed_dictionaries(
        {"name": _names, "sql_type": st.sampled_from(["VARCHAR", "DATE", "SERIAL", "INT", "JSONB"])},
        optional={
            "nullable": st.booleans(),
            "primary_key": st.booleans(),
            "foreign_key": st.sampled_from(["a(id)", "b(id)", "c(type)"]),
            "on_missing_parent": st.sampled_from([None, "reject"]),
            "mongo_field": st.sampled_from(["_id", "x.y", ["x", "y"]]),
            "item_field": st.sampled_from([".", "x"]),
            "default": _scalars,
            "timezone": st.sampled_from(["UTC", "x"]),
        },
    ),
    max_size=4,
)
_lists = st.lists(st.lists(_names, max_size=2), max_size=2)
_tables = _some(
    {
        "include_base": _flags,
        "columns": _columns,
        "additional_columns": _columns,
        "explicit_mappings": st.dictionaries(_names, _names, max_size=2),
        "unique_constraints": _lists,
        "indexes": _lists,
        "filter": _anything,
        "arrays": st.lists(_some({"field": _names, "set": st.dictionaries(_names, _scalars, max_size=2)}), max_size=2),
        "import_strategy": st.sampled_from([*STRATEGIES, *LEGACY_STRATEGIES, "os:path", "x"]),
        "winner": st.lists(st.sampled_from(["a DESC", "id", "x ASC", "a b c"]), max_size=2),
        "export_order": st.integers(0, 3),
        "overlap": _scalars,
        "diff_threshold": _scalars,
        "date_threshold": _scalars,
        "force_reimport": _flags,
        "truncate_before_import": _flags,
    }
)
_files = _anything | st.dictionaries(st.sampled_from("abc"), _tables, min_size=1, max_size=3).map(
    lambda tables: {"tables": tables}
)

_quickly = settings(
    max_examples=150,
)


def _load(folder: Path, text: str) -> None:
    path = folder / "schemas.yaml"
    path.write_text(text, encoding="utf-8", newline="")
    try:
        schema = load_schema(path)
    except SchemaFileError as error:
        lines = text.count("\n") + 1
        found = [problem.line for problem in error.problems]
        assert found
        assert max(found) <= lines + 1
    else:
        assert all(table.key and table.columns and table.code_version for table in schema.tables.values())


@_quickly
@given(content=_files)
def test_any_mapping_loads_or_is_a_schema_file_error(tmp_path: Path, content: object) -> None:
    _load(tmp_path, yaml.safe_dump(content, allow_unicode=True))


@_quickly
@given(text=st.text(max_size=60) | st.text("a:- \n{}[]&*!<>|'\"#%@`,?0\t", max_size=60))
@example("? [a]\n: b")
@example("a: !!float x")
@example("a: &x [*x]")
@example('a: {description: "\\uD800"}')
@example("&a {<<: [*a, 1]}")
def test_any_text_loads_or_is_a_schema_file_error(tmp_path: Path, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        pytest.skip("a file cannot hold it")
    _load(tmp_path, text)
