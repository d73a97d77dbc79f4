"""The instance's own storage, on files and in PostgreSQL: what a run costs it, and what it tells afterwards."""

import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, LiteralString

import dagster as dg
import psycopg
import pytest
import sqlalchemy as db
from pymongo.database import Database
from sqlalchemy.engine import Engine
from sqlalchemy.pool import Pool

from smartdiet_assets.assets.instance import held_postgres
from smartdiet_assets.assets.partitions import build_partitions
from smartdiet_assets.errors import ConfigurationError
from smartdiet_assets.resources.dagster_home import choose_dagster_home
from smartdiet_assets_tests.integration.assets.test_runs import NOW, TABLES, Mirror

CONFIG = Path(__file__).parents[3] / "config"
_SECONDS_TO_BE_SEEN = 60
_SECONDS_TO_IMPORT = 6
#: Opens an instance at a moment, with all that it needs imported before.
OPENING = """
import sys, time
import dagster
import smartdiet_assets.assets.instance.held_postgres, smartdiet_assets.assets.instance.held_sqlite
time.sleep(max(0, float(sys.argv[1]) - time.time()))
dagster.DagsterInstance.get()
"""


class Instances:
    """Instances on one storage, opened as every process of Dagster opens them."""

    def __init__(self, home: Path, url: str | None) -> None:
        self.home = home
        self.url = url

    def open(self) -> dg.DagsterInstance:
        return dg.DagsterInstance.get()

    def execute(self, on_files: str, in_postgres: LiteralString) -> None:
        """Have the storage itself execute a statement, whatever Dagster holds open."""
        if self.url:
            with psycopg.connect(self.url, autocommit=True) as connection:
                connection.execute(in_postgres)
        else:
            with closing(sqlite3.connect(self.home / "history" / "runs" / "index.db")) as file:
                file.executescript(on_files)


