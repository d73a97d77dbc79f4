"""The real servers of the tests: each starts once, when the first test needs it.

Every test has databases of its own. A part that the machine lacks skips the test with the reason; with
CI=true it fails it.
"""

import functools
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, LiteralString, NoReturn, TypeVar

import psycopg
import pytest
import sqlalchemy
from alembic.script import ScriptDirectory
from dagster._core.execution import compute_logs
from hypothesis import HealthCheck, settings
from psycopg import sql
from pymongo import MongoClient
from pymongo.database import Database
from sqlalchemy import Engine

from smartdiet_assets.demo.embedded_server import EmbeddedServer
from smartdiet_assets.demo.mariadb_server import EmbeddedMariaDB
from smartdiet_assets.demo.mongo_server import EmbeddedMongo
from smartdiet_assets.demo.postgres_server import EmbeddedPostgres
from smartdiet_assets.errors import ConfigurationError
from smartdiet_assets.resources.environment import VARIABLES
from smartdiet_assets.resources.matomo import MatomoResource
from smartdiet_assets.resources.mongo import MongoResource
from smartdiet_assets.resources.postgres import PostgresResource
from smartdiet_assets_tests.support.ssh_servers import (
    InProcessSshServer,
    OpenSshServer,
    SshKeys,
    TunnelThreads,
    running,
)

#: Nothing here outlives the run, so nothing waits for a disk; no autovacuum writes while a test counts.
FAST_POSTGRES = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "max_wal_size": "4GB",
}
#: Where Linux keeps files in memory, and what has to be free there, in bytes.
_MEMORY, _ROOM = Path("/dev/shm"), 8 * 1024**3
_numbers = count(1)
# The processes that run the tests are told the width of a terminal, which no command of a test has.
os.environ.pop("COLUMNS", None)
# Of a test run in a shell's background every process would ignore Ctrl-C, by which Dagster ends its own ones.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Dagster reads all of its migrations anew for each file of each new instance, half a second; the tests make a thousand.
ScriptDirectory.from_config = functools.cache(ScriptDirectory.from_config)  # type: ignore[method-assign]
# For each run it starts four processes that follow what the run prints, to print it again; here nobody looks.
compute_logs.tail_to_stream = lambda path, stream: nullcontext((None, None))

# No test is a measurement: examples talk to servers, on machines that do something else meanwhile.
settings.register_profile("servers", settings(), deadline=None, suppress_health_check=list(HealthCheck))
settings.load_profile("servers")


@sqlalchemy.event.listens_for(Engine, "engine_connect")
def _wait_for_no_disk(connection: sqlalchemy.Connection) -> None:
    """Dagster's files of a test do not outlive the run either; each statement that makes one waits for the disk."""
    if connection.dialect.name == "sqlite":
        connection.connection.execute("PRAGMA synchronous = OFF")  # type: ignore[attr-defined]


#: The property of a test whose text is printed after all tests, also when they pass.
FIGURES = "figures"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests measured or counted."""
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        for name, text in report.user_properties:
            if name == FIGURES:
                terminalreporter.section(report.nodeid.rpartition("::")[2])
                terminalreporter.line(str(text))


def skip_or_fail(reason: str) -> NoReturn:
    """Skip a test whose real part is missing here; in CI, where nothing may be missing, fail it."""
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(f"CI must have every part: {reason}", pytrace=False)
    pytest.skip(reason)


Server = TypeVar("Server", bound=EmbeddedServer)


def run_server(server: Server) -> Iterator[Server]:
    """Run a server as a fixture does, and remove it with its data; without what it needs, the test is skipped."""
    try:
        server.start()
    except ConfigurationError as error:
        skip_or_fail(str(error))
    try:
        yield server
    finally:
        server.remove()


def choose_postgres_binaries() -> Path | None:
    """Choose the PostgreSQL that SMARTDIET_TEST_POSTGRES names: Debian's of a version, or 18, the one of the wheel."""
    version = os.environ.get("SMARTDIET_TEST_POSTGRES", "") or "18"
    if version == "18":
        return None
    binaries = Path("/usr/lib/postgresql", version, "bin")
    if not (binaries / "postgres").is_file():
        skip_or_fail(f"PostgreSQL {version} is not installed; run: apt-get install postgresql-{version}")
    return binaries


@contextmanager
def open_quick_folder(folder: Path) -> Iterator[Path]:
    """Give a folder in memory where there is room, else the one given: each test's database is six hundred files."""
    if not _MEMORY.is_dir() or shutil.disk_usage(_MEMORY).free < _ROOM:
        yield folder
        return
    with TemporaryDirectory(prefix="smartdiet-tests-", dir=_MEMORY) as made:
        # The account that PostgreSQL runs as passes it.
        os.chmod(made, 0o711)
        yield Path(made)


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """The shared PostgreSQL server. Do not stop or kill it: start another one for that."""
    settings = {**FAST_POSTGRES, "max_wal_size": "1GB"}
    with open_quick_folder(tmp_path_factory.mktemp("servers")) as folder:
        server = EmbeddedPostgres(folder / "postgres", settings=settings, binaries=choose_postgres_binaries())
        yield from run_server(server)


@pytest.fixture(scope="session")
def mongo_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedMongo]:
    """The shared MongoDB server. Do not stop or kill it: start another one for that."""
    yield from run_server(EmbeddedMongo(tmp_path_factory.mktemp("servers") / "mongo"))


#: Nothing here outlives the run, so nothing waits for a disk.
FAST_MARIADB = {"innodb-flush-log-at-trx-commit": "0", "skip-innodb-doublewrite": "ON", "local-infile": "ON"}


