"""A mirror over broken networks: a proxy before each server, and a sync through them.

Here: what the tests of this folder share. Not here: the faults (`fault_proxy`), or tests.
"""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
from pymongo.database import Database

from smartdiet_assets.assets.failures import find_given_up
from smartdiet_assets.assets.recorder import record_runs
from smartdiet_assets.definitions import build_definitions
from smartdiet_assets.mirror.attempt import RunSettings
from smartdiet_assets.mirror.outcome import SyncOutcome
from smartdiet_assets.mirror.progress import progress_log
from smartdiet_assets.mirror.spool import Spool
from smartdiet_assets.mirror.sync import read_run_settings, run_sync
from smartdiet_assets.resources.environment import Environment, read_environment
from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets.schema.model import Schema
from smartdiet_assets_tests.support.fault_proxy import FaultProxy
from smartdiet_assets_tests.support.partitions import with_few_partitions

SCHEMA = """
tables:
  companies:
    include_base: true
    additional_columns:
      - {name: name, sql_type: VARCHAR(400), nullable: false}
  users:
    include_base: true
    additional_columns:
      - {name: company_id, sql_type: VARCHAR, mongo_field: company, foreign_key: companies(id)}
"""
MONGO_TABLES = ["companies", "users"]
#: Documents of a collection, and characters of a name: a batch of 50 has some 17 kB.
DOCUMENTS, NAME = 300, 300
NOW = datetime.now(UTC).replace(tzinfo=None, microsecond=0)
#: As the product's, but shorter.
SHORT_RETRIES = RunSettings(retries=2, retry_delay=0.2)


def _build_few(schema: Schema, environment: Environment) -> dg.Definitions:
    return build_definitions(with_few_partitions(schema), environment)


@dataclass
class Sync:
    """What a sync did: its outcome, the seconds before each further try, by table, and the warnings of Dagster's log.

    `shown` is what an asset's page says of a failure, by table; `failures` all that Dagster keeps of why a step failed;
    `given_up` what other processes of the run find, by server.
    """

    outcome: SyncOutcome
    retries: dict[str, list[float]]
    warnings: list[str]
    shown: dict[str, str]
    failures: list[str]
    given_up: dict[str, str]

    @property
    def errors(self) -> dict[str, str]:
        return {name: table.error for name, table in self.outcome.tables.items() if table.error}


@dataclass
class Network:
    """The proxies, the databases behind them, and what happens when a try of a table has failed.

    Attributes:
        on_failure: called after each try that is worth a retry.
        row_counts: rows of the table that failed, seen directly after each such try.
    """

    proxies: dict[str, FaultProxy]
    mongo: Database[Any]
    postgres: psycopg.Connection[Any]
    schema_files: tuple[Path, ...]
    on_failure: Callable[[], None] = lambda: None
    row_counts: list[int] = field(default_factory=list)

    def write_documents(self) -> None:
        """Fill the source: companies, and users that point at them."""
        dates = [NOW - timedelta(days=number) for number in range(DOCUMENTS)]
        self.mongo.companies.insert_many(
            {"_id": f"company-{n:04}", "name": f"{n:0{NAME}}", "creation_date": date, "update_date": date}
            for n, date in enumerate(dates)
        )
        self.mongo.users.insert_many(
            {"_id": f"user-{n:04}", "company": f"company-{n:04}", "creation_date": date, "update_date": date}
            for n, date in enumerate(dates)
        )

    def sync(self, *names: str) -> Sync:
        """Run what `smartdiet sync` runs for the named tables, and record it in Dagster."""
        environment = read_environment()
        schema = load_schema(*self.schema_files)
        spool = Spool(Path(os.environ["DAGSTER_HOME"]))
        settings = replace(
            read_run_settings(environment), retries=SHORT_RETRIES.retries, retry_delay=SHORT_RETRIES.retry_delay
        )
        listener = _RetryListener(self)
        progress_log.addHandler(listener)
        try:
            outcome = run_sync(schema, environment, tables=names, settings=settings, records=spool)
        finally:
            progress_log.removeHandler(listener)
        with dg.DagsterInstance.ephemeral() as instance:
            record_runs(spool, instance, environment, _build_few, follow=False)
            assert not spool.list_files()
            entries = [entry for run in instance.get_runs() for entry in instance.all_logs(run.run_id)]
            warnings = [entry.user_message for entry in entries if entry.level == logging.WARNING]
            events = [entry.get_dagster_event() for entry in entries if entry.is_dagster_event]
            shown = {
                str(event.step_key): event.asset_observation_data.asset_observation.description or ""
                for event in events
                if event.event_type == dg.DagsterEventType.ASSET_OBSERVATION
            }
            failures = [
                event.step_failure_data.error.to_string()
                for event in events
                if event.event_type == dg.DagsterEventType.STEP_FAILURE and event.step_failure_data.error
            ]
            given_up = {
                server: find_given_up(instance, run.run_id, server)
                for run in instance.get_runs()
                for server in ("MongoDB", "PostgreSQL")
            }
            return Sync(outcome, listener.retries, warnings, shown, failures, given_up)

    def note_failure(self, table: str) -> None:
        """Count what a failed try has left, then let the test change the network."""
        self.row_counts.append(self.count(table))
        self.on_failure()

    def count(self, table: str) -> int:
        """Count the rows of a table, which may not be there."""
        found = self.postgres.execute("SELECT to_regclass(%s) IS NOT NULL", [table]).fetchone() == (True,)
        count = self.postgres.execute(f"SELECT count(*) FROM {table}").fetchone() if found else None
        return count[0] if count else 0

    def numbers(self, table: str) -> list[int]:
        """The last digits of the mirrored ids, in order."""
        rows = self.postgres.execute(f"SELECT right(id, 4)::integer FROM {table} ORDER BY id").fetchall()
        return [row[0] for row in rows]

    def assert_mirrored(self) -> None:
        """Every document is a row, once; nothing is rejected, nothing held, and another sync writes nothing."""
        for table in MONGO_TABLES:
            assert self.numbers(table) == list(range(DOCUMENTS)), table
        assert self.postgres.execute("SELECT count(*) FROM smartdiet.rejected_rows").fetchone() == (0,)
        assert self.postgres.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'").fetchone() == (0,)
        again = self.sync(*MONGO_TABLES)
        assert not again.errors
        assert not again.retries
        assert {(t.inserted, t.updated, t.deleted) for t in again.outcome.tables.values()} == {(0, 0, 0)}


class _RetryListener(logging.Handler):
    """Hears of each try that is worth another, before that one."""

    def __init__(self, network: Network) -> None:
        super().__init__(logging.WARNING)
        self.retries: dict[str, list[float]] = {}
        self._network = network

    def emit(self, record: logging.LogRecord) -> None:
        if hasattr(record, "retry_in"):
            table = str(vars(record)["table"])
            self.retries.setdefault(table, []).append(vars(record)["retry_in"])
            self._network.note_failure(table)
