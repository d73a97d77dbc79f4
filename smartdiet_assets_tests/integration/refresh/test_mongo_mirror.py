"""What a refresh of the mirrored database asks for afterwards is what the mirror needs to be right again."""

from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from smartdiet_assets.errors import PositionLostError
from smartdiet_assets.extract.window import WindowRequest
from smartdiet_assets.mirror.reconciliation import reconcile_tables
from smartdiet_assets.mirror.sources.mongodb import MongoSource
from smartdiet_assets.schema.model import Table
from smartdiet_assets_tests.support.captured import Captured
from smartdiet_assets_tests.support.refreshed import Pair


@pytest.fixture
def captured(pair: Pair, postgres: psycopg.Connection[Any], tmp_path: Path) -> Captured:
    """A mirror of the target from its change stream, with two people in it, of whom the source has one."""
    captured = Captured(tmp_path / "schemas.yaml", pair.target, postgres)
    captured.declare(on_delete="delete")
    pair.schema = captured.schema
    pair.target["people"].insert_many([{"_id": "kept", "name": "old"}, {"_id": "gone", "name": "old"}])
    pair.source["people"].insert_many([{"_id": "kept", "name": "new"}, {"_id": "come", "name": "new"}])
    captured.sync()
    return captured


def reconcile(captured: Captured, connection: psycopg.Connection[Any]) -> None:
    @contextmanager
    def open_source(table: Table) -> Any:
        yield MongoSource(captured.schema, table, captured.source, 100)

    def connect() -> psycopg.Connection[Any]:
        return psycopg.connect(connection.info.dsn, password=connection.info.password)

    passing = dict(reconcile_tables(captured.schema, ["people"], connect, open_source, run_id="pass", force=True))
    assert not passing["people"].error


def test_a_table_captured_from_the_change_stream_is_right_after_what_the_notes_ask_for(
    pair: Pair, captured: Captured, postgres: psycopg.Connection[Any]
) -> None:
    notes = " ".join(pair.refresh(mirrored=True).notes)
    with pytest.raises(PositionLostError):
        captured.sync()
    assert captured.rows("people", "id", "name") == [("gone", "old"), ("kept", "old")]
    assert "smartdiet sync people tags --full" in notes
    captured.sync(request=WindowRequest("full"))
    assert "smartdiet reconcile" in notes
    reconcile(captured, postgres)
    assert captured.rows("people", "id", "name") == [("come", "new"), ("kept", "new")]


def test_a_collection_that_was_not_refreshed_is_still_followed(pair: Pair, captured: Captured) -> None:
    pair.source["other"].insert_one({})
    pair.refresh(includes=["other"], mirrored=True)
    pair.target["people"].update_one({"_id": "kept"}, {"$set": {"name": "later"}})
    captured.sync()
    assert captured.rows("people", "id", "name") == [("gone", "old"), ("kept", "later")]
