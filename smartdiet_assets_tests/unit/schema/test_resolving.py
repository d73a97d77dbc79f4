"""What a declaration comes to: sources, shape, key, indexes, winner, order."""

from datetime import date, timedelta
from pathlib import Path

import pytest

from smartdiet_assets.schema.limits import Limit
from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets.schema.model import Condition, ForeignKey, Schema, WinnerOrder
from smartdiet_assets_tests.unit.schema.schema_files import EVERY_KEY, FOLDER, load_text


@pytest.fixture(scope="module")
def schema() -> Schema:
    return load_schema(FOLDER / "valid" / "our_keys.yaml")


def test_the_valid_files_use_every_key() -> None:
    text = "".join(path.read_text() for path in (FOLDER / "valid").iterdir())
    assert [key for key in EVERY_KEY if f"{key}:" not in text] == []


def test_defaults_hold_where_a_table_does_not_say(schema: Schema) -> None:
    users, diary = schema.tables["users"], schema.tables["diary"]
    assert users.owners == ("ada@example.org", "team:care")
    assert diary.owners == ("team:data",)
    assert (users.overlap, diary.overlap) == (timedelta(days=1), timedelta(seconds=90))
    assert (users.created_field, diary.created_field) == ("createdAt", "made.at")
    assert schema.tables["user_goals"].overlap == timedelta(minutes=30)


def test_partitions_are_read(schema: Schema) -> None:
    assert (schema.partitions.every, schema.partitions.start) == ("week", date(2021, 3, 1))


def test_a_column_reads_its_fields_in_order_of_preference(schema: Schema) -> None:
    born = schema.tables["users"].column("born")
    assert (born.mongo_field, born.timezone) == (("birthday", "birthdate"), "Europe/Paris")


def test_a_null_of_yaml_is_the_word_for_a_missing_parent(schema: Schema) -> None:
    foreign_key = schema.tables["users"].column("boss_id").foreign_key
    assert foreign_key == ForeignKey(table="users", column="id", on_missing_parent="null")


def test_a_filter_keeps_mongos_operators(schema: Schema) -> None:
    assert schema.tables["diary"].filter == (
        Condition(path="user", operator="$exists", value=True),
        Condition(path="user", operator="$ne", value=None),
        Condition(path="__t", operator="$eq", value="note"),
        Condition(path="status", operator="$in", value=("open", 1, None)),
        Condition(path="hidden", operator="$nin", value=(True,)),
    )


def test_dates_of_a_table_follow_its_own_date_fields(schema: Schema) -> None:
    diary = schema.tables["diary"]
    assert diary.column("created_at").mongo_field == ("made.at", "_id")
    assert diary.column("updated_at").mongo_field == ("updatedAt", "made.at", "_id")


def test_a_yaml_date_as_default_is_its_iso_text(schema: Schema) -> None:
    assert schema.tables["diary"].column("since").default == "2020-01-01"


def test_a_key_of_its_own_makes_several_documents_share_a_row(schema: Schema) -> None:
    """A serial primary key identifies nothing in the source, so the unique constraint is the key."""
    diary = schema.tables["diary"]
    assert (diary.shape, diary.key, diary.document_column) == (
        "one_per_key",
        ("user_id", "day"),
        "document_id",
    )
    assert diary.columns[-1].name == "document_id"


def test_a_winner_is_settled_to_the_last_tie(schema: Schema) -> None:
    assert schema.tables["diary"].winner == (
        WinnerOrder(column="updated_at", descending=True),
        WinnerOrder(column="day", descending=False),
        WinnerOrder(column="document_id", descending=True),
    )


def test_columns_of_an_item_read_the_item(schema: Schema) -> None:
    goals = schema.tables["user_goals"]
    assert goals.column("goal_id").item_field == (".", "goal", "_id")
    assert goals.column("weight").item_field == ("weight",)
    assert goals.column("created_at").item_field == ("date",)
    assert (goals.column("type").mongo_field, goals.column("type").item_field) == ((), ())
    assert [(array.field, array.set) for array in goals.arrays] == [
        ("goals", (("type", "basic"),)),
        ("health.goals", (("type", "health"),)),
    ]


