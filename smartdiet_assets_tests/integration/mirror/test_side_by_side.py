"""A sync's tables side by side, in threads and in processes: what one after another gives, and the same ends."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pymongo.database import Database

from smartdiet_assets.demo.mongo_server import EmbeddedMongo
from smartdiet_assets.mirror.outcome import SyncOutcome
from smartdiet_assets.mirror.spool import Spool
from smartdiet_assets.mirror.sync import read_run_settings, run_sync
from smartdiet_assets.resources.environment import read_environment
from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets_tests.oracle import compare, read_collections
from smartdiet_assets_tests.support.application import Application
from smartdiet_assets_tests.support.compact import FIELDS, MEMBERS, SCHEMA, birth
from smartdiet_assets_tests.support.fault_proxy import Fault, FaultProxy
from smartdiet_assets_tests.support.mirrored import Mirrored
from smartdiet_assets_tests.support.ssh_servers import wait_until

SYNC = [sys.executable, "-m", "smartdiet_assets.cli", "sync"]
EXECUTORS = ("in_process", "multiprocess")
#: Tables at work at once: of the first two groups, one is a table alone, and one has two of a collection.
AT_ONCE = 3


class SideBySide:
    """The compact application, and syncs of it."""

    def __init__(self, path: Path, mongo: Database[dict[str, Any]], postgres: psycopg.Connection[Any]) -> None:
        path.write_text(SCHEMA)
        self.mirrored = Mirrored(load_schema(path), mongo, postgres)
        self.application = Application(mongo)
        self.postgres = postgres
        self.spool = Spool(path.parent)

    def save(self, **changes: Any) -> None:
        """Save every document of every collection."""
        for collection in FIELDS:
            for number in range(MEMBERS):
                known = {name: value for name, value in changes.items() if name in FIELDS[collection]}
                self.application.save(collection, number, birth(collection, number), known)

    def sync(self, **settings: Any) -> SyncOutcome:
        """Sync every table; `settings` of the run that are not as the environment says."""
        environment = read_environment()
        return run_sync(
            self.mirrored.schema,
            environment,
            tables=list(self.mirrored.schema.tables),
            settings=replace(read_run_settings(environment), **settings),
            records=self.spool,
        )

    def begin(self) -> None:
        """Mirror everything once, and change it then."""
        self.save()
        assert not self.sync().errors
        assert self.compare() == []
        self.save(name="blue")

    def compare(self) -> list[str]:
        """Compare every table with what the oracle expects now."""
        self.mirrored.oracle.observe(read_collections(self.mirrored.mongo, self.mirrored.schema), self.mirrored._holder)
        return compare(self.postgres, self.mirrored.oracle)

    @contextmanager
    def act_when_all_wait(self, act: Callable[[], None]) -> Iterator[None]:
        """Lock every table, and act in another thread once all that are at work wait for them; free afterwards."""
        locked = threading.Event()

        def hold() -> None:
            with self.postgres.transaction():
                for name in self.mirrored.schema.tables:
                    self.postgres.execute(f"LOCK TABLE {name} IN ACCESS EXCLUSIVE MODE")
                locked.set()
                waiting = "SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted"
                wait_until(lambda: self.postgres.execute(waiting).fetchone() == (AT_ONCE,), "the tables wait")
                act()

        with ThreadPoolExecutor(1) as pool:
            holding = pool.submit(hold)
            locked.wait()
            yield
            holding.result()

    def wait_until_left(self) -> None:
        """Wait until no connection of the mirror is open."""
        mine = """
            SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND application_name = 'smartdiet'"""

        def is_left() -> bool:
            # Within a transaction the server gives the same answer again.
            self.postgres.execute("SELECT pg_stat_clear_snapshot()")
            return self.postgres.execute(mine).fetchone() == (0,)

        wait_until(is_left, "every connection is closed")

    def read_events(self) -> list[tuple[str, str]]:
        """Read what is kept of the last run, in its order: kind and table."""
        text = self.spool.list_files()[-1].path.read_text()
        events = [json.loads(line) for line in text.splitlines()]
        return [(event["kind"], event.get("table", "")) for event in events]


@pytest.fixture(params=EXECUTORS)
def side(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    configured_servers: None,
    mongo_database: Database[dict[str, Any]],
    postgres: psycopg.Connection[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[SideBySide]:
    monkeypatch.setenv("SMARTDIET_EXECUTOR", request.param)
    monkeypatch.setenv("SMARTDIET_SCHEMAS", str(tmp_path / "tables.yaml"))
    yield SideBySide(tmp_path / "tables.yaml", mongo_database, postgres)
    assert list_threads() == []


def list_threads() -> list[str]:
    """List the threads of tables and of their processes."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("smartdiet ")]


