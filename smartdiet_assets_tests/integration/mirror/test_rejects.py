"""The life of a reject, from its document's first read to the day it loads, is deleted, or is imported anew."""

from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from bson import ObjectId
from pymongo.database import Database

from smartdiet_assets.extract.window import WindowRequest
from smartdiet_assets.mirror.table_run import mirror_table
from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets_tests.support.mirrored import Mirrored

_LONG_AGO = datetime(2001, 1, 1)
TABLES = """
tables:
  teams:
    include_base: true
    additional_columns:
      - {name: size, sql_type: INTEGER}
  labels:
    mongo_collection: teams
    arrays: [{field: labels}]
    columns:
      - {name: team_id, sql_type: VARCHAR, nullable: false, mongo_field: _id}
      - {name: label, sql_type: VARCHAR(3), nullable: false, item_field: .}
    unique_constraints: [[team_id, label]]
  people:
    include_base: true
    additional_columns:
      - {name: team_id, sql_type: VARCHAR, mongo_field: team, foreign_key: teams(id)}
      - {name: note, sql_type: VARCHAR(3), on_invalid: clamp}
      - {name: age, sql_type: SMALLINT, on_invalid: "null"}
"""


@pytest.fixture
def teams(tmp_path: Path, mongo_database: Database[Any], postgres: psycopg.Connection[Any]) -> Mirrored:
    path = tmp_path / "tables.yaml"
    path.write_text(TABLES)
    return Mirrored(load_schema(path), mongo_database, postgres)


def records(mirrored: Mirrored) -> list[tuple[Any, ...]]:
    return mirrored.connection.execute(
        "SELECT table_name, column_name, reason, items, attempts FROM smartdiet.rejected_rows ORDER BY 1, 2"
    ).fetchall()


def test_a_document_has_one_record_in_each_table_that_cannot_take_it(teams: Mirrored) -> None:
    teams.mongo.teams.insert_one({"size": "large", "labels": ["long label", "longer label", "ok"]})
    for _ in range(2):
        teams.run()
    assert records(teams) == [
        ("labels", "label", "too_long", 2, 1),
        ("teams", "size", "invalid_type", 1, 1),
    ]


def test_a_record_goes_when_its_document_is_deleted(teams: Mirrored) -> None:
    teams.mongo.teams.insert_one({"size": "large", "labels": ["long label"]})
    teams.mongo.people.insert_one({"team": ObjectId()})
    teams.run()
    assert len(records(teams)) == 3
    teams.mongo.teams.delete_many({})
    teams.mongo.people.delete_many({})
    teams.run()
    assert records(teams) == []
    assert teams.connection.execute("SELECT count(*) FROM smartdiet.awaited_parents").fetchone() == (0,)


@pytest.mark.parametrize("request_", [WindowRequest("newest"), WindowRequest("full")], ids=["retried", "imported anew"])
def test_a_record_goes_when_its_document_loads(teams: Mirrored, request_: WindowRequest) -> None:
    team = ObjectId()
    teams.mongo.people.insert_one({"team": team})
    teams.run()
    assert records(teams) == [("people", "team_id", "missing_parent", 1, 1)]
    teams.mongo.teams.insert_one({"_id": team})
    teams.run(request_)
    assert records(teams) == []


def test_more_rejects_than_one_run_tries_are_all_tried_by_some_run(teams: Mirrored) -> None:
    teams.mongo.teams.insert_many([{"size": "large", "update_date": datetime(2024, 1, 1)} for _ in range(12)])
    teams.run()
    teams.mongo.teams.update_many({}, {"$set": {"size": 1}})
    left = []
    for number in range(4):
        result = mirror_table(
            teams.schema,
            teams.schema.tables["teams"],
            teams.mongo,
            teams.connection,
            run_id=f"turn-{number}",
            request=WindowRequest("range", start=_LONG_AGO, end=_LONG_AGO),
            retry_limit=5,
        )
        left.append(result.load.rejected_total)
    assert left == [7, 2, 0, 0]


def test_records_go_in_turns_when_their_documents_are_deleted(teams: Mirrored) -> None:
    """A run that asks for others than the last one, and finds as little, is no repetition of it."""
    teams.mongo.teams.insert_many([{"size": "large", "update_date": datetime(2024, 1, 1)} for _ in range(12)])
    teams.run()
    teams.mongo.teams.delete_many({})
    left = []
    for number in range(4):
        result = mirror_table(
            teams.schema,
            teams.schema.tables["teams"],
            teams.mongo,
            teams.connection,
            run_id=f"turn-{number}",
            request=WindowRequest("newest"),
            retry_limit=5,
        )
        left.append(result.load.rejected_total)
    assert left == [7, 2, 0, 0]


def test_what_was_nulled_and_clamped_is_counted_by_column(teams: Mirrored) -> None:
    teams.mongo.people.insert_many([{"note": "long note", "age": 1}, {"note": "ok", "age": "old"}, {"note": "a\0b"}])
    result = teams.run()["people"]
    assert (result.nulled, result.clamped) == ({"age": 1}, {"note": 2})
    assert sorted(teams.connection.execute("SELECT note, age FROM people").fetchall(), key=str) == [
        ("ab", None), ("lon", 1), ("ok", None),
    ]  # fmt: skip


def test_a_document_whose_id_is_kept_as_a_digest_stays_listed_until_it_is_read_again(teams: Mirrored) -> None:
    """Nobody can ask for it by id, so that not finding it says nothing."""
    teams.mongo.teams.insert_one({"_id": "x" * 3_000, "creation_date": _LONG_AGO})
    teams.mongo.teams.insert_one({"creation_date": datetime(2024, 5, 1)})
    for _ in range(3):
        teams.run(tables=["teams"])
        assert [(record[1], record[2]) for record in records(teams)] == [("id", "too_long")]
    teams.mongo.teams.delete_one({"creation_date": _LONG_AGO})
    teams.run(WindowRequest("full"), tables=["teams"])
    assert records(teams) == []
