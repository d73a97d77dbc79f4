"""The generated function: its exact source, and what it makes of documents, arrays, defaults and paths."""

import traceback
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from bson import DatetimeMS, DBRef, ObjectId

from smartdiet_assets.schema.model import ArraySource, Table
from smartdiet_assets.schema.reasons import Reason, Reject
from smartdiet_assets.transform.row_function import build_row_function, compose_row_function
from smartdiet_assets_tests.support.tables import (
    USERS,
    column,
    condition,
    dates,
    entity,
    single,
    transform,
    users_targets,
)

ID = ObjectId("65e8f3a0c2a4b1d2e3f4a5b6")
HEX = str(ID)
ID_TIME = datetime(2024, 3, 6, 22, 52, 16)
TARGETS = [ObjectId(f"{number:024x}") for number in range(1, 9)]
T1, T2, T3 = (str(target) for target in TARGETS[:3])
MOMENT = datetime(2024, 3, 6, 23)

LOGBOOK = entity(
    column("user_id", "VARCHAR", "user", nullable=False, foreign_key=USERS),
    column("day", "DATE", "day", nullable=False, timezone="Europe/Paris"),
    column("born", "DATE", "birthday", "birthdate"),
    column("city", "VARCHAR(255)", "address.city"),
    column("order_nb", "SMALLINT", "order"),
    column("done", "BOOLEAN", "done", default=False),
    *dates(),
    name="users_logbook",
    mongo_collection="coachinglogbooks",
    filter=(condition("user", "$exists", True), condition("__t", "$ne", "draft")),
)


@pytest.mark.parametrize("table", [LOGBOOK, users_targets()], ids=lambda table: table.name)
def test_source_is_exactly_this(table: Table) -> None:
    golden = Path(__file__).with_name("golden") / f"{table.name}.py.txt"
    assert compose_row_function(table) == golden.read_text()


def test_traceback_shows_the_generated_line() -> None:
    function = build_row_function(single("INTEGER"))
    with pytest.raises(AttributeError) as caught:
        function([None], [], [], [], datetime.min)  # type: ignore[list-item]
    assert "get = document.get" in "".join(traceback.format_exception(caught.value))


def test_field_names_cannot_become_code() -> None:
    table = entity(column("value", "VARCHAR", "v'] + exit() + document['"))
    assert transform(table, {"_id": ID, "v'] + exit() + document['": "x"}).rows == [(HEX, "x")]


