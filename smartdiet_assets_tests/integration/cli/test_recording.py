"""Nobody waits for bookkeeping: a sync ends when its tables have, and the process behind it has Dagit show it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest

from smartdiet_assets.cli.recording import PATIENT, is_ended_with_command, record_before
from smartdiet_assets.mirror.run_events import RunHead
from smartdiet_assets.mirror.spool import Spool
from smartdiet_assets.mirror.sync import run_sync
from smartdiet_assets.mirror.turns import take_turn
from smartdiet_assets.resources.environment import read_environment
from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets_tests.support.running import smartdiet, smartdiet_here
from smartdiet_assets_tests.support.ssh_servers import wait_until

SYNC = [sys.executable, "-m", "smartdiet_assets.cli", "sync"]
RECORDER = [sys.executable, "-P", "-m", "smartdiet_assets.cli.recording", PATIENT]


@pytest.fixture
def spool(source: Any, tmp_path: Path) -> Spool:
    return Spool(tmp_path / "dagster")


def list_statuses() -> list[str]:
    """The status of each run, the newest first."""
    with dg.DagsterInstance.get() as instance:
        return [run.status.value for run in instance.get_runs()]


def count_ended(spool: Spool) -> int:
    """How many tables of the newest run have ended."""
    files = spool.list_files()
    return files[-1].path.read_text().count('"kind":"ended"') if files else 0


def test_a_sync_returns_before_it_is_recorded_whoever_reads_what_it_prints(spool: Spool) -> None:
    with take_turn(spool.folder) as nobody:
        assert not nobody, "there is no folder yet"
    spool.folder.mkdir(parents=True)
    with take_turn(spool.folder):
        # Its recorder waits for this one.
        done = subprocess.run([*SYNC, "--json"], capture_output=True, text=True, check=True)
        assert json.loads(done.stdout)["tables"]["companies"]["inserted"] == 1
        assert len(spool.list_files()) == 1
    wait_until(lambda: not spool.list_files(), "the run is recorded")
    assert list_statuses() == ["SUCCESS"]
    assert not list(spool.folder.glob("*.reason"))


def test_a_sync_of_two_files_of_tables_is_recorded(spool: Spool, tmp_path: Path) -> None:
    ours = Path(__file__).parents[3] / "config" / "matomo_schemas.yaml"
    (tmp_path / "matomo_schemas.yaml").write_text(ours.read_text())
    assert "not in Dagit" not in smartdiet_here("sync", "--wait").stderr
    assert not spool.list_files()
    assert list_statuses() == ["SUCCESS"]


def test_the_recorder_imports_nothing_from_the_folder_somebody_is_in(spool: Spool) -> None:
    Path("pydantic.py").write_text("raise SystemExit('imported')")
    program = [sys.executable, "-P", "-m", "smartdiet_assets.cli"]
    subprocess.run([*program, "sync", "--wait"], capture_output=True, check=True)
    assert not spool.list_files()
    assert list_statuses() == ["SUCCESS"]


def test_a_sync_whose_output_nobody_takes_is_recorded(spool: Spool) -> None:
    sync = subprocess.Popen([*SYNC, "--json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert sync.stdout is not None
    sync.stdout.close()
    sync.wait()
    wait_until(lambda: spool.folder.is_dir() and not spool.list_files(), "the run is recorded")
    assert list_statuses() == ["SUCCESS"]


def test_two_syncs_are_recorded_in_their_order(spool: Spool) -> None:
    for _ in range(2):
        subprocess.run([*SYNC, "--json"], capture_output=True, check=True)
    subprocess.run(RECORDER, check=True)
    assert not spool.list_files()
    with dg.DagsterInstance.get() as instance:
        second, first = instance.get_run_records()
    assert (first.start_time or 0) < (second.start_time or 0)


def test_a_long_run_is_recorded_while_it_goes_on(spool: Spool, postgres: psycopg.Connection[Any]) -> None:
    smartdiet_here("sync", "--wait")
    with postgres.transaction():
        postgres.execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
        sync = subprocess.Popen([*SYNC, "--full"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(lambda: "STARTED" in list_statuses(), "Dagit shows the run")
        assert sync.poll() is None
    assert sync.wait() == 0
    wait_until(lambda: not spool.list_files(), "the run is recorded")
    assert list_statuses() == ["SUCCESS", "SUCCESS"]


def test_a_killed_sync_shows_as_failed_with_the_tables_it_had_finished(
    spool: Spool, postgres: psycopg.Connection[Any]
) -> None:
    smartdiet_here("sync", "--wait")
    with postgres.transaction():
        postgres.execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
        sync = subprocess.Popen([*SYNC, "--full"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        # The one it depends on, and the one beside it.
        wait_until(lambda: count_ended(spool) == 2, "two tables have ended")
        sync.kill()
        sync.wait()
    # By the recorder that followed it, or by this one.
    record_before(read_environment())
    wait_until(lambda: not spool.list_files(), "the run is recorded")
    assert list_statuses() == ["FAILURE", "SUCCESS"]
    with dg.DagsterInstance.get() as instance:
        (run, _) = instance.get_runs()
        stats = instance.get_run_stats(run.run_id)
    assert (stats.steps_succeeded, stats.steps_failed) == (2, 1)


def test_a_killed_recorder_loses_nothing(spool: Spool) -> None:
    smartdiet_here("sync")
    smartdiet_here("sync", "--wait")
    smartdiet_here("sync")
    recorder = subprocess.Popen(RECORDER)
    wait_until(lambda: len(list_statuses()) == 3, "the third run is begun")
    recorder.kill()
    recorder.wait()
    (file,) = spool.list_files()
    os.utime(file.path, (0, 0))
    # The next sync sees that recorders do not outlive their commands here, and waits.
    assert smartdiet_here("sync").returncode == 0
    assert not spool.list_files()
    assert list_statuses() == ["SUCCESS"] * 4


@pytest.mark.parametrize("command", [["prune"], ["check", "--wait"]])
def test_a_command_that_looks_at_the_records_makes_up_for_what_is_missing(spool: Spool, command: list[str]) -> None:
    smartdiet_here("sync")
    assert len(spool.list_files()) == 1
    smartdiet_here(*command)
    assert not spool.list_files()
    assert "SUCCESS" in list_statuses()


def test_a_folder_that_cannot_be_written_to_keeps_nobody_from_mirroring(
    source: Any, tmp_path: Path, postgres: psycopg.Connection[Any]
) -> None:
    (tmp_path / "taken").write_text("")
    result = smartdiet("sync", "--wait", DAGSTER_HOME=str(tmp_path / "taken"))
    assert result.returncode == 0, result.stderr
    said = " ".join(result.stderr.split())
    assert "Dagit will not show this run: " in said
    assert "set DAGSTER_HOME to a folder that can be written to" in said
    assert postgres.execute("SELECT count(*) FROM companies").fetchone() == (1,)


def test_a_full_disk_keeps_nobody_from_mirroring(source: Any, tmp_path: Path) -> None:
    """A file of the spool that takes no more: the run is mirrored to its end, and nothing half is left."""
    environment = read_environment()
    schema = load_schema(*environment.schema_files)
    full = FullSpool(tmp_path / "dagster")
    outcome = run_sync(schema, environment, tables=list(schema.tables), records=full)
    assert not outcome.errors
    assert "No space left on device" in full.fault
    assert full.list_files() == []


class FullSpool(Spool):
    """A spool on a device that is full once the run has begun."""

    def open(self, head: RunHead) -> Any:
        block = super().open(head)
        return _FillingUp(block)


class _FillingUp:
    def __init__(self, block: Any) -> None:
        self._block = block

    def __enter__(self) -> Any:
        writer = self._block.__enter__()
        device = os.open("/dev/full", os.O_WRONLY)
        os.dup2(device, writer._file)
        os.close(device)
        return writer

    def __exit__(self, *error: Any) -> Any:
        return self._block.__exit__(*error)


def test_what_cannot_be_recorded_is_kept_and_said_by_the_next_sync_and_by_doctor(spool: Spool, tmp_path: Path) -> None:
    smartdiet_here("sync")
    (file,) = spool.list_files()
    tables = tmp_path / "tables.yaml"
    declared = tables.read_text()
    tables.write_text(declared.replace("recipes", "dishes"))
    said = " ".join(smartdiet_here("sync", "companies", "--wait").stderr.split())
    assert "1 run is not in Dagit yet; the next sync tries again: recipes is declared no more" in said
    assert spool.list_files() == [file]
    assert "recipes is declared no more" in smartdiet_here("doctor").stdout
    tables.write_text(declared)
    assert "not in Dagit" not in smartdiet_here("sync", "--wait").stderr
    assert not spool.list_files()
    assert list_statuses() == ["SUCCESS"] * 3


def test_a_database_of_dagsters_that_is_away_is_said_and_made_up_for(spool: Spool) -> None:
    away = "postgresql://nobody:hidden-secret@127.0.0.1:1/nowhere"
    result = smartdiet_here("sync", "--wait", SMARTDIET_DAGSTER_POSTGRES_URL=away)
    assert result.returncode == 0
    said = " ".join(result.stderr.split())
    assert "1 run is not in Dagit yet; the next sync tries again: Dagster's records cannot be opened" in said
    assert "hidden-secret" not in said + "".join(path.read_text() for path in spool.folder.iterdir())
    assert smartdiet_here("sync", "--wait").stderr.count("not in Dagit") == 0
    assert list_statuses() == ["SUCCESS"] * 2


@pytest.mark.parametrize(("variable", "waits"), [("INVOCATION_ID", True), ("OTHER", False)], ids=["systemd", "a shell"])
def test_a_command_whose_end_would_end_the_recorder_waits_for_it(
    monkeypatch: pytest.MonkeyPatch, variable: str, waits: bool
) -> None:
    monkeypatch.delenv("INVOCATION_ID", raising=False)
    monkeypatch.setenv(variable, "1")
    # The tests may be in a service, or a container, themselves.
    assert is_ended_with_command() == (waits or os.getppid() in (0, 1))
