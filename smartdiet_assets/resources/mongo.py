"""MongoDB as a resource: its settings, its one client and its check.

Here: how a client is made and closed. Not here: what is read through it (`extract`), and which error is which
(`mongo_errors`). The URL holds a password: it is never shown, only the hosts in it are.
"""

import threading
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from dagster import ConfigurableResource, InitResourceContext
from pydantic import Field, PrivateAttr
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import PyMongoError

from smartdiet_assets.errors import SmartdietError
from smartdiet_assets.resources.access import Access, LocalAccess, RemoteAccess, choose_prefix, describe_way
from smartdiet_assets.resources.checking import CheckResult
from smartdiet_assets.resources.configured import build_configured, require_read
from smartdiet_assets.resources.environment import read_environment
from smartdiet_assets.resources.mongo_errors import translate_mongo_error
from smartdiet_assets.resources.mongo_hosts import find_hosts, open_forwarded
from smartdiet_assets.resources.tunnel import Tunnel, Way
from smartdiet_assets.resources.variables import Place

Client = MongoClient[dict[str, Any]]
MongoDatabase = Database[dict[str, Any]]


class MongoResource(ConfigurableResource):  # type: ignore[type-arg]
    """The MongoDB server and database that are mirrored. Reads only.

    One client serves a process. Outside of a Dagster run use it as
    `with build_mongo_resource().process_config_and_initialize_cm() as mongo:`, which reads the variables too.
    """

    url: str = Field(
        default="mongodb://localhost:27017",
        repr=False,
        description="URL of the server, with user and password where it needs them (MONGODB_URL).",
    )
    database: str = Field(default="default", description="Name of the database (MONGODB_DATABASE).")
    access: Access = Field(
        default=LocalAccess(),
        discriminator="place",
        description="local: the server is reached directly; remote: through an SSH server, which host and port are "
        "then seen from (TRANSFER_SOURCE).",
    )
    server_selection_timeout: float = Field(
        default=10.0, gt=0, description="Seconds to look for a server that answers (CONNECT_TIMEOUT)."
    )
    connect_timeout: float = Field(default=10.0, gt=0, description="Seconds to open a connection (CONNECT_TIMEOUT).")
    socket_timeout: float = Field(
        default=600.0,
        gt=0,
        description="Seconds to wait for one answer; a scan without an index needs long (READ_TIMEOUT).",
    )

    _client: Client | None = PrivateAttr(default=None)
    _tunnel: Tunnel | None = PrivateAttr(default=None)
    _way: Way | None = PrivateAttr(default=None)
    #: Clients whose way failed: other threads may still use them, and are told so by their next statement.
    _former: list[Client] = PrivateAttr(default_factory=list)
    _lock: threading.Lock = PrivateAttr(default_factory=threading.Lock)

    @contextmanager
    def yield_for_execution(self, context: InitResourceContext) -> Generator["MongoResource", None, None]:
        """Serve a run, and close the client after it, also when the run fails.

        The client is made by the first table that needs it: a URL that cannot be used, or an SSH server that is away,
        fails the steps that read it, not the whole run.
        """
        try:
            yield self
        finally:
            self.close()

    def client(self) -> Client:
        """The process's client, made at the first call. Made for a server reached directly, it does not yet reach it.

        Through a tunnel, each call looks whether that still leads there, and opens it again where it does not.

        Raises:
            SmartdietError: the URL cannot be used as written, or there is no way through the tunnel.
        """
        with self._lock:
            if self._client is not None and self._way is not None and self._way.failure is not None:
                # With another member of a replica set, perhaps.
                self._former.append(self._client)
                self._client = self._way = None
            if self._client is None:
                require_read(self)
                if isinstance(self.access, RemoteAccess):
                    self._client, self._way = self._open_remote_client(self.access)
                else:
                    self._client = self._make_client(self.url)
            elif self._tunnel is not None:
                self._tunnel.ensure()
            return self._client

    def _open_remote_client(self, access: RemoteAccess) -> tuple[Client, Way]:
        """Open a client of one member: of several hosts the primary, or the first that answers where none is."""
        if self._tunnel is None:
            self._tunnel = Tunnel(access, self.connect_timeout)
        return open_forwarded(self.url, self._tunnel, self._make_client, self.describe())

    def _make_client(self, url: str, **options: Any) -> Client:
        try:
            with warnings.catch_warnings():
                # They quote the URL's options, and of a password that is not percent-encoded a part passes for one.
                warnings.simplefilter("ignore")
                return MongoClient(
                    url,
                    serverSelectionTimeoutMS=_milliseconds(self.server_selection_timeout),
                    connectTimeoutMS=_milliseconds(self.connect_timeout),
                    socketTimeoutMS=_milliseconds(self.socket_timeout),
                    appname="smartdiet",
                    tz_aware=False,
                    **options,
                )
        except (PyMongoError, ValueError) as error:
            # pymongo checks parts of the URL with plain ValueErrors, which quote them.
            raise self.translate(_as_driver_error(error), f"opening {self.describe()}") from None

    def open_database(self) -> MongoDatabase:
        """The mirrored database, through the process's client.

        Raises:
            ConfigurationError: the URL or the database's name cannot be used as written.
        """
        try:
            return self.client()[self.database]
        except PyMongoError as error:
            raise self.translate(error, f"opening {self.describe()}") from None

    def close(self) -> None:
        """Close the client, and the tunnel where there is one; the next use makes others."""
        with self._lock:
            clients = [*self._former, *([self._client] if self._client is not None else [])]
            self._former.clear()
            self._client = self._way = None
            tunnel, self._tunnel = self._tunnel, None
        for client in clients:
            client.close()
        if tunnel is not None:
            tunnel.close()

    def translate(self, error: PyMongoError, action: str) -> SmartdietError:
        """Choose our error for one of the driver's (`mongo_errors`); it names this server's variables."""
        return translate_mongo_error(error, action, prefix=choose_prefix(self.access))

    def describe(self) -> str:
        """Name the server in a message, without user and password."""
        span = find_hosts(str(self.url))
        name = f"MongoDB at {str(self.url)[slice(*span)]}" if span else "MongoDB"
        return f"{name}{describe_way(self.access)}"

    def check(self) -> CheckResult:
        """Say in one sentence what keeps the mirror from reading the database, if anything does."""
        try:
            sentence = self._find_fault()
        except SmartdietError as error:
            sentence = str(error)
        return CheckResult(name="mongodb", ok=not sentence, sentence=sentence)

    def _find_fault(self) -> str:
        action = f"reading the database {self.database} of {self.describe()}"
        try:
            database = self.open_database()
            # Only the collections this user may read, where it may not read all.
            names = database.list_collection_names(authorizedCollections=True, nameOnly=True)
            if not names:
                return f"{self.describe()} has no database {self.database}, or one without collections"
            database[names[0]].find_one({}, {"_id": 1})
        except PyMongoError as error:
            raise self.translate(error, action) from None
        return ""


def build_mongo_resource(place: Place | None = None) -> MongoResource:
    """Build the resource that the environment describes; what a variable gives shows in Dagit as its name.

    Args:
        place: `local` reads the MONGODB variables, `remote` the REMOTE_MONGODB ones and those of the SSH server; None
            is what TRANSFER_SOURCE says.

    Raises:
        ConfigurationError: a variable cannot be used, or the SSH server is not named.
    """
    settings = read_environment()
    place = place or settings.transfer_source
    prefix = "REMOTE_MONGODB" if place == "remote" else "MONGODB"
    variables = {field: f"{prefix}_{field.upper()}" for field in ("url", "database")}
    timeouts = {
        "server_selection_timeout": settings.connect_timeout,
        "connect_timeout": settings.connect_timeout,
        "socket_timeout": settings.read_timeout,
    }
    return build_configured(MongoResource, variables, settings, timeouts, place)


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def _as_driver_error(error: PyMongoError | ValueError) -> PyMongoError:
    from pymongo.errors import InvalidURI

    return error if isinstance(error, PyMongoError) else InvalidURI()
