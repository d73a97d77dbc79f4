"""Runs that workers on other hosts carry out: exact, in order, also when a host is lost; and not by other files."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pymongo.database import Database

from smartdiet_assets.demo.mongo_server import EmbeddedMongo
from smartdiet_assets.demo.postgres_server import EmbeddedPostgres
from smartdiet_assets.load.advisory import lock_tables
from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets_tests.conftest import create_database
from smartdiet_assets_tests.integration.conftest import Smartdiet
from smartdiet_assets_tests.integration.machines.hosts import Broker, Host, wait_for
from smartdiet_assets_tests.support.dagit import ROOT
from smartdiet_assets_tests.support.mirrored import Mirrored
from smartdiet_assets_tests.support.shop import write_shop

SCHEMAS = (ROOT / "smartdiet_assets_tests" / "support" / "shop.yaml").read_text()
#: Another table would have been written, and with another column.
OTHER_SCHEMAS = SCHEMAS.replace("{name: points, sql_type: INTEGER}", "{name: points, sql_type: BIGINT}")
#: Named by what the worker says of itself in the run's events.
CARRIED_OUT = re.compile(r"(smartdiet-\w+@\S+) carries out (\w+)")
SECONDS_TO_RUN = 120


@dataclass
class Network:
    """The first host's servers and variables, and what a run left in Dagster's records."""

    folder: Path
    variables: dict[str, str]
    ports: tuple[int, ...]
    records: psycopg.Connection[Any]
    secrets: tuple[str, ...]

    def add_host(self, name: str) -> Host:
        return Host(self.folder, name, self.ports)

    def start_run(self) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "smartdiet_assets_tests.integration.machines.launch"]
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def read_events(self, kind: str | None = None) -> list[tuple[str, dict[str, Any]]]:
        """The steps and events so far, in their order; of one kind where that is given."""
        if self.records.execute("SELECT to_regclass('event_logs')").fetchone() == (None,):
            return []
        found = self.records.execute(
            "SELECT step_key, event FROM event_logs WHERE %(kind)s::text IS NULL OR dagster_event_type = %(kind)s"
            " ORDER BY id",
            {"kind": kind},
        ).fetchall()
        return [(step, json.loads(event)) for step, event in found]

    def find_workers(self, table: str | None = None) -> list[str]:
        """The workers that began a table's step, or any, in their order."""
        events = [event for _, event in self.read_events("ENGINE_EVENT")]
        texts = [event["user_message"] or event["dagster_event"]["message"] for event in events]
        found = [match for text in texts if (match := CARRIED_OUT.search(text))]
        return [match[1] for match in found if table in (None, match[2])]


@pytest.fixture
def network(
    configured_servers: None,
    postgres_server: EmbeddedPostgres,
    postgres_admin: psycopg.Connection,
    mongo_server: EmbeddedMongo,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Network]:
    broker = Broker(tmp_path)
    try:
        with create_database(postgres_server, postgres_admin) as url, psycopg.connect(url, autocommit=True) as records:
            (tmp_path / "schemas.yaml").write_text(SCHEMAS)
            for name, value in {
                "SMARTDIET_SCHEMAS": str(tmp_path / "schemas.yaml"),
                "SMARTDIET_EXECUTOR": "celery",
                "SMARTDIET_BROKER_URL": broker.url,
                "SMARTDIET_DAGSTER_POSTGRES_URL": url,
                "DAGSTER_HOME": str(tmp_path / "dagster"),
            }.items():
                monkeypatch.setenv(name, value)
            wanted = ("MONGODB_", "POSTGRES_", "SMARTDIET_BROKER", "SMARTDIET_DAGSTER")
            given = {name: value for name, value in os.environ.items() if name.startswith(wanted)}
            ports = (broker.port, postgres_server.port, mongo_server.port)
            yield Network(tmp_path, given, ports, records, (broker.password, postgres_server.password))
    finally:
        broker.close()


def test_workers_on_two_hosts_mirror_exactly_though_one_is_lost(
    network: Network,
    mongo_database: Database[Any],
    postgres_database: str,
    postgres: psycopg.Connection,
    smartdiet: Smartdiet,
) -> None:
    write_shop(mongo_database, customers=40)
    schema = load_schema(network.folder / "schemas.yaml")
    with (
        network.add_host("second") as second,
        network.add_host("third") as third,
        psycopg.connect(postgres_database) as holding,
    ):
        workers = [host.start_worker(network.variables, SCHEMAS) for host in (second, third)]
        names = {worker.wait_until_ready(): worker for worker in workers}
        lock_tables(holding, ["orders"])
        run = network.start_run()
        lost = wait_for("worker at orders", lambda: network.find_workers("orders") or None)[0]
        names.pop(lost).kill()
        holding.rollback()
        said, _ = run.communicate(timeout=SECONDS_TO_RUN)
        assert run.returncode == 0, said[-3000:]
        assert Mirrored(schema, mongo_database, postgres).compare() == []
        assert set(network.find_workers()) == {lost, *names}
        assert network.find_workers("orders")[-1] in names
        assert "the step is given to another worker" in said

        begun = [(step, event["timestamp"]) for step, event in network.read_events("STEP_START")]
        over = {step: event["timestamp"] for step, event in network.read_events("STEP_SUCCESS")}
        assert set(over) == set(schema.tables)
        for table, at in begun:
            assert all(over[parent] <= at for parent in schema.tables[table].parents), f"{table} began before a parent"

        asked = smartdiet("doctor", "--workers", "--json")
        findings = [found for found in json.loads(asked.out)["findings"] if found["part"] in names]
        passed = {found["check"] for found in findings if found["status"] == "passed"}
        assert {"declarations", "mongodb connection", "postgres connection", "dagster storage"} <= passed
    texts = [said, asked.out, *(worker.log.read_text() for worker in workers)]
    texts += [json.dumps(event) for _, event in network.read_events()]
    assert not [secret for secret in network.secrets if any(secret in text for text in texts)]


def test_a_worker_with_other_declarations_writes_nothing_and_says_so(
    network: Network, mongo_database: Database[Any], postgres: psycopg.Connection, smartdiet: Smartdiet
) -> None:
    write_shop(mongo_database, customers=20)
    with network.add_host("other") as host:
        host.start_worker(network.variables, OTHER_SCHEMAS).wait_until_ready()
        run = network.start_run()
        said, _ = run.communicate(timeout=SECONDS_TO_RUN)
        assert run.returncode == 1
        assert f"{host.name} has other declarations" in " ".join(said.split())
        assert network.read_events("STEP_UP_FOR_RETRY") == []
        assert postgres.execute("SELECT to_regclass('categories')").fetchone() == (None,)

        asked = smartdiet("doctor", "--workers", "--json")
    failed = [found["sentence"] for found in json.loads(asked.out)["findings"] if found["status"] == "failed"]
    assert any("other declarations" in sentence for sentence in failed)
    assert asked.code == 1
