"""What a person waits for: whole commands, each a process of its own, with the settings they have by default.

The first `smartdiet sync`, the one after it with nothing changed, one after 1 % of the documents changed, and a run
started in Dagit and carried out by the daemon, of the tables of an old file, with Dagster's records in SQLite and in
PostgreSQL. The replaced tool, which sent a statement for each row, is started the same way. So Python's start, imports,
the look at the servers, Dagster's run and its events are in the times.

`status`, `check` and the code location are compared with importing Dagster, which nobody's code location can do
without.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pymongo.database import Database

from smartdiet_assets.assets.jobs import MIRROR_JOB
from smartdiet_assets.assets.partitions import build_partitions
from smartdiet_assets.demo.company import write_company
from smartdiet_assets.mirror.spool import Spool
from smartdiet_assets.mirror.turns import is_recording
from smartdiet_assets.resources.environment import VARIABLES
from smartdiet_assets_tests.benchmarks.company import SEED, date_documents
from smartdiet_assets_tests.benchmarks.dagster_floor import compose_variables
from smartdiet_assets_tests.benchmarks.loading import declare
from smartdiet_assets_tests.benchmarks.measuring import Comparison, Contestant, Rounds, UnequalWorkError, Work, measure
from smartdiet_assets_tests.benchmarks.peers.contents import sum_up_old_tables
from smartdiet_assets_tests.benchmarks.peers.entering import (
    NOT_INSTALLED,
    REPLACED,
    REPLACED_SCHEMA,
    clear_schema,
    create_replaced_tables,
)
from smartdiet_assets_tests.benchmarks.peers.replaced import read_tables
from smartdiet_assets_tests.benchmarks.servers import Connection, Servers
from smartdiet_assets_tests.benchmarks.settings import Settings
from smartdiet_assets_tests.support.dagit import Dagit
from smartdiet_assets_tests.support.old_file import compose_old_database, compose_old_file

SQLITE, POSTGRES = "SQLite", "PostgreSQL"
IMPORT = "import dagster"
#: What a command may take of the replaced tool's time: the first load of few rows, of ten times as many, and again.
FIRST_AT_MOST, LARGE_AT_MOST, AGAIN_AT_MOST = 0.6, 0.2, 1.5
LOCATION_AT_MOST, STATUS_CPU_SECONDS = 1.4, 1.0
#: From here on a first load counts as large.
_LARGE = 200_000
#: Rows of the old file's tables in a company of scale 1, to a few percent.
_ROWS_AT_SCALE_1 = 9_300_000
_EVERY = 100
_OBSTACLE = "Python's start, the drivers, the look at the servers: it costs as much for few rows as for many."
#: Behind the name of a storage: `smartdiet sync --wait`, which ends when Dagit shows the run too.
_SHOWN = ", until Dagit shows it"
_SECONDS_TO_RECORD = 300.0
_LOCATION = "import smartdiet_assets.definitions as location; location.defs()"
_LAUNCH = """
mutation ($job: JobOrPipelineSelector!, $tags: [ExecutionTag!]) {
  launchRun(executionParams: {selector: $job, mode: "default", runConfigData: {}, executionMetadata: {tags: $tags}}) {
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
  }
}
"""
_STATUS = "query ($run: ID!) { runOrError(runId: $run) { ... on Run { status } } }"
_ENDED = ("SUCCESS", "FAILURE", "CANCELED")
_SECONDS_BETWEEN_LOOKS = 0.1
_BOOKKEEPING = "smartdiet"


def run_whole(
    servers: Servers, settings: Settings, tables: Sequence[str] = (), storages: Sequence[str] = (SQLITE, POSTGRES)
) -> Iterator[Comparison]:
    """Compare the commands with the replaced tool and with importing Dagster, at each size.

    Args:
        tables: of the old file, with all they point at; none stands for all 31.
        storages: of Dagster's records.
    """
    for rows in settings.rows:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="smartdiet-whole-")))
            mongo = stack.enter_context(servers.open_mongo())
            write_company(mongo, SEED, rows / _ROWS_AT_SCALE_1, defects=False)
            date_documents(mongo)
            company = Company(servers, mongo, folder, compose_old_file(*tables), compose_old_database(*tables))
            mirrors = [company.open_mirror(stack, storage) for storage in storages]
            yield from _measure_loads(company, mirrors, settings)
            if rows == settings.rows[0]:
                yield from _measure_dagit(company, mirrors, settings)
                yield from _measure_commands(mirrors[0], settings)


@dataclass
class Company:
    """What is mirrored, and who mirrors it by which file."""

    servers: Servers
    mongo: Database[Any]
    folder: Path
    text: str
    #: What creates the replaced tool's tables.
    statements: Sequence[str]
    changed: int = 0

    def __post_init__(self) -> None:
        self.schemas = self.folder / "schemas.yaml"
        self.schemas.write_text(self.text)
        self.tables = read_tables(self.text)

    def open_mirror(self, stack: ExitStack, storage: str) -> "Mirror":
        """Open an empty target database, and one for Dagster's records where they are kept in PostgreSQL."""
        connection = stack.enter_context(self.servers.open_postgres())
        records = stack.enter_context(self.servers.open_postgres()) if storage == POSTGRES else None
        return Mirror(self, storage, connection, records)

    def change(self) -> None:
        """Change one document in a hundred of each collection, by nothing but its date."""
        self.changed = 0
        for name in self.mongo.list_collection_names():
            ids = [document["_id"] for document in self.mongo[name].find({}, {"_id": 1}).sort("_id", 1)][::_EVERY]
            now = datetime.now(UTC).replace(tzinfo=None)
            result = self.mongo[name].update_many({"_id": {"$in": ids}}, {"$set": {"update_date": now}})
            self.changed += result.modified_count

    def run_replaced(self, dsn: str) -> None:
        """Run the replaced tool's way in a process."""
        arguments = [self.servers.mongo.uri, self.mongo.name, dsn, REPLACED_SCHEMA, str(self.schemas)]
        start("-m", "smartdiet_assets_tests.benchmarks.peers.replaced", *arguments, env=None, folder=self.folder)


