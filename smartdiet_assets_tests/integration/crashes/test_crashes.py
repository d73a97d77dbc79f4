"""Runs and servers killed at random moments, while documents keep changing: in the end every table is right.

SMARTDIET_KILLS is how many kills there are, SMARTDIET_KILL_SEED which ones. The counts are printed after the tests.
"""

import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pymongo import MongoClient

from smartdiet_assets.demo.mongo_server import EmbeddedMongo
from smartdiet_assets.demo.postgres_server import EmbeddedPostgres
from smartdiet_assets.demo.server_folder import find_free_port
from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets.schema.model import Schema
from smartdiet_assets_tests.conftest import FAST_POSTGRES, FIGURES
from smartdiet_assets_tests.integration.crashes.runner import Runner, build_fork_server
from smartdiet_assets_tests.integration.crashes.writer import SCHEMA, Writer
from smartdiet_assets_tests.oracle import MirrorOracle, compare, read_collections

KILLS = int(os.environ.get("SMARTDIET_KILLS", "12"))
SEED = int(os.environ.get("SMARTDIET_KILL_SEED", str(random.randrange(1 << 32))))
#: Every so many kills one is of a server; every so many the writer rests and the tables are compared.
KILLS_PER_SERVER_KILL, KILLS_PER_COMPARISON = 6, 12
CONFIG = Path(__file__).parents[3] / "config"
_LEDGER = """
SELECT (SELECT watermark FROM smartdiet.sync_state WHERE table_name = 'marks'), max(updated_at), count(*), max(number)
FROM marks"""
_RELATIONS = """
SELECT n.nspname, c.relname, c.relkind::text FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname IN ('public', 'smartdiet')
UNION ALL
SELECT n.nspname, k.conrelid::regclass || ' ' || pg_get_constraintdef(k.oid), k.convalidated::text
FROM pg_constraint AS k JOIN pg_namespace AS n ON n.oid = k.connamespace WHERE n.nspname IN ('public', 'smartdiet')"""


@pytest.fixture(scope="module")
def fork_server() -> ForkServerContext:
    return build_fork_server()


