"""No marked value of a protected column leaves MongoDB, nor a document's id where ids are pseudonyms."""

import subprocess
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from pymongo.database import Database

from smartdiet_assets.demo.postgres_placement import find_binaries
from smartdiet_assets.demo.postgres_server import EmbeddedPostgres
from smartdiet_assets.extract.window import WindowRequest
from smartdiet_assets.mirror.forgetting import forget
from smartdiet_assets.mirror.sources.mongodb import MongoSource
from smartdiet_assets.mirror.table_run import MirrorResult, mirror_source
from smartdiet_assets_tests.integration.mirror.test_shards import LostError, copying
from smartdiet_assets_tests.integration.protection import planted
from smartdiet_assets_tests.integration.protection.conftest import KEY, OF_ALL, OTHER_KEY, TABLES, Build
from smartdiet_assets_tests.integration.protection.planted import edit, plant
from smartdiet_assets_tests.support.running import smartdiet


def find_marked(folder: Path, *marks: bytes) -> list[Path]:
    """Find the files of a folder that hold a mark; those that go meanwhile hold none."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [path for path in files if path.exists() and any(mark in path.read_bytes() for mark in marks)]


def dump(postgres: psycopg.Connection[Any]) -> str:
    """All that is in the database."""
    command = [str(find_binaries() / "pg_dump"), str(postgres.info.dsn) + f" password={postgres.info.password}"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_through_loads_edits_rejects_waits_conflicts_checks_and_comparisons(
    commands: None,
    mongo_database: Database[Any],
    postgres: psycopg.Connection[Any],
    postgres_server: EmbeddedPostgres,
    tables: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Other tests leave marks in the same server's files.
    mark = f"MARKED{uuid4().hex[:8]}"
    monkeypatch.setattr(planted, "MARK", mark)
    plant(mongo_database)
    said = [smartdiet("sync", "--wait"), smartdiet("rejects")]
    edit(mongo_database)
    postgres.execute("CHECKPOINT")
    commands_then: tuple[list[str], ...] = (
        ["sync"], ["reconcile", "--force"], ["sync", "--full", "--wait"], ["check", "--all"], ["rejects", "--json"],
        ["compare", "mongo", "local", "--data"], ["status", "--json"], ["doctor"], ["sync", "--dry-run"],
    )  # fmt: skip
    said += [smartdiet(*command) for command in commands_then]
    assert [result.returncode for result in said[:5]] == [0] * 5, said
    text = "".join(result.stdout + result.stderr for result in said) + caplog.text
    # One of the persons 5 and "5", one with a bad day: all else is mended by then.
    reasons = postgres.execute("SELECT table_name, reason FROM smartdiet.rejected_rows ORDER BY 1, 2").fetchall()
    assert reasons == [("people", "duplicate_key"), ("people", "invalid_type"), ("tags", "nul_character")]
    assert postgres.execute("SELECT count(*) FROM smartdiet.awaited_parents").fetchone() == (0,)
    assert postgres.execute("SELECT DISTINCT name, born::text, age, note FROM people").fetchall() == [
        ("M", "1977-01-01", 0, {})
    ]
    joined = "SELECT count(*) FROM posts JOIN people ON people.id = person_id"
    assert postgres.execute(joined).fetchone() == (8,)
    assert mark not in text
    assert "1977-05" not in text
    assert mark not in dump(postgres)
    postgres.execute("CHECKPOINT")
    assert find_marked(postgres_server.data_directory.parent, mark.encode(), KEY.encode()) == []
    assert find_marked(tables.parent / "dagster", mark.encode(), KEY.encode()) == []


def test_through_a_first_load_in_shards_that_was_begun(
    build: Build, tables: Path, mongo_database: Database[Any], postgres: psycopg.Connection[Any]
) -> None:
    """Nor, once it has ended, the id of who was forgotten, or a digest of it that anybody could make."""
    tables.write_text(TABLES.replace("overlap: 0s", "overlap: 0s, shard_documents: 1"))
    plant(mongo_database)
    mirrored, used = build(OF_ALL), list[int]()

    def load(copy: Any) -> MirrorResult:
        source = MongoSource(mirrored.schema, mirrored.schema.tables["people"], mongo_database, 3)
        request = WindowRequest("newest")
        return mirror_source(source, postgres, copy=copy, run_id="run", request=request, rekey=mirrored.rekey)

    with pytest.raises(LostError):
        load(copying(limit=4))
    marks = (planted.MARK, planted.MARK.encode().hex())
    assert "1977-01-01" in (text := dump(postgres))
    assert not [mark for mark in marks if mark in text]
    # What was copied with another key is not gone on with.
    mirrored = build(OF_ALL, OTHER_KEY)
    with pytest.raises(LostError):
        load(copying(limit=6, before=used.append))
    assert used[0] == 1
    forget(postgres, mirrored.schema, "people", [f"{planted.MARK}-person-0"])
    assert load(copying(before=used.append)).load.rows == 4
    assert len(used) > 6
    mirrored.run()
    joined = "SELECT count(*) FROM posts JOIN people ON people.id = person_id"
    assert postgres.execute(joined).fetchone() == (6,)
    assert not [mark for mark in marks if mark in dump(postgres)]
    # What is there stays until all of it is there anew.
    mirrored = build(OF_ALL, KEY, rekey=True)
    assert load(copying(limit=0)).load.rows == 4
