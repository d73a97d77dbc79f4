"""Connections to Matomo's database (MariaDB or MySQL) by plain settings, and its check.

Here: how a connection is opened and closed. Not here: what is read through it (`extract`), which error is which
(`matomo_errors`), and anything of Dagster (`matomo`).
"""

import socket
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from smartdiet_assets.errors import SmartdietError
from smartdiet_assets.resources.checking import CheckResult
from smartdiet_assets.resources.environment import Environment
from smartdiet_assets.resources.ssh_settings import PlainServer
from smartdiet_assets.resources.tunnel import Tunnelled
from smartdiet_assets.schema.matomo import KNOWN_TABLES, compose_source_name

if TYPE_CHECKING:
    from pymysql.connections import Connection


#: Those that have a variable each.
_FIELDS = (
    "host", "port", "database", "user", "password", "table_prefix", "ssl_ca", "ssl_cert", "ssl_key", "ssl_verify",
)  # fmt: skip


class MatomoConnections(Tunnelled):
    """Opens connections to the database that its fields describe."""

    # Whoever has the settings gives them; of a model, what is annotated here would become a field.
    if TYPE_CHECKING:
        database: str
        user: str
        password: str
        table_prefix: str
        ssl_ca: str
        ssl_cert: str
        ssl_key: str
        ssl_verify: bool
        #: Seconds.
        read_timeout: float

        def require_usable(self) -> None:
            """Refuse settings that must not be used."""

        def spell(self, field: str, value: object = None) -> str:
            """Spell a setting as a message may show it; `value` is how the server spells it, where that differs."""

        def spell_address(self) -> str:
            """Spell host and port as a message may show them."""

    @contextmanager
    def connect(self) -> Generator["Connection[Any]", None, None]:
        """Open a connection that gives values as the bytes the server sends; closed at the end of the block.

        Raises:
            SmartdietError: by cause: ServerUnreachableError, AuthenticationError, DatabaseNotFoundError, ...
            ConfigurationError: a file of the TLS options cannot be used.
        """
        connection = self._open()
        try:
            yield connection
        finally:
            # Without a word to the server: there may be half an answer on the line.
            connection._force_close()

    def _open(self) -> "Connection[Any]":
        import pymysql
        from pymysql.converters import encoders

        from smartdiet_assets.resources.matomo_errors import translate_matomo_error
        from smartdiet_assets.resources.matomo_session import StreamingCursor, prepare_session

        self.require_usable()
        action = f"connecting to {self.describe()}"
        way = self._open_way()
        connection = None
        try:
            connection = pymysql.connect(
                # Through a tunnel, the socket is ours, and the host still the one the certificate is for.
                defer_connect=way is not None,
                host=self.host,
                port=self.port,
                database=self.database,
                user=self.user,
                password=self.password,
                charset="utf8mb4",
                # Text is decoded value by value: one that is not valid must not end the run.
                use_unicode=False,
                conv=dict(encoders),
                autocommit=True,
                cursorclass=StreamingCursor,
                connect_timeout=self.connect_timeout,
                # Of the driver's own, only the TCP connection has to come about in that time, not the login.
                read_timeout=self.connect_timeout,
                write_timeout=self.connect_timeout,
                program_name="smartdiet",
                **self._compose_tls(),
            )
            if way is not None:
                connection.connect(socket.create_connection(way.address, self.connect_timeout))
            prepare_session(connection)
        except (pymysql.Error, OSError, ValueError) as error:
            if connection is not None:
                connection._force_close()
            if way is not None and way.failure is not None:
                raise way.failure from None
            raise translate_matomo_error(error, action) from None
        connection._read_timeout = connection._write_timeout = self.read_timeout
        return connection

    def _compose_tls(self) -> dict[str, Any]:
        if not (self.ssl_ca or self.ssl_cert):
            return {}
        return {
            "ssl_ca": self.ssl_ca or None,
            "ssl_cert": self.ssl_cert or None,
            "ssl_key": self.ssl_key or None,
            "ssl_verify_cert": self.ssl_verify,
            "ssl_verify_identity": self.ssl_verify,
        }

    def describe(self) -> str:
        """Name the server and database in a message."""
        way = f" through {self.remote.describe()}" if self.remote else ""
        return f"Matomo's database {self.spell('database')} at {self.spell_address()}{way}"

    def name_of(self, source_table: str) -> str:
        """Name a declared table as it is called on the server."""
        return compose_source_name(source_table, self.table_prefix)

    def check(self, source_tables: Sequence[str] = KNOWN_TABLES) -> CheckResult:
        """Say in one sentence what keeps the mirror from reading tables, if anything does."""
        try:
            self._find_fault(source_tables)
        except SmartdietError as error:
            return CheckResult(name="matomo", ok=False, sentence=str(error))
        return CheckResult(name="matomo", ok=True)

    def _find_fault(self, source_tables: Sequence[str]) -> None:
        import pymysql

        from smartdiet_assets.resources.matomo_errors import translate_matomo_error

        with self.connect() as connection, connection.cursor() as cursor:
            for name in map(self.name_of, source_tables):
                try:
                    cursor.execute("SELECT 1 FROM `{}` LIMIT 1".format(name.replace("`", "``")))
                    cursor.fetchall()
                except pymysql.Error as error:
                    raise translate_matomo_error(error, f"reading {name} of {self.describe()}") from None


class MatomoServer(MatomoConnections, PlainServer):
    """The database that the environment describes, without Dagster, for the command line; close it after use."""

    def __init__(self, settings: Environment) -> None:
        """Keep the settings; nothing is opened yet.

        Raises:
            ConfigurationError: the SSH server is not named.
        """
        super().__init__(settings, settings.matomo_source)
        for field in _FIELDS:
            setattr(self, field, settings.get(f"MATOMO_{field.upper()}"))
        self.connect_timeout, self.read_timeout = settings.connect_timeout, settings.read_timeout
        self._tunnel, self._lock = None, threading.Lock()
