"""MongoDB as a resource: its settings, and which of them the environment gives.

The drivers take as long to import as half of Dagster, and loading the code location opens nothing: what opens a server
imports its driver, here and in the other resources.
"""

import re
import threading
from typing import TYPE_CHECKING
from urllib.parse import unquote, unquote_plus

from pydantic import PrivateAttr

from smartdiet_assets.errors import ConfigurationError
from smartdiet_assets.resources.configured import ServerResource, build_configured
from smartdiet_assets.resources.environment import Environment, build_field
from smartdiet_assets.resources.mongo_server import MongoConnections
from smartdiet_assets.resources.patience import Patience
from smartdiet_assets.resources.ssh_settings import GIVEN
from smartdiet_assets.resources.tunnel import Tunnel, Way
from smartdiet_assets.resources.variable_kinds import Place

if TYPE_CHECKING:
    from smartdiet_assets.resources.mongo_server import Client

#: Mechanisms whose credentials the driver takes from variables, files and services of the machine.
_FOREIGN_LOGINS = re.compile(r"MONGODB-AWS|MONGODB-OIDC|GSSAPI")
_DATABASE_IN_URL = re.compile(r"^mongodb(?:\+srv)?://[^/?]+/([^/?]+)")


class MongoResource(MongoConnections, ServerResource):
    """The MongoDB server and database that are mirrored. Reads only.

    One client serves a process. Outside of a Dagster run use it as `with resource.open() as mongo:`, which reads the
    variables.

    Example: `MongoResource(url=dg.EnvVar("SHOP_MONGODB_URL"), database="shop")`
    """

    # The URL says where the server is and holds the password.
    secret_fields = ("url",)

    url: str = build_field("MONGODB_URL")
    database: str = build_field("MONGODB_DATABASE")
    server_selection_timeout: float = build_field("CONNECT_TIMEOUT", "Seconds to look for a server that answers", gt=0)
    connect_timeout: float = build_field("CONNECT_TIMEOUT", gt=0)
    socket_timeout: float = build_field("READ_TIMEOUT", gt=0)
    retry_delay: float = build_field("RETRY_DELAY", ge=0)

    _client: "Client | None" = PrivateAttr(default=None)
    _tunnel: Tunnel | None = PrivateAttr(default=None)
    _way: Way | None = PrivateAttr(default=None)
    #: Clients whose way failed: other threads may still use them, and are told so by their next statement.
    _former: "list[Client]" = PrivateAttr(default_factory=list)
    _lock: threading.Lock = PrivateAttr(default_factory=threading.Lock)
    #: Whether reads ask for what the majority has: until the server is found not to offer that.
    _asks_majority: bool = PrivateAttr(default=True)
    #: Whether a server has answered anything yet.
    _answered: bool = PrivateAttr(default=False)
    _patience: Patience | None = PrivateAttr(default=None)

    def require_usable(self) -> None:
        """Refuse also a URL of the run configuration that has the driver log in with what it finds on this machine."""
        super().require_usable()
        if self.spell("url") == GIVEN and _FOREIGN_LOGINS.search(unquote_plus(self.url)):
            raise ConfigurationError(
                "the run configuration names a MongoDB to log in to with this machine's own credentials; its url must "
                "bring user and password; nothing was sent"
            )


def find_named_database(url: str) -> str:
    """Find the database that a URL names; "" for none.

    Whatever is no URL is left to the driver: the errors of Python's reader of URLs hold what they were given.
    """
    named = _DATABASE_IN_URL.match(url)
    return unquote(named[1]) if named else ""


def build_mongo_resource(settings: Environment, place: Place | None = None) -> MongoResource:
    """Build the resource that the settings describe; what a variable gives shows in Dagit as its name.

    Args:
        place: `local` reads the MONGODB variables, `remote` the REMOTE_MONGODB ones and those of the SSH server; None
            is what TRANSFER_SOURCE says.

    Raises:
        ConfigurationError: the SSH server is not named.
    """
    prefixes: dict[Place, str] = {"local": "", "remote": "REMOTE_"}
    return build_configured(MongoResource, settings, place or settings.transfer_source, prefixes)
