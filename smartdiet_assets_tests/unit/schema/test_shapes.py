"""The shape of a table is asked, and not compared."""

import re
from pathlib import Path

import smartdiet_assets
from smartdiet_assets.schema.shapes import Shape

PACKAGE = Path(smartdiet_assets.__file__).parent


def test_no_module_but_its_own_compares_a_shape_with_a_name() -> None:
    compared = re.compile(r"shape (?:[!=]=|is|is not|in|not in) ")
    found = [str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py") if compared.search(path.read_text())]
    assert found == []


def test_a_shape_is_written_by_its_name() -> None:
    assert [str(shape) for shape in Shape] == ["one_row", "items", "one_per_key"]
