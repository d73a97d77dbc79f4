"""PostgreSQL as a resource: its settings, its connections and its check.

Here: how a connection is opened and closed. Not here: what is written through it (`load`), and which error is
which (`postgres_errors`).
"""

import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any
from weakref import WeakSet

import psycopg
from dagster import ConfigurableResource, InitResourceContext
from psycopg.pq import TransactionStatus
from pydantic import Field, PrivateAttr

from smartdiet_assets.errors import SmartdietError
from smartdiet_assets.resources.access import Access, LocalAccess, RemoteAccess, choose_prefix, describe_way
from smartdiet_assets.resources.checking import CheckResult
from smartdiet_assets.resources.configured import build_configured, require_read
from smartdiet_assets.resources.environment import read_environment
from smartdiet_assets.resources.postgres_errors import translate_postgres_error
from smartdiet_assets.resources.postgres_examination import fetch_facts, find_missing_rights
from smartdiet_assets.resources.postgres_watch import WatchedConnection
from smartdiet_assets.resources.tunnel import Tunnel, Way
from smartdiet_assets.resources.variables import Place

#: Where the mirror keeps its own state.
STATE_SCHEMA = "smartdiet"
#: How long an idle connection is taken to be good without asking the server.
_SECONDS_TRUSTED = 5.0
#: How often the server looks whether the client of a running statement is still there.
_CLIENT_CHECK = "10s"
_FIRST_WITH_CLIENT_CHECK = 140_000
_FIELDS_OF_VARIABLES = (
    "host", "port", "database", "user", "password", "ssl_mode", "ssl_ca", "ssl_cert", "ssl_key",
)  # fmt: skip