@dataclass
class Mirror:
    """A target database, with Dagster's records in one of the two storages."""

    company: Company
    storage: str
    connection: Connection
    records: Connection | None
    homes: int = 0
    home: Path = field(default_factory=Path)

    @property
    def variables(self) -> dict[str, str]:
        """The servers and the file; everything else as it is by default."""
        company = self.company
        variables = compose_variables(company.servers, self.connection, company.mongo, company.schemas, str(self.home))
        variables.pop("SMARTDIET_MARK_PARTITIONS", None)
        if self.records is not None:
            variables["SMARTDIET_DAGSTER_POSTGRES_URL"] = company.servers.postgres.dsn(self.records.info.dbname)
        return variables

    def prepare(self) -> None:
        """Leave databases without tables, and a Dagster without records."""
        for schema in (_BOOKKEEPING, "public"):
            clear_schema(self.connection, schema)
        if self.records is not None:
            clear_schema(self.records, "public")
        self.homes += 1
        self.home = self.company.folder / f"{self.storage}-{self.homes}"
        self.home.mkdir()

    def run(self, *command: str) -> None:
        """Run `smartdiet …` in a process."""
        start("-m", "smartdiet_assets.cli", *command, env=self.variables, folder=self.company.folder)

    def await_records(self) -> None:
        """Wait until the run is recorded: what goes on behind it would slow down whoever is measured next."""
        spool = Spool(self.home)
        deadline = time.monotonic() + _SECONDS_TO_RECORD
        while spool.list_files() or is_recording(spool.folder):
            assert time.monotonic() < deadline, spool.describe_kept() or "the run is not recorded"
            time.sleep(_SECONDS_BETWEEN_LOOKS)

    def check(self) -> Work:
        """Sum up the tables."""
        self.await_records()
        return sum_up_old_tables(self.connection, "public", self.company.tables)


def start(*arguments: str, env: Mapping[str, str] | None, folder: Path) -> None:
    """Run Python in a process without settings but the given ones; what it prints shows where it fails."""
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=compose_environment(env), capture_output=True, text=True
    )
    assert done.returncode == 0, f"{arguments[1]} ended with {done.returncode}: {done.stderr[-2000:]}"


def compose_environment(variables: Mapping[str, str] | None) -> dict[str, str]:
    """Compose the environment of a process: this one's without what changes how the project, or Python, runs."""
    changing = (*VARIABLES, "DAGSTER_HOME", "PYTHONDONTWRITEBYTECODE")
    kept = {name: value for name, value in os.environ.items() if name not in changing}
    # The replaced tool wrote the machine's local time.
    return {**kept, "TZ": "UTC", "PYTHONPATH": str(Path(__file__).parents[2]), **(variables or {})}


def _measure_loads(company: Company, mirrors: list[Mirror], settings: Settings) -> Iterator[Comparison]:
    # The replaced tool writes to a schema of its own in the first of the databases.
    connection = mirrors[0].connection
    dsn = company.servers.postgres.dsn(connection.info.dbname)

    def create() -> None:
        create_replaced_tables(connection, company.statements)

    def check() -> Work:
        return sum_up_old_tables(connection, REPLACED_SCHEMA, company.tables)

    def enter(prepare: bool) -> list[Contestant]:
        contestants = [
            Contestant(
                mirror.storage + (_SHOWN if options else ""),
                lambda mirror=mirror, options=options: mirror.run("sync", *options),  # type: ignore[misc]
                mirror.check,
                mirror.prepare if prepare else lambda: None,
            )
            for mirror in mirrors
            for options in ((), ("--wait",))
        ]
        if find_spec("psycopg2") is not None:
            contestants.append(
                Contestant(REPLACED, lambda: company.run_replaced(dsn), check, create if prepare else lambda: None)
            )
        return contestants

    first = measure("whole", "first load", enter(prepare=True), settings.pairs, settings.on_round)
    rows = int(first.work["rows"])
    at_most = LARGE_AT_MOST if rows >= _LARGE else FIRST_AT_MOST
    yield from _compare(first, f"first load, {rows:,} rows", at_most)
    # The window of the run after a first load is not that of those that follow.
    for mirror in mirrors:
        mirror.run("sync", "--wait")
    again = measure("whole", "nothing changed", enter(prepare=False), settings.pairs, settings.on_round)
    yield from _compare(again, f"again, nothing changed, {rows:,} rows", AGAIN_AT_MOST)

    # Each round has contents of its own, so they are compared within it.
    def state_rows() -> Work:
        for mirror in mirrors:
            mirror.await_records()
        return {"rows": rows}

    # The one that waits would find nothing changed.
    entered = [one for one in enter(prepare=False) if not one.name.endswith(_SHOWN)]
    contestants = [replace(one, check=state_rows) for one in entered]
    checks = [one.check for one in entered]
    contestants[0] = replace(contestants[0], prepare=company.change)
    contestants[-1] = replace(contestants[-1], check=lambda: _compare_contents(checks))
    changed = measure("whole", "1 % changed", contestants, settings.pairs, settings.on_round)
    yield from _compare(changed, f"again, 1 % changed, {rows:,} rows", None, {"changed": company.changed})


