"""What a captured table sees: every change, whatever the dates say."""

import uuid
from datetime import datetime
from typing import Any

import pytest
from bson import Binary, Decimal128, Int64, ObjectId
from pymongo import InsertOne, UpdateOne

from smartdiet_assets.extract.window import WindowRequest
from smartdiet_assets_tests.support.captured import Captured

EARLY = datetime(2024, 1, 1)
LATE = datetime(2024, 6, 1)


def test_inserts_updates_and_replacements_arrive(captured: Captured) -> None:
    people = captured.source.people
    people.insert_one({"_id": 1, "name": "Ann"})
    captured.sync()
    people.insert_one({"_id": 2, "name": "Bob"})
    people.update_one({"_id": 1}, {"$set": {"name": "Anna"}})
    people.insert_one({"_id": 3, "name": "Cleo", "email": "c@x"})
    people.replace_one({"_id": 3}, {"name": "Clea"})

    result = captured.sync()

    assert captured.rows("people", "name", "email") == [("Anna", None), ("Bob", None), ("Clea", None)]
    assert (result.window.kind, result.documents_read, result.load.inserted, result.load.updated) == (
        "change_stream", 3, 2, 1,
    )  # fmt: skip
    assert result.capture is not None
    assert (result.capture.start, result.capture.events) == ("resumed", 4)


def test_a_change_that_moved_no_date_is_seen(captured: Captured) -> None:
    captured.source.people.insert_many(
        [{"_id": 1, "name": "Ann", "creation_date": EARLY, "update_date": EARLY}, {"_id": ObjectId(), "name": "Bob"}]
    )
    captured.source.people.insert_one({"_id": 3, "name": "Cleo", "creation_date": LATE, "update_date": LATE})
    captured.sync()
    captured.source.people.update_many({}, {"$set": {"email": None, "name": "x"}})

    assert captured.sync().load.updated == 3


@pytest.mark.parametrize("removal", [{"$pull": {"tags": "b"}}, {"$pop": {"tags": 1}}, {"$set": {"tags": ["a"]}}])
def test_a_removed_array_item_takes_its_row_along(captured: Captured, removal: Any) -> None:
    captured.source.people.insert_one({"_id": 1, "tags": ["a", "b"]})
    captured.sync("tags")
    captured.source.people.update_one({"_id": 1}, removal)

    assert captured.sync("tags").load.deleted == 1
    assert captured.rows("tags", "tag") == ["a"]
    captured.source.people.update_one({"_id": 1}, {"$unset": {"tags": ""}})
    captured.sync("tags")
    assert captured.rows("tags", "tag") == []


def test_the_next_best_document_shows_when_the_winner_moves_away(captured: Captured) -> None:
    captured.source.diary.insert_many(
        [{"person": 1, "day": 1, "mood": "good", "stars": 5}, {"person": 1, "day": 1, "mood": "bad", "stars": 1}]
    )
    captured.sync("moods")
    captured.source.diary.update_one({"stars": 5}, {"$set": {"day": 2}})

    captured.sync("moods")

    assert captured.rows("moods", "day", "mood") == [(1, "bad"), (2, "good")]


def test_a_quiet_run_reads_no_document_and_writes_no_row(captured: Captured) -> None:
    captured.source.people.insert_one({"_id": 1, "name": "Ann"})
    captured.sync()

    result = captured.sync()

    assert result.capture is not None
    assert (result.documents_read, result.capture.events, result.load.updated, result.load.rows) == (0, 0, 0, 1)


def test_changes_of_other_collections_are_not_events_of_this_one(captured: Captured) -> None:
    captured.sync()
    captured.source.diary.insert_one({"person": 1, "day": 1})

    result = captured.sync()

    assert result.capture is not None
    assert result.capture.events == 0


def test_a_document_that_changed_a_thousand_times_is_read_once(captured: Captured) -> None:
    captured.source.people.insert_one({"_id": 1})
    captured.sync()
    captured.source.people.bulk_write([UpdateOne({"_id": 1}, {"$set": {"name": f"n{n}"}}) for n in range(1500)])

    result = captured.sync()

    assert result.capture is not None
    assert (result.capture.events, result.documents_read) == (1500, 1)
    assert captured.rows("people", "name") == ["n1499"]


def test_a_backlog_of_many_batches_arrives_whole(captured: Captured) -> None:
    captured.sync()
    captured.source.people.bulk_write([InsertOne({"_id": n, "name": f"n{n}"}) for n in range(2345)])
    captured.source.people.update_many({"_id": {"$lt": 2000}}, {"$set": {"name": "again"}})

    result = captured.sync()

    assert result.capture is not None
    assert (result.capture.events, result.documents_read, result.load.inserted) == (4345, 2345, 2345)
    assert captured.rows("people", "name").count("again") == 2000


