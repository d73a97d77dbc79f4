"""Matomo's database (MariaDB or MySQL) as a resource: its settings, and which of them the environment gives."""

import threading

from pydantic import PrivateAttr

from smartdiet_assets.resources.configured import ServerResource, build_configured
from smartdiet_assets.resources.environment import Environment, build_field
from smartdiet_assets.resources.matomo_server import MatomoConnections
from smartdiet_assets.resources.tunnel import Tunnel
from smartdiet_assets.resources.variable_kinds import Place
from smartdiet_assets.schema.sources import MATOMO


class MatomoResource(MatomoConnections, ServerResource):
    """The database of the Matomo that is mirrored. Reads only.

    Outside of a Dagster run use it as `with resource.open() as matomo:`, which reads the variables.

    Example: `MatomoResource(host="db", user="reader", password=dg.EnvVar("MATOMO_READER"), database="matomo")`
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
    connect_timeout: float = build_field("CONNECT_TIMEOUT", ge=1)
    read_timeout: float = build_field("READ_TIMEOUT", ge=1)

    _tunnel: Tunnel | None = PrivateAttr(default=None)
    _lock: threading.Lock = PrivateAttr(default_factory=threading.Lock)

    @property
    def is_configured(self) -> bool:
        """Whether the environment says where Matomo is, where that describes the resource."""
        return self.settings is None or self.settings.names(MATOMO)


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
