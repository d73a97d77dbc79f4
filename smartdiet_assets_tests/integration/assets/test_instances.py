"""Dagster's own processes on both kinds of instance: the daemon, the web page, a sensor's tick and its run."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import pytest
from psycopg import sql
from pymongo.database import Database

from smartdiet_assets.assets.sensors import CHANGE_SENSOR
from smartdiet_assets.errors import ConfigurationError
from smartdiet_assets.operations.instance import choose_dagster_home
from smartdiet_assets_tests.conftest import skip_or_fail
from smartdiet_assets_tests.integration.assets.sensing import NOW, TABLES

ROOT = Path(__file__).parents[3]
BIN = Path(sys.executable).parent
SELECTOR = {
    "repositoryLocationName": "smartdiet",
    "repositoryName": "__repository__",
    "sensorName": CHANGE_SENSOR,
}
START = """
mutation ($selector: SensorSelector!) {
  startSensor(sensorSelector: $selector) { ... on Sensor { sensorState { status } } ... on PythonError { message } }
}
"""
WATCH = """
query ($selector: SensorSelector!) {
  sensorOrError(sensorSelector: $selector) {
    ... on Sensor { sensorState { ticks { status runIds error { message } } } }
  }
  runsOrError { ... on Runs { results { runId jobName status tags { key value } } } }
}
"""
_SECONDS_TO_ANSWER = 120
_SECONDS_TO_STOP = 60
T = TypeVar("T")


@pytest.fixture
def home(
    configured_servers: None, mongo_database: Database[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """DAGSTER_HOME as the command line prepares it, four tables to mirror, and a document in each collection."""
    (tmp_path / "schemas.yaml").write_text(TABLES)
    for collection in ("companies", "users", "notes"):
        mongo_database[collection].insert_one({"creation_date": NOW, "update_date": NOW, "name": "x"})
    monkeypatch.setenv("SMARTDIET_SCHEMAS", str(tmp_path / "schemas.yaml"))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PATH", f"{BIN}{os.pathsep}{os.environ['PATH']}")
    return choose_dagster_home(ROOT / "config")


@pytest.fixture
def dagster_database(postgres: psycopg.Connection, postgres_database: str) -> Iterator[str]:
    """The URL of an empty database for Dagster's own records."""
    name = sql.Identifier(f"dagster_{os.getpid()}")
    postgres.execute(sql.SQL("CREATE DATABASE {}").format(name))
    parts = psycopg.conninfo.conninfo_to_dict(postgres_database)
    yield f"postgresql://{parts['user']}:{parts['password']}@{parts['host']}:{parts['port']}/dagster_{os.getpid()}"
    postgres.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


class Dagit:
    """A web server and a daemon on one instance, asked through the page's own interface."""

    def __init__(self, log: Path) -> None:
        with closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        workspace = ["-w", str(ROOT / "workspace.yaml")]
        self.log = log
        self._processes: list[subprocess.Popen[bytes]] = []
        self._begin("dagster-webserver", "-h", "127.0.0.1", "-p", str(self.port), *workspace)
        self._begin("dagster-daemon", "run", *workspace)

    def _begin(self, command: str, *options: str) -> None:
        with self.log.open("ab") as log:
            self._processes.append(subprocess.Popen([BIN / command, *options], stdout=log, stderr=log))

    def ask(self, query: str) -> dict[str, Any]:
        body = json.dumps({"query": query, "variables": {"selector": SELECTOR}}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/graphql", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            data: dict[str, Any] = json.load(answer)["data"]
        return data

    def wait_for(self, what: str, find: Callable[[], T | None]) -> T:
        """Wait until something is found; an answer that is not there yet counts as nothing."""
        deadline = time.monotonic() + _SECONDS_TO_ANSWER
        while time.monotonic() < deadline:
            assert all(process.poll() is None for process in self._processes), self.log.read_text()[-3000:]
            try:
                if (found := find()) is not None:
                    return found
            except (urllib.error.URLError, OSError):
                pass
            time.sleep(0.5)
        raise AssertionError(f"no {what}: {self.log.read_text()[-3000:]}")

    def close(self) -> None:
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            try:
                process.wait(_SECONDS_TO_STOP)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.mark.parametrize("storage", ["files", "postgres"])
def test_the_daemon_evaluates_the_sensor_and_its_run_is_launched_and_finishes(
    storage: str,
    home: Path,
    dagster_database: str,
    postgres: psycopg.Connection,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if storage == "postgres":
        monkeypatch.setenv("SMARTDIET_DAGSTER_POSTGRES_URL", dagster_database)
    with ExitStack() as stack:
        dagit = Dagit(tmp_path / "dagster.log")
        stack.callback(dagit.close)
        started = dagit.wait_for("page", lambda: dagit.ask(START)["startSensor"])
        assert started["sensorState"]["status"] == "RUNNING"

        def find_ended_run() -> dict[str, Any] | None:
            data = dagit.ask(WATCH)
            for tick in data["sensorOrError"]["sensorState"]["ticks"]:
                assert tick["error"] is None, tick
            ended = [run for run in data["runsOrError"]["results"] if run["status"] in ("SUCCESS", "FAILURE")]
            return ended[0] if ended else None

        run = dagit.wait_for("run", find_ended_run)
        assert (run["jobName"], run["status"]) == ("mirror", "SUCCESS"), dagit.log.read_text()[-3000:]
        tags = {tag["key"]: tag["value"] for tag in run["tags"]}
        assert tags["smartdiet/collections"] == "companies, users, notes"
        assert tags["dagster/sensor_name"] == CHANGE_SENSOR
    assert postgres.execute("SELECT count(*) FROM users").fetchone() == (1,)
    password = psycopg.conninfo.conninfo_to_dict(dagster_database)["password"]
    assert str(password) not in dagit.log.read_text()
    if storage == "postgres":
        with psycopg.connect(dagster_database) as connection:
            assert connection.execute("SELECT count(*) FROM runs WHERE status = 'SUCCESS'").fetchone() == (1,)
        assert not (home / "history").exists()
    else:
        assert (home / "history" / "runs.db").exists()


def test_an_older_file_in_the_folder_is_said_rather_than_the_variable_ignored(
    home: Path, dagster_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    choose_dagster_home(ROOT / "config")
    monkeypatch.setenv("SMARTDIET_DAGSTER_POSTGRES_URL", dagster_database)
    with pytest.raises(ConfigurationError, match="does not name the storage that reads it") as caught:
        choose_dagster_home(ROOT / "config")
    assert dagster_database not in str(caught.value)


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("dagster", ("definitions", "validate", "-w", str(ROOT / "workspace.yaml"))),
        ("dg", ("list", "defs", "--json")),
    ],
)
def test_both_ways_to_name_the_code_location_load_it(command: str, options: tuple[str, ...], home: Path) -> None:
    """`workspace.yaml` is what dagster's own commands read, `[tool.dg]` what dg reads."""
    executable = shutil.which(BIN / command)
    if executable is None:
        skip_or_fail(f"there is no {command} beside {sys.executable}; pip install dagster-dg-cli")
    ended = subprocess.run([executable, *options], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    assert ("Validation successful for code location smartdiet" if command == "dagster" else "user_events") in (
        ended.stdout + ended.stderr
    )
