"""Runs that workers on other hosts carry out: exact, in order, also when a host is lost; and not by other files."""

import contextlib
import itertools
import json
import os
import random
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, LiteralString, Self

import psycopg
import pytest
from kombu import Connection
from pymongo.database import Database

from smartdiet_assets.assets.naming import read_step
from smartdiet_assets.demo.company import write_company
from smartdiet_assets.demo.mongo_server import EmbeddedMongo
from smartdiet_assets.demo.postgres_server import EmbeddedPostgres
from smartdiet_assets.load.advisory import lock_tables
from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets.schema.model import Schema
from smartdiet_assets_tests.conftest import create_database
from smartdiet_assets_tests.integration.conftest import Smartdiet
from smartdiet_assets_tests.integration.machines.hosts import Broker, Host, wait_for
from smartdiet_assets_tests.support.dagit import ROOT
from smartdiet_assets_tests.support.mirrored import Mirrored
from smartdiet_assets_tests.support.shop import write_shop

SCHEMAS = (
    (ROOT / "smartdiet_assets_tests" / "support" / "shop.yaml")
    .read_text()
    .replace("  customers:\n", "  customers:\n    shard_documents: 100\n    shard_steps: true\n")
)
CUSTOMERS, SHARDS = 240, 48
#: Another table would have been written, and with another column.
OTHER_SCHEMAS = SCHEMAS.replace("{name: points, sql_type: INTEGER}", "{name: points, sql_type: BIGINT}")
#: Named by what the worker says of itself in the run's events.
CARRIED_OUT = re.compile(r"(smartdiet-\w+@\S+) carries out (\S+)")
#: Of the company that is mirrored over three hosts, and how many seconds a network is away there, at most.
SCALE, CUTS = (float(os.environ.get(f"SMARTDIET_{name}", "0")) for name in ("COMPANY", "CUTS"))
SECONDS_TO_RUN = 120
#: Not long enough for a worker to count as gone.
SECONDS_AWAY = 3.0


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

    def lose_step(self) -> int:
        """Have the broker forget what waits for a worker; gives whether there was something."""
        with Connection(os.environ["SMARTDIET_BROKER_URL"]) as broker:
            return int(broker.default_channel.queue_purge("dagster"))

    def find_workers(self, step: str) -> list[str]:
        """The workers that began a step, or one of those whose names begin so, in their order."""
        events = [event for _, event in self.read_events("ENGINE_EVENT")]
        texts = [event["user_message"] or event["dagster_event"]["message"] for event in events]
        found = [match for text in texts if (match := CARRIED_OUT.search(text))]
        return [match[1] for match in found if step == match[2] or match[2].startswith(f"{step}[")]


class Writer:
    """Saves customers all the while: new ones, and some without an address, whose rows would keep the first date."""

    def __init__(self, database: Database[Any]) -> None:
        self._customers = database["customers"]
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._write)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def _write(self) -> None:
        bare = [found["_id"] for found in self._customers.find({"addresses": []}, {"_id": 1})]
        for number in itertools.count():
            now = datetime.now(UTC).replace(tzinfo=None)
            dates = {"updatedAt": now}
            change = {"$set": {"points": number, **dates}}
            self._customers.update_one({"_id": bare[number % len(bare)]}, change)
            new = {"email": f"new{number}@shop.example", "addresses": [], "createdAt": now, **dates}
            self._customers.insert_one(new)
            if self._over.wait(0.1):
                return


def at_least(count: int, found: list[str]) -> list[str] | None:
    return found if len(found) >= count else None


def count_planned(postgres: psycopg.Connection) -> int | None:
    if postgres.execute("SELECT to_regclass('smartdiet.load_shards')").fetchone() == (None,):
        return None
    return fetch(postgres, "SELECT count(*) FROM smartdiet.load_shards") or None


def count_waiting(postgres: psycopg.Connection, kind: LiteralString) -> int:
    return fetch(postgres, f"SELECT count(*) FROM pg_locks WHERE locktype = '{kind}' AND NOT granted")


def count_redone(postgres: psycopg.Connection) -> int | None:
    """Rows that were inserted more than once; the server's counts follow after a while."""
    inserted = "SELECT n_tup_ins FROM pg_stat_user_tables WHERE relname = 'customers'"
    return max(0, fetch(postgres, inserted) - fetch(postgres, "SELECT count(*) FROM customers")) or None


def fetch(postgres: psycopg.Connection, query: LiteralString) -> int:
    found = postgres.execute(query).fetchone()
    assert found is not None
    return int(found[0])


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