class Crashes:
    """Two servers of its own, a writer, and a run that is killed again and again."""

    def __init__(self, folder: Path, context: ForkServerContext) -> None:
        self.random = random.Random(SEED)
        self.kills: Counter[str] = Counter()
        self.syncs: Counter[str] = Counter()
        self.comparisons = self.server_kills = 0
        self.context = context
        self.postgres = EmbeddedPostgres(folder / "postgres", settings=FAST_POSTGRES, port=find_free_port())
        self.mongo = EmbeddedMongo(folder / "mongo", port=find_free_port())
        self.postgres.start()
        self.mongo.start()
        self.writer = Writer(self.mongo.uri, "source", SEED)
        (folder / "schemas.yaml").write_text(SCHEMA)
        (folder / "dagster.yaml").write_text((CONFIG / "dagster.yaml").read_text())
        self.schema: Schema = load_schema(folder / "schemas.yaml")
        self.environment = {
            "MONGODB_URL": self.mongo.uri,
            "MONGODB_DATABASE": "source",
            "POSTGRES_HOST": self.postgres.host,
            "POSTGRES_PORT": str(self.postgres.port),
            "POSTGRES_DATABASE": "mirror",
            "POSTGRES_USER": self.postgres.user,
            "POSTGRES_PASSWORD": self.postgres.password,
            "SMARTDIET_SCHEMAS": str(folder / "schemas.yaml"),
            "DAGSTER_HOME": str(folder),
            "BATCH_SIZE": "50",
        }
        with self.connect("postgres") as connection:
            connection.execute("CREATE DATABASE mirror")
            connection.execute("CREATE DATABASE fresh")
        self.runner = Runner(context, self.environment)

    def connect(self, database: str = "mirror") -> psycopg.Connection[Any]:
        return psycopg.connect(self.postgres.dsn(database), autocommit=True)

    def kill_run(self) -> None:
        """Kill the run after a random number of stages and a moment, and start another."""
        # A sync has some 60 stages; a first one, or one with rejects to retry, more.
        self.runner.await_stage(self.runner.seen + self.random.randrange(90), 30.0)
        time.sleep(self.random.random() ** 2 * 0.05)
        self.runner.kill()
        self._note_runner(self.runner)
        self.kills[self.runner.stage or "start"] += 1
        self.check_ledger()
        self.runner = Runner(self.context, self.environment)

    def kill_server(self) -> None:
        """Kill a server in mid run; the run goes on with what the restarted one holds."""
        self.runner.await_stage(self.runner.seen + 1 + self.random.randrange(60), 30.0)
        self.server_kills += 1
        server = self.postgres if self.server_kills % 2 else self.mongo
        server.kill()
        time.sleep(self.random.random())
        server.start()
        self.kills["server " + ("postgres" if server is self.postgres else "mongo")] += 1
        # It is retried, or fails with a clear error; either way the sync ends.
        finished = len(self.runner.exit_codes)
        while len(self.runner.exit_codes) == finished:
            assert self.runner.alive
            self.runner.await_stage(self.runner.seen + 1, 10.0)

    def check_ledger(self) -> None:
        """At every moment: no watermark ahead of its data, and no document left out below the newest."""
        with self.connect() as connection:
            if connection.execute("SELECT to_regclass('marks') IS NULL").fetchone() == (True,):
                return
            found = connection.execute(_LEDGER).fetchone()
        assert found is not None
        watermark, newest, count, last = found
        if count:
            assert count == last + 1
            assert watermark is not None
            assert watermark <= newest

    def compare(self) -> None:
        """Let the writer rest, sync once, and compare every table with the oracle."""
        self.writer.pause()
        self.writer.settle()
        self.runner.kill()
        self._note_runner(self.runner)
        self.sync_once("mirror")
        self.check_ledger()
        oracle = MirrorOracle(self.schema)
        with MongoClient[dict[str, Any]](self.mongo.uri) as client:
            oracle.observe(read_collections(client.source, self.schema))
        with self.connect() as connection:
            differences = compare(connection, oracle)
            assert not differences, f"{len(differences)} differences, seed {SEED}:\n" + "\n".join(differences[:20])
            self.check_nothing_is_left(connection)
        self.comparisons += 1
        print(f"equal to the oracle after {self.describe()}", flush=True)
        self.writer.start()
        self.runner = Runner(self.context, self.environment)

    def sync_once(self, database: str) -> None:
        """Run one sync that nobody disturbs."""
        runner = Runner(self.context, {**self.environment, "POSTGRES_DATABASE": database}, times=1)
        runner.await_end()
        self._note_runner(runner)
        assert runner.exit_codes == [0], runner.errors

    def check_nothing_is_left(self, connection: psycopg.Connection[Any]) -> None:
        """No lock, no temporary table, no connection of a killed run."""
        for what in (
            "pg_locks WHERE locktype = 'advisory'",
            "pg_class WHERE relpersistence = 't'",
            "pg_stat_activity WHERE application_name = 'smartdiet'",
            "pg_prepared_xacts",
        ):
            assert connection.execute(f"SELECT count(*) FROM {what}").fetchone() == (0,), what

    def describe(self) -> str:
        kills = sum(self.kills.values())
        return f"{kills} kills {dict(self.kills.most_common())}, syncs {dict(self.syncs)}"

    def count_rows(self) -> dict[str, int]:
        with self.connect() as connection:
            return {
                table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in self.schema.tables
            }

    def list_relations(self, database: str) -> set[Any]:
        with self.connect(database) as connection:
            return set(connection.execute(_RELATIONS).fetchall())

    def close(self) -> None:
        self.runner.kill()
        self.writer.close()
        self.postgres.remove()
        self.mongo.remove()

    def _note_runner(self, runner: Runner) -> None:
        assert runner.seen > len(runner.exit_codes) or 0 not in runner.exit_codes, (
            "the stages are not reported any more"
        )
        for code in runner.exit_codes:
            self.syncs[{0: "completed", 1: "a table failed", 2: "a server away"}[code]] += 1
        for errors in runner.errors:
            for error in errors.values():
                assert "unexpected" not in error, error


@pytest.fixture
def crashes(
    tmp_path: Path, fork_server: ForkServerContext, postgres_server: Any, mongo_server: Any
) -> Iterator[Crashes]:
    """The servers of the whole run only say, by being asked for, that this machine has the parts."""
    crashes = Crashes(tmp_path, fork_server)
    yield crashes
    crashes.close()


@pytest.mark.slow
@pytest.mark.timeout(600 + 30 * KILLS)
def test_after_any_kills_every_table_equals_the_oracle(
    crashes: Crashes, record_property: Callable[[str, object], None]
) -> None:
    started = time.monotonic()
    crashes.writer.start()
    for number in range(1, KILLS + 1):
        if number % KILLS_PER_SERVER_KILL == 0:
            crashes.kill_server()
        else:
            crashes.kill_run()
        if number % KILLS_PER_COMPARISON == 0:
            crashes.compare()
    if KILLS % KILLS_PER_COMPARISON:
        crashes.compare()
    crashes.writer.pause()
    crashes.writer.settle()
    crashes.runner.kill()
    rows = crashes.count_rows()
    assert all(rows.values())
    crashes.sync_once("fresh")
    assert crashes.list_relations("mirror") == crashes.list_relations("fresh")
    record_property(
        FIGURES,
        f"seed {SEED}, {time.monotonic() - started:.0f} s: {crashes.describe()}\n"
        f"{crashes.comparisons} comparisons, edits {dict(crashes.writer.edits)}, rows {rows}",
    )
