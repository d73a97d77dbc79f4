"""The generated function: its exact source, and what it makes of documents, arrays, defaults and paths."""

import traceback
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from bson import DatetimeMS, ObjectId

from smartdiet_assets.schema.model import Table
from smartdiet_assets.schema.reasons import Reason, Reject
from smartdiet_assets.transform.row_function import build_row_function, compose_row_function
from smartdiet_assets_tests.unit.transform.tables import (
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
        for address in (None, "Lyon", {"city": None}, {"city": "Lyon"}, [{"city": {"name": "Lyon"}}]):
            assert self.value(table, address=address) is None
        assert self.value(table) is None

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
