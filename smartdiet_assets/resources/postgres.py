"""PostgreSQL as a resource: its settings, and which of them the environment gives."""

import threading
from typing import TYPE_CHECKING, ClassVar, Self
from weakref import WeakSet

from pydantic import Field, PrivateAttr

from smartdiet_assets.resources.configured import ServerResource, build_configured
from smartdiet_assets.resources.environment import Environment, build_field
from smartdiet_assets.resources.postgres_server import KEEPALIVE_IDLE, PostgresConnections
from smartdiet_assets.resources.tunnel import Tunnel
from smartdiet_assets.resources.variable_kinds import Place

if TYPE_CHECKING:
    import psycopg

    from smartdiet_assets.resources.postgres_watch import WatchedConnection


class PostgresResource(PostgresConnections, ServerResource):
    """The PostgreSQL database that holds the mirrored tables.

    Outside of a Dagster run use it as `with resource.open() as postgres:`, which reads the variables.

    Example: `PostgresResource(host="db", user="shop", password=dg.EnvVar("SHOP_PASSWORD"), database="warehouse")`
    """

    server_fields = ("host", "port", "user", "ssl_mode", "ssl_ca")
    secret_fields = ("password", "ssl_key")
    ambient_secrets: ClassVar = {"password": "PGPASSWORD"}

    host: str = build_field("POSTGRES_HOST")
    port: int = build_field("POSTGRES_PORT")
    database: str = build_field("POSTGRES_DATABASE")
    user: str = build_field("POSTGRES_USER")
    password: str = build_field("POSTGRES_PASSWORD")
    ssl_mode: str = build_field("POSTGRES_SSL_MODE")
    ssl_ca: str = build_field("POSTGRES_SSL_CA")
    ssl_cert: str = build_field("POSTGRES_SSL_CERT")
    ssl_key: str = build_field("POSTGRES_SSL_KEY")
    target_schema: str = Field(
        default="",
        description="Schema that holds the tables, which the first run makes where it is missing; the first of the "
        "user's search_path where none is given.",
    )
    connect_timeout: float = build_field("CONNECT_TIMEOUT", "Seconds to open a connection, 2 at least", ge=2)
    stall_timeout: float = build_field("STALL_TIMEOUT", ge=1)
    keepalive_idle: float = Field(
        default=KEEPALIVE_IDLE,
        ge=1,
        description="Seconds of silence before a connection is probed (3 times, every 10 s).",
    )

    _connections: "WeakSet[psycopg.Connection]" = PrivateAttr(default_factory=WeakSet)
    _tunnel: Tunnel | None = PrivateAttr(default=None)
    #: The tables of a run may be in threads of their own. Held for the lists and the tunnel, never for a statement.
    _lock: threading.Lock = PrivateAttr(default_factory=threading.Lock)
    #: Those that a table of this run is done with, each with the moment it came back.
    _idle: "list[tuple[float, WatchedConnection]]" = PrivateAttr(default_factory=list)

    def in_schema(self, target_schema: str) -> Self:
        """The same database, the tables in a schema of it."""
        return type(self)(**{**dict(self), "target_schema": target_schema})


def build_postgres_resource(settings: Environment, place: Place | None = None) -> PostgresResource:
    """Build the resource that the settings describe; what a variable gives shows in Dagit as its name.

    Args:
        place: `local` reads the POSTGRES variables, `remote` the REMOTE_POSTGRES ones and those of the SSH server; None
            is what TRANSFER_DESTINATION says.

    Raises:
        ConfigurationError: the SSH server is not named.
    """
    prefixes: dict[Place, str] = {"local": "", "remote": "REMOTE_"}
    return build_configured(PostgresResource, settings, place or settings.transfer_destination, prefixes)