IDS = [
    "text",
    "",
    Int64(2**40),
    7,
    1.5,
    ObjectId("64b000000000000000000001"),
    Binary.from_uuid(uuid.UUID(int=5)),
    datetime(2024, 1, 1),
    {"a": 1, "b": ["c"]},
    Decimal128("1.10"),
    True,
]


@pytest.mark.parametrize("identity", IDS, ids=lambda value: type(value).__name__)
def test_changes_are_found_whatever_type_the_ids_are_of(captured: Captured, identity: Any) -> None:
    captured.source.people.insert_one({"_id": identity, "name": "before"})
    captured.sync()
    captured.source.people.update_one({"_id": identity}, {"$set": {"name": "after"}})

    result = captured.sync()

    assert (result.load.updated + result.load.rejected, result.capture.deleted if result.capture else None) == (1, 0)


def test_a_rejected_document_is_tried_again_and_loads_when_repaired(captured: Captured) -> None:
    captured.sync()
    captured.source.people.insert_one({"_id": 1, "name": "far too long"})
    assert captured.sync().load.rejected == 1
    assert captured.sync().load.rejected == 1
    captured.source.people.update_one({"_id": 1}, {"$set": {"name": "Ann"}})

    assert captured.sync().load.rejected == 0
    assert captured.rows("people", "name") == ["Ann"]
    assert captured.connection.execute("SELECT count(*) FROM smartdiet.rejected_rows").fetchone() == (0,)


def test_a_rejected_document_that_is_deleted_leaves_the_rejects(captured: Captured) -> None:
    captured.sync()
    captured.source.people.insert_one({"_id": 1, "name": "far too long"})
    captured.sync()
    captured.source.people.delete_one({"_id": 1})

    captured.sync()

    assert captured.connection.execute("SELECT count(*) FROM smartdiet.rejected_rows").fetchone() == (0,)


def test_a_deleted_document_keeps_its_rows_where_the_table_says_so(captured: Captured) -> None:
    captured.source.people.insert_one({"_id": 1, "name": "Ann"})
    captured.sync()
    captured.source.people.delete_one({"_id": 1})

    result = captured.sync()

    assert (result.capture.deleted if result.capture else None, result.load.deleted) == (1, 0)
    assert captured.rows("people", "name") == ["Ann"]


def test_the_watermark_of_the_dates_is_kept_beside_the_position(captured: Captured) -> None:
    captured.source.people.insert_one({"_id": 1, "creation_date": EARLY, "update_date": EARLY})
    captured.sync()
    captured.source.people.insert_one({"_id": 2, "creation_date": LATE, "update_date": LATE})

    assert captured.sync().watermark == LATE
    assert captured.sync().watermark == LATE


def test_since_reads_by_dates_as_well(captured: Captured) -> None:
    captured.source.people.insert_one({"_id": 1, "creation_date": LATE, "update_date": LATE})
    captured.sync()
    captured.source.people.insert_one({"_id": 2, "creation_date": EARLY, "update_date": EARLY})

    assert captured.sync(request=WindowRequest("newest", since=LATE)).documents_read == 2


@pytest.mark.parametrize("to_newest", [True, False])
def test_a_re_run_of_partitions_reads_by_dates_and_applies_the_changes_too(captured: Captured, to_newest: bool) -> None:
    captured.source.people.insert_one({"_id": 1, "creation_date": LATE, "update_date": LATE})
    captured.sync()
    captured.source.people.insert_one({"_id": 2, "creation_date": EARLY, "update_date": EARLY})
    before = captured.position()

    request = WindowRequest("range", start=datetime(2024, 5, 1), end=datetime(2024, 7, 1), to_newest=to_newest)
    result = captured.sync(request=request)

    assert result.documents_read == 2
    assert captured.position()["time"] >= before["time"]
    assert captured.sync().documents_read == 0


def test_a_collection_without_dates_is_read_whole_only_once(captured: Captured) -> None:
    captured.declare(("  people:\n", "  people:\n    incremental: none\n"))
    captured.source.people.insert_many([{"_id": 1}, {"_id": 2}])
    assert captured.sync().documents_read == 2
    captured.source.people.insert_one({"_id": 3})

    result = captured.sync()

    assert (result.window.kind, result.documents_read) == ("change_stream", 1)
    assert captured.sync(request=WindowRequest("newest", since=EARLY)).window.kind == "full"