@pytest.fixture(params=["files", "postgres"])
def instances(
    request: pytest.FixtureRequest, configured_servers: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Instances:
    url = request.getfixturevalue("dagster_database") if request.param == "postgres" else None
    if url:
        monkeypatch.setenv("SMARTDIET_DAGSTER_POSTGRES_URL", url)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    return Instances(choose_dagster_home(CONFIG), url)


def test_processes_that_start_at_once_open_one_new_instance(instances: Instances) -> None:
    """As the page, the daemon and a code server do on a new machine."""
    together = str(time.time() + _SECONDS_TO_IMPORT)
    processes = [
        subprocess.Popen([sys.executable, "-c", OPENING, together], stderr=subprocess.PIPE, text=True) for _ in range(3)
    ]
    failures = [process.communicate(timeout=_SECONDS_TO_BE_SEEN)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * 3, failures


def test_a_lock_that_is_never_given_back_is_said_in_a_sentence(dagster_database: str) -> None:
    def open_too() -> None:
        with held_postgres.locked(dagster_database, seconds=1):
            pytest.fail("both have it")

    with held_postgres.locked(dagster_database), pytest.raises(ConfigurationError, match="another process has held"):
        open_too()


@pytest.fixture
def mirror(instances: Instances, mongo_database: Database[Any], tmp_path: Path) -> Iterator[Mirror]:
    made = Mirror(tmp_path / "schemas.yaml", mongo_database, instances.open())
    with made.instance:
        yield made


@contextmanager
def counting() -> Iterator[dict[str, int]]:
    """Count the statements Dagster sends to its storage, and the connections it opens for them."""
    counts = {"statements": 0, "connections": 0}

    def on_statement(*_: Any) -> None:
        counts["statements"] += 1

    def on_connection(*_: Any) -> None:
        counts["connections"] += 1

    db.event.listen(Engine, "before_cursor_execute", on_statement)
    db.event.listen(Pool, "connect", on_connection)
    try:
        yield counts
    finally:
        db.event.remove(Engine, "before_cursor_execute", on_statement)
        db.event.remove(Pool, "connect", on_connection)


def find_unmarked(mirror: Mirror, table: str = "companies") -> list[str]:
    partitions = build_partitions(mirror.schema.partitions)
    keys = partitions.get_partition_keys()
    statuses = mirror.instance.get_status_by_partition(dg.AssetKey(table), keys, partitions) or {}
    return [key for key in keys if (status := statuses.get(key)) is None or status.value != "MATERIALIZED"]


def test_marks_of_a_first_load_are_shown_and_cost_no_more_for_more_months(mirror: Mirror) -> None:
    mirror.add("companies", NOW, name="x")
    statements = []
    for table, start in (("companies", "2026-01-01"), ("others", "1990-01-01")):
        # Another table of the same collection is loaded for the first time too.
        mirror.declare(
            TABLES.split("  users:")[0]
            .replace("2026-01-01", start)
            .replace("  companies:\n", f"  {table}:\n    mongo_collection: companies\n")
        )
        with counting() as counts:
            assert mirror.run(tables=(table,))[table]["inserted"] == 1
        statements.append(counts["statements"])
    keys = build_partitions(mirror.schema.partitions).get_partition_keys()
    assert find_unmarked(mirror, "others") == []
    assert len(keys) > 400
    assert statements[1] <= statements[0] + 5
    # What the asset's page shows is the run itself, not a mark.
    latest = mirror.instance.get_latest_materialization_event(dg.AssetKey("others"))
    assert latest is not None
    assert latest.asset_materialization is not None
    assert latest.asset_materialization.partition == keys[-1]
    assert "inserted" in latest.asset_materialization.metadata


def test_marks_that_were_not_stored_are_stored_by_the_next_run(
    mirror: Mirror, instances: Instances, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETRY_DELAY", "0")
    mirror.add("companies", NOW, name="x")
    # As a kill does, this ends the run after the table's commit and before its marks.
    instances.execute(
        """
        CREATE TRIGGER no_marks BEFORE INSERT ON event_logs
        WHEN new.partition = '2026-03-01' BEGIN SELECT RAISE(ABORT, 'no marks'); END""",
        """
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''no marks''; END';
        CREATE TRIGGER no_marks BEFORE INSERT ON event_logs
        FOR EACH ROW WHEN (new.partition = '2026-03-01') EXECUTE FUNCTION refuse()""",
    )
    assert not mirror.execute(tables=("companies",)).success
    assert len(find_unmarked(mirror)) > 10, "all of them or none"
    instances.execute("DROP TRIGGER no_marks", "DROP TRIGGER no_marks ON event_logs")
    assert mirror.run(tables=("companies",))["companies"]["window"] == "incremental"
    assert find_unmarked(mirror) == []
    with counting() as marked:
        mirror.run(tables=("companies",))
    events = mirror.instance.all_logs(
        mirror.instance.get_runs(limit=1)[0].run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION
    )
    assert len(events) == 1
    assert marked["connections"] < 8, "none for each event"


def test_another_instance_learns_what_a_table_covers(mirror: Mirror) -> None:
    mirror.add("companies", NOW, name="x")
    with dg.DagsterInstance.ephemeral() as first:
        mine, mirror.instance = mirror.instance, first
        mirror.run(tables=("companies",))
        mirror.instance = mine
    mirror.run(tables=("companies",))
    assert find_unmarked(mirror) == []


def log(instance: dg.DagsterInstance, message: str, run_id: str = "a-run") -> None:
    instance.report_engine_event(message, run_id=run_id, job_name="mirror")


def read(instance: dg.DagsterInstance, run_id: str = "a-run") -> list[str | None]:
    return [entry.get_dagster_event().message for entry in instance.all_logs(run_id)]


def test_a_child_of_the_process_has_connections_of_its_own(instances: Instances) -> None:
    with instances.open() as instance:
        log(instance, "before")
        child = os.fork()
        if not child:
            try:
                log(instance, "from the child")
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        log(instance, "behind")
        assert read(instance) == ["before", "from the child", "behind"]


def test_nothing_is_held_behind_the_end(instances: Instances, postgres: psycopg.Connection) -> None:
    with instances.open() as instance:
        log(instance, "something")
        instance.get_runs_count()
        assert list(instances.home.rglob("*-wal")) or instances.url
    assert not list(instances.home.rglob("*-wal"))
    if instances.url:
        name = instances.url.rpartition("/")[2]
        query = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s"
        while postgres.execute(query, [name]).fetchone() != (0,):
            # The server notices a little later.
            time.sleep(0.05)


@pytest.mark.parametrize("instances", ["files"], indirect=True)
def test_files_that_were_deleted_are_made_anew(instances: Instances) -> None:
    with instances.open() as instance:
        log(instance, "before")
        for file in (instances.home / "history" / "runs").glob("*.db*"):
            file.unlink()
        log(instance, "after")
        assert (read(instance), instance.get_asset_keys()) == (["after"], [])


@pytest.mark.parametrize("instances", ["files"], indirect=True)
def test_many_runs_are_read_without_holding_each(instances: Instances) -> None:
    with instances.open() as instance:
        for number in range(6):
            log(instance, "event", f"run-{number}")
        assert len(list(instances.home.rglob("run-*.db-wal"))) < 5
        assert all(read(instance, f"run-{number}") == ["event"] for number in range(6))


def test_dagit_is_told_of_what_another_process_writes(instances: Instances) -> None:
    seen = threading.Event()
    with instances.open() as page, instances.open() as run:
        log(run, "first")
        page.watch_event_logs("a-run", None, lambda event, _cursor: seen.set() if "second" in str(event) else None)
        log(run, "second")
        assert seen.wait(_SECONDS_TO_BE_SEEN)


def test_a_lost_connection_is_opened_again(instances: Instances, postgres: psycopg.Connection) -> None:
    with instances.open() as instance:
        log(instance, "before")
        if instances.url:
            query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
            postgres.execute(query, [instances.url.rpartition("/")[2]])
        log(instance, "after")
        assert read(instance) == ["before", "after"]
