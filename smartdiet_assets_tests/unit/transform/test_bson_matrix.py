"""The matrix is complete, the README of transform shows it, and the rows of bytes become what it says."""

from pathlib import Path
from typing import Any

import pytest

from smartdiet_assets.schema.reasons import Reason
from smartdiet_assets.schema.types import TYPES, parse_sql_type
from smartdiet_assets.transform.batch import build_transformer
from smartdiet_assets_tests.support.bson_matrix import (
    COLUMN_TYPES,
    ELEMENTS,
    SQL_TYPES,
    find_cell,
    list_cases,
    render_markdown,
)
from smartdiet_assets_tests.support.tables import single

README = Path(__file__).parents[3] / "smartdiet_assets" / "transform" / "README.md"
BEGIN, END = "<!-- BSON matrix: begin -->\n", "<!-- BSON matrix: end -->\n"
#: Every type of the specification of BSON, deprecated ones included.
BSON_TYPES = {*range(0x01, 0x14), 0x7F, 0xFF}


def test_readme_shows_the_matrix() -> None:
    text = README.read_text()
    assert text.count(BEGIN) == text.count(END) == 1
    assert text.partition(BEGIN)[2].partition(END)[0].strip() == render_markdown().strip()


def test_every_bson_type_is_in_the_matrix() -> None:
    found = {element[0] for elements in ELEMENTS.values() for element in elements if element}
    assert found == BSON_TYPES


def test_every_column_type_is_in_the_matrix() -> None:
    assert {parse_sql_type(sql_type).name for sql_type in SQL_TYPES} == set(TYPES)


@pytest.mark.parametrize("sql_type", SQL_TYPES)
def test_bytes_become_what_the_matrix_says(sql_type: str) -> None:
    cases = list_cases(sql_type)
    [group] = [name for name, sql_types in COLUMN_TYPES.items() if sql_type in sql_types]
    transform = build_transformer(single(sql_type))
    for label, document, expected in cases:
        batch = transform(document)
        found: Any = batch.rows[0][1] if batch.rows else batch.rejects[0].reason
        assert found == expected, label
        assert str(found) == str(expected), label
        cell = find_cell(group, label)
        assert (cell == "NULL") == (found is None), label
        if cell == "✗":
            assert isinstance(found, Reason), label
