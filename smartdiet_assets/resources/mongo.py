"""MongoDB as a resource: its settings, its one client and its check.

Here: how a client is made and closed. Not here: what is read through it (`extract`), and which error is which
(`mongo_errors`). The URL holds a password: it is never shown, only the hosts in it are.
"""

import re
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
from smartdiet_assets.resources.access import Access, LocalAccess, describe_way
from smartdiet_assets.resources.checking import CheckResult
from smartdiet_assets.resources.configured import build_configured, require_local, require_read
from smartdiet_assets.resources.environment import read_environment
from smartdiet_assets.resources.mongo_errors import translate_mongo_error
from smartdiet_assets.resources.variables import Place

# The hosts stand after the only "@", their ports are numbers. Where it is otherwise, a part of a password that was
# not encoded could pass for a host.
_HOST = r"(?:\[[0-9A-Fa-f:.%]+\]|[^@/?:,\[\]]+)(?::\d{1,5})?"
_HOSTS = re.compile(rf"mongodb(?:\+srv)?://(?:[^@/?]*@)?({_HOST}(?:,{_HOST})*)(?:[/?][^@]*)?")

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

    @contextmanager
    def yield_for_execution(self, context: InitResourceContext) -> Generator["MongoResource", None, None]:
        """Serve a run, and close the client after it, also when the run fails.

        The client is made by the first table that needs it: a URL that cannot be used fails the steps that read it,
        not the whole run.
        """
        try:
            yield self
        finally:
            self.close()

    def client(self) -> Client:
        """The process's client, made at the first call. Making it does not yet reach the server.

        Raises:
            ConfigurationError: the URL cannot be used as written.
        """
        if self._client is None:
            require_read(self)
            require_local(self)
            try:
                with warnings.catch_warnings():
                    # They quote the URL's options, and of a password that is not percent-encoded a part passes for one.
                    warnings.simplefilter("ignore")
                    self._client = MongoClient(
                        self.url,
                        serverSelectionTimeoutMS=_milliseconds(self.server_selection_timeout),
                        connectTimeoutMS=_milliseconds(self.connect_timeout),
                        socketTimeoutMS=_milliseconds(self.socket_timeout),
                        appname="smartdiet",
                        tz_aware=False,
                    )
            except (PyMongoError, ValueError) as error:
                # pymongo checks parts of the URL with plain ValueErrors, which quote them.
                raise translate_mongo_error(_as_driver_error(error), f"opening {self.describe()}") from None
        return self._client

    def open_database(self) -> MongoDatabase:
        """The mirrored database, through the process's client.

        Raises:
            ConfigurationError: the URL or the database's name cannot be used as written.
        """
        try:
            return self.client()[self.database]
        except PyMongoError as error:
            raise translate_mongo_error(error, f"opening {self.describe()}") from None

    def close(self) -> None:
        """Close the client; the next use makes another."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def describe(self) -> str:
        """Name the server in a message, without user and password."""
        match = _HOSTS.fullmatch(str(self.url))
        name = f"MongoDB at {match.group(1)}" if match else "MongoDB"
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
            raise translate_mongo_error(error, action) from None
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
