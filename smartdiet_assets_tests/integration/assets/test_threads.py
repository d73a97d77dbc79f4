"""Tables side by side in threads: the same tables as one after another, and the same ends, of a table and of a run.

What the executor needs of Dagster beyond its public API is used by each of these: a Dagster that changed it fails here.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest
from dagster import DagsterRunStatus
from dagster._core.execution.plan.active import ActiveExecution
from pymongo.database import Database
from smartdiet_assets.assets.sync import SyncOutcome, run_sync
from smartdiet_assets.assets.threads import execute_in_threads, threads_executor

from smartdiet_assets.assets import tables
from smartdiet_assets.definitions import build_definitions
from smartdiet_assets.demo.mongo_server import EmbeddedMongo
from smartdiet_assets.errors import ServerUnreachableError
from smartdiet_assets.resources.environment import read_environment
from smartdiet_assets.resources.thread_interrupts import raise_if_interrupted
from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets_tests.oracle import compare, read_collections
from smartdiet_assets_tests.support.application import Application
from smartdiet_assets_tests.support.compact import FIELDS, MEMBERS, SCHEMA, birth
from smartdiet_assets_tests.support.configured import connect_postgres
from smartdiet_assets_tests.support.fault_proxy import Fault, FaultProxy
from smartdiet_assets_tests.support.mirrored import Mirrored
from smartdiet_assets_tests.support.ssh_servers import wait_until

SYNC = [sys.executable, "-m", "smartdiet_assets.cli", "sync"]


class SideBySide:
    """The compact application, and runs of its mirror in threads."""

    def __init__(self, path: Path, mongo: Database[dict[str, Any]], postgres: psycopg.Connection[Any]) -> None:
        path.write_text(SCHEMA)
        self.mirrored = Mirrored(load_schema(path), mongo, postgres)
        self.application = Application(mongo)
        self.postgres = postgres
        self.instance = dg.DagsterInstance.ephemeral()

    def save(self, **changes: Any) -> None:
        """Save every document of every collection."""
        for collection in FIELDS:
            for number in range(MEMBERS):
                known = {name: value for name, value in changes.items() if name in FIELDS[collection]}
                self.application.save(collection, number, birth(collection, number), known)

    def sync(self) -> SyncOutcome:
        definitions = build_definitions(self.mirrored.schema, read_environment())
        names = list(self.mirrored.schema.tables)
        return run_sync(definitions, self.mirrored.schema, self.instance, connect_postgres, tables=names)

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
    def act_when_two_wait(self, act: Callable[[], None]) -> Iterator[None]:
        """Lock every table, and act in another thread once two runs wait for them; free afterwards."""
        locked = threading.Event()

        def hold() -> None:
            with self.postgres.transaction():
                for name in self.mirrored.schema.tables:
                    self.postgres.execute(f"LOCK TABLE {name} IN ACCESS EXCLUSIVE MODE")
                locked.set()
                waiting = "SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted"
                wait_until(lambda: self.postgres.execute(waiting).fetchone() == (2,), "two tables wait for their locks")
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

    def read_log(self) -> tuple[dg.DagsterRun, list[tuple[str, str]]]:
        """Read what is stored of the last run, and of its steps in the order of the log: step and type."""
        (run, *_) = self.instance.get_runs(limit=1)
        stored = self.instance.all_logs(run.run_id)
        events = [entry.get_dagster_event() for entry in stored if entry.is_dagster_event]
        kinds = [(event.step_key or "", event.event_type_value) for event in events]
        return run, [(name, kind) for name, kind in kinds if name and not kind.endswith("_PLANNED")]


@pytest.fixture
def side(
    tmp_path: Path,
    configured_servers: None,
    mongo_database: Database[dict[str, Any]],
    postgres: psycopg.Connection[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[SideBySide]:
    monkeypatch.setenv("SMARTDIET_EXECUTOR", "threads")
    monkeypatch.setenv("SMARTDIET_SCHEMAS", str(tmp_path / "tables.yaml"))
    made = SideBySide(tmp_path / "tables.yaml", mongo_database, postgres)
    with made.instance:
        yield made
    assert list_threads() == []


def list_threads() -> list[str]:
    """List the steps that have a thread."""
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


def test_every_table_begins_after_its_parents_and_has_its_events_in_their_order(side: SideBySide) -> None:
    side.save()
    side.sync()
    run, events = side.read_log()
    assert run.status == DagsterRunStatus.SUCCESS
    for table in side.mirrored.schema.tables.values():
        own = [kind for name, kind in events if name == table.name]
        assert own[0] == "STEP_START"
        assert own[-1] == "STEP_SUCCESS"
        # Those before its output are marks of the months it covers.
        assert own[own.index("STEP_OUTPUT") :].count("ASSET_MATERIALIZATION") == 1
        for parent in table.parents:
            assert events.index((parent, "STEP_SUCCESS")) < events.index((table.name, "STEP_START"))


def test_two_tables_are_at_work_at_once_over_one_connection_each(side: SideBySide) -> None:
    side.begin()
    seen: list[int] = []
    with side.act_when_two_wait(lambda: seen.append(len(list_threads()))):
        outcome = side.sync()
    assert not outcome.errors
    assert seen == [2]
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
    started = {name for name, kind in side.read_log()[1] if kind == "STEP_START"}
    assert started == set(tables) - below | {"teams"}
    side.wait_until_left()


def test_what_is_worth_a_retry_is_tried_again_while_others_go_on(
    side: SideBySide, monkeypatch: pytest.MonkeyPatch
) -> None:
    side.save()
    fetch, failures = tables._fetch_clock, iter([ServerUnreachableError("away"), ServerUnreachableError("away")])

    def fetch_or_fail(*arguments: Any) -> Any:
        if (failure := next(failures, None)) is not None:
            raise failure
        return fetch(*arguments)

    monkeypatch.setattr(tables, "RETRY_POLICY", dg.RetryPolicy(max_retries=2))
    monkeypatch.setenv("RETRY_DELAY", "0.2")
    monkeypatch.setattr(tables, "_fetch_clock", fetch_or_fail)
    assert not side.sync().errors
    assert side.compare() == []
    kinds = [kind for _, kind in side.read_log()[1]]
    assert (kinds.count("STEP_UP_FOR_RETRY"), kinds.count("STEP_RESTARTED")) == (2, 2)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_every_table_at_once_and_undoes_what_they_did(side: SideBySide, number: int) -> None:
    side.begin()
    before = side.mirrored.versions()

    def interrupt() -> None:
        os.kill(os.getpid(), number)
        # The locks they wait for are still held.
        side.wait_until_left()

    with side.act_when_two_wait(interrupt), pytest.raises(KeyboardInterrupt):
        side.sync()
    assert list_threads() == []
    assert side.mirrored.versions() == before
    run, events = side.read_log()
    assert run.status == DagsterRunStatus.FAILURE
    assert [kind for _, kind in events if kind.startswith("STEP_")] == ["STEP_START"] * 2 + ["STEP_FAILURE"] * 2
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


def test_a_run_terminated_from_dagit_is_cancelled(side: SideBySide) -> None:
    """Dagit marks the run, and sends its process SIGINT."""
    side.begin()

    def terminate() -> None:
        (run, *_) = side.instance.get_runs(limit=1)
        side.instance.report_run_canceling(run)
        os.kill(os.getpid(), signal.SIGINT)
        side.wait_until_left()

    with side.act_when_two_wait(terminate), pytest.raises(KeyboardInterrupt):
        side.sync()
    assert side.read_log()[0].status == DagsterRunStatus.CANCELED


def test_a_killed_run_leaves_nothing_half_done_and_the_next_one_ends_as_if_nothing_had_happened(
    side: SideBySide,
) -> None:
    side.begin()
    before = side.mirrored.versions()
    process = subprocess.Popen([*SYNC, "--json"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with side.act_when_two_wait(process.kill):
        process.wait()
    side.wait_until_left()
    assert side.mirrored.versions() == before
    assert not side.sync().errors
    assert side.compare() == []


def test_ctrl_c_at_the_command_line_ends_with_130(side: SideBySide) -> None:
    side.begin()
    process = subprocess.Popen(SYNC, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def interrupt() -> None:
        process.send_signal(signal.SIGINT)
        process.wait()

    with side.act_when_two_wait(interrupt):
        _, errors = process.communicate()
    assert (process.returncode, errors.strip()) == (
        130,
        "Interrupted; the tables that were finished stay as they are.",
    )


def test_dagster_runs_tables_in_threads_by_itself(side: SideBySide, tmp_path: Path) -> None:
    """With its events in SQLite files, which both threads write."""
    side.save()
    job = build_definitions(side.mirrored.schema, read_environment()).resolve_job_def("mirror")
    assert job.partitions_def is not None
    home = tmp_path / "dagster"
    home.mkdir()
    done = subprocess.run(
        [
            sys.executable, "-m", "dagster", "asset", "materialize", "-m", "smartdiet_assets.definitions",
            "--select", "*", "--partition", str(job.partitions_def.get_last_partition_key()),
        ],
        capture_output=True, text=True, check=False, env={**os.environ, "DAGSTER_HOME": str(home)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Executing steps in 2 threads" in done.stderr
    assert side.compare() == []
    side.wait_until_left()


def test_hooks_run_behind_a_step_that_failed_and_its_descendants_are_left_out() -> None:
    told: list[str] = []

    @dg.failure_hook
    def tell(context: dg.HookContext) -> None:
        told.append(context.op.name)

    @dg.op
    def fail() -> None:
        raise dg.Failure(allow_retries=False)

    @dg.op(ins={"before": dg.In(dg.Nothing)})
    def follow() -> None:
        told.append("follow")

    @dg.job(executor_def=threads_executor, hooks={tell})
    def row() -> None:
        follow(before=fail())

    with dg.DagsterInstance.ephemeral() as instance:
        result = execute_in_threads(row, instance=instance)
    assert not result.success
    assert told == ["fail"]
    assert "HOOK_COMPLETED" in [event.event_type_value for event in result.all_events]


def test_an_error_of_the_executor_ends_the_steps_at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk under the events, say: no step may go on in a process that is over with the run."""
    ended = threading.Event()
    begun = threading.Event()

    @dg.op
    def wait() -> None:
        begun.set()
        try:
            while True:
                raise_if_interrupted()
                time.sleep(0.01)
        except KeyboardInterrupt:
            ended.set()
            raise

    @dg.op
    def go() -> None:
        begun.wait()

    @dg.job(executor_def=threads_executor)
    def two() -> None:
        wait()
        go()

    handle = ActiveExecution.handle_event

    def fail(active: ActiveExecution, event: dg.DagsterEvent) -> None:
        if event.is_step_success:
            raise OSError("no space left")
        handle(active, event)

    monkeypatch.setattr(ActiveExecution, "handle_event", fail)
    with dg.DagsterInstance.ephemeral() as instance:
        result = execute_in_threads(two, instance=instance)
    assert not result.success
    assert ended.is_set()
    assert list_threads() == []
