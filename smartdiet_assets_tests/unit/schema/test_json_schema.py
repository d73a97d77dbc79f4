"""What editors are told of a schema file holds for every file that loads, and for few that do not."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from smartdiet_assets.schema.json_schema import PATH, compose_json_schema
from smartdiet_assets_tests.unit.schema.schema_files import INVALID, VALID

CONFIG = sorted((Path(__file__).parents[3] / "config").glob("*schemas.yaml"))


class _Loader(yaml.SafeLoader):
    """Reads a date as the text it is, as JSON and the YAML of editors have it."""


_Loader.add_constructor("tag:yaml.org,2002:timestamp", yaml.SafeLoader.construct_yaml_str)


def _find_faults(path: Path) -> list[str]:
    content = yaml.load(path.read_text(), Loader=_Loader)
    validator = jsonschema.Draft7Validator(json.loads(PATH.read_text()))
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(content)]


def test_the_file_is_what_the_declarations_say() -> None:
    """`python -m smartdiet_assets.schema.json_schema` writes it anew."""
    assert PATH.read_text() == compose_json_schema()


@pytest.mark.parametrize("path", [*CONFIG, *VALID], ids=lambda path: path.stem)
def test_a_file_that_loads_has_no_faults(path: Path) -> None:
    assert _find_faults(path) == []


@pytest.mark.parametrize("path", CONFIG, ids=lambda path: path.stem)
def test_our_files_name_it_in_their_first_line(path: Path) -> None:
    before, _, named = path.read_text().partition("\n")[0].partition("yaml-language-server: $schema=")
    assert before == "# "
    assert (path.parent / named).resolve() == PATH.resolve()


@pytest.mark.parametrize(
    "name",
    [
        "column_without_name_or_type",
        "everything_at_once",
        "filters",
        "foreign_keys",
        "limits_and_deletions",
        "matomo_tables",
        "not_a_mapping",
        "numbers_and_dates",
        "table_that_is_a_list",
        "table_without_body",
        "unknown_column_key",
        "unknown_key_without_a_near_one",
        "unknown_root_key",
        "unknown_table_key",
        "value_kinds",
    ],
)
def test_a_wrong_key_or_value_is_a_fault(name: str) -> None:
    assert _find_faults(next(path for path in INVALID if path.stem == name)) != []
