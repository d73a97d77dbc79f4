"""Documents deleted in Mongo: a captured table does with their rows what `on_delete` says, in every shape."""

from typing import Any

import pytest
from bson import Int64

from smartdiet_assets_tests.support.captured import Captured

PERSON = {"_id": 1, "name": "Ann", "tags": ["a", "b"]}
DIARY = {"_id": 1, "person": 1, "day": 1, "mood": "good", "stars": 5}


@pytest.mark.parametrize(("table", "rows"), [("people", 1), ("tags", 2), ("moods", 1)])
def test_the_rows_of_a_deleted_document_go_stay_or_are_marked(captured: Captured, table: str, rows: int) -> None:
    collection = captured.source["diary" if table == "moods" else "people"]
    document = DIARY if table == "moods" else PERSON
    for on_delete, left in (("keep", rows), ("delete", 0), ("flag", rows)):
        captured.connection.execute("DROP SCHEMA IF EXISTS smartdiet CASCADE")
        captured.connection.execute("DROP TABLE IF EXISTS people, tags, moods")
        captured.declare(on_delete=on_delete)
        collection.insert_one(document)
        captured.sync(table)
        collection.delete_one({"_id": 1})

        result = captured.sync(table)

        assert result.capture is not None
        assert (result.capture.deleted, result.load.deleted, result.load.rows) == (1, rows - left, left)
        flagged = rows if on_delete == "flag" else 0
        assert result.load.flagged == flagged
        if on_delete == "flag":
            assert None not in captured.rows(table, "deleted_at")
            assert captured.sync(table).load.updated == 0


@pytest.mark.parametrize("on_delete", ["delete", "flag"])
@pytest.mark.parametrize(("table", "rows"), [("people", 1), ("tags", 2), ("moods", 1)])
def test_a_document_that_comes_back_has_its_rows_again(
    captured: Captured, table: str, rows: int, on_delete: str
) -> None:
    captured.declare(on_delete=on_delete)
    collection = captured.source["diary" if table == "moods" else "people"]
    document = DIARY if table == "moods" else PERSON
    collection.insert_one(document)
    captured.sync(table)
    collection.delete_one({"_id": 1})
    captured.sync(table)
    collection.insert_one(document)

    captured.sync(table)

    assert (
        len(captured.rows(table, "document_id" if table == "moods" else captured.schema.tables[table].key[0])) == rows
    )
    if on_delete == "flag":
        assert set(captured.rows(table, "deleted_at")) == {None}


@pytest.mark.parametrize("on_delete", ["delete", "flag"])
def test_what_was_deleted_and_inserted_again_between_two_runs_counts_as_it_is_now(
    captured: Captured, on_delete: str
) -> None:
    captured.declare(on_delete=on_delete)
    people = captured.source.people
    people.insert_many([{"_id": 1, "name": "Ann"}, {"_id": 2, "name": "Bob"}])
    captured.sync()
    people.delete_one({"_id": 1})
    people.insert_one({"_id": 1, "name": "Anna"})
    people.update_one({"_id": 2}, {"$set": {"name": "Bobby"}})
    people.delete_one({"_id": 2})
    people.insert_one({"_id": 3})
    people.delete_one({"_id": 3})

    result = captured.sync()

    assert result.capture is not None
    assert (result.capture.deleted, result.load.deleted + result.load.flagged) == (2, 1)
    if on_delete == "delete":
        assert captured.rows("people", "id", "name") == [("1", "Anna")]
    else:
        assert [deleted is None for _, deleted in captured.rows("people", "id", "deleted_at")] == [True, False]


def test_a_unique_value_of_a_deleted_document_is_free_in_the_same_run(captured: Captured) -> None:
    captured.declare(on_delete="delete")
    captured.source.people.insert_one({"_id": 1, "email": "a@x"})
    captured.sync()
    captured.source.people.delete_one({"_id": 1})
    captured.source.people.insert_one({"_id": 2, "email": "a@x"})

    assert captured.sync().load.rejected == 0
    assert captured.rows("people", "id") == ["2"]


def test_the_next_best_document_shows_when_the_winner_is_deleted(captured: Captured) -> None:
    captured.declare(on_delete="delete")
    captured.source.diary.insert_many(
        [{"_id": stars, "person": 1, "day": 1, "mood": f"m{stars}", "stars": stars} for stars in (1, 2, 3)]
    )
    captured.sync("moods")
    captured.source.diary.delete_one({"_id": 3})
    captured.source.diary.update_one({"_id": 1}, {"$set": {"mood": "other"}})

    result = captured.sync("moods")

    assert (result.load.updated, result.load.deleted) == (1, 0)
    assert captured.rows("moods", "mood") == ["m2"]


def test_a_deleted_parent_takes_its_children_along_until_it_is_back(captured: Captured) -> None:
    captured.declare(
        ("nullable: false, mongo_field: _id}", "nullable: false, mongo_field: _id, foreign_key: people(id)}"),
        on_delete="delete",
    )
    captured.source.people.insert_one(PERSON)
    captured.source.people.insert_one({"_id": 2, "tags": ["c"]})
    captured.sync()
    captured.sync("tags")
    captured.source.people.delete_one({"_id": 1})

    result = captured.sync()
    assert result.load.cascaded == {"tags": 2}
    assert captured.sync("tags").load.rows == 1
    captured.source.people.insert_one(PERSON)
    captured.sync()
    assert captured.sync("tags").load.rows == 3


def test_an_id_that_only_changed_its_number_type_is_not_deleted(captured: Captured) -> None:
    """To Mongo 5 and 5.0 are one id, so the events name one that the lookup spells differently."""
    captured.declare(("{name: id, sql_type: VARCHAR", "{name: id, sql_type: BIGINT"), on_delete="delete")
    captured.source.people.insert_many([{"_id": 5, "name": "Ann"}, {"_id": 6}])
    captured.sync()
    captured.source.people.delete_many({})
    captured.source.people.insert_many([{"_id": 5.0, "name": "Anna"}, {"_id": Int64(6)}])

    result = captured.sync()

    assert result.capture is not None
    assert result.capture.deleted == 0
    assert captured.rows("people", "id", "name") == [(5, "Anna"), (6, None)]


@pytest.mark.parametrize("many", [250, 1200])
def test_many_deletions_go_in_one_run(captured: Captured, many: int) -> None:
    captured.declare(on_delete="delete")
    captured.source.people.insert_many([{"_id": number} for number in range(many + 3)])
    captured.sync()
    captured.source.people.delete_many({"_id": {"$lt": many}})

    assert captured.sync().load.deleted == many
    assert len(captured.rows("people", "id")) == 3


IDS: list[Any] = ["text", 7, 1.5, Int64(2**40), True]


@pytest.mark.parametrize("identity", IDS, ids=lambda value: type(value).__name__)
def test_deletions_are_found_whatever_type_the_ids_are_of(captured: Captured, identity: Any) -> None:
    captured.declare(on_delete="delete")
    captured.source.people.insert_many([{"_id": identity}, {"_id": "another"}])
    captured.sync()
    captured.source.people.delete_one({"_id": identity})

    assert captured.sync().load.deleted == 1
    assert captured.rows("people", "id") == ["another"]
