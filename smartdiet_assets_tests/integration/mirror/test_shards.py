"""A first load in shards ends in the tables that a load in one piece ends in, whatever happens in between."""

from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymongo.database import Database

from smartdiet_assets.errors import TooManyRejectsError
from smartdiet_assets.load.records.shards import ShardPlan
from smartdiet_assets.mirror import shards
from smartdiet_assets.mirror.forgetting import forget
from smartdiet_assets.mirror.shard_copy import copy_shard
from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets_tests.integration.mirror.test_random_edits import half_as_many, relive
from smartdiet_assets_tests.support import compact
from smartdiet_assets_tests.support.application import NOW
from smartdiet_assets_tests.support.mirrored import Mirrored
from smartdiet_assets_tests.support.sharded import IDS, ReadCount, ShardedMirror, build_person

SHARDED = compact.SCHEMA.replace("overlap: 0s", "overlap: 0s\n  shard_documents: 1")


class LostError(Exception):
    """What a run meets that a test ends."""


def copying(limit: int | None = None, before: Any = lambda number: None) -> Any:
    """Copies shards one by one, at most so many of them, and does something before each."""

    def copy(source: Any, connection: Any, plan: ShardPlan, **options: Any) -> None:
        for copied, shard in enumerate(plan.missing):
            if copied == limit:
                raise LostError
            before(shard.number)
            copy_shard(source, connection, plan, shard, **options)

    return copy


@pytest.fixture
def sharded(tmp_path: Path, mongo_database: Database[Any], postgres: psycopg.Connection[Any]) -> Mirrored:
    """The compact application, each collection of two documents large enough for shards."""
    path = tmp_path / "sharded.yaml"
    path.write_text(SHARDED)
    return Mirrored(load_schema(path), mongo_database, postgres)


