"""What the counting of changes counts, and that it follows an index and stops at its cap."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId, Timestamp

from smartdiet_assets.extract.mongodb.change_volume import (
    ChangeVolume,
    compose_counts,
    compose_create_index,
    count_changes,
    find_unindexed_fields,
)

FIELDS = ("update_date", "creation_date")
MARK = datetime(2026, 3, 1)
CLOCK = datetime(2026, 3, 2)


def after(**delta: int) -> datetime:
    return MARK + timedelta(**delta)


@pytest.fixture
def notes(mongo_database: Any) -> Any:
    """A collection with both indexes and one document dated exactly at the watermark."""
    collection = mongo_database.notes
    for field in FIELDS:
        collection.create_index(field)
    collection.insert_one({"_id": ObjectId.from_datetime(MARK), "creation_date": MARK, "update_date": MARK})
    return collection


def count(notes: Any, *, cap: int = 100, seconds: float = 20) -> ChangeVolume | None:
    return count_changes(notes.database, notes.name, FIELDS, since=MARK, clock=CLOCK, cap=cap, seconds=seconds)


def test_the_document_of_the_watermark_itself_is_no_change(notes: Any) -> None:
    assert count(notes) == ChangeVolume()


def test_each_changed_document_counts_once_by_its_latest_date(notes: Any) -> None:
    notes.insert_many(
        [
            {"creation_date": after(minutes=1), "update_date": after(minutes=5)},
            {"creation_date": datetime(2020, 1, 1), "update_date": after(minutes=6)},
            {"creation_date": after(minutes=2)},
            {"creation_date": after(minutes=3), "update_date": None},
            {"creation_date": datetime(2020, 1, 1), "update_date": datetime(2021, 1, 1)},
            {"_id": ObjectId.from_datetime(after(seconds=-1)), "creation_date": "yesterday", "update_date": 12},
        ]
    )
    assert count(notes) == ChangeVolume(due=4, oldest=after(minutes=2), newest=after(minutes=6), untold=1)


def test_a_document_without_dates_counts_by_its_object_id_and_of_one_without_that_nothing_tells(notes: Any) -> None:
    notes.insert_many(
        [
            {"_id": ObjectId.from_datetime(after(minutes=7)), "text": "x"},
            {"_id": ObjectId.from_datetime(after(seconds=-1)), "text": "mirrored"},
            {"_id": "word", "text": "x"},
        ]
    )
    assert count(notes) == ChangeVolume(due=1, oldest=after(minutes=7), newest=after(minutes=7), untold=1)


@pytest.mark.parametrize("value", [1_700_000_000_000, "2026-03-01T10:00:00Z", Timestamp(1, 1), {}, [], ["x"], True])
def test_dates_that_are_no_dates_count_by_the_object_id_and_as_untold_once_it_is_mirrored(
    notes: Any, value: Any
) -> None:
    born, earlier = ObjectId.from_datetime(after(minutes=7)), [ObjectId.from_datetime(after(days=-n)) for n in (1, 2)]
    notes.insert_many(
        [
            {"_id": born, "creation_date": value, "update_date": value},
            {"_id": earlier[0], "creation_date": datetime(2020, 1, 1), "update_date": value},
            {"_id": earlier[1], "creation_date": value},
            # Seen by its date, which is what moves the watermark.
            {"creation_date": value, "update_date": after(minutes=3)},
            {"creation_date": datetime(2020, 1, 1), "update_date": value},
        ]
    )
    assert count(notes) == ChangeVolume(due=2, oldest=after(minutes=3), newest=after(minutes=7), untold=3)


def test_what_is_dated_ahead_of_the_servers_clock_is_told_apart(notes: Any) -> None:
    notes.insert_many([{"update_date": datetime(2999, 1, 1)}, {"update_date": CLOCK}])
    assert count(notes) == ChangeVolume(due=1, ahead=1, oldest=CLOCK, newest=datetime(2999, 1, 1))


def test_the_count_stops_at_its_cap(notes: Any) -> None:
    notes.insert_many([{"update_date": after(minutes=minute)} for minute in range(1, 50)])
    volume = count(notes, cap=10)
    assert volume is not None
    assert (volume.due, volume.capped) == (10, True)
    volume = count(notes, cap=50)
    assert volume is not None
    assert (volume.due, volume.capped) == (49, False)


def test_the_queries_on_dates_follow_their_index_and_look_at_what_changed_only(notes: Any) -> None:
    old = datetime(2020, 1, 1)
    notes.insert_many([{"creation_date": old, "update_date": old} for _ in range(500)])
    notes.insert_many([{"creation_date": after(minutes=n), "update_date": after(minutes=n)} for n in range(1, 4)])
    # The embedded server reports no plan for the third, on documents without dates, though an index serves it too.
    for pipeline in list(compose_counts(FIELDS, since=MARK, clock=CLOCK, cap=100))[:2]:
        plan = notes.database.command("explain", {"aggregate": "notes", "pipeline": pipeline, "cursor": {}})
        assert "COLLSCAN" not in str(plan)
        assert plan["executionStats"]["totalDocsExamined"] <= 3


def test_a_server_that_takes_too_long_is_not_waited_for(notes: Any) -> None:
    notes.insert_many([{"update_date": after(minutes=minute)} for minute in range(1, 3000)])
    assert count(notes, cap=10_000, seconds=0.001) is None


def test_the_fields_without_an_index_are_named_with_the_statement_that_creates_it(mongo_database: Any) -> None:
    assert find_unindexed_fields(mongo_database, "notes", FIELDS) == ()
    mongo_database.notes.insert_one({})
    assert find_unindexed_fields(mongo_database, "notes", FIELDS) == FIELDS
    # An index serves only where the field leads, and not for a part of the documents.
    mongo_database.notes.create_index([("user", 1), ("update_date", 1)])
    mongo_database.notes.create_index("update_date", partialFilterExpression={"a": 1})
    mongo_database.notes.create_index([("creation_date", -1), ("user", 1)])
    assert find_unindexed_fields(mongo_database, "notes", FIELDS) == ("update_date",)
    assert compose_create_index("notes", "update_date") == ('db.getCollection("notes").createIndex({"update_date": 1})')
