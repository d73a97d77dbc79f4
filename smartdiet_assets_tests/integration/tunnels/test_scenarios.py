"""The four scenarios and Matomo, through whole commands: equal tables, one login, nobody left."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pymysql
import pytest
from pymongo.database import Database

from smartdiet_assets.assets.sensors import CHANGE_SENSOR
from smartdiet_assets.definitions import build_definitions
from smartdiet_assets.demo.analytics import create_matomo_tables, write_analytics
from smartdiet_assets.resources.environment import read_environment
from smartdiet_assets.resources.matomo import MatomoResource
from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets_tests.integration.conftest import Smartdiet
from smartdiet_assets_tests.oracle import compare, read_collections
from smartdiet_assets_tests.support.application import Application
from smartdiet_assets_tests.support.compact import FIELDS, MEMBERS, SCHEMA, birth
from smartdiet_assets_tests.support.mirrored import Mirrored
from smartdiet_assets_tests.support.remote import build_access, move_behind_ssh, set_ssh_variables
from smartdiet_assets_tests.support.ssh_servers import InProcessSshServer, OpenSshServer, wait_until

CONFIG = Path(__file__).parents[3] / "config"


class Scenario:
    """A compact application, its mirror by the command line, and what the oracle expects of it."""

    def __init__(
        self, folder: Path, mongo: Database[dict[str, Any]], postgres: psycopg.Connection, smartdiet: Smartdiet
    ) -> None:
        path = folder / "tables.yaml"
        path.write_text(SCHEMA)
        self.mirrored = Mirrored(load_schema(path), mongo, postgres)
        self.application = Application(mongo)
        self.folder = folder
        self.smartdiet = smartdiet

    def save(self, **changes: Any) -> None:
        """Save every document of every collection."""
        for collection in FIELDS:
            for number in range(MEMBERS):
                known = {name: value for name, value in changes.items() if name in FIELDS[collection]}
                self.application.save(collection, number, birth(collection, number), known)

    def sync(self) -> list[str]:
        """Run `smartdiet sync`; the differences from what the oracle expects."""
        result = self.smartdiet("sync", "--json")
        assert result.code == 0, result.err
        assert json.loads(result.out)["tables"]
        mirrored = self.mirrored
        mirrored.oracle.observe(read_collections(mirrored.mongo, mirrored.schema), mirrored._holder)
        return compare(mirrored.connection, mirrored.oracle)


@pytest.fixture
def scenario(
    configured_servers: None,
    mongo_database: Database[dict[str, Any]],
    postgres: psycopg.Connection,
    smartdiet: Smartdiet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Scenario:
    """The compact application, whose servers are local."""
    monkeypatch.setenv("SMARTDIET_SCHEMAS", str(tmp_path / "tables.yaml"))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    return Scenario(tmp_path, mongo_database, postgres, smartdiet)


@pytest.mark.parametrize(("source", "destination"), [(False, False), (False, True), (True, False), (True, True)])
def test_a_scenario_mirrors_the_same_over_one_connection_that_is_closed(
    scenario: Scenario, ssh_server: InProcessSshServer, monkeypatch: pytest.MonkeyPatch, source: bool, destination: bool
) -> None:
    set_ssh_variables(monkeypatch, build_access(ssh_server))
    move_behind_ssh(monkeypatch, source=source, destination=destination)
    scenario.save()
    assert scenario.sync() == []
    remote = source or destination
    assert ssh_server.log.logins == remote
    ssh_server.wait_until_left()
    # The local variables lead nowhere, and each remote server was reached by its own name.
    assert len(set(ssh_server.log.forwarded)) == source + destination
    if source and destination:
        scenario.save(name="élan", registered=[], liked=None)
        assert scenario.sync() == []
        assert ssh_server.log.logins == 2


def test_the_commands_that_look_at_servers_do_so_over_one_connection(
    scenario: Scenario, sshd: OpenSshServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_ssh_variables(monkeypatch, build_access(sshd))
    move_behind_ssh(monkeypatch, source=True, destination=True)
    scenario.save()
    for command in (("sync",), ("check", "--all"), ("reconcile", "--dry-run"), ("status",), ("rejects",)):
        before = sshd.logins
        result = scenario.smartdiet(*command)
        assert result.code == 0, (command, result.out, result.err)
        assert sshd.logins - before == 1, command
        sshd.wait_until_left()


def test_matomo_is_read_through_ssh(
    scenario: Scenario,
    ssh_server: InProcessSshServer,
    matomo_resource: MatomoResource,
    postgres: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pymysql.connect(
        host=matomo_resource.host, port=matomo_resource.port, user=matomo_resource.user,
        password=matomo_resource.password, database=matomo_resource.database, autocommit=True,
    ) as source:  # fmt: skip
        create_matomo_tables(source)
        write_analytics(source, seed=1, scale=0.001)
    for field in ("host", "port", "database", "user", "password"):
        monkeypatch.setenv(f"MATOMO_{field.upper()}", str(getattr(matomo_resource, field)))
    monkeypatch.setenv("MATOMO_SOURCE", "remote")
    monkeypatch.setenv("SMARTDIET_MATOMO_SCHEMAS", str(CONFIG / "matomo_schemas.yaml"))
    set_ssh_variables(monkeypatch, build_access(ssh_server))
    tables = ["matomo_log_action", "matomo_log_visit", "matomo_log_link_visit_action"]
    result = scenario.smartdiet("sync", *tables)
    assert result.code == 0, result.err
    row = postgres.execute("SELECT count(*) FROM matomo_log_visit").fetchone()
    assert row is not None
    assert row[0] > 0
    # Every row is compared with the one it comes from.
    result = scenario.smartdiet("check", "--all", *tables)
    assert result.code == 0, result.out
    assert ssh_server.log.logins == 2
    assert set(ssh_server.log.forwarded) == {(matomo_resource.host, matomo_resource.port)}


@pytest.mark.parametrize("place", ["source", "destination"])
def test_a_wrong_password_is_one_sentence_and_nobody_stays(
    scenario: Scenario, ssh_server: InProcessSshServer, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    scenario.save()
    set_ssh_variables(monkeypatch, build_access(ssh_server, password="wrong-s3cret"))
    move_behind_ssh(monkeypatch, **{place: True})
    result = scenario.smartdiet("sync")
    assert result.code == 2
    assert "refuses the user tunnel; tried: the password" in result.err
    assert "wrong-s3cret" not in result.out + result.err
    # A server that bans who fails too often is not asked again and again.
    assert ssh_server.log.refused == 1


def test_a_failed_table_leaves_nobody_connected(
    scenario: Scenario, ssh_server: InProcessSshServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario.save()
    # Not as it is declared.
    scenario.mirrored.connection.execute("CREATE TABLE teams (id integer PRIMARY KEY)")
    set_ssh_variables(monkeypatch, build_access(ssh_server))
    move_behind_ssh(monkeypatch, source=True, destination=True)
    result = scenario.smartdiet("sync")
    assert result.code == 1, result.err
    assert ssh_server.log.logins == 1
    ssh_server.wait_until_left()


def test_an_interrupted_command_leaves_nobody_connected(
    scenario: Scenario, ssh_server: InProcessSshServer, postgres: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario.save()
    assert scenario.sync() == []
    set_ssh_variables(monkeypatch, build_access(ssh_server))
    move_behind_ssh(monkeypatch, source=True, destination=True)
    scenario.save(name="blue")
    with postgres.transaction():
        postgres.execute("LOCK TABLE teams IN ACCESS EXCLUSIVE MODE")
        process = subprocess.Popen(
            [sys.executable, "-m", "smartdiet_assets.cli", "sync"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        wait_until(lambda: postgres.execute(waiting).fetchone() != (0,), "the sync waits for the table")
        assert ssh_server.log.open == 1
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate()
    assert process.returncode == 130, errors
    ssh_server.wait_until_left()


def test_a_process_for_each_table_has_a_connection_of_its_own_and_closes_it(
    scenario: Scenario, ssh_server: InProcessSshServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario.save()
    set_ssh_variables(monkeypatch, build_access(ssh_server))
    move_behind_ssh(monkeypatch, source=True, destination=True)
    monkeypatch.setenv("SMARTDIET_EXECUTOR", "multiprocess")
    (scenario.folder / "dagster").mkdir()
    job = build_definitions(scenario.mirrored.schema, read_environment()).resolve_job_def("mirror")
    assert job.partitions_def is not None
    done = subprocess.run(
        [
            sys.executable, "-m", "dagster", "asset", "materialize", "-m", "smartdiet_assets.definitions",
            "--select", "teams,events", "--partition", str(job.partitions_def.get_last_partition_key()),
        ],
        capture_output=True, text=True, check=False, env={**os.environ},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert scenario.mirrored.connection.execute("SELECT count(*) FROM events").fetchone() == (MEMBERS,)
    # Of two tables, and of the two steps that evaluate the checks of picked ones.
    assert ssh_server.log.logins == 4
    ssh_server.wait_until_left()


def test_tables_side_by_side_in_threads_share_one_connection(
    scenario: Scenario, ssh_server: InProcessSshServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_ssh_variables(monkeypatch, build_access(ssh_server))
    move_behind_ssh(monkeypatch, source=True, destination=True)
    scenario.save()
    assert scenario.sync() == []
    assert ssh_server.log.logins == 1
    ssh_server.wait_until_left()


def test_a_tick_of_the_sensor_closes_its_connection(
    scenario: Scenario, ssh_server: InProcessSshServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario.save()
    set_ssh_variables(monkeypatch, build_access(ssh_server))
    move_behind_ssh(monkeypatch, source=True, destination=True)
    definitions = build_definitions(scenario.mirrored.schema, read_environment())
    repository = definitions.get_repository_def()
    with (
        dg.DagsterInstance.ephemeral() as instance,
        dg.build_sensor_context(
            instance=instance, repository_def=repository, resources=definitions.resources
        ) as context,
    ):
        answer = repository.get_sensor_def(CHANGE_SENSOR).evaluate_tick(context)
    assert answer.run_requests, answer.skip_message
    assert ssh_server.log.logins == 1
    ssh_server.wait_until_left()