class TestDocument:
    """One row per document."""

    def value(self, table: Table, **fields: Any) -> Any:
        batch = transform(table, {"_id": ID, **fields})
        assert batch.rejects == []
        return batch.rows[0][1]

    def test_first_path_that_leads_to_a_value_counts(self) -> None:
        table = entity(column("born", "DATE", "birthday", "birthdate"))
        assert self.value(table, birthday=None, birthdate=MOMENT) == date(2024, 3, 6)
        assert self.value(table, birthday=MOMENT, birthdate=datetime(1999, 1, 1)) == date(2024, 3, 6)
        assert self.value(table, birthday=None) is None

    def test_dotted_path_passes_through_documents_only(self) -> None:
        table = entity(column("city", "VARCHAR", "address.city.name"))
        assert self.value(table, address={"city": {"name": "Lyon"}}) == "Lyon"
        for address in (None, "Lyon", {"city": None}, {"city": "Lyon"}):
            assert self.value(table, address=address) is None
        assert self.value(table) is None

    @pytest.mark.parametrize(
        ("path", "document", "value"),
        [
            ("loc.coordinates.0", {"loc": {"coordinates": [2.3, 48.8]}}, "2.3"),
            ("loc.coordinates.1", {"loc": {"coordinates": [2.3, 48.8]}}, "48.8"),
            ("loc.coordinates.2", {"loc": {"coordinates": [2.3, 48.8]}}, None),
            ("tags.0.name", {"tags": [{"name": "x"}, {"name": "y"}]}, "x"),
            ("tags.1.name", {"tags": [{"name": "x"}, "y"]}, None),
            ("tags.0.0", {"tags": [["x"]]}, "x"),
            ("tags.0.name", {"tags": []}, None),
            ("tags.0.name", {"tags": None}, None),
            ("tags.0.name", {}, None),
            ("tags.0", {"tags": {"0": "x"}}, "x"),
            ("0.a", {"0": {"a": "x"}}, "x"),
            ("user.login", {"user": DBRef("users", 1, login="x")}, "x"),
            ("_id.user", {"_id": {"user": "x", "day": 1}}, "x"),
            ("_id.user", {"_id": 5}, None),
        ],
    )
    @pytest.mark.parametrize("default", [None, "d"])
    def test_number_in_a_path_indexes_an_array(
        self, path: str, document: dict[str, Any], value: str | None, default: str | None
    ) -> None:
        batch = transform(entity(column("v", "VARCHAR", path, default=default)), {"_id": ID, **document})
        assert [row[1] for row in batch.rows] == [default if value is None else value]

    @pytest.mark.parametrize("sql_type", ["VARCHAR", "JSONB", "INTEGER", "TIMESTAMP", "BOOLEAN", "NUMERIC", "BYTEA"])
    @pytest.mark.parametrize(
        ("path", "document"),
        [
            ("tags.name", {"tags": [{"name": 1}]}),
            ("tags.name", {"tags": []}),
            ("tags.name.x", {"tags": [{"name": 1}]}),
            ("tags.-1", {"tags": [1]}),
            ("tags.01", {"tags": [1, 2]}),
            ("tags.0.name", {"tags": [[{"name": 1}]]}),
            ("a.tags.name", {"a": {"tags": ["x"]}}),
        ],
    )
    def test_path_that_meets_an_array_otherwise_is_a_reject(
        self, path: str, document: dict[str, Any], sql_type: str
    ) -> None:
        expected = Reject(HEX, "v", Reason.INVALID_TYPE, "a path without arrays", "array")
        for settings in ({}, {"default": None, "nullable": False}, {"on_invalid": "clamp"}):
            batch = transform(entity(column("v", sql_type, path, "other", **settings)), {"_id": ID, **document})
            assert (batch.rows, batch.rejects) == ([], [expected])
        batch = transform(entity(column("v", sql_type, path, on_invalid="null")), {"_id": ID, **document})
        assert (batch.rows, batch.nulled) == ([(HEX, None)], {"v": 1})

    def test_id_that_is_a_document_is_its_extended_json(self) -> None:
        key = USERS.model_copy(update={"documents": True})
        table = entity(column("parent", "VARCHAR", "parent", foreign_key=key), column("user", "INTEGER", "_id.user"))
        key = {"user": 1, "day": "d"}
        spelled = '{"user": {"$numberInt": "1"}, "day": "d"}'
        assert transform(table, {"_id": key, "parent": key}).rows == [(spelled, spelled, 1)]
        assert transform(entity(column("other", "VARCHAR", "v")), {"_id": 1, "v": key}).rejects[0].column == "other"
        copied = transform(table, {"_id": ID, "parent": {"_id": ID, "name": "x"}})
        assert copied.rejects == [Reject(HEX, "parent", Reason.INVALID_TYPE, "character varying", "object")]
        assert transform(table, {"_id": {"_id": 1}}).rows[0][0] == '{"_id": {"$numberInt": "1"}}'
        long = transform(table, {"_id": {"user": 1, "day": "d" * 3_000}})
        assert [reject.reason for reject in long.rejects] == [Reason.TOO_LONG]

    def test_missing_field_takes_the_default_and_null_stays_null(self) -> None:
        table = single("BOOLEAN", default=False)
        assert self.value(table) is False
        assert self.value(table, v=None) is None
        assert self.value(table, v=True) is True

    def test_null_takes_the_default_where_null_is_not_allowed(self) -> None:
        table = single("VARCHAR(10)", default="none", nullable=False)
        assert [self.value(table), self.value(table, v=None), self.value(table, v="x")] == [
            "none",
            "none",
            "x",
        ]

    def test_default_with_several_paths_is_for_documents_with_none_of_them(self) -> None:
        table = entity(column("value", "INTEGER", "a", "b.c", default=7))
        assert self.value(table) == 7
        assert self.value(table, b={"c": 1}) == 1
        assert self.value(table, a=None) is None
        assert self.value(table, b={"c": None}) is None
        assert self.value(table, a=None, b={"c": 2}) == 2

    def test_default_that_does_not_fit_is_an_error_before_any_document(self) -> None:
        with pytest.raises(ValueError, match=r"users\.value: a declared value does not fit smallint"):
            build_row_function(single("SMALLINT", default=70_000))

    def test_default_of_jsonb_is_json(self) -> None:
        assert self.value(single("JSONB", default='{"a": 1}')).obj == '{"a": 1}'

    def test_missing_value_in_not_null_is_rejected(self) -> None:
        batch = transform(single("VARCHAR", nullable=False), {"_id": ID}, {"_id": 2, "v": "x"})
        assert batch.rejects == [Reject(HEX, "value", Reason.MISSING_VALUE, "NOT NULL", "")]
        assert batch.rows == [("2", "x")]

    def test_dates_fall_back_to_the_time_in_the_object_id(self) -> None:
        table = entity(*dates())
        created = datetime(2020, 1, 1)
        assert transform(table, {"_id": ID}).rows == [(HEX, ID_TIME, ID_TIME)]
        assert transform(table, {"_id": ID, "creation_date": created}).rows == [(HEX, created, created)]
        assert transform(table, {"_id": ID, "update_date": MOMENT}).rows == [(HEX, ID_TIME, MOMENT)]
        assert transform(table, {"_id": 5}).rejects[0].reason == Reason.MISSING_VALUE

    def test_zone_decides_the_day(self) -> None:
        table = single("DATE", timezone="Europe/Paris")
        assert self.value(table, v=datetime(2024, 3, 6, 23)) == date(2024, 3, 7)
        assert self.value(table, v=datetime(2024, 7, 6, 22)) == date(2024, 7, 7)
        assert self.value(table, v="2024-03-06") == date(2024, 3, 6)
        assert self.value(table, v="2024-03-06T23:00:00Z") == date(2024, 3, 7)
        timestamp = single("TIMESTAMP", timezone="Europe/Paris")
        assert self.value(timestamp, v=datetime(2024, 3, 6, 23)) == datetime(2024, 3, 7)

    def test_zone_cannot_leave_the_calendar(self) -> None:
        table = single("DATE", timezone="Europe/Paris")
        assert transform(table, {"_id": 1, "v": datetime(9999, 12, 31, 23, 30)}).rejects[0].reason == "out_of_range"

    def test_filtered_document_is_understood_and_has_no_row(self) -> None:
        table = entity(column("value", "SMALLINT", "v"), filter=(condition("__t", "$eq", "menu"),))
        batch = transform(
            table, {"_id": 1, "__t": "menu"}, {"_id": 2, "v": "not a number"}, {"_id": 3, "__t": ["menu"]}
        )
        assert batch.rows == [("1", None), ("3", None)]
        assert batch.documents == ["1", "2", "3"]
        assert batch.rejects == []

    def test_one_per_key_tells_which_documents_were_understood(self) -> None:
        table = Table(
            **{
                **entity(column("day", "DATE", "day", nullable=False)).model_dump(),
                "shape": "one_per_key",
                "key": ("day",),
            }
        )
        batch = transform(table, {"_id": 1, "day": MOMENT}, {"_id": 2})
        assert (batch.documents, len(batch.rows), len(batch.rejects)) == (["1"], 1, 1)


