"""Shards copied by processes, and processes that are killed: nothing is lost, and what was copied is not read again."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pymongo.database import Database

from smartdiet_assets.mirror.outcome import SyncOutcome
from smartdiet_assets.mirror.progress import progress_log
from smartdiet_assets.mirror.sync import run_sync
from smartdiet_assets.resources.environment import read_environment
from smartdiet_assets_tests.support.sharded import ReadCount, ShardedMirror
from smartdiet_assets_tests.support.ssh_servers import wait_until

PEOPLE = 1_500


@pytest.fixture
def people(
    tmp_path: Path,
    configured_servers: None,
    mongo_database: Database[Any],
    postgres: psycopg.Connection[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> ShardedMirror:
    monkeypatch.setenv("SMARTDIET_SCHEMAS", str(tmp_path / "people.yaml"))
    monkeypatch.setenv("RETRY_DELAY", "0.2")
    return ShardedMirror(tmp_path / "people.yaml", mongo_database, postgres, PEOPLE)


@pytest.fixture
def told() -> Iterator[list[logging.LogRecord]]:
    """What is told of the tables' progress."""
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign,assignment]
    progress_log.addHandler(handler)
    level = progress_log.level
    progress_log.setLevel(logging.INFO)
    yield records
    progress_log.setLevel(level)
    progress_log.removeHandler(handler)


def sync(people: ShardedMirror) -> SyncOutcome:
    return run_sync(people.schema, read_environment(), tables=list(people.schema.tables))


def count_copied(dsn: str) -> int:
    with psycopg.connect(dsn, autocommit=True) as connection:
        try:
            [found] = connection.execute("SELECT count(copied_at) FROM smartdiet.load_shards").fetchone() or [0]
        except psycopg.errors.UndefinedTable:
            return 0
        return int(found)


def read_command(process: int) -> bytes:
    return Path(f"/proc/{process}/cmdline").read_bytes()


def list_children(parent: int) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent:
            found.append(int(entry.parent.name))
    return found


def test_a_sync_copies_shards_in_processes_and_tells_how_far_it_is(
    people: ShardedMirror, told: list[logging.LogRecord], postgres_database: str
) -> None:
    outcome = sync(people)
    assert not outcome.errors
    assert people.compare() == []
    assert (people.plans(), people.hidden()) == ([], [])
    shards = [record for record in told if getattr(record, "shards", "")]
    assert {record.table for record in shards} == set(people.schema.tables)  # type: ignore[attr-defined]
    last = [record for record in shards if record.table == "people"][-1]  # type: ignore[attr-defined]
    done, _, of, _ = last.shards.split()  # type: ignore[attr-defined]
    assert done == of
    assert (last.documents_read, last.documents_expected) == (PEOPLE, PEOPLE)  # type: ignore[attr-defined]
    assert not outcome.tables["people"].deleted


def test_a_process_that_is_killed_costs_its_shard(people: ShardedMirror, postgres_database: str) -> None:
    killed: list[int] = []

    def kill() -> None:
        wait_until(lambda: count_copied(postgres_database) >= 5, "some shards are copied")
        forking = [child for child in list_children(os.getpid()) if b"forkserver" in read_command(child)]
        killed.append(max(worker for child in forking for worker in list_children(child)))
        os.kill(killed[0], signal.SIGKILL)

    killing = threading.Thread(target=kill)
    killing.start()
    outcome = sync(people)
    killing.join()
    assert killed
    assert not outcome.errors
    assert people.compare() == []
    assert (people.plans(), people.hidden()) == ([], [])


def test_a_command_killed_at_four_fifths_has_the_next_run_read_a_quarter(
    people: ShardedMirror, postgres_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [sys.executable, "-m", "smartdiet_assets.cli", "sync", "people"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while count_copied(postgres_database) < 40:
        assert process.poll() is None
        time.sleep(0.005)
    process.kill()
    process.wait()
    others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    wait_until(lambda: people.connection.execute(others).fetchone() == (0,), "its processes are gone")
    [(shards, copied)] = people.plans()
    assert shards > copied >= 40
    count = ReadCount(monkeypatch)
    people.load("people")
    rejected = PEOPLE // 50
    assert count.documents - rejected <= 0.25 * PEOPLE
    assert people.sync() == []