@pytest.fixture
def people(
    tmp_path: Path, mongo_database: Database[Any], postgres: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> ShardedMirror:
    monkeypatch.setattr(shards, "_FEWEST_SHARDS", 12)
    return ShardedMirror(tmp_path / "people.yaml", mongo_database, postgres)


@half_as_many
@given(history=compact.days(), mixed=st.booleans())
def test_every_table_equals_the_oracle(sharded: Mirrored, history: list[compact.Step], mixed: bool) -> None:
    """Also where the ids of a collection are of all types."""
    relive(sharded, history, mixed=mixed)


def test_a_table_of_each_shape_is_loaded_in_shards_and_nothing_is_left_of_them(people: ShardedMirror) -> None:
    used: list[int] = []
    for table in people.schema.tables:
        result = people.load(table, copy=copying(before=used.append))
        assert result.load.rows == result.load.inserted > 0
        # What was rejected is read once more by the run that follows.
        assert result.documents_read >= 400
    assert len(used) > 3 * 10
    assert people.compare() == []
    assert (people.plans(), people.hidden()) == ([], [])
    before = people.versions()
    assert people.sync() == []
    assert people.versions() == before


@pytest.mark.parametrize("table", ["people", "days"])
def test_an_empty_table_that_is_there_is_filled(people: ShardedMirror, table: str) -> None:
    everybody = people.mongo["people"]
    everybody.rename("away")
    people.sync()
    people.connection.execute("UPDATE smartdiet.sync_state SET watermark = NULL")
    people.mongo["away"].rename("people")
    used: list[int] = []
    people.load(table, copy=copying(before=used.append))
    assert used
    assert people.sync() == []


def test_what_was_copied_is_not_read_again(people: ShardedMirror, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LostError):
        people.load("people", copy=copying(limit=9))
    [(planned, copied)] = people.plans()
    assert copied == 9
    assert people.connection.execute("SELECT to_regclass('people')").fetchone() == (None,)
    count = ReadCount(monkeypatch)
    people.load("people")
    # A sample of whole documents, and what was rejected, are read too.
    assert count.documents <= 400 * (planned - copied) / planned * 1.5 + 8 + 100
    assert people.sync() == []


def test_a_plan_that_the_declaration_outgrew_is_given_up(people: ShardedMirror) -> None:
    with pytest.raises(LostError):
        people.load("people", copy=copying(limit=6))
    people.declare(("VARCHAR(12)", "VARCHAR(14)"))
    used: list[int] = []
    people.load("people", copy=copying(before=used.append))
    assert len(used) > 10
    assert people.sync() == []
    assert (people.plans(), people.hidden()) == ([], [])


@pytest.mark.parametrize("documents", [0, 100_000])
def test_a_plan_that_nobody_wants_any_more_is_given_up(people: ShardedMirror, documents: int) -> None:
    with pytest.raises(LostError):
        people.load("people", copy=copying(limit=6))
    people.declare(("shard_documents: 100", f"shard_documents: {documents}"), ("VARCHAR(12)", "VARCHAR(14)"))
    people.load("people", copy=copying(limit=0))
    assert people.sync() == []
    assert (people.plans(), people.hidden()) == ([], [])


def test_what_is_saved_meanwhile_arrives(people: ShardedMirror) -> None:
    """A writer saves before each shard: ahead of it, behind it, and takes documents from one shard to another."""
    from smartdiet_assets_tests.support.application import Application

    clock, saved = Application(people.mongo), iter(range(400, 2_000))

    def save(number: int) -> None:
        collection = people.mongo["people"]
        for old in (number * 5 % 400, 399 - number * 3 % 400):
            changed = {"number": old + 1_000, "email": f"{old}@y.fr", "tags": ["c"], "update_date": clock.now()}
            collection.update_one({"_id": IDS[old]}, {"$set": changed})
        for _ in range(2):
            collection.insert_one(build_person(next(saved), clock.resolve(NOW)))

    for table in people.schema.tables:
        people.load(table, copy=copying(before=save))
    # The dates of an array's rows are those of their first sync, which the oracle has not seen.
    assert [found for found in people.sync() if not (found.startswith("tags") and "updated_at" in found)] == []


def test_a_document_that_gets_another_id_meanwhile_is_not_missed(people: ShardedMirror) -> None:
    from smartdiet_assets_tests.support.application import Application

    clock = Application(people.mongo)

    def move(number: int) -> None:
        if number == 6:
            # To the beginning, which is copied, and to the end, which is not.
            for old, new in ((390, -1), (5, 1_999)):
                person = build_person(old, clock.now())
                people.mongo["people"].delete_one({"_id": person["_id"]})
                people.mongo["people"].insert_one({**person, "_id": IDS[new] if new > 0 else "", "email": f"{new}"})

    people.load("people", copy=copying(before=move))
    found = {id_ for (id_,) in people.connection.execute("SELECT id FROM people")}
    assert {"", str(IDS[1_999]), str(IDS[5])} <= found
    assert str(IDS[390]) not in found


def test_rejects_beyond_the_limit_fail_the_load_which_begins_anew(people: ShardedMirror) -> None:
    people.declare(("  people:\n", "  people:\n    max_rejects: 2\n"))
    with pytest.raises(TooManyRejectsError):
        people.load("people")
    assert (people.plans(), people.hidden()) == ([], [])
    people.declare()
    people.load("people")
    assert people.sync() == []


def test_two_mirrors_in_two_schemas_do_not_meet(people: ShardedMirror) -> None:
    with pytest.raises(LostError):
        people.load("people", copy=copying(limit=4))
    people.connection.execute("CREATE SCHEMA other")
    people.connection.execute("SET search_path = other")
    people.load("people")
    assert people.connection.execute("SELECT count(*) FROM other.people").fetchone() == (392,)
    people.connection.execute("SET search_path = public")
    [(_, copied)] = people.plans()
    assert copied == 4
    people.load("people")
    assert people.sync() == []


def test_what_was_copied_goes_with_what_is_forgotten(people: ShardedMirror) -> None:
    with pytest.raises(LostError):
        people.load("people", copy=copying(4))
    assert people.hidden()
    assert forget(people.connection, people.schema, "people", [str(IDS[5])]).total == 0
    assert (people.hidden(), people.plans()) == ([], [])
    used: list[int] = []
    people.load("people", copy=copying(before=used.append))
    assert used
    rows = people.connection.execute("SELECT id FROM people WHERE number BETWEEN 4 AND 6 ORDER BY number").fetchall()
    assert [row_id for (row_id,) in rows] == [str(IDS[4]), str(IDS[6])]