def test_first_load_and_changes_are_the_oracles(side: SideBySide) -> None:
    side.save()
    assert not side.sync().errors
    assert side.compare() == []
    side.save(name="élan", registered=[], liked=None)
    assert not side.sync().errors
    assert side.compare() == []
    again = side.sync()
    assert not any(table.inserted or table.updated or table.deleted for table in again.tables.values())


def test_every_table_begins_after_its_parents_or_with_them_and_ends_after_them(side: SideBySide) -> None:
    side.save()
    side.sync()
    events = side.read_events()
    assert (events[0], events[-1]) == (("run", ""), ("over", ""))
    for table in side.mirrored.schema.tables.values():
        assert events.index(("begun", table.name)) < events.index(("ended", table.name))
        for parent in table.parents:
            together = side.mirrored.schema.tables[parent].mongo_collection == table.mongo_collection
            ended = "ended" if together else "begun"
            assert events.index(("ended", parent)) < events.index((ended, table.name))


def test_tables_are_at_work_at_once_over_one_connection_each(side: SideBySide) -> None:
    side.begin()
    with side.act_when_all_wait(lambda: None):
        outcome = side.sync()
    assert not outcome.errors
    assert side.compare() == []
    side.wait_until_left()


def test_a_failed_table_keeps_its_descendants_from_running_and_no_other(side: SideBySide) -> None:
    side.save()
    # Not as it is declared.
    side.postgres.execute("CREATE TABLE teams (id integer PRIMARY KEY)")
    errors = side.sync().errors
    tables = side.mirrored.schema.tables
    below = {"teams"}
    for table in tables.values():
        if below & set(table.parents):
            below.add(table.name)
    assert set(errors) == below
    assert len(below) < len(tables)
    begun = {name for kind, name in side.read_events() if kind == "begun"}
    assert begun == set(tables) - below | {"teams"}
    side.wait_until_left()


def test_what_is_worth_a_retry_is_tried_again_while_others_go_on(side: SideBySide) -> None:
    side.begin()
    begun = threading.Event()

    def hold() -> None:
        with side.postgres.transaction():
            side.postgres.execute("LOCK TABLE events IN ACCESS EXCLUSIVE MODE")
            begun.set()
            waiting = {("said", "events"), ("ended", "teams")}
            wait_until(lambda: waiting <= set(side.read_events()), "one table was tried in vain, and others ended")

    with ThreadPoolExecutor(1) as pool:
        holding = pool.submit(hold)
        begun.wait()
        outcome = side.sync(lock_timeout=0.2, retry_delay=0.5)
        holding.result()
    assert not outcome.errors
    assert side.compare() == []


def test_an_interrupt_ends_every_table_at_once_and_undoes_what_they_did(side: SideBySide) -> None:
    side.begin()
    before = side.mirrored.versions()

    def interrupt() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        # The locks they wait for are still held.
        side.wait_until_left()

    with side.act_when_all_wait(interrupt), pytest.raises(KeyboardInterrupt):
        side.sync()
    assert list_threads() == []
    assert side.mirrored.versions() == before
    assert {kind for kind, _ in side.read_events()} == {"run", "begun", "over"}
    assert not side.sync().errors
    assert side.compare() == []


def test_an_interrupt_ends_a_table_that_waits_for_mongodb(
    side: SideBySide, mongo_server: EmbeddedMongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    side.begin()
    with FaultProxy(mongo_server.port) as proxy, ThreadPoolExecutor(1) as pool:
        monkeypatch.setenv("MONGODB_URL", mongo_server.uri.replace(f":{mongo_server.port}", f":{proxy.port}"))
        fault = proxy.strike(Fault("stall", after=2_000, times=None))

        def interrupt() -> None:
            wait_until(lambda: fault.struck, "MongoDB says nothing")
            os.kill(os.getpid(), signal.SIGINT)

        interrupting = pool.submit(interrupt)
        with pytest.raises(KeyboardInterrupt):
            side.sync()
        interrupting.result()
        assert list_threads() == []
    side.wait_until_left()


def test_a_killed_run_leaves_nothing_half_done_and_the_next_one_ends_as_if_nothing_had_happened(
    side: SideBySide,
) -> None:
    side.begin()
    before = side.mirrored.versions()
    process = subprocess.Popen([*SYNC, "--json"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def kill() -> None:
        process.kill()
        # The locks they wait for are still held, also by the processes of a process that is gone.
        side.wait_until_left()

    with side.act_when_all_wait(kill):
        process.wait()
    assert side.mirrored.versions() == before
    assert not side.sync().errors
    assert side.compare() == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_at_the_command_line_ends_it(side: SideBySide, number: int, code: int) -> None:
    side.begin()
    process = subprocess.Popen(SYNC, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def interrupt() -> None:
        process.send_signal(number)
        process.wait()

    with side.act_when_all_wait(interrupt):
        _, errors = process.communicate()
    assert (process.returncode, errors.strip()) == (
        code,
        "Interrupted; the tables that were finished stay as they are.",
    )
