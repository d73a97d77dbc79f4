"""Connections to a PostgreSQL server by plain settings, and its check: what the resource and the command line share."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, ClassVar
from weakref import WeakSet

from smartdiet_assets.errors import ConfigurationError, PermissionDeniedError, SmartdietError
from smartdiet_assets.resources.checking import CheckResult
from smartdiet_assets.resources.environment import Environment
from smartdiet_assets.resources.ssh_settings import PlainServer
from smartdiet_assets.resources.tunnel import Tunnelled, Way

if TYPE_CHECKING:
    import psycopg

    from smartdiet_assets.resources.postgres_rights import PostgresFacts
    from smartdiet_assets.resources.postgres_watch import WatchedConnection

#: Where the mirror keeps its own state.
STATE_SCHEMA = "smartdiet"
#: Seconds of silence before a connection is probed.
KEEPALIVE_IDLE = 30.0
#: Those that have a variable each.
FIELDS = ("host", "port", "database", "user", "password", "ssl_mode", "ssl_ca", "ssl_cert", "ssl_key")


class PostgresConnections(Tunnelled):
    """Opens connections to the database that its fields describe, lends them, and closes them all."""

    # Whoever has the settings gives them; of a model, what is annotated here would become a field.
    #: How long an idle connection is taken to be good without asking the server.
    seconds_trusted: ClassVar[float] = 5.0

    if TYPE_CHECKING:
        database: str
        user: str
        password: str
        #: As libpq's parameters; "" leaves one to libpq.
        ssl_mode: str
        ssl_ca: str
        ssl_cert: str
        ssl_key: str
        #: Where the tables are; "" is what the search path says.
        target_schema: str
        #: Seconds.
        stall_timeout: float
        keepalive_idle: float
        _connections: WeakSet[psycopg.Connection]
        _idle: list[tuple[float, WatchedConnection]]

        def require_usable(self) -> None:
            """Refuse settings that must not be used."""

        def spell(self, field: str, value: object = None) -> str:
            """Spell a setting as a message may show it; `value` is how the server spells it, where that differs."""

        def spell_address(self) -> str:
            """Spell host and port as a message may show them."""

    def connect(self) -> "WatchedConnection":
        """Open a connection, autocommit off; the caller closes it, at the latest the end of the run does.

        Raises:
            SmartdietError: by cause: ServerUnreachableError, AuthenticationError, DatabaseNotFoundError, ...
        """
        import psycopg

        self.require_usable()
        if self.target_schema == STATE_SCHEMA:
            raise ConfigurationError(
                f"{STATE_SCHEMA} is the schema of the mirror's own records: name another target_schema"
            )
        way = self._open_way()
        try:
            connection = self._open(way)
            with self._lock:
                self._connections.add(connection)
            connection.target_schema = self.target_schema
            connection.settle()
        except psycopg.Error as error:
            if way is not None and way.failure is not None:
                raise way.failure from None
            raise self._translate(error, f"connecting to {self.describe()}") from None
        connection.autocommit = False
        connection.stall_timeout = self.stall_timeout
        connection.open_second = partial(self._open, way)
        connection.tunnelled_backend = connection.info.backend_pid if way is not None and not connection.pooled else 0
        # A run that waited for another one must see what that one wrote, whatever the server's default.
        connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
        return connection

    @contextmanager
    def borrow(self, *, making_schema: bool = False) -> "Iterator[psycopg.Connection]":
        """Lend a connection with autocommit on, opened or left by an earlier table of the run.

        A table's run opens its transaction itself, and sends what comes first along with BEGIN. Opening a connection
        costs several times what an idle table's statements cost. It is kept for the next table when the
        block ends well, and closed when it ends with an error or within a transaction.

        Args:
            making_schema: whether `target_schema` is made where it is missing.

        Raises:
            SmartdietError: as `connect`.
            PermissionDeniedError: the schema is missing, and the user may not make it.
        """
        from psycopg.pq import TransactionStatus

        connection = self._take_idle() or self.connect()
        connection.autocommit = True
        try:
            if making_schema and connection.lacks_schema:
                self._make_schema(connection)
            yield connection
        except BaseException:
            connection.close()
            raise
        if connection.info.transaction_status == TransactionStatus.IDLE:
            with self._lock:
                self._idle.append((time.monotonic(), connection))
        else:
            connection.close()

    def _make_schema(self, connection: "WatchedConnection") -> None:
        import psycopg
        from psycopg import sql

        from smartdiet_assets.resources.postgres_rights import spell_statement

        try:
            with connection.transaction():
                # Two that make it at once would both find it missing.
                connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('smartdiet create schema', 0))")
                connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(self.target_schema)))
        except psycopg.errors.InsufficientPrivilege:
            schema, user = self.spell("target_schema"), self.spell("user")
            statement = spell_statement("CREATE SCHEMA {} AUTHORIZATION {}", schema, user)
            raise PermissionDeniedError(
                f"{self.describe()} has no schema {schema}, and the user {user} no right to make it; run {statement}"
            ) from None
        connection.lacks_schema = False

    def _take_idle(self) -> "WatchedConnection | None":
        import psycopg

        while True:
            with self._lock:
                if not self._idle:
                    return None
                returned, connection = self._idle.pop()
            if connection.closed:
                continue
            if time.monotonic() - returned < self.seconds_trusted:
                return connection
            try:
                connection.execute("SELECT 1")
                connection.rollback()
            except psycopg.Error:
                # The server was restarted, or the network forgot the connection.
                connection.close()
            else:
                return connection

    def _open(self, way: Way | None) -> "WatchedConnection":
        """Open a connection with autocommit on, that gives up an answer after the time of connecting."""
        from smartdiet_assets.resources.postgres_watch import WatchedConnection

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
            client_encoding="UTF8",
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
        for connection in connections:
            connection.close()
        super().close()

    def _translate(self, error: BaseException, action: str) -> SmartdietError:
        from smartdiet_assets.resources.postgres_errors import translate_postgres_error

        return translate_postgres_error(error, action, prefix="REMOTE_" if self.remote else "")

    def describe(self) -> str:
        """Name the server and database in a message."""
        way = f" through {self.remote.describe()}" if self.remote else ""
        return f"PostgreSQL database {self.spell('database')} at {self.spell_address()}{way}"

    def spell_facts(self, facts: "PostgresFacts") -> "PostgresFacts":
        """Spell the names in what the server says as a message may show them."""
        return replace(
            facts,
            database=self.spell("database", facts.database),
            user_name=self.spell("user", facts.user_name),
            target_schema=self.spell("target_schema"),
        )

    def check(self) -> CheckResult:
        """Say in one sentence what keeps the mirror from writing to the database, if anything does."""
        try:
            sentence = self._find_fault()
        except SmartdietError as error:
            sentence = str(error)
        return CheckResult(name="postgres", ok=not sentence, sentence=sentence)

    def _find_fault(self) -> str:
        import psycopg

        from smartdiet_assets.resources.postgres_rights import fetch_facts, find_missing_rights

        try:
            with self.connect() as connection:
                facts = self.spell_facts(fetch_facts(connection, STATE_SCHEMA, self.target_schema))
        except psycopg.Error as error:
            raise self._translate(error, f"checking {self.describe()}") from None
        missing = next(find_missing_rights(facts, STATE_SCHEMA), None)
        return f"{self.describe()}: {missing.sentence.rstrip('.')}" if missing else ""


class PostgresServer(PostgresConnections, PlainServer):
    """The database that the environment describes, without Dagster, for the command line; close it after use."""

    def __init__(self, settings: Environment) -> None:
        """Keep the settings; nothing is opened yet.

        Raises:
            ConfigurationError: the SSH server is not named.
        """
        super().__init__(settings, settings.transfer_destination)
        prefix = "REMOTE_" if self.remote else ""
        for field in FIELDS:
            setattr(self, field, settings.get(f"{prefix}POSTGRES_{field.upper()}"))
        self.connect_timeout, self.stall_timeout = settings.connect_timeout, settings.stall_timeout
        self.keepalive_idle, self.target_schema = KEEPALIVE_IDLE, ""
        self._connections, self._idle = WeakSet(), []
        self._tunnel, self._lock = None, threading.Lock()
