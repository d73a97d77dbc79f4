"""Dagster's own processes on both kinds of instance: the daemon, the web page, a sensor's tick and its run."""

import os
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest
from dagster._core.test_utils import create_run_for_test
from pymongo.database import Database

from smartdiet_assets.assets.instance.opening import open_instance
from smartdiet_assets.assets.jobs import build_tags
from smartdiet_assets.assets.location import REPOSITORY_TAG
from smartdiet_assets.assets.naming import KIND_TAG, SOURCE_TAG
from smartdiet_assets.assets.sensors import CHANGE_SENSOR
from smartdiet_assets.errors import ConfigurationError
from smartdiet_assets.resources.dagster_home import choose_dagster_home
from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets_tests.conftest import skip_or_fail
from smartdiet_assets_tests.integration.assets.sensing import NOW, TABLES
from smartdiet_assets_tests.support.dagit import BIN, ROOT, Dagit

SELECTOR = {
    "repositoryLocationName": "smartdiet",
    "repositoryName": "__repository__",
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

BACKFILL = """
mutation ($parameters: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $parameters) { ... on LaunchBackfillSuccess { backfillId } }
}
"""
FIND = """
query ($filter: RunsFilter) {
  runsOrError(filter: $filter) { ... on Runs { results { status tags { key value } } } }
}
"""


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
    monkeypatch.setenv("PATH", f"{BIN}{os.pathsep}{os.environ['PATH']}")
    return choose_dagster_home(ROOT / "config")


def test_the_daemon_evaluates_the_sensor_and_its_run_is_launched_and_finishes(
    home: Path,
    dagster_database: str,
    postgres: psycopg.Connection,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On an instance in PostgreSQL; on one of files, `shipped/test_deploy`."""
    monkeypatch.setenv("SMARTDIET_DAGSTER_POSTGRES_URL", dagster_database)
    with open_instance(ROOT / "config") as instance:
        # Another mirror of this instance is at work: none of this one's business.
        tags = build_tags(load_schema(home.parent / "schemas.yaml"), ["users"])
        tags[REPOSITORY_TAG] = "__repository__@other"
        create_run_for_test(instance, job_name="mirror", status=dg.DagsterRunStatus.SUSPENDED, tags=tags)
    with ExitStack() as stack:
        dagit = Dagit(tmp_path / "dagster.log")
        stack.callback(dagit.close)
        selector = {**SELECTOR, "sensorName": CHANGE_SENSOR}
        started = dagit.wait_for("page", lambda: dagit.ask(START, selector=selector)["startSensor"])
        assert started["sensorState"]["status"] == "RUNNING"

        def find_ended_run() -> dict[str, Any] | None:
            data = dagit.ask(WATCH, selector=selector)
            for tick in data["sensorOrError"]["sensorState"]["ticks"]:
                assert tick["error"] is None, tick
            ended = [run for run in data["runsOrError"]["results"] if run["status"] in ("SUCCESS", "FAILURE")]
            return ended[0] if ended else None

        run = dagit.wait_for("run", find_ended_run)
        assert (run["jobName"], run["status"]) == ("mirror", "SUCCESS"), dagit.log.read_text()[-3000:]
        tags = {tag["key"]: tag["value"] for tag in run["tags"]}
        assert tags["smartdiet/reason"].startswith("companies: first load of companies; users: first load of ")
        assert tags["dagster/sensor_name"] == CHANGE_SENSOR

        parameters = {"assetSelection": [{"path": ["users"]}], "partitionNames": [f"{NOW:%Y-%m}-01"]}
        started = dagit.ask(BACKFILL, parameters=parameters)["launchPartitionBackfill"]
        tag = {"key": "dagster/backfill", "value": started["backfillId"]}

        def find_run_of_backfill() -> dict[str, Any] | None:
            runs = dagit.ask(FIND, filter={"tags": [tag]})["runsOrError"]["results"]
            return runs[0] if runs and runs[0]["status"] in ("SUCCESS", "FAILURE") else None

        run = dagit.wait_for("run of the backfill", find_run_of_backfill)
        assert run["status"] == "SUCCESS", dagit.log.read_text()[-3000:]
        tags = {tag["key"]: tag["value"] for tag in run["tags"]}
        assert (tags[KIND_TAG], tags[SOURCE_TAG]) == ("mirror", "mongodb"), "the limits of the queue hold for it"
    assert postgres.execute("SELECT count(*) FROM users").fetchone() == (1,)
    password = psycopg.conninfo.conninfo_to_dict(dagster_database)["password"]
    assert str(password) not in dagit.log.read_text()
    with psycopg.connect(dagster_database) as connection:
        assert connection.execute("SELECT count(*) FROM runs WHERE status = 'SUCCESS'").fetchone() == (2,)
    assert not (home / "history").exists()


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
