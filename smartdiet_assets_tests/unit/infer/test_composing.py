"""The entry as text: laid out like `config/schemas.yaml`, and read back as it was meant."""

from datetime import datetime
from pathlib import Path

import pytest
import yaml
from bson import ObjectId
from hypothesis import given
from hypothesis import strategies as st

from smartdiet_assets.errors import ConfigurationError
from smartdiet_assets.infer.composing import compose_beginning, compose_scalar
from smartdiet_assets.infer.placing import find_place
from smartdiet_assets.infer.plan import Plan, PlannedColumn, PlannedTable
from smartdiet_assets.infer.references import Parent, Reference
from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets_tests.support.declared import declare
from smartdiet_assets_tests.unit.infer.observed import entry

DAY = datetime(2024, 3, 6, 12, 30, 1)
CONFIG = Path(__file__).parents[3] / "config" / "schemas.yaml"
ENTRY = "  added:\n    include_base: true\n"
EXPECTED = """\
notifications:
  # in every document seen, which is no promise, so may be NULL: user_id, title, order_value
  # __v is left out: it counts versions for mongoose
  description: "Documents of notifications, as inferred from 2 of 2."
  group: users
  include_base: true
  created_field: createdAt
  updated_field: updatedAt
  additional_columns:
    # 100% of 2 ids are in users
    - {name: user_id, sql_type: VARCHAR, foreign_key: users(id), on_missing_parent: null, mongo_field: user}
    - {name: title, sql_type: VARCHAR}
    - {name: order_value, sql_type: DOUBLE PRECISION, mongo_field: order}  # 50% double, 50% int
    # - {name: token, sql_type: VARCHAR}  # looks like a secret: left out

notifications_tags:
  description: "Items of tags in notifications, a row for each."
  group: users
  mongo_collection: notifications
  created_field: createdAt
  updated_field: updatedAt
  import_strategy: smart_diff
  arrays: [{field: tags}]
  columns:
    - {name: notification_id, sql_type: VARCHAR, nullable: false, foreign_key: notifications(id), mongo_field: _id}
    # the key: no array in the documents repeats an item; one that did would be one row
    - {name: tag, sql_type: VARCHAR, nullable: false, item_field: "."}
    - {name: created_at, sql_type: TIMESTAMP, nullable: false}
    - {name: updated_at, sql_type: TIMESTAMP, nullable: false}
  unique_constraints: [[notification_id, tag]]
"""


def test_a_whole_entry() -> None:
    first, second = ObjectId(f"{1:024x}"), ObjectId(f"{2:024x}")
    dates = {"createdAt": DAY, "updatedAt": DAY}
    documents = [
        {"_id": first, "user": first, "title": "a", "order": 1, "token": "x", "tags": ["a"], "__v": 0, **dates},
        {"_id": second, "user": second, "title": "b", "order": 1.5, "tags": ["a", "b"], **dates},
    ]
    reference = Reference(Parent("users", "id", "users", group="users"), True, True, "100% of 2 ids are in users")
    assert entry(documents, "notifications", references={"user": reference}) == EXPECTED


@pytest.mark.parametrize(
    "text",
    [
        "name", "a b", ".", "12", "1.5", "0x1F", "1_000", "yes", "null", "~", "#", "a: b", "a, b", "{}", "[a]", "'",
        '"', "\\", "\n", "\u2028", "é", "-", "2024-01-01", "!x", "&x", "*x", "%x", "@x", "users(id)", "NUMERIC(7,2)",
        "a.b", "1.e5", "a b.c",
        "\x07", "😀", "",
    ],
)  # fmt: skip
def test_any_name_is_read_back_as_it_is(text: str) -> None:
    assert yaml.safe_load(f"- {{name: {compose_scalar(text)}, other: x}}") == [{"name": text, "other": "x"}]


@given(st.text())
def test_any_text_is_read_back_as_it_is(text: str) -> None:
    assert yaml.safe_load(f"- {{name: {compose_scalar(text)}, other: x}}") == [{"name": text, "other": "x"}]


def test_a_name_with_a_line_break_does_not_end_its_comment() -> None:
    text = entry([{"_id": ObjectId(), "a.\nb": 1, "c\n.d": None, "creation_date": DAY, "update_date": DAY}])
    assert list(yaml.safe_load(text)["things"]) == ["description", "include_base"]


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("", compose_beginning() + ENTRY),
        ("# mine\n", f"# mine\n\n{compose_beginning()}{ENTRY}"),
        ("tables:\n  a:\n    include_base: true\n", "tables:\n  a:\n    include_base: true\n\n" + ENTRY),
        ("tables:\n  a:\n    include_base: true", "tables:\n  a:\n    include_base: true\n\n" + ENTRY),
        (
            "tables:\n  a:\n    include_base: true # x\n    # - below\n\npartitions: {every: day}\n",
            "tables:\n  a:\n    include_base: true # x\n    # - below\n\n" + ENTRY + "\n\npartitions: {every: day}\n",
        ),
    ],
)
def test_the_entry_goes_below_the_tables(file: str, expected: str) -> None:
    assert find_place(file).insert(ENTRY) == expected


def test_a_new_file_ignores_what_is_left_out_of_its_tables() -> None:
    """Otherwise every run would report it as undeclared."""
    secret = PlannedColumn("token", "VARCHAR", ("auth.token",), left_out=True)
    place = PlannedColumn("position", "INTEGER", ("$position",), left_out=True)
    people = PlannedTable("people", "my people", "", columns=[PlannedColumn("n", "TEXT", ("n",)), secret])
    keys = PlannedTable("people_keys", "my people", "", array="keys", columns=[secret, place])
    schema = declare(
        f"{compose_beginning([Plan(people, [keys])])}  people: {{include_base: true, mongo_collection: my people}}\n"
    )
    assert schema.rules_of("my people").ignored_fields == {
        "__v": "counts versions for mongoose",
        "auth.token": "looks like a secret",
        "keys.auth.token": "looks like a secret",
    }


def test_a_file_without_a_root_for_tables_takes_the_entry_at_its_own_indentation() -> None:
    assert find_place("a:\n  include_base: true\n").indent == 0


def test_tables_in_braces_are_left_to_their_author() -> None:
    with pytest.raises(ConfigurationError, match="by hand"):
        find_place("tables: {a: {include_base: true}}")


def test_the_projects_own_file_takes_an_entry_and_keeps_the_rest(tmp_path: Path) -> None:
    text = CONFIG.read_text()
    path = tmp_path / "schemas.yaml"
    path.write_text(find_place(text).insert(ENTRY))
    before, after = load_schema(CONFIG), load_schema(path)
    assert set(after.tables) == {*before.tables, "added"}
    assert after.partitions == before.partitions
    assert path.read_text().replace(f"\n{ENTRY}", "") == text
