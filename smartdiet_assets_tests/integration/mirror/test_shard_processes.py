"""Shards copied by processes, and processes that are killed: nothing is lost, and what was copied is not read again."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pymongo.database import Database

from smartdiet_assets.demo.mongo_server import EmbeddedMongo
from smartdiet_assets.errors import ConfigurationError
from smartdiet_assets.extract.window import WindowRequest
from smartdiet_assets.mirror.attempt import Servers, TableRun
from smartdiet_assets.mirror.failures import TableFailure
from smartdiet_assets.mirror.outcome import SyncOutcome
from smartdiet_assets.mirror.progress import progress_log
from smartdiet_assets.mirror.shard_steps import copy_step
from smartdiet_assets.mirror.side_by_side import Threads
from smartdiet_assets.mirror.sync import begin_together, read_run_settings, run_sync
from smartdiet_assets.resources.environment import read_environment
from smartdiet_assets.resources.mongo_server import MongoServer
from smartdiet_assets.resources.postgres_server import PostgresServer
from smartdiet_assets_tests.support.command_proxy import CommandProxy, Rule
from smartdiet_assets_tests.support.sharded import ReadCount, ShardedMirror, build_person
from smartdiet_assets_tests.support.ssh_servers import wait_until

PEOPLE = 1_500
#: Documents that are looked at whole before, to tell what is better: of the first table, and of all.
LOOKED_AT = 2 * 101


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


def sync_in_threads(people: ShardedMirror) -> dict[str, Any]:
    """Run the tables of the collection together, in threads of this process alone."""
    environment = read_environment()
    settings = replace(read_run_settings(environment), retries=0)
    with closing(PostgresServer(environment)) as postgres, closing(MongoServer(environment)) as mongo:
        servers, tables = Servers(postgres, {"mongodb": mongo}), people.schema.tables.values()
        runs = [TableRun(people.schema, table, "run", WindowRequest("newest"), settings) for table in tables]
        return {name: future.result() for name, future in begin_together(runs, servers, Threads(3)).items()}


def count_copied(dsn: str) -> int:
    with psycopg.connect(dsn, autocommit=True) as connection:
        try:
            [found] = connection.execute("SELECT count(copied_at) FROM smartdiet.load_shards").fetchone() or [0]
        except psycopg.errors.UndefinedTable:
            return 0
        return int(found)


def kill_command(people: ShardedMirror, dsn: str, command: list[str], *, copied: int) -> None:
    """Kill a command once so many shards are copied, and wait for its processes to be gone."""
    whole = [sys.executable, "-m", "smartdiet_assets.cli", *command]
    process = subprocess.Popen(whole, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while count_copied(dsn) < copied:
        assert process.poll() is None
        time.sleep(0.005)
    process.kill()
    process.wait()
    others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    wait_until(lambda: people.connection.execute(others).fetchone() == (0,), "its processes are gone")


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


def test_a_server_without_majority_reads_is_read_in_shards_too(
    people: ShardedMirror, mongo_server: EmbeddedMongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    with CommandProxy(mongo_server) as proxy:
        monkeypatch.setenv("MONGODB_URL", proxy.uri)
        [rule] = proxy.act(Rule("*", 148, having="'majority'", times=None))
        outcome = sync(people)
    assert not outcome.errors
    # Of this process, and of those that copy.
    assert rule.struck > 1
    assert people.compare() == []


def test_shards_are_not_copied_by_who_has_other_declarations_or_another_key(
    people: ShardedMirror, postgres_database: str
) -> None:
    kill_command(people, postgres_database, ["sync", "people"], copied=3)
    people.declare(("VARCHAR(12)", "VARCHAR(13)"))
    environment = read_environment()
    settings = read_run_settings(environment)
    with closing(PostgresServer(environment)) as postgres, closing(MongoServer(environment)) as mongo:
        run = TableRun(people.schema, people.schema.tables["people"], "run", WindowRequest("newest"), settings)
        copied = count_copied(postgres_database)
        with pytest.raises(ConfigurationError, match="people: its shards were planned with another key"):
            copy_step(1, 48)(run, Servers(postgres, {"mongodb": mongo}), people.connection)
    assert count_copied(postgres_database) == copied


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
    kill_command(people, postgres_database, ["sync", "people"], copied=40)
    [(shards, copied)] = people.plans()
    assert shards > copied >= 40
    count = ReadCount(monkeypatch)
    people.load("people")
    rejected = PEOPLE // 50
    assert count.documents - rejected <= 0.25 * PEOPLE
    assert people.sync() == []


def test_a_collection_is_read_once_for_all_its_tables(people: ShardedMirror, monkeypatch: pytest.MonkeyPatch) -> None:
    count = ReadCount(monkeypatch)
    assert not [found for found in sync_in_threads(people).values() if isinstance(found, TableFailure)]
    assert PEOPLE <= count.in_ranges <= PEOPLE + LOOKED_AT
    # What was rejected is read again.
    assert count.elsewhere < PEOPLE // 2
    assert people.compare() == []
    assert (people.plans(), people.hidden()) == ([], [])


def test_a_table_that_refuses_a_value_leaves_the_shard_to_the_others(
    people: ShardedMirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = [f"w{number}" for number in range(700)]
    columns = "".join(f"      - {{name: {name}, sql_type: VARCHAR}}\n" for name in many)
    people.declare(("    unique_constraints: [[day]]", f"{columns}    unique_constraints: [[day]]"))
    # No column forbids it, but the row is larger than a page.
    people.mongo["people"].update_one({"number": 701}, {"$set": dict.fromkeys(many, "x" * 40)})
    count = ReadCount(monkeypatch)
    results = sync_in_threads(people)
    # Its own run tries that shard again, and reads by itself then, in one piece.
    assert {name: result.load.refused for name, result in results.items()} == {"people": 0, "tags": 0, "days": 1}
    assert PEOPLE <= count.in_ranges <= PEOPLE + LOOKED_AT + PEOPLE // 20
    # The oracle does not know PostgreSQL.
    [found] = people.compare()
    assert found.startswith("days document")
    assert "'refused'" in found


def test_a_command_killed_in_mid_shard_goes_on_for_all_tables(
    people: ShardedMirror, postgres_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shard that one of them misses is read for that one; what was saved since is there too."""
    kill_command(people, postgres_database, ["sync"], copied=3 * 40)
    planned = people.plans()
    assert len(planned) == 3
    assert len({shards for shards, _ in planned}) == 1
    assert all(copied >= 36 for _, copied in planned)
    now = datetime.now(UTC).replace(tzinfo=None)
    people.mongo["people"].insert_many([build_person(number, now) for number in range(PEOPLE, PEOPLE + 9)])
    people.mongo["people"].update_one({"number": 400}, {"$set": {"email": "new@x.fr", "update_date": now}})
    count = ReadCount(monkeypatch)
    sync_in_threads(people)
    assert count.in_ranges <= 0.25 * PEOPLE + 9 + LOOKED_AT
    assert people.compare() == []
    assert (people.plans(), people.hidden()) == ([], [])
