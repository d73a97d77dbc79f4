"""Going on from what an earlier version left: a database that it filled, and its `dagster.yaml`.

`fixtures/upgrades/VERSION` holds documents, the file that declares their tables, and what `pg_dump --inserts` says of
the database after that version's `smartdiet sync`: rows, rejects, waits and candidates. From the replaced tool:
`replaced_tool/test_moving_over.py`; from records that did not tell schemas apart: `mirror/test_older_records.py`.
"""

import importlib
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from bson import json_util
from pymongo.database import Database

from smartdiet_assets.load.records.inspection import fetch_rejects
from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets_tests.integration.conftest import Smartdiet
from smartdiet_assets_tests.oracle import read_collections
from smartdiet_assets_tests.support.mirrored import Mirrored

UPGRADES = Path(__file__).parents[2] / "fixtures" / "upgrades"
VERSIONS = sorted(path.name for path in UPGRADES.iterdir())
_STATES = "SELECT table_name, watermark, reimport FROM smartdiet.sync_state ORDER BY table_name"
_STRUCTURE = (
    "SELECT table_name::text, column_name::text, data_type::text, column_default::text, is_nullable::text"
    " FROM information_schema.columns WHERE table_schema = 'smartdiet'"
    " UNION ALL SELECT tablename::text, indexdef, '', '', '' FROM pg_indexes WHERE schemaname = 'smartdiet'"
)


@pytest.fixture(params=VERSIONS)
def left(request: pytest.FixtureRequest) -> Path:
    """The folder of what a version left."""
    return UPGRADES / str(request.param)


@pytest.fixture
def mirrored(
    left: Path,
    configured_servers: None,
    mongo_database: Database[dict[str, Any]],
    postgres: psycopg.Connection[Any],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Mirrored:
    """Its documents and its database; the oracle has seen them."""
    monkeypatch.setenv("SMARTDIET_SCHEMAS", str(left / "schemas.yaml"))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    for collection, documents in json_util.loads((left / "documents.json").read_text()).items():
        mongo_database[collection].insert_many(documents)
    postgres.execute((left / "database.sql").read_text().encode())
    schema = load_schema(left / "schemas.yaml")
    made = Mirrored(schema, mongo_database, postgres)
    made.oracle.observe(read_collections(mongo_database, schema), lambda _table, ids: min(ids), None)
    return made


def read_structure(connection: psycopg.Connection[Any]) -> set[tuple[Any, ...]]:
    """The columns and indexes of the records."""
    return set(connection.execute(_STRUCTURE).fetchall())


def test_the_next_sync_goes_on_where_it_was(
    mirrored: Mirrored, smartdiet: Smartdiet, postgres: psycopg.Connection[Any]
) -> None:
    tables = list(mirrored.schema.tables)
    versions, rejects = mirrored.versions(), list(fetch_rejects(postgres, tables))
    states = postgres.execute(_STATES).fetchall()
    assert {reimport for _, _, reimport in states} == {None}

    synced = smartdiet("sync", "--json")

    assert synced.code == 0, synced.err
    assert {name for name, table in json.loads(synced.out)["tables"].items() if table["mode"] == "bulk"} == set()
    assert mirrored.versions() == versions, "no row is written"
    assert list(fetch_rejects(postgres, tables)) == rejects
    assert postgres.execute(_STATES).fetchall() == states
    assert mirrored.sync() == []
    assert smartdiet("doctor").code == 0


def test_later_days_are_mirrored_exactly(mirrored: Mirrored, mongo_database: Database[dict[str, Any]]) -> None:
    """What was rejected, awaited or second best then is still known."""
    now = datetime(2026, 12, 1)
    [waiting] = mongo_database.teams.find({"parent": {"$nin": [None, *mongo_database.teams.distinct("_id")]}})
    mongo_database.teams.insert_one(
        {"_id": waiting["parent"], "name": "late", "creation_date": now, "update_date": now}
    )
    mongo_database.notes.update_one({"text": "far too long"}, {"$set": {"text": "ok", "update_date": now}})
    best = mongo_database.meals.find_one({"plates": 5})
    assert best is not None
    mongo_database.meals.update_one({"_id": best["_id"]}, {"$set": {"plates": 1, "update_date": now}})
    assert mirrored.sync() == []
    mongo_database.people.delete_one({"email": "1@x"})
    mongo_database.events.delete_one({"__t": "webinar"})
    mirrored.reconcile()
    assert mirrored.sync() == []


def test_the_records_are_as_new_ones(mirrored: Mirrored, postgres: psycopg.Connection[Any]) -> None:
    mirrored.run()
    structure = read_structure(postgres)
    mirrored.forget()
    mirrored.run()
    assert structure == read_structure(postgres)


def test_its_settings_of_dagster_name_what_is_there(left: Path) -> None:
    settings = yaml.safe_load((left / "dagster.yaml").read_text())
    for block in (settings["storage"]["custom"], settings["run_coordinator"]):
        assert getattr(importlib.import_module(block["module"]), block["class"])
