"""The oracle against values worked out by hand from the reference texts: who judges must be judged first."""

import uuid
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pytest
from bson import Binary, Code, Decimal128, Int64, ObjectId, Regex, Timestamp
from bson.datetime_ms import DatetimeMS

from smartdiet_assets.schema.model import (
    ArraySource,
    Column,
    Condition,
    ForeignKey,
    Schema,
    Table,
    WinnerOrder,
)
from smartdiet_assets.schema.types import parse_sql_type
from smartdiet_assets_tests.oracle import MirrorOracle, compute_expected, encode_id, matches, normal_id
from smartdiet_assets_tests.oracle_values import Unfit, convert

SUMMER = datetime(2024, 7, 1, 22, 0)
BORN = ObjectId.from_datetime(datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC))


def oid(number: int) -> ObjectId:
    return ObjectId(f"{0x65000000:08x}{number:016x}")


def as_column(sql_type: str, zone: str | None = None) -> Column:
    return Column(name="c", type=parse_sql_type(sql_type), timezone=zone)


@pytest.mark.parametrize(
    ("sql_type", "value", "expected"),
    [
        ("VARCHAR", True, "true"),
        ("TEXT", False, "false"),
        ("VARCHAR", 12, "12"),
        ("VARCHAR", Int64(2**40), "1099511627776"),
        ("VARCHAR", 12.0, "12.0"),
        ("VARCHAR", 12.5, "12.5"),
        ("VARCHAR", float("nan"), "NaN"),
        ("VARCHAR", Decimal128("1.50"), "1.50"),
        ("VARCHAR", oid(1), "650000000000000000000001"),
        ("VARCHAR", datetime(2024, 3, 6, 23, 0, 0, 123000), "2024-03-06 23:00:00.123"),
        ("VARCHAR", datetime(2024, 3, 6, 23), "2024-03-06 23:00:00"),
        ("VARCHAR", ["a", "b c", "", "null", 'x"y'], '{a,"b c","","null","x\\"y"}'),
        ("VARCHAR", [], "{}"),
        ("VARCHAR(4)", "caf\N{LATIN SMALL LETTER E WITH ACUTE}", "café"),
        ("SMALLINT", 12.5, 13),
        ("SMALLINT", -12.5, -13),
        ("SMALLINT", "12", 12),
        ("INTEGER", Decimal128("2.4"), 2),
        ("BIGINT", Int64(2**62), 2**62),
        ("DOUBLE PRECISION", 3, 3.0),
        ("DOUBLE PRECISION", "2.5", 2.5),
        ("NUMERIC", 0.1, Decimal("0.1")),
        ("NUMERIC(6,2)", Decimal128("1.005"), Decimal("1.01")),
        ("NUMERIC(6,2)", -1.005, Decimal("-1.01")),
        ("BOOLEAN", "true", True),
        ("BOOLEAN", " OFF ", False),
        ("DATE", datetime(2024, 3, 6, 23), date(2024, 3, 6)),
        ("DATE", "2024-03-06T23:30:00+02:00", date(2024, 3, 6)),
        ("TIMESTAMP", "2024-03-06T23:30:00+02:00", datetime(2024, 3, 6, 23, 30)),
        ("TIMESTAMP", Timestamp(1_700_000_000, 3), datetime(2023, 11, 14, 22, 13, 20)),
        ("TIMESTAMPTZ", "2024-03-06T23:30:00+02:00", datetime(2024, 3, 6, 21, 30)),
        ("TIME", "08:30", time(8, 30)),
        ("TIME", datetime(2024, 3, 6, 23, 1, 2), time(23, 1, 2)),
        ("UUID", "12345678-1234-5678-1234-567812345678", uuid.UUID("12345678123456781234567812345678")),
        ("UUID", Binary(bytes(range(16)), 4), uuid.UUID(bytes=bytes(range(16)))),
        ("BYTEA", b"\x00\xff", b"\x00\xff"),
        ("JSONB", {"b": [1, 2.50, None], "a": {"n": float("nan")}}, '{"a":{"n":"NaN"},"b":[1,2.5,null]}'),
        ("JSONB", oid(1), '"650000000000000000000001"'),
        ("JSONB", datetime(2024, 3, 6, 23, 0, 0, 120000), '"2024-03-06T23:00:00.120Z"'),
        ("JSONB", Decimal128("12345678901234567890.5"), "12345678901234567890.5"),
        ("JSONB", b"\x01\x02", '"AQI="'),
    ],
)
def test_a_value_reads_as_the_conversion_table_says(sql_type: str, value: Any, expected: Any) -> None:
    assert convert(value, as_column(sql_type)) == expected


