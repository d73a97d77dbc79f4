"""`smartdiet demo`: the whole mirror on embedded servers, from an empty machine to a second, incremental run."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

import psycopg
import yaml
from psycopg import sql
from pymongo import MongoClient
from pymongo.database import Database
from pymysql.connections import Connection
from rich.console import Console
from rich.progress import Progress

from smartdiet_assets import definitions
from smartdiet_assets.assets.location import LOCATION
from smartdiet_assets.cli.connections import connect_postgres
from smartdiet_assets.cli.drift import print_drift
from smartdiet_assets.cli.recording import Recorder
from smartdiet_assets.cli.reports import (
    build_sync_grid,
    open_console,
    print_failures,
    print_grid,
    show_progress,
)
from smartdiet_assets.demo.analytics import apply_day_of_visits, create_matomo_tables, write_analytics
from smartdiet_assets.demo.company import DEMO_DAY, apply_day_of_changes, write_company
from smartdiet_assets.demo.mariadb_server import HOW_TO_HAVE_IT, EmbeddedMariaDB, has_mariadb
from smartdiet_assets.demo.mongo_server import EmbeddedMongo
from smartdiet_assets.demo.postgres_server import EmbeddedPostgres
from smartdiet_assets.mirror.outcome import SyncOutcome
from smartdiet_assets.mirror.sync import run_sync
from smartdiet_assets.resources.declarations import load_declared
from smartdiet_assets.resources.environment import read_environment
from smartdiet_assets.schema.documents import Document

DATABASE = "smartdiet"
_MATOMO_DATABASE = "matomo"
#: Those that have a value in the demo first.
_MATOMO_VARIABLES = (
    "MATOMO_HOST", "MATOMO_PORT", "MATOMO_DATABASE", "MATOMO_USER", "MATOMO_PASSWORD", "MATOMO_SOURCE",
    "MATOMO_TABLE_PREFIX", "MATOMO_SSL_CA", "MATOMO_SSL_CERT", "MATOMO_SSL_KEY", "MATOMO_SSL_VERIFY",
)  # fmt: skip
_SECONDS_TO_STOP_DAGIT = 30
#: What the demo shows of protection.
_PROTECTIONS = "protect: {users: {email: pseudonym}}\n"
_COMPANY_STEPS = "Generating the company"


def run_demo(folder: Path | None, *, scale: float, seed: int, serve: bool, port: int) -> int:
    """Run the demo and return its exit code; what it started is stopped however it ends.

    Args:
        folder: where the servers keep their data; under the user's cache folder when None. A folder used before is
            kept, its two databases are made anew.
        scale: size of the company; 1 is the size of the real one.
        seed: the same seed gives the same company.
        serve: open Dagit on the data and stay until interrupted.
        port: where Dagit listens.
    """
    folder = (folder or _default_folder()).resolve()
    console = open_console()
    try:
        with _terminated_as_interrupt(), ExitStack() as stack:
            console.print(f"Starting {_list_servers()} in {folder}", highlight=False)
            postgres = stack.enter_context(EmbeddedPostgres(folder / "postgres"))
            mongo = stack.enter_context(EmbeddedMongo(folder / "mongo"))
            _point_environment(folder, postgres, mongo)
            _create_database(postgres)
            client = stack.enter_context(MongoClient[Document](mongo.uri))
            client.drop_database(DATABASE)
            analytics = _start_matomo(console, stack, folder)
            return _run(console, folder, client[DATABASE], analytics, seed, scale, port if serve else None)
    except KeyboardInterrupt:
        console.print("Interrupted; the servers are stopped.")
        return 130


def _run(
    console: Console,
    folder: Path,
    source: Database[Document],
    analytics: "Connection | None",
    seed: int,
    scale: float,
    port: int | None,
) -> int:
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task(_COMPANY_STEPS, total=None)
        counts = write_company(
            source, seed, scale, lambda done, total: progress.update(task, completed=done, total=total)
        )
    console.print(f"Generated {sum(counts.values()):,} documents in {len(counts)} collections (seed {seed}).")
    if analytics is not None:
        rows = write_analytics(analytics, seed, scale)
        console.print(f"Generated {sum(rows.values()):,} rows in {len(rows)} tables of Matomo.")
    first = _mirror(console, "First load: every document", wait=False)
    changes = apply_day_of_changes(source, seed, DEMO_DAY)
    console.print(f"\nA day passed in the application: {changes}.", highlight=False)
    if analytics is not None:
        console.print(f"And in Matomo: {apply_day_of_visits(analytics, seed, DEMO_DAY)}.", highlight=False)
    second = _mirror(console, "Second run: only what changed is written", wait=True)
    _print_summary(console, folder, first, second)
    _show_pseudonym(console)
    if port is not None:
        _serve(console, folder, port)
    return 1 if first.failed or second.failed else 0


def _mirror(console: Console, title: str, *, wait: bool) -> SyncOutcome:
    environment = read_environment()
    schema = load_declared(environment)
    tables = [name for name, table in schema.tables.items() if environment.names(table.source_kind)]
    recorder = Recorder(environment.schemas_path.resolve().parent)
    with show_progress(console), recorder.following():
        outcome = run_sync(schema, environment, tables=tables, records=recorder.spool)
    print_grid(console, build_sync_grid(outcome, title))
    print_failures(console, outcome.errors)
    print_drift(console, outcome.drift)
    # Dagit is to show it all when it opens.
    if sentence := recorder.finish(wait=wait):
        console.print(sentence, highlight=False, markup=False)
    return outcome


def _show_pseudonym(console: Console) -> None:
    with connect_postgres(read_environment()) as connection:
        row = connection.execute("SELECT email FROM users WHERE email IS NOT NULL ORDER BY id LIMIT 1").fetchone()
    if row is not None:
        console.print(
            f"users.email holds pseudonyms such as {row[0]} (protect: pseudonym): they tell persons apart, and "
            "nobody reads who it is.",
            highlight=False,
        )


def _print_summary(console: Console, folder: Path, first: SyncOutcome, second: SyncOutcome) -> None:
    def written(outcome: SyncOutcome) -> int:
        return sum(table.inserted + table.updated + table.deleted for table in outcome.tables.values())

    rejected = sum(table.rejected for table in second.tables.values())
    console.print(
        f"\n{len(first.tables)} tables. First load: {written(first):,} rows in {first.seconds:.1f} s. "
        f"After a day of changes: {written(second):,} rows in {second.seconds:.1f} s.\n"
        f"{rejected:,} documents cannot be rows; smartdiet.rejected_rows keeps them, and every run tries them again.\n"
        f"The data stays in {folder}; `smartdiet demo --serve` opens it in Dagit.",
        highlight=False,
    )


def _serve(console: Console, folder: Path, port: int) -> None:
    # A module on the command line would be a code location of its own name, which has none of the demo's runs.
    target = {"python_module": {"module_name": definitions.__name__, "location_name": LOCATION}}
    workspace = folder / "workspace.yaml"
    workspace.write_text(yaml.safe_dump({"load_from": [target]}), encoding="utf-8")
    console.print(f"\nDagit: http://127.0.0.1:{port} (Ctrl-C stops it and the servers)", highlight=False)
    command = [
        sys.executable,
        "-m",
        "dagster",
        "dev",
        "-w",
        str(workspace),
        "-h",
        "127.0.0.1",
    ]
    process = subprocess.Popen([*command, "-p", str(port)])
    try:
        process.wait()
    finally:
        process.terminate()
        try:
            process.wait(_SECONDS_TO_STOP_DAGIT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _point_environment(folder: Path, postgres: EmbeddedPostgres, mongo: EmbeddedMongo) -> None:
    """Make the embedded servers the configured ones, for this process and for those that Dagster starts."""
    settings: Mapping[str, str] = {
        "MONGODB_URL": mongo.uri,
        "MONGODB_DATABASE": DATABASE,
        "POSTGRES_HOST": postgres.host,
        "POSTGRES_PORT": str(postgres.port),
        "POSTGRES_DATABASE": DATABASE,
        "POSTGRES_USER": postgres.user,
        "POSTGRES_PASSWORD": postgres.password,
        "DAGSTER_HOME": str(folder / "dagster"),
        "SMARTDIET_DAGSTER_POSTGRES_URL": "",
        "GLOBAL_DATE_THRESHOLD": "",
        "SMARTDIET_PROTECTED": str(folder / "protected.yaml"),
        "SMARTDIET_PSEUDONYM_KEY": "the demo's own key, which is no secret",
        "TRANSFER_SOURCE": "local",
        "TRANSFER_DESTINATION": "local",
        **dict.fromkeys(("POSTGRES_SSL_MODE", "POSTGRES_SSL_CA", "POSTGRES_SSL_CERT", "POSTGRES_SSL_KEY"), ""),
    }
    (folder / "dagster").mkdir(parents=True, exist_ok=True)
    (folder / "protected.yaml").write_text(_PROTECTIONS)
    os.environ.update(settings)


def _list_servers() -> str:
    return "PostgreSQL, MongoDB and MariaDB" if has_mariadb() else "PostgreSQL and MongoDB"


def _start_matomo(console: Console, stack: ExitStack, folder: Path) -> "Connection | None":
    """Start a MariaDB with an empty Matomo and make it the configured one; None where this machine has none."""
    if not has_mariadb():
        # Also where the user's own settings name a Matomo: the demo reads nothing but what it made.
        os.environ.update(dict.fromkeys(_MATOMO_VARIABLES, ""))
        console.print(f"Matomo is left out: this machine has no MariaDB. To have it: {HOW_TO_HAVE_IT}", highlight=False)
        return None
    server = stack.enter_context(EmbeddedMariaDB(folder / "mariadb"))
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {_MATOMO_DATABASE}")
        cursor.execute(f"CREATE DATABASE {_MATOMO_DATABASE}")
    values = (server.host, str(server.port), _MATOMO_DATABASE, server.user, server.password)
    os.environ.update(dict.fromkeys(_MATOMO_VARIABLES, "") | dict(zip(_MATOMO_VARIABLES, values, strict=False)))
    connection = stack.enter_context(server.connect(_MATOMO_DATABASE))
    create_matomo_tables(connection)
    return connection


def _create_database(postgres: EmbeddedPostgres) -> None:
    with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
        for statement in ("DROP DATABASE IF EXISTS {} WITH (FORCE)", "CREATE DATABASE {}"):
            connection.execute(sql.SQL(statement).format(sql.Identifier(DATABASE)))


def _default_folder() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "smartdiet" / "demo"


@contextmanager
def _terminated_as_interrupt() -> Iterator[None]:
    """Let SIGTERM and SIGINT end the demo as Ctrl-C does, so that what it started is stopped.

    SIGINT too: a shell starts a background job with it ignored, and Dagster gives SIGTERM the handler of SIGINT.
    """

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    previous = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
