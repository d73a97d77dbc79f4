"""What is forgotten goes everywhere the foreign keys lead, and stays out until it is lifted."""

import json
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from bson.binary import Binary
from bson.int64 import Int64
from bson.objectid import ObjectId
from pymongo.database import Database

from smartdiet_assets.extract.window import WindowRequest
from smartdiet_assets.mirror.forgetting import forget, lift
from smartdiet_assets_tests.integration.protection.conftest import OF_ALL, OTHER_KEY, TABLES, Build
from smartdiet_assets_tests.integration.protection.planted import MARK, dates, entry, plant, post
from smartdiet_assets_tests.support.running import smartdiet

PERSON = f"{MARK}-person-0"

RECORDS = (
    "rejected_rows", "awaited_parents", "missing_parents", "forgotten_ids", "document_ids", '"public.diary_candidates"'
)  # fmt: skip


def count(connection: psycopg.Connection[Any]) -> dict[str, int]:
    tables = ("people", "posts", "tags", "diary")
    return {name: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in tables}  # type: ignore


@pytest.mark.parametrize("protections", ["", OF_ALL], ids=["plain", "protected"])
@pytest.mark.parametrize("on_delete", ["delete", "keep"])
def test_rows_rejects_waits_and_candidates_go_and_come_back_when_lifted(
    build: Build, tables: Any, mongo_database: Database[Any], postgres: psycopg.Connection[Any],
    protections: str, on_delete: str,
) -> None:  # fmt: skip
    tables.write_text(TABLES.replace("on_delete: delete", f"on_delete: {on_delete}"))
    plant(mongo_database)
    missing = f"{MARK}-person-99"
    mirrored = build(protections)
    mirrored.run()
    before = count(postgres)
    assert forget(postgres, mirrored.schema, "people", [PERSON, missing], dry_run=True).total > 0
    assert count(postgres) == before
    found = forget(postgres, mirrored.schema, "people", [PERSON, missing])
    # Its two posts with two tags each; of its three entries of one day one shows.
    after = {"people": before["people"] - 1, "posts": before["posts"] - 2, "tags": before["tags"] - 4, "diary": 0}
    assert count(postgres) == after
    assert {name: before[name] - after[name] for name in before} == {**found.rows, "diary": 1}
    for name in RECORDS:
        rows = postgres.execute(f"SELECT t::text FROM smartdiet.{name} AS t").fetchall()
        assert not [row for (row,) in rows if PERSON in row or missing in row], name
    # Nothing comes back: as it is, read whole, changed, written anew, or answering what went.
    mongo_database.people.update_one({"_id": PERSON}, {"$set": dates(1)})
    mongo_database.posts.insert_one(post(50, PERSON))
    mongo_database.diary.insert_one(entry(51, PERSON))
    for request in (WindowRequest("newest"), WindowRequest("full"), WindowRequest("newest")):
        mirrored.run(request)
        assert count(postgres) == after
    waiting = "SELECT count(*) FROM smartdiet.rejected_rows WHERE reason = 'missing_parent'"
    assert postgres.execute(waiting).fetchone() == (0,)
    assert postgres.execute("SELECT count(*) FROM smartdiet.awaited_parents").fetchone() == (0,)
    if protections:
        rekeyed = build(protections, OTHER_KEY, rekey=True)
        rekeyed.run()
        assert count(postgres) == after, "another key lets nothing in"
        mirrored = rekeyed
    assert lift(postgres, mirrored.schema, "people", [PERSON, missing]) == 2
    assert not mirrored.sync()
    assert count(postgres) == {**before, "posts": before["posts"] + 1, "tags": before["tags"] + 2}


OTHER_IDS = """
tables:
  numbered: {columns: [{name: id, sql_type: INTEGER, primary_key: true, mongo_field: _id}]}
  devices: {columns: [{name: id, sql_type: UUID, primary_key: true, mongo_field: _id}]}
  people: {columns: [{name: id, sql_type: VARCHAR, primary_key: true, mongo_field: _id}]}
"""
DEVICE, OBJECT = UUID(int=0xABC), ObjectId()


def test_ids_of_any_type_and_those_that_no_document_can_have(
    commands: None, tables: Path, overlay: Path, mongo_database: Database[Any], postgres: psycopg.Connection[Any]
) -> None:
    tables.write_text(OTHER_IDS)
    overlay.write_text("")
    mongo_database.numbered.insert_many([{"_id": 5}, {"_id": Int64(-7)}, {"_id": 8}])
    mongo_database.devices.insert_many([{"_id": Binary.from_uuid(DEVICE)}, {"_id": Binary.from_uuid(UUID(int=1))}])
    mongo_database.people.insert_many([{"_id": OBJECT}, {"_id": 'it\'s "q"; --'}, {"_id": "other"}])
    assert smartdiet("sync").returncode == 0
    odd = ["--5", "abc", "9" * 30, "9" * 5000, "1e9999", "a\0b", "\udcff", ""]
    given = {"numbered": ["5", "-7", "5"], "devices": [str(DEVICE).upper()], "people": [str(OBJECT), 'it\'s "q"; --']}
    for collection, ids in given.items():
        found = smartdiet("forget", collection, "--yes", "--json", "--", *ids, *odd)
        assert json.loads(found.stdout)["rows"] == {collection: len(set(ids))}, found
    assert smartdiet("sync", "--full").returncode == 0
    left = "SELECT id::text FROM numbered UNION ALL SELECT id::text FROM devices UNION ALL SELECT id FROM people"
    assert [row for (row,) in postgres.execute(left).fetchall()] == ["8", str(UUID(int=1)), "other"]
    lifted = smartdiet("forget", "devices", str(DEVICE), "--lift", "--json")
    assert json.loads(lifted.stdout) == {"lifted": 1}
    assert smartdiet("sync").returncode == 0
    assert postgres.execute("SELECT count(*) FROM devices").fetchone() == (2,)
    never = smartdiet("forget", "people", "never", "--lift")
    assert never.stdout == "0 of 1 lifted; none of them was forgotten.\n"
    wrong = smartdiet("forget", "persons", "x")
    assert wrong.returncode == 2
    assert "no table mirrors the collection persons; collections are " in wrong.stderr


def test_it_asks_for_the_number_of_rows(
    commands: None, mongo_database: Database[Any], postgres: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(mongo_database)
    assert smartdiet("sync").returncode == 0
    before = count(postgres)
    for answer, said in (("9\n", "that is another number"), ("\n", ""), ("", "nobody can be asked here. --yes")):
        monkeypatch.setattr("sys.stdin", StringIO(answer))
        asked = smartdiet("forget", "people", PERSON)
        assert (asked.returncode, asked.stdout) == (1, "")
        assert asked.stderr.startswith("10 rows go for good. Type their number to go on: ")
        assert f"Nothing was removed: {said}" in asked.stderr
        assert count(postgres) == before
    monkeypatch.setattr("sys.stdin", StringIO("10\n"))
    assert smartdiet("forget", "people", PERSON).returncode == 0
    assert count(postgres)["people"] == before["people"] - 1