@pytest.mark.parametrize(
    ("sql_type", "value", "reason"),
    [
        ("VARCHAR", {}, "invalid_type"),
        ("VARCHAR", [oid(1)], "invalid_type"),
        ("VARCHAR", Code("x"), "invalid_type"),
        ("VARCHAR", Regex("x"), "invalid_type"),
        ("VARCHAR(3)", "abcd", "too_long"),
        ("CHAR(3)", "abcd", "too_long"),
        ("TEXT", "a\0b", "nul_character"),
        ("TEXT", "a\ud800", "invalid_text"),
        ("SMALLINT", 32768, "out_of_range"),
        ("SMALLINT", 32767.5, "out_of_range"),
        ("SMALLINT", True, "invalid_type"),
        ("SMALLINT", "12.5", "invalid_type"),
        ("INTEGER", float("nan"), "out_of_range"),
        ("INTEGER", Decimal128("1E+6000"), "out_of_range"),
        ("BIGINT", 2.0**63, "out_of_range"),
        ("NUMERIC(4,2)", 99.995, "out_of_range"),
        ("DOUBLE PRECISION", "far", "invalid_type"),
        ("REAL", 1e39, "out_of_range"),
        ("BOOLEAN", "oui", "invalid_type"),
        ("BOOLEAN", 1, "invalid_type"),
        ("DATE", "", "invalid_type"),
        ("DATE", 20240306, "invalid_type"),
        ("DATE", DatetimeMS(10**15), "out_of_range"),
        ("TIMESTAMP", oid(1), "invalid_type"),
        ("UUID", "no", "invalid_type"),
        ("BYTEA", "no", "invalid_type"),
        ("JSONB", {"deep": ["\0"]}, "nul_character"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_reason(sql_type: str, value: Any, reason: str) -> None:
    with pytest.raises(Unfit) as refused:
        convert(value, as_column(sql_type))
    assert refused.value.reason == reason


def test_a_zone_moves_local_midnights_to_their_own_day() -> None:
    """22:00Z in summer and 23:00Z in winter are both midnight in Paris."""
    day = as_column("DATE", "Europe/Paris")
    assert convert(datetime(2024, 3, 6, 23), day) == date(2024, 3, 7)
    assert convert(SUMMER, day) == date(2024, 7, 2)
    assert convert(datetime(2024, 7, 1, 21, 59), day) == date(2024, 7, 1)


@pytest.mark.parametrize(
    ("operator", "operand", "document", "expected"),
    [
        ("$eq", "menu", {"t": "menu"}, True),
        ("$eq", "menu", {"t": ["x", "menu"]}, True),
        ("$eq", "menu", {}, False),
        ("$eq", None, {}, True),
        ("$ne", None, {}, False),
        ("$ne", "menu", {}, True),
        ("$eq", 1, {"t": 1.0}, True),
        ("$eq", 1, {"t": True}, False),
        ("$in", ("a", None), {"t": None}, True),
        ("$nin", ("a", "b"), {"t": "b"}, False),
        ("$exists", True, {"t": None}, True),
        ("$exists", False, {"t": None}, False),
        ("$exists", True, {}, False),
    ],
)
def test_a_filter_means_what_mongo_means(operator: Any, operand: Any, document: Any, expected: bool) -> None:
    assert matches(document, Condition(path="t", operator=operator, value=operand)) is expected


def test_ids_that_are_not_object_ids_are_encoded_with_their_type() -> None:
    assert encode_id(oid(1)) == "650000000000000000000001"
    assert encode_id("abc") == '"abc"'
    assert encode_id(12) == normal_id('{"$numberInt":"12"}')


# --- tables: a small company whose rows are easy to see ---


def text(name: str, *paths: str, **rest: Any) -> Column:
    return Column(name=name, type=parse_sql_type("VARCHAR"), mongo_field=paths or (name,), **rest)


def moment(name: str, *paths: str) -> Column:
    return Column(name=name, type=parse_sql_type("TIMESTAMP"), nullable=False, mongo_field=(*paths, "_id"))


DATES = (
    moment("created_at", "creation_date"),
    moment("updated_at", "update_date", "creation_date"),
)


def entity(name: str, *columns: Column, **rest: Any) -> Table:
    identity = text("id", "_id", nullable=False)
    return Table(
        **{
            "name": name,
            "columns": (identity, *columns, *DATES),
            "primary_key": ("id",),
            "shape": "one_row",
            "document_column": "id",
            "key": ("id",),
            "mongo_collection": name,
        }
        | rest
    )


def links(name: str, collection: str, parent: str, strategy: str = "smart_diff") -> Table:
    child = Column(
        name="event_id",
        type=parse_sql_type("VARCHAR"),
        nullable=False,
        item_field=("event", "_id", "."),
        foreign_key=ForeignKey(table="events", column="id"),
    )
    kind = Column(name="type", type=parse_sql_type("VARCHAR"))
    owner = text("user_id", "_id", nullable=False, foreign_key=ForeignKey(table=parent, column="id"))
    return Table(
        name=name,
        columns=(owner, child, kind, *DATES),
        unique_constraints=(("user_id", "event_id", "type"),),
        shape="items",
        document_column="user_id",
        key=("user_id", "event_id", "type"),
        mongo_collection=collection,
        arrays=(ArraySource(field="going", set=(("type", "goes"),)), ArraySource(field="deep.maybe")),
        import_strategy=strategy,
    )


def schema_of(*tables: Table) -> Schema:
    return Schema(tables={table.name: table for table in tables})


def cells(oracle: MirrorOracle, table: str, *names: str) -> list[tuple[Any, ...]]:
    columns = [column.name for column in oracle.schema.tables[table].stored_columns]
    rows = oracle.expected[table].rows
    return [tuple(row[columns.index(name)] for name in names) for row in rows]


def test_dates_fall_back_to_the_creation_date_and_then_to_the_id() -> None:
    expected = compute_expected(
        schema_of(entity("events", text("name"))),
        {"events": [{"_id": BORN, "name": "a"}, {"_id": oid(2), "name": "b", "creation_date": SUMMER}]},
    )["events"]
    assert expected.rows == [
        ("650000000000000000000002", "b", SUMMER, SUMMER),
        (str(BORN), "a", datetime(2024, 1, 2, 3, 4, 5), datetime(2024, 1, 2, 3, 4, 5)),
    ]


def test_a_default_fills_what_is_missing_and_null_only_where_null_is_not_allowed() -> None:
    schema = schema_of(
        entity("events", text("loose", default="x"), text("strict", default="y", nullable=False)),
        entity("others", text("needed", nullable=False), mongo_collection="events"),
    )
    oracle = MirrorOracle(schema)
    oracle.observe({"events": [{"_id": oid(1)}, {"_id": oid(2), "loose": None, "strict": None}]})
    assert cells(oracle, "events", "loose", "strict") == [("x", "y"), (None, "y")]
    assert oracle.expected["others"].rejected == {
        str(oid(1)): {("needed", "missing_value")},
        str(oid(2)): {("needed", "missing_value")},
    }


def test_the_first_path_with_a_value_is_used() -> None:
    oracle = MirrorOracle(schema_of(entity("events", text("name", "a.b", "c"))))
    oracle.observe({"events": [{"_id": oid(1), "a": {"b": None}, "c": "second"}, {"_id": oid(2), "a": {"b": "first"}}]})
    assert cells(oracle, "events", "name") == [("second",), ("first",)]


def test_items_are_ids_or_documents_and_each_is_one_row() -> None:
    oracle = MirrorOracle(schema_of(entity("events"), entity("users"), links("user_events", "users", parent="users")))
    users: list[Any] = [
        {
            "_id": oid(1),
            "going": [oid(8), {"event": oid(9)}, oid(8), None],
            "deep": {"maybe": {"_id": oid(8)}},
        },
        {"_id": oid(2), "going": None},
        {"_id": oid(3), "going": [oid(7), 12, oid(9)]},
        {"_id": oid(4)},
    ]
    oracle.observe({"events": [{"_id": oid(8)}, {"_id": oid(9)}], "users": users})
    assert cells(oracle, "user_events", "user_id", "event_id", "type") == [
        (str(oid(1)), str(oid(8)), "goes"),
        (str(oid(1)), str(oid(8)), None),
        (str(oid(1)), str(oid(9)), "goes"),
        (str(oid(3)), str(oid(9)), "goes"),
    ]
    assert oracle.expected["user_events"].rejected == {str(oid(3)): {("event_id", "missing_parent")}}


def test_relationship_rows_keep_the_dates_of_their_first_sync() -> None:
    oracle = MirrorOracle(schema_of(entity("events"), entity("users"), links("user_events", "users", parent="users")))
    later = datetime(2024, 8, 1)
    events = [{"_id": oid(8)}, {"_id": oid(9)}]
    oracle.observe({"events": events, "users": [{"_id": oid(1), "creation_date": SUMMER, "going": [oid(8)]}]})
    changed = {"_id": oid(1), "creation_date": SUMMER, "update_date": later, "going": [oid(9), oid(8)]}
    oracle.observe({"events": events, "users": [changed]})
    assert cells(oracle, "user_events", "event_id", "updated_at") == [
        (str(oid(8)), SUMMER),
        (str(oid(9)), later),
    ]
    assert cells(oracle, "users", "updated_at") == [(later,)]


@pytest.mark.parametrize(("strategy", "left"), [("smart_diff", 0), ("delete_and_insert", 0), ("array", 1)])
def test_only_an_array_table_keeps_what_the_document_lost(strategy: str, left: int) -> None:
    oracle = MirrorOracle(
        schema_of(entity("events"), entity("users"), links("user_events", "users", "users", strategy))
    )
    oracle.observe({"events": [{"_id": oid(8)}], "users": [{"_id": oid(1), "going": [oid(8)]}]})
    oracle.observe({"events": [{"_id": oid(8)}], "users": [{"_id": oid(1), "going": []}]})
    assert len(cells(oracle, "user_events", "event_id")) == left


def test_a_rejected_document_keeps_its_last_good_row_and_a_filtered_one_loses_it() -> None:
    menus = entity("menus", text("name"), filter=(Condition(path="kind", operator="$eq", value="menu"),))
    oracle = MirrorOracle(schema_of(menus))
    oracle.observe({"menus": [{"_id": oid(i), "kind": "menu", "name": "good"} for i in (1, 2)]})
    oracle.observe(
        {
            "menus": [
                {"_id": oid(1), "kind": "menu", "name": "bad\0"},
                {"_id": oid(2), "kind": "webinar", "name": "good"},
            ]
        }
    )
    assert cells(oracle, "menus", "id", "name") == [(str(oid(1)), "good")]
    assert oracle.expected["menus"].rejected == {str(oid(1)): {("name", "nul_character")}}


def test_rows_go_with_their_parent_and_come_back_with_it() -> None:
    menu = (Condition(path="kind", operator="$eq", value="menu"),)
    reference = text("menu_id", "menu", foreign_key=ForeignKey(table="menus", column="id"))
    lenient = text("menu_id", "menu", foreign_key=ForeignKey(table="menus", column="id", on_missing_parent="null"))
    oracle = MirrorOracle(
        schema_of(
            entity("menus", filter=menu),
            entity("meals", reference),
            entity("notes", lenient, mongo_collection="meals"),
        )
    )
    meals = [{"_id": oid(5), "menu": oid(1)}]
    for kind, there in (("menu", True), ("webinar", False), ("menu", True)):
        oracle.observe({"menus": [{"_id": oid(1), "kind": kind}], "meals": meals})
        assert cells(oracle, "meals", "id") == [(str(oid(5)),)] * there
        assert cells(oracle, "notes", "menu_id") == [(str(oid(1)) if there else None,)]
        assert bool(oracle.expected["meals"].rejected) is not there


def test_a_broken_chain_of_self_references_is_rejected_from_the_break_down() -> None:
    boss = text("boss_id", "boss", foreign_key=ForeignKey(table="people", column="id"))
    oracle = MirrorOracle(schema_of(entity("people", boss)))
    people = [
        {"_id": oid(1), "boss": oid(2)},
        {"_id": oid(2), "boss": oid(9)},
        {"_id": oid(3), "boss": oid(4)},
        {"_id": oid(4), "boss": oid(3)},
        {"_id": oid(5), "boss": oid(5)},
    ]
    oracle.observe({"people": people})
    assert cells(oracle, "people", "id") == [(str(oid(3)),), (str(oid(4)),), (str(oid(5)),)]
    assert set(oracle.expected["people"].rejected or {}) == {str(oid(1)), str(oid(2))}
    oracle.observe({"people": [*people, {"_id": oid(9)}]})
    assert len(cells(oracle, "people", "id")) == 6


def test_a_taken_unique_value_stays_with_its_holder_until_the_holder_leaves_it() -> None:
    table = entity("users", text("email"), unique_constraints=(("email",),))
    oracle = MirrorOracle(schema_of(table))
    first, second = {"_id": oid(1), "email": "x"}, {"_id": oid(2), "email": "y"}
    oracle.observe({"users": [first, second]})
    oracle.observe({"users": [first | {"email": "y"}, second]})
    assert cells(oracle, "users", "email") == [("x",), ("y",)]
    assert oracle.expected["users"].rejected == {str(oid(1)): {("email", "duplicate_key")}}
    oracle.observe({"users": [first | {"email": "y"}, second | {"email": "x"}]})
    assert cells(oracle, "users", "email") == [("y",), ("x",)]


def test_the_declared_winner_of_a_key_shows_and_the_next_one_after_it() -> None:
    day = Column(name="day", type=parse_sql_type("DATE"), nullable=False, mongo_field=("day",))
    table = Table(
        name="logbook",
        columns=(text("document_id", "_id"), text("user_id", "user"), day, *DATES),
        unique_constraints=(("user_id", "day"),),
        shape="one_per_key",
        document_column="document_id",
        key=("user_id", "day"),
        winner=(WinnerOrder(column="updated_at", descending=True),),
        mongo_collection="logbook",
    )
    oracle = MirrorOracle(schema_of(table))
    early = {"_id": oid(1), "user": oid(7), "day": SUMMER, "creation_date": SUMMER}
    late = early | {"_id": oid(2), "update_date": datetime(2024, 8, 1)}
    oracle.observe({"logbook": [early, late]})
    assert cells(oracle, "logbook", "document_id") == [(str(oid(2)),)]
    oracle.observe({"logbook": [early, late | {"day": datetime(2024, 7, 9)}]})
    assert sorted(cells(oracle, "logbook", "document_id", "day")) == [
        (str(oid(1)), date(2024, 7, 1)),
        (str(oid(2)), date(2024, 7, 9)),
    ]
    oracle.observe({"logbook": [early, late | {"day": "never"}]})
    assert len(cells(oracle, "logbook", "day")) == 2, "the rejected document keeps its last good row"
