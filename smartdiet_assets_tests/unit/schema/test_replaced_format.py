"""A file written for the replaced tool loads unchanged, and means what it meant there."""

from pathlib import Path

import pytest

from smartdiet_assets.schema.legacy import LEGACY_STRATEGIES
from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets.schema.model import Schema
from smartdiet_assets_tests.unit.schema.schema_files import FOLDER, VALID, load_text, read_expectations


@pytest.fixture(scope="module")
def schema() -> Schema:
    return load_schema(FOLDER / "valid" / "replaced_tool.yaml")


@pytest.mark.parametrize("path", VALID, ids=[path.stem for path in VALID])
def test_a_valid_file_loads_with_exactly_the_warnings_it_ends_with(path: Path) -> None:
    assert list(load_schema(path).warnings) == read_expectations(path)


def test_tables_come_by_export_order_and_parents_first(schema: Schema) -> None:
    assert list(schema.tables) == ["club_links", "clubs", "members", "member_clubs", "codes"]


def test_include_base_puts_id_and_dates_first(schema: Schema) -> None:
    described = [
        (column.name, column.type.sql, column.nullable, column.mongo_field) for column in schema.tables["clubs"].columns
    ]
    assert described == [
        ("id", "character varying", False, ("_id",)),
        ("created_at", "timestamp without time zone", False, ("creation_date", "_id")),
        ("updated_at", "timestamp without time zone", False, ("update_date", "creation_date", "_id")),
        ("name", "character varying(255)", False, ("name",)),
        ("kind", "character varying", True, ("__t",)),
    ]
    assert schema.tables["clubs"].primary_key == ("id",)
    assert schema.tables["clubs"].mongo_collection == "sportclubs"


def test_unique_constraints_beside_include_base_are_kept(schema: Schema) -> None:
    """The replaced tool dropped them (its defect 18)."""
    assert schema.tables["clubs"].unique_constraints == (("name",),)


def test_a_date_threshold_may_be_quoted_or_not(schema: Schema) -> None:
    assert str(schema.tables["members"].date_threshold) == "2024-01-01"
    assert schema.tables["members"].date_threshold == schema.tables["club_links"].date_threshold


def test_mappings_lead_from_the_source_field_to_the_column(schema: Schema) -> None:
    table = schema.tables["member_clubs"]
    assert table.column("member_id").mongo_field == ("member",)
    assert table.column("created_at").mongo_field == ("creation_date", "_id")


def test_a_table_without_the_documents_id_gets_a_column_for_it(schema: Schema) -> None:
    table = schema.tables["member_clubs"]
    assert (table.shape, table.key) == ("one_per_key", ("member_id", "club_id"))
    assert (table.document_column, table.column("document_id").implicit) == ("document_id", True)


def test_a_new_entity_as_the_notes_show_it_loads() -> None:
    alerts = load_schema(FOLDER / "valid" / "new_entity.yaml").tables["alerts"]
    assert alerts.column("user_id").mongo_field == ("user",)
    assert alerts.column("read").default is False
    assert alerts.parents == ("users",)


_ITEM, _ID = ".", "_id"
LEGACY = {
    "user_events": (["registered_events"], [], "user_id", "event_id", (_ITEM, "event", _ID)),
    "users_targets": (
        ["targets", "specificity_targets", "health_targets"],
        ["basic", "specificity", "health"],
        "user_id",
        "target_id",
        (_ITEM, _ID),
    ),
    "coaching_reasons": (
        ["reasons", "health_reason", "health_reasons"],
        ["reason", "health_reason", "health_reason"],
        "coaching_id",
        "target_id",
        (_ITEM, _ID),
    ),
    "quizzs_links_questions": (["questions"], [], "quizz_id", "question_id", (_ITEM, "question", _ID)),
    "users_quizzs_links_questions": (
        ["questions"],
        [],
        "user_quizz_id",
        "user_quizz_question_id",
        (_ITEM, "question", _ID),
    ),
    "users_contents_reads": (["viewed_by"], [], "content_id", "user_id", (_ITEM, "user", _ID)),
    "days_contents_links": (["contents"], [], "day_id", "content_id", (_ITEM, "content", _ID)),
    "days_logbooks_links": (["main_logbooks"], [], "day_id", "logbook_id", (_ITEM, "logbook", _ID)),
}


def _relationship(parent: str, item: str, strategy: str, more: str = "") -> str:
    return f"""
        links:
          mongo_collection: parents
          columns:
          - {{name: {parent}, sql_type: VARCHAR, nullable: false}}
          - {{name: {item}, sql_type: VARCHAR, nullable: false}}
          - {{name: type, sql_type: VARCHAR(50), nullable: false}}
          unique_constraints: [[{parent}, {item}, type]]
          import_strategy: {strategy}
          {more}
    """


@pytest.mark.parametrize("name", sorted(LEGACY_STRATEGIES))
def test_a_strategy_of_the_replaced_tool_declares_what_its_code_did(tmp_path: Path, name: str) -> None:
    fields, types, parent, item, item_field = LEGACY[name.removesuffix("_legacy")]
    table = load_text(tmp_path, _relationship(parent, item, name)).tables["links"]
    assert [array.field for array in table.arrays] == fields
    assert [value for array in table.arrays for _, value in array.set] == types
    assert (table.shape, table.document_column) == ("items", parent)
    assert table.column(parent).mongo_field == ("_id",)
    assert table.column(item).item_field == item_field
    assert table.import_strategy == ("delete_and_insert" if name.endswith("_legacy") else "smart_diff")


def test_a_source_in_the_file_wins_over_the_strategys(tmp_path: Path) -> None:
    text = _relationship("user_id", "event_id", "user_events").replace(
        "event_id, sql_type: VARCHAR,", "event_id, sql_type: VARCHAR, item_field: ref,"
    )
    assert load_text(tmp_path, text).tables["links"].column("event_id").item_field == ("ref",)


def test_a_mapping_the_strategy_did_not_read_is_a_warning(tmp_path: Path) -> None:
    mappings = "explicit_mappings: {event: event_id, _id: user_id}"
    schema = load_text(tmp_path, _relationship("user_id", "event_id", "user_events", mappings))
    assert schema.tables["links"].column("event_id").item_field == (_ITEM, "event", _ID)
    assert schema.warnings == (
        "line 10: links: the mapping of 'event' to event_id is not read: "
        "the strategy 'user_events' fills that column, as it did in the replaced tool",
    )