class TestItems:
    """One row per item."""

    def targets(self, **fields: Any) -> list[tuple[Any, ...]]:
        batch = transform(users_targets(), {"_id": ID, "creation_date": MOMENT, **fields})
        assert batch.rejects == []
        assert batch.documents == [HEX]
        return [row[1:3] for row in batch.rows]

    def test_each_array_has_its_constants(self) -> None:
        assert self.targets(targets=TARGETS[:2], health_targets=TARGETS[:1]) == [
            (T1, "basic"),
            (T2, "basic"),
            (T1, "health"),
        ]

    @pytest.mark.parametrize("fields", [{}, {"targets": None}, {"targets": []}, {"targets": [None]}])
    def test_document_without_items_is_understood(self, fields: dict[str, Any]) -> None:
        assert self.targets(**fields) == []

    def test_items_may_be_ids_or_documents_that_hold_one(self) -> None:
        items = [TARGETS[0], {"target": TARGETS[1], "_id": TARGETS[7]}, {"_id": TARGETS[2]}, T1]
        assert [target for target, _ in self.targets(targets=items)] == [T1, T2, T3]

    def test_value_that_is_no_array_is_an_array_of_one(self) -> None:
        assert self.targets(targets=TARGETS[0]) == [(T1, "basic")]
        assert self.targets(targets={"target": TARGETS[0]}) == [(T1, "basic")]

    def test_bad_item_is_rejected_alone_and_the_document_is_understood(self) -> None:
        batch = transform(users_targets(), {"_id": ID, "targets": [TARGETS[0], {"other": 1}, b"\x00", {"target": {}}]})
        assert [row[1] for row in batch.rows] == [T1, "\\x00"]
        assert batch.documents == [HEX]
        assert [(r.document_id, r.reason, r.received) for r in batch.rejects] == [
            (HEX, Reason.MISSING_VALUE, ""),
            (HEX, Reason.INVALID_TYPE, "object"),
        ]

    def test_duplicate_is_one_row_across_arrays_too(self) -> None:
        table = users_targets(key=("user_id", "target_id"))
        batch = transform(table, {"_id": ID, "targets": [TARGETS[0], T1], "health_targets": [TARGETS[0]]})
        assert [row[1:3] for row in batch.rows] == [(T1, "basic")]

    @pytest.mark.parametrize(
        ("setting", "shown", "collapsed", "rejects"),
        [("first", [1, 3, 5], 2, 0), ("last", [2, 4, 5], 2, 0), ("reject", [1, 3, 5], 0, 2)],
    )
    def test_items_that_share_a_key_are_counted(
        self, setting: str, shown: list[int], collapsed: int, rejects: int
    ) -> None:
        quantity = column("quantity", "INTEGER", item_field=("quantity",))
        table = users_targets(columns=(*users_targets().columns, quantity), on_duplicate_item=setting)
        a, b, c = TARGETS[:3]
        items = [{"target": a, "quantity": 1}, {"target": a, "quantity": 2}, None, {"target": b, "quantity": 3}]
        items += [{"target": str(b), "quantity": 4}, {"target": c, "quantity": 5}]
        batch = transform(table, {"_id": ID, "targets": items})
        assert sorted(row[5] for row in batch.rows) == shown
        assert batch.collapsed == collapsed
        assert batch.rejects == [Reject(HEX, "", Reason.DUPLICATE_KEY, "one item of each key", "")] * rejects

    def test_last_is_the_last_of_the_last_array(self) -> None:
        table = users_targets(key=("user_id", "target_id"), on_duplicate_item="last")
        batch = transform(table, {"_id": ID, "targets": [TARGETS[0], T1], "health_targets": [TARGETS[0]]})
        assert ([row[1:3] for row in batch.rows], batch.collapsed) == ([(T1, "health")], 2)

    @pytest.mark.parametrize("setting", ["first", "last"])
    def test_place_of_an_item_is_a_column(self, setting: str) -> None:
        place = column("place", "SMALLINT", item_field=("$position",), nullable=False)
        key = ("user_id", "type", "place")
        table = users_targets(columns=(*users_targets().columns, place), key=key, on_duplicate_item=setting)
        documents = [{"_id": 1, "targets": [TARGETS[0], None, TARGETS[0]], "health_targets": TARGETS[1]}]
        batch = transform(table, *[{**document, "creation_date": MOMENT} for document in documents])
        assert sorted(row[1:3] + row[5:] for row in batch.rows) == [
            (T1, "basic", 0),
            (T1, "basic", 2),
            (T2, "health", 0),
        ]
        assert batch.collapsed == 0

    def test_item_that_is_an_array_is_indexed(self) -> None:
        coordinate = column("x", "DOUBLE PRECISION", item_field=("0",))
        name = column("name", "VARCHAR", item_field=("name",))
        place = column("place", "INTEGER", item_field=("$position",), nullable=False)
        user, *_ = users_targets().columns
        table = users_targets(
            columns=(user, coordinate, place), key=("user_id", "place"), arrays=(ArraySource(field="line"),)
        )
        rows = transform(table, {"_id": 1, "line": [[2.5, 48.5], [], "x", {"0": 3.5}]}).rows
        assert [row[1] for row in rows] == [2.5, None, None, 3.5]
        table = users_targets(columns=(user, name, place), key=table.key, arrays=table.arrays)
        batch = transform(table, {"_id": ID, "line": [[1], {"name": "x"}, 5]})
        assert [row[1:] for row in batch.rows] == [("x", 1), (None, 2)]
        assert [(reject.column, reject.received) for reject in batch.rejects] == [("name", "array")]

    def test_array_behind_another_one_rejects_the_document(self) -> None:
        table = users_targets(arrays=(ArraySource(field="groups.targets", set=(("type", "basic"),)),))
        batch = transform(table, {"_id": ID, "groups": [{"targets": TARGETS}]})
        assert (batch.rows, batch.documents) == ([], [])
        assert batch.rejects == [Reject(HEX, "", Reason.INVALID_TYPE, "a path without arrays", "array")]
        indexed = users_targets(arrays=(ArraySource(field="groups.0.targets", set=(("type", "basic"),)),))
        batch = transform(indexed, {"_id": ID, "creation_date": MOMENT, "groups": [{"targets": TARGETS}]})
        assert len(batch.rows) == len(TARGETS)

    def test_bad_date_of_the_document_rejects_it_only_where_it_has_items(self) -> None:
        documents = [
            {"_id": 1, "creation_date": 5, "targets": []},
            {"_id": 2, "creation_date": 5, "targets": TARGETS},
        ]
        batch = transform(users_targets(), *documents)
        assert batch.documents == ["1"]
        assert [(r.document_id, r.column) for r in batch.rejects] == [('{"$numberInt": "2"}', "created_at")]
        assert batch.rows == []

    def test_bad_document_id_rejects_the_document(self) -> None:
        batch = transform(users_targets(), {"_id": "a\0b", "targets": TARGETS})
        assert (batch.rows, batch.documents) == ([], [])
        assert batch.rejects == [Reject('"a\\u0000b"', "user_id", Reason.NUL_CHARACTER, "character varying", "string")]

    def test_column_fed_by_the_item_next_to_one_fed_by_the_document(self) -> None:
        registered = column("registered_at", "TIMESTAMP", item_field=("date", "_id"))
        table = users_targets(columns=(*users_targets().columns, registered))
        items = [{"target": TARGETS[0], "date": MOMENT}, {"target": TARGETS[1], "_id": ID}, TARGETS[2]]
        rows = transform(table, {"_id": ID, "targets": items}).rows
        assert [row[5] for row in rows] == [MOMENT, ID_TIME, None]