def test_workers_on_three_hosts_mirror_exactly_though_each_is_lost_in_its_way(
    network: Network,
    mongo_database: Database[Any],
    postgres_database: str,
    postgres: psycopg.Connection,
    smartdiet: Smartdiet,
) -> None:
    write_shop(mongo_database, customers=CUSTOMERS)
    schema = load_schema(network.folder / "schemas.yaml")
    with contextlib.ExitStack() as stack:
        holding = stack.enter_context(psycopg.connect(postgres_database))
        hosts = [stack.enter_context(network.add_host(name)) for name in ("second", "third", "fourth")]
        started = [host.start_worker(network.variables, SCHEMAS) for host in hosts]
        lock_tables(holding, ["orders"])
        writer = stack.enter_context(Writer(mongo_database))
        run = network.start_run()
        workers = {worker.wait_until_ready(): (host, worker) for host, worker in zip(hosts, started, strict=True)}

        # In mid shard, each with rows that are not there for anybody yet.
        with psycopg.connect(postgres_database) as shards:
            wait_for("plan", lambda: count_planned(postgres))
            shards.execute("LOCK TABLE smartdiet.load_shards IN SHARE MODE")
            wait_for("copies", lambda: count_waiting(postgres, "relation") == len(hosts) or None)
            killed, briefly_away = network.find_workers("customers.copy")[-2:]
            workers.pop(killed)[1].kill()
            workers[briefly_away][0].cut()
            time.sleep(SECONDS_AWAY)
            workers[briefly_away][0].mend()

        cut_off = wait_for("worker at orders", lambda: network.find_workers("orders") or None)[0]
        wait_for("its wait for the table", lambda: count_waiting(postgres, "advisory") or None)
        workers[cut_off][0].cut()
        other = wait_for("another worker at orders", lambda: at_least(2, network.find_workers("orders")))[1]
        workers[cut_off][0].mend()
        # Its step is ended, the other one's is not.
        wait_for("end of the step that was given away", lambda: count_waiting(postgres, "advisory") == 1 or None)
        workers.pop(other)[1].kill()
        assert wait_for("the one that is back", lambda: at_least(3, network.find_workers("orders")))[2] == cut_off
        holding.rollback()

        said, _ = run.communicate(timeout=SECONDS_TO_RUN)
        assert run.returncode == 0, said[-3000:]
        writer.stop()
        redone = wait_for("count of rows", lambda: count_redone(postgres))
        smartdiet("sync")
        assert Mirrored(schema, mongo_database, postgres).compare() == []
        assert said.count("the step is given to another worker") == 3
        assert redone <= 2 * CUSTOMERS / SHARDS
        check_records(network, schema)

        asked = smartdiet("doctor", "--workers", "--json")
        findings = [found for found in json.loads(asked.out)["findings"] if found["part"] in workers]
        passed = {found["check"] for found in findings if found["status"] == "passed"}
        assert {"declarations", "mongodb connection", "postgres connection", "dagster storage"} <= passed
    texts = [said, asked.out, *(worker.log.read_text() for worker in started)]
    texts += [json.dumps(event) for _, event in network.read_events()]
    assert not [secret for secret in network.secrets if any(secret in text for text in texts)]


@pytest.mark.skipif(not SCALE, reason="SMARTDIET_COMPANY=0.01 is how large a company to mirror")
def test_the_companys_tables_on_three_hosts_though_their_networks_come_and_go(
    network: Network, mongo_database: Database[Any], postgres: psycopg.Connection
) -> None:
    path = network.folder / "schemas.yaml"
    shutil.copy(ROOT / "config" / "schemas.yaml", path)
    schema = load_schema(path)
    documents = sum(write_company(mongo_database, scale=SCALE).values())
    with contextlib.ExitStack() as stack:
        hosts = [stack.enter_context(network.add_host(name)) for name in ("second", "third", "fourth")]
        for worker in [host.start_worker(network.variables, path.read_text()) for host in hosts]:
            worker.wait_until_ready()
        begun = time.monotonic()
        run, chance = network.start_run(), random.Random(1)
        while CUTS and run.poll() is None:
            host = chance.choice(hosts)
            host.cut()
            time.sleep(chance.uniform(0, CUTS))
            host.mend()
            time.sleep(chance.uniform(0, CUTS))
        said, _ = run.communicate(timeout=SECONDS_TO_RUN * 5)
        seconds = time.monotonic() - begun
    assert run.returncode == 0, said[-3000:]
    assert "the step is given to another worker" not in said
    assert Mirrored(schema, mongo_database, postgres).compare() == []
    check_records(network, schema)
    print(f"{documents} documents, {len(schema.tables)} tables, {seconds:.0f} s")


def check_records(network: Network, schema: Schema) -> None:
    """Check that each step succeeded once, and began when those of the parents of its table were over."""
    ends = network.read_events("STEP_SUCCESS")
    over = {step: event["timestamp"] for step, event in ends}
    assert len(ends) == len(over)
    told = [event["dagster_event"]["event_specific_data"] for _, event in network.read_events("ASSET_MATERIALIZATION")]
    partitions = [(json.dumps(of["materialization"]["asset_key"]), of["materialization"]["partition"]) for of in told]
    assert len(partitions) == len(set(partitions))
    assert network.read_events("STEP_FAILURE") == []
    assert network.read_events("STEP_UP_FOR_RETRY") == []
    tables = {table: at for step, at in over.items() for table, ended in [read_step(step)] if ended}
    assert set(tables) == set(schema.tables)
    for step, event in network.read_events("STEP_START"):
        parents = schema.tables[read_step(step)[0]].parents
        assert all(tables[parent] <= event["timestamp"] for parent in parents), f"{step} began before a parent"


def test_a_lost_step_is_given_out_again_and_a_worker_with_other_declarations_writes_nothing_and_says_so(
    network: Network, mongo_database: Database[Any], postgres: psycopg.Connection, smartdiet: Smartdiet
) -> None:
    write_shop(mongo_database, customers=20)
    with network.add_host("other") as host:
        run = network.start_run()
        # As when it went to a worker whose network has just gone.
        wait_for("step", lambda: network.lose_step() or None)
        host.start_worker(network.variables, OTHER_SCHEMAS).wait_until_ready()
        said, _ = run.communicate(timeout=SECONDS_TO_RUN)
        assert run.returncode == 1
        assert "no worker has it; the step is given to another worker" in said
        assert f"{host.name} has other declarations" in " ".join(said.split())
        assert network.read_events("STEP_UP_FOR_RETRY") == []
        assert postgres.execute("SELECT to_regclass('categories')").fetchone() == (None,)

        asked = smartdiet("doctor", "--workers", "--json")
    failed = [found["sentence"] for found in json.loads(asked.out)["findings"] if found["status"] == "failed"]
    assert any("other declarations" in sentence for sentence in failed)
    assert asked.code == 1
