"""The oracle's tables against rows worked out by hand, of a small company whose rows are easy to see."""

from datetime import UTC, date, datetime
from typing import Any

import pytest
from bson import ObjectId

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
from smartdiet_assets_tests.oracle import MirrorOracle, compute_expected

SUMMER = datetime(2024, 7, 1, 22, 0)
BORN = ObjectId.from_datetime(datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC))


def oid(number: int) -> ObjectId:
    return ObjectId(f"{0x65000000:08x}{number:016x}")


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