def _compare_contents(checks: Sequence[Callable[[], Work]]) -> Work:
    works = [check() for check in checks]
    if any(work != works[0] for work in works):
        raise UnequalWorkError(f"whole, 1 % changed: {works}")
    return {"rows": works[0]["rows"]}


def _compare(rounds: Rounds, case: str, at_most: float | None, work: Work | None = None) -> Iterator[Comparison]:
    entered = (storage + shown for shown in ("", _SHOWN) for storage in (SQLITE, POSTGRES))
    for storage in (name for name in entered if name in rounds.seconds):
        named = f"{case}, records in {storage}"
        if REPLACED in rounds.seconds:
            yield rounds.compare(
                storage,
                REPLACED,
                case=named,
                at_most=None if storage.endswith(_SHOWN) else at_most,
                work={**rounds.work, **(work or {})},
                obstacle=_OBSTACLE,
            )
        else:
            yield Comparison("whole", named, REPLACED, (), rounds.work, at_most=at_most, note=NOT_INSTALLED)


def _measure_dagit(company: Company, mirrors: list[Mirror], settings: Settings) -> Iterator[Comparison]:
    """Compare a run with nothing to do that is started in Dagit with the replaced tool started in a shell."""
    if find_spec("psycopg2") is None:
        return
    dsn = company.servers.postgres.dsn(mirrors[0].connection.info.dbname)
    newest = build_partitions(declare(company.text).partitions).get_last_partition_key()
    job = {"repositoryLocationName": "smartdiet", "repositoryName": "__repository__", "jobName": MIRROR_JOB}
    tags = [{"key": "dagster/partition", "value": newest}]
    for mirror in mirrors:
        with ExitStack() as stack:
            dagit = Dagit(company.folder / f"{mirror.storage}.log", compose_environment(mirror.variables))
            stack.callback(dagit.close)

            def run(dagit: Dagit = dagit) -> None:
                answer = dagit.ask(_LAUNCH, job=job, tags=tags)
                launched = answer["launchRun"]["run"]["runId"]
                while (status := dagit.ask(_STATUS, run=launched)["runOrError"]["status"]) not in _ENDED:
                    time.sleep(_SECONDS_BETWEEN_LOOKS)
                assert status == "SUCCESS", f"the run {launched} ended as {status}"

            dagit.wait_for("page", lambda dagit=dagit: dagit.ask("{ version }"))  # type: ignore[misc]
            # The first one waits for the code location.
            run()
            contestants = [
                Contestant(mirror.storage, run, mirror.check),
                Contestant(REPLACED, lambda: company.run_replaced(dsn), dict),
            ]
            rounds = measure("whole", "started in Dagit", contestants, settings.pairs, settings.on_round)
        yield from _compare(rounds, f"again, nothing changed, {rounds.work['rows']:,} rows, started in Dagit", None)


def _measure_commands(mirror: Mirror, settings: Settings) -> Iterator[Comparison]:
    folder = mirror.company.folder
    tables = {"tables": len(mirror.company.tables)}

    def run_python(code: str) -> None:
        start("-c", code, env=mirror.variables, folder=folder)

    contestants = [
        Contestant("location", lambda: run_python(_LOCATION), dict),
        Contestant("status", lambda: mirror.run("status"), dict),
        Contestant("check", lambda: mirror.run("check"), dict),
        Contestant(IMPORT, lambda: run_python("import dagster"), dict),
    ]
    rounds = measure("whole", "commands", contestants, settings.pairs, settings.on_round)
    yield rounds.compare(
        "location",
        IMPORT,
        case="the code location",
        at_most=LOCATION_AT_MOST,
        work=tables,
        obstacle="an asset for each table takes Dagster as long to build as it takes to read the file.",
    )
    yield rounds.compare("status", IMPORT, case="smartdiet status", work=tables)
    seconds = tuple(rounds.cpu_seconds["status"])
    yield Comparison(
        "whole", "smartdiet status, CPU time", "a second", seconds, tables, seconds, at_most=STATUS_CPU_SECONDS
    )
    yield rounds.compare("check", IMPORT, case="smartdiet check", work=tables)