_DOCUMENT = "{name: a, sql_type: TEXT, mongo_field: _id}"
KEYS = {
    "base": ("include_base: true", "one_row", "id", ("id",), ()),
    "no key": (
        "columns: [{name: a, sql_type: TEXT}]",
        "one_row", "document_id", ("document_id",), (("document_id",),),
    ),
    "serial key": (
        f"columns: [{{name: id, sql_type: SERIAL, primary_key: true}}, {_DOCUMENT}]",
        "one_row", "a", ("a",), (("a",),),
    ),
    "other key": (
        f"columns: [{{name: code, sql_type: TEXT, primary_key: true}}, {_DOCUMENT}]",
        "one_per_key", "a", ("code",), (),
    ),
    "two-column key": (
        "columns: [{name: a, sql_type: INT, primary_key: true}, {name: b, sql_type: INT, primary_key: true}]",
        "one_per_key", "document_id", ("a", "b"), (),
    ),
    "unique document": (
        f"unique_constraints: [[a]], columns: [{{name: at, sql_type: DATE, mongo_field: _id}}, {_DOCUMENT}]",
        "one_row", "a", ("a",), (("a",),),
    ),
    "id of another type": (
        "columns: [{name: id, sql_type: UUID, primary_key: true}]",
        "one_row", "id", ("id",), (),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", KEYS)
def test_what_identifies_a_row(tmp_path: Path, case: str) -> None:
    declaration, *expected = KEYS[case]
    table = load_text(tmp_path, f"t: {{{declaration}}}").tables["t"]
    assert [table.shape, table.document_column, table.key, table.unique_constraints] == expected


def test_what_is_searched_is_indexed_unless_something_leads_with_it(tmp_path: Path) -> None:
    text = """
        a: {include_base: true}
        b:
          columns:
          - {name: a_id, sql_type: VARCHAR, nullable: false, foreign_key: a(id)}
          - {name: x_id, sql_type: VARCHAR, foreign_key: a(id)}
          - {name: y_id, sql_type: VARCHAR, foreign_key: a(id)}
          - {name: updated_at, sql_type: TIMESTAMP}
          - {name: day, sql_type: DATE, nullable: false}
          unique_constraints: [[a_id, day]]
          indexes: [[x_id, day], [x_id, day]]
    """
    table = load_text(tmp_path, text).tables["b"]
    assert table.indexes == (("x_id", "day"), ("y_id",), ("updated_at",), ("document_id",))


def test_parents_go_first_whatever_the_file_says_first(tmp_path: Path) -> None:
    text = """
        c: {include_base: true, additional_columns: [{name: b, sql_type: VARCHAR, foreign_key: b(id)}]}
        z: {include_base: true}
        b: {include_base: true, additional_columns: [{name: a, sql_type: TEXT, foreign_key: a(id)}]}
        a: {include_base: true, additional_columns: [{name: boss, sql_type: VARCHAR, foreign_key: a(id)}]}
    """
    schema = load_text(tmp_path, text)
    assert list(schema.tables) == ["z", "a", "b", "c"]
    assert schema.warnings == ()


def test_a_class_of_the_users_own_is_a_strategy(tmp_path: Path) -> None:
    table = load_text(tmp_path, "t: {include_base: true, strategy: datetime:date}").tables["t"]
    assert table.import_strategy == "datetime:date"


def test_merge_keys_fill_what_a_mapping_does_not_say() -> None:
    schema = load_schema(FOLDER / "valid" / "merge_keys.yaml")
    names = {name: [column.name for column in table.columns[3:]] for name, table in schema.tables.items()}
    assert names == {"clubs": ["title", "label"], "teams": ["title", "label"], "leagues": ["title", "label"]}


def test_lines_are_where_a_table_is_declared(schema: Schema) -> None:
    lines = {table.name: table.line for table in schema.tables.values()}
    assert lines == {"users": 20, "diary": 48, "user_goals": 67}


def test_a_limit_is_a_number_or_a_share(schema: Schema) -> None:
    users, diary = schema.tables["users"], schema.tables["diary"]
    assert (str(users.max_rejects), str(diary.max_rejects)) == ("7", "10%")
    assert (str(users.max_deletions), str(diary.max_deletions)) == ("50", "10%")


@pytest.mark.parametrize(
    ("limit", "found", "whole", "allowed"),
    [
        (7, 7, 10, True),
        (7, 8, 1000, False),
        ("5%", 5, 100, True),
        ("5%", 6, 100, False),
        (0, 0, 0, True),
        (0, 1, 9, False),
    ],
)
def test_a_limit_allows_up_to_itself(limit: object, found: int, whole: int, allowed: bool) -> None:
    assert Limit.parse(limit).allows(found, whole) is allowed


def test_a_collection_has_its_rules_or_those_of_all(schema: Schema) -> None:
    assert {name: (rules.capture, str(rules.sync_after)) for name, rules in schema.collections.items()} == {
        "users": ("dates", "5%"),
        "notes": ("change_stream", "20"),
    }
    assert {rules.max_delay for rules in schema.collections.values()} == {timedelta(minutes=15)}
    assert schema.tables["diary"].capture == "change_stream"


def test_ignored_fields_of_all_and_of_a_collection_add_up(schema: Schema) -> None:
    of_all = {"__v": "", "_class": "the application's own"}
    assert schema.rules_of("users").ignored_fields == of_all
    assert schema.rules_of("notes").ignored_fields == {**of_all, "meta.token": "a secret", "draft": ""}
    assert (schema.rules_of("users").undeclared, schema.rules_of("notes").undeclared) == ("report", "fail")


def test_the_first_table_of_a_collection_leads(schema: Schema) -> None:
    leading = [table.mongo_collection for table in schema.tables.values() if schema.leads(table)]
    assert sorted(leading) == sorted(schema.collections)


def test_flagging_deletions_adds_a_column_the_documents_do_not_feed(schema: Schema) -> None:
    deleted_at = schema.tables["users"].column("deleted_at")
    assert (deleted_at.implicit, deleted_at.nullable, deleted_at.mongo_field) == (True, True, ())
    assert "deleted_at" not in [column.name for column in schema.tables["diary"].columns]


def test_a_null_of_yaml_is_the_word_for_an_invalid_value(schema: Schema) -> None:
    users = schema.tables["users"]
    assert (users.column("born").on_invalid, users.column("city").on_invalid) == ("null", "clamp")