@pytest.fixture(scope="session")
def mariadb_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedMariaDB]:
    """The shared MariaDB server. Do not stop or kill it: start another one for that."""
    yield from run_server(EmbeddedMariaDB(tmp_path_factory.mktemp("servers") / "mariadb", settings=FAST_MARIADB))


@pytest.fixture
def matomo_database(mariadb_server: EmbeddedMariaDB) -> Iterator[str]:
    """The name of an empty MariaDB database that is this test's own."""
    name = f"test_{next(_numbers)}"
    with mariadb_server.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
        yield name
        cursor.execute(f"DROP DATABASE {name}")


@pytest.fixture
def matomo_resource(mariadb_server: EmbeddedMariaDB, matomo_database: str) -> MatomoResource:
    """The resource on this test's database."""
    return MatomoResource(
        host=mariadb_server.host,
        port=mariadb_server.port,
        database=matomo_database,
        user=mariadb_server.user,
        password=mariadb_server.password,
    )


@pytest.fixture(scope="session")
def postgres_admin(postgres_server: EmbeddedPostgres) -> Iterator[psycopg.Connection]:
    with psycopg.connect(postgres_server.dsn(), autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="session")
def mongo_client(mongo_server: EmbeddedMongo) -> Iterator[MongoClient[dict[str, Any]]]:
    """A client of the shared MongoDB server."""
    with MongoClient[dict[str, Any]](mongo_server.uri) as client:
        yield client


@contextmanager
def create_database(server: EmbeddedPostgres, admin: psycopg.Connection, options: LiteralString = "") -> Iterator[str]:
    """Create an empty database of the shared server for the time of the block; gives its URL."""
    name = f"test_{next(_numbers)}"
    # template0 is a database nobody can have written to; copying its files is the fastest way.
    statement = sql.SQL("CREATE DATABASE {} TEMPLATE template0 STRATEGY file_copy {}")
    admin.execute(statement.format(sql.Identifier(name), sql.SQL(options)))
    yield server.dsn(name)
    admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def postgres_database(postgres_server: EmbeddedPostgres, postgres_admin: psycopg.Connection) -> Iterator[str]:
    """The URL of an empty database that is this test's own."""
    with create_database(postgres_server, postgres_admin) as url:
        yield url


@pytest.fixture
def postgres(postgres_database: str) -> Iterator[psycopg.Connection]:
    """An open connection to this test's database, autocommit on: what it does shows at once."""
    with psycopg.connect(postgres_database, autocommit=True) as connection:
        yield connection


@pytest.fixture
def postgres_resource(postgres_database: str) -> Iterator[PostgresResource]:
    """The resource on this test's database."""
    parts = psycopg.conninfo.conninfo_to_dict(postgres_database)
    resource = PostgresResource(
        host=str(parts["host"]),
        port=int(str(parts["port"])),
        database=str(parts["dbname"]),
        user=str(parts["user"]),
        password=str(parts["password"]),
    )
    yield resource
    resource.close()


@pytest.fixture
def mongo_database(mongo_client: MongoClient[dict[str, Any]]) -> Iterator[Database[dict[str, Any]]]:
    """An empty database that is this test's own."""
    name = f"test_{next(_numbers)}"
    yield mongo_client[name]
    mongo_client.drop_database(name)


@pytest.fixture
def mongo_resource(mongo_server: EmbeddedMongo, mongo_database: Database[dict[str, Any]]) -> Iterator[MongoResource]:
    """The resource on this test's database."""
    resource = MongoResource(url=mongo_server.uri, database=mongo_database.name)
    yield resource
    resource.close()


@pytest.fixture(scope="session")
def ssh_keys(tmp_path_factory: pytest.TempPathFactory) -> SshKeys:
    """The keys of the SSH servers and of those who log in there."""
    return SshKeys(tmp_path_factory.mktemp("ssh_keys"))


@pytest.fixture(scope="session")
def _ssh_server(ssh_keys: SshKeys) -> Iterator[InProcessSshServer]:
    with running(InProcessSshServer(ssh_keys)) as server:
        yield server


@pytest.fixture
def ssh_server(_ssh_server: InProcessSshServer) -> Iterator[InProcessSshServer]:
    """The shared SSH server of this process, its log empty; at the end nobody may be connected to it any more."""
    _ssh_server.log.logins = _ssh_server.log.refused = 0
    _ssh_server.log.forwarded.clear()
    try:
        with TunnelThreads():
            yield _ssh_server
        _ssh_server.wait_until_left()
    finally:
        # One test's failure is not the next one's.
        _ssh_server.cut()


@pytest.fixture(scope="session")
def sshd(ssh_keys: SshKeys, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenSshServer]:
    """The shared real sshd; the key `ed25519` logs in."""
    server = OpenSshServer(tmp_path_factory.mktemp("sshd"), ssh_keys)
    try:
        server.start()
        yield server
    except ConfigurationError as error:
        skip_or_fail(str(error))
    finally:
        server.close()


@pytest.fixture
def own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No variable of ours, and a current folder whose parents have no `.env`; all restored afterwards."""
    for name in VARIABLES:
        # What was never set here, and what the tested code sets, would outlive the test.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def configured_servers(
    own_environment: Path,
    mongo_server: EmbeddedMongo,
    mongo_database: Database[dict[str, Any]],
    postgres_resource: PostgresResource,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The variables of this test's databases, and no others, in a folder without a `.env`."""
    for name, value in {
        "MONGODB_URL": mongo_server.uri,
        "MONGODB_DATABASE": mongo_database.name,
        "POSTGRES_HOST": postgres_resource.host,
        "POSTGRES_PORT": str(postgres_resource.port),
        "POSTGRES_DATABASE": postgres_resource.database,
        "POSTGRES_USER": postgres_resource.user,
        "POSTGRES_PASSWORD": postgres_resource.password,
    }.items():
        monkeypatch.setenv(name, value)
