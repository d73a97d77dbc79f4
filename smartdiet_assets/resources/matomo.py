"""Matomo's database (MariaDB or MySQL) as a resource: its settings, its connections and its check."""

import socket
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from dagster import InitResourceContext
from pydantic import Field, PrivateAttr

from smartdiet_assets.errors import SmartdietError
from smartdiet_assets.resources.access import Access, LocalAccess, RemoteAccess, describe_way
from smartdiet_assets.resources.checking import CheckResult
from smartdiet_assets.resources.configured import ServerResource, build_configured
from smartdiet_assets.resources.environment import Environment, build_field
from smartdiet_assets.resources.tunnel import Tunnel, Way
from smartdiet_assets.resources.variable_kinds import Place
from smartdiet_assets.schema.matomo import KNOWN_TABLES, compose_source_name

if TYPE_CHECKING:
    from pymysql.connections import Connection


class MatomoResource(ServerResource):
    """The database of the Matomo that is mirrored. Reads only.

    Outside of a Dagster run use it as
    `with build_matomo_resource(environment).open() as matomo:`, which reads the variables too.
    """

    server_fields = ("host", "port", "user", "ssl_ca", "ssl_verify")
    secret_fields = ("password", "ssl_key")

    host: str = build_field("MATOMO_HOST")
    port: int = build_field("MATOMO_PORT")
    database: str = build_field("MATOMO_DATABASE")
    user: str = build_field("MATOMO_USER")
    password: str = build_field("MATOMO_PASSWORD")
    table_prefix: str = build_field("MATOMO_TABLE_PREFIX")
    ssl_ca: str = build_field("MATOMO_SSL_CA")
    ssl_cert: str = build_field("MATOMO_SSL_CERT")
    ssl_key: str = build_field("MATOMO_SSL_KEY")
    ssl_verify: bool = build_field("MATOMO_SSL_VERIFY")
    access: Access = Field(
        default=LocalAccess(),
        discriminator="place",
        description="local: the server is reached directly; remote: through an SSH server, which host and port are "
        "then seen from (MATOMO_SOURCE).",
    )
    connect_timeout: float = build_field("CONNECT_TIMEOUT", ge=1)
    read_timeout: float = build_field("READ_TIMEOUT", ge=1)

    _tunnel: Tunnel | None = PrivateAttr(default=None)
    _lock: threading.Lock = PrivateAttr(default_factory=threading.Lock)

    @property
    def is_configured(self) -> bool:
        """Whether the environment says where Matomo is, where that describes the resource."""
        return self.settings is None or self.settings.matomo_configured

    @contextmanager
    def yield_for_execution(self, context: InitResourceContext) -> Generator["MatomoResource", None, None]:
        """Serve a run, and close the tunnel after it."""
        self.read_run_configuration(context)
        try:
            yield self
        finally:
            self.close()

    @contextmanager
    def connect(self) -> Generator["Connection", None, None]:
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

    def _open(self) -> "Connection":
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

    def _open_way(self) -> Way | None:
        """Open the way through SSH; None where the server is reached directly."""
        if not isinstance(self.access, RemoteAccess):
            return None
        with self._lock:
            if self._tunnel is None:
                self._tunnel = Tunnel(self.access, self.connect_timeout)
            tunnel = self._tunnel
        return tunnel.open(self.host, self.port)

    def close(self) -> None:
        """Close the tunnel where there is one; the next connection opens another."""
        with self._lock:
            tunnel, self._tunnel = self._tunnel, None
        if tunnel is not None:
            tunnel.close()

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
        return f"Matomo's database {self.spell('database')} at {self.spell_address()}{describe_way(self.access)}"

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


def build_matomo_resource(settings: Environment, place: Place | None = None) -> MatomoResource:
    """Build the resource that the settings describe; what a variable gives shows in Dagit as its name.

    Args:
        place: whether the server is reached through the SSH server; None is what MATOMO_SOURCE says. The variables are
            the same.

    Raises:
        ConfigurationError: the SSH server is not named.
    """
    place = place or settings.matomo_source
    return build_configured(MatomoResource, settings, place, {place: ""}, converted=("table_prefix",))