class TestNewest:
    """The newest source date of a batch, which the watermark follows."""

    def newest(self, *documents: dict[str, Any]) -> datetime | None:
        return transform(entity(column("value", "SMALLINT", "v")), *documents).newest

    def test_newest_is_the_largest_of_both_dates(self) -> None:
        later, earlier = datetime(2024, 1, 2), datetime(2024, 1, 1)
        assert self.newest({"_id": 1, "creation_date": earlier, "update_date": later}) == later
        assert self.newest({"_id": 1, "creation_date": later, "update_date": earlier}) == later
        assert self.newest({"_id": 1, "creation_date": later}, {"_id": 2, "update_date": earlier}) == later

    def test_document_without_dates_counts_by_its_object_id(self) -> None:
        assert self.newest({"_id": ID}) == ID_TIME
        assert self.newest({"_id": ID, "creation_date": datetime(2020, 1, 1)}) == datetime(2020, 1, 1)

    def test_dates_that_are_no_dates_are_ignored(self) -> None:
        assert self.newest({"_id": 1, "creation_date": "2024-01-01", "update_date": DatetimeMS(2**60)}) is None
        assert self.newest() is None

    def test_rejected_document_counts_too(self) -> None:
        assert self.newest({"_id": 1, "v": "x", "update_date": MOMENT}) == MOMENT

    def test_fields_are_those_of_the_table(self) -> None:
        table = entity(created_field="meta.created", updated_field="changed")
        assert transform(table, {"_id": 1, "meta": {"created": MOMENT}}).newest == MOMENT


def test_aware_datetimes_only_in_timestamptz() -> None:
    [(_, value)] = transform(single("TIMESTAMPTZ"), {"_id": 1, "v": MOMENT}).rows
    assert value.tzinfo is UTC