class PostgresResource(ConfigurableResource):  # type: ignore[type-arg]
    """The PostgreSQL database that holds the mirrored tables.

    Outside of a Dagster run use it as
    `with build_postgres_resource().process_config_and_initialize_cm() as postgres:`, which also resolves the
    variables.
    """

    host: str = Field(default="localhost", description="Host name or address (POSTGRES_HOST).")
    port: int = Field(default=5432, description="TCP port (POSTGRES_PORT).")
    database: str = Field(default="database", description="Name of the database (POSTGRES_DATABASE).")
    user: str = Field(default="user", description="Name of the user (POSTGRES_USER).")
    password: str = Field(default="", repr=False, description="Its password (POSTGRES_PASSWORD).")
    ssl_mode: str = Field(
        default="",
        description="Whether the connection is encrypted and the certificate checked, as libpq's sslmode "
        "(POSTGRES_SSL_MODE).",
    )
    ssl_ca: str = Field(default="", description="File of the certificate authority (POSTGRES_SSL_CA).")
    ssl_cert: str = Field(default="", description="File of our certificate (POSTGRES_SSL_CERT).")
    ssl_key: str = Field(default="", description="File of its key (POSTGRES_SSL_KEY).")
    access: Access = Field(
        default=LocalAccess(),
        discriminator="place",
        description="local: the server is reached directly; remote: through an SSH server, which host and port are "
        "then seen from (TRANSFER_DESTINATION).",
    )
    connect_timeout: float = Field(
        default=10.0, ge=2, description="Seconds to open a connection, 2 at least (CONNECT_TIMEOUT)."
    )
    stall_timeout: float = Field(
        default=30.0,
        ge=1,
        description="Seconds without a byte after which the server is asked, over a second connection, whether it "
        "still works for the first; where it twice does not, the connection counts as lost (STALL_TIMEOUT).",
    )
    keepalive_idle: float = Field(
        default=30.0,
        ge=1,
        description="Seconds of silence before a connection is probed (3 times, every 10 s).",
    )

    _connections: WeakSet[psycopg.Connection] = PrivateAttr(default_factory=WeakSet)
    _tunnel: Tunnel | None = PrivateAttr(default=None)
    #: The tables of a run may be in threads of their own. Held for the lists and the tunnel, never for a statement.
    _lock: threading.Lock = PrivateAttr(default_factory=threading.Lock)
    #: Those that a table of this run is done with, each with the moment it came back.
    _idle: list[tuple[float, psycopg.Connection]] = PrivateAttr(default_factory=list)

    @contextmanager
    def yield_for_execution(self, context: InitResourceContext) -> Generator["PostgresResource", None, None]:
        """Serve a run, and close after it every connection it left open.

        Connections open when a table asks for one: where the server is away, the table's step fails and is
        retried, not the whole run.
        """
        try:
            yield self
        finally:
            self.close()

    def connect(self) -> psycopg.Connection:
        """Open a connection, autocommit off; the caller closes it, at the latest the end of the run does.

        Raises:
            SmartdietError: by cause: ServerUnreachableError, AuthenticationError, DatabaseNotFoundError, ...
        """
        require_read(self)
        way = self._open_way()
        try:
            connection = self._open(way)
            with self._lock:
                self._connections.add(connection)
            _apply_client_check(connection)
        except psycopg.Error as error:
            if way is not None and way.failure is not None:
                raise way.failure from None
            raise self._translate(error, f"connecting to {self.describe()}") from None
        connection.autocommit = False
        connection.stall_timeout = self.stall_timeout
        connection.open_second = partial(self._open, way)
        connection.tunnelled_backend = connection.info.backend_pid if way is not None else 0
        # A run that waited for another one must see what that one wrote, whatever the server's default.
        connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
        return connection

    @contextmanager
    def borrow(self) -> Iterator[psycopg.Connection]:
        """Lend a connection with autocommit on, opened or left by an earlier table of the run.

        A table's run opens its transaction itself, and sends what comes first along with BEGIN. Opening a connection
        costs several times what an idle table's statements cost. It is kept for the next table when the
        block ends well, and closed when it ends with an error or within a transaction.

        Raises:
            SmartdietError: as `connect`.
        """
        connection = self._take_idle() or self.connect()
        connection.autocommit = True
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        if connection.info.transaction_status == TransactionStatus.IDLE:
            with self._lock:
                self._idle.append((time.monotonic(), connection))
        else:
            connection.close()

    def _take_idle(self) -> psycopg.Connection | None:
        while True:
            with self._lock:
                if not self._idle:
                    return None
                returned, connection = self._idle.pop()
            if connection.closed:
                continue
            if time.monotonic() - returned < _SECONDS_TRUSTED:
                return connection
            try:
                connection.execute("SELECT 1")
                connection.rollback()
            except psycopg.Error:
                # The server was restarted, or the network forgot the connection.
                connection.close()
            else:
                return connection

    def _open_way(self) -> Way | None:
        """Open the way through SSH; None where the server is reached directly.

        Raises:
            SmartdietError: there is none.
        """
        if not isinstance(self.access, RemoteAccess):
            return None
        with self._lock:
            if self._tunnel is None:
                self._tunnel = Tunnel(self.access, self.connect_timeout)
            tunnel = self._tunnel
        return tunnel.open(self.host, self.port)

    def _open(self, way: Way | None) -> WatchedConnection:
        """Open a connection with autocommit on, that gives up an answer after the time of connecting."""
        address, port = way.address if way is not None else (None, self.port)
        # A tunnel that turns out to be dead is opened anew meanwhile.
        timeout = self.connect_timeout * (1 if way is None else 2)
        connection = WatchedConnection.connect(
            # The server's certificate is for its name, also where the way leads elsewhere first.
            host=self.host,
            hostaddr=address,
            port=port,
            dbname=self.database,
            user=self.user,
            password=self.password,
            application_name="smartdiet",
            sslmode=self.ssl_mode or None,
            sslrootcert=self.ssl_ca or None,
            sslcert=self.ssl_cert or None,
            sslkey=self.ssl_key or None,
            connect_timeout=round(timeout),
            keepalives=1,
            keepalives_idle=round(self.keepalive_idle),
            keepalives_interval=10,
            keepalives_count=3,
            autocommit=True,
        )
        connection.opened_at = time.monotonic()
        connection.stall_timeout = self.connect_timeout
        return connection

    def close(self) -> None:
        """Close every connection that is still open, and the tunnel; what was not committed is rolled back."""
        with self._lock:
            connections = list(self._connections)
            self._connections.clear()
            self._idle.clear()
            tunnel, self._tunnel = self._tunnel, None
        for connection in connections:
            connection.close()
        if tunnel is not None:
            tunnel.close()

    def _translate(self, error: BaseException, action: str) -> SmartdietError:
        return translate_postgres_error(error, action, prefix=choose_prefix(self.access))

    def describe(self) -> str:
        """Name the server and database in a message."""
        return f"PostgreSQL database {self.database} at {self.host}:{self.port}{describe_way(self.access)}"

    def check(self) -> CheckResult:
        """Say in one sentence what keeps the mirror from writing to the database, if anything does."""
        try:
            sentence = self._find_fault()
        except SmartdietError as error:
            sentence = str(error)
        return CheckResult(name="postgres", ok=not sentence, sentence=sentence)

    def _find_fault(self) -> str:
        try:
            with self.connect() as connection:
                facts = fetch_facts(connection, STATE_SCHEMA)
        except psycopg.Error as error:
            raise self._translate(error, f"checking {self.describe()}") from None
        missing = next(find_missing_rights(facts, STATE_SCHEMA), None)
        return f"{self.describe()}: {missing.sentence.rstrip('.')}" if missing else ""


def _apply_client_check(connection: psycopg.Connection[Any]) -> None:
    """Have the server look, while a statement runs, whether we are still there.

    The backend of a killed run would otherwise hold its locks until its statement ends, an index of an hour too.
    """
    if connection.info.server_version < _FIRST_WITH_CLIENT_CHECK:
        return
    # A server on a system that cannot look refuses the setting.
    with suppress(psycopg.errors.InvalidParameterValue):
        connection.execute("SELECT set_config('client_connection_check_interval', %s, false)", [_CLIENT_CHECK])


def build_postgres_resource(place: Place | None = None) -> PostgresResource:
    """Build the resource that the environment describes; what a variable gives shows in Dagit as its name.

    Args:
        place: `local` reads the POSTGRES variables, `remote` the REMOTE_POSTGRES ones and those of the SSH server; None
            is what TRANSFER_DESTINATION says.

    Raises:
        ConfigurationError: a variable cannot be used, or the SSH server is not named.
    """
    settings = read_environment()
    place = place or settings.transfer_destination
    prefix = "REMOTE_" if place == "remote" else ""
    variables = {field: f"{prefix}POSTGRES_{field.upper()}" for field in _FIELDS_OF_VARIABLES}
    timeouts = {"connect_timeout": settings.connect_timeout, "stall_timeout": settings.stall_timeout}
    return build_configured(PostgresResource, variables, settings, timeouts, place)
