"""A MongoDB server by plain settings: its one client, how it is read, and its check.

Here: how a client is made and closed, what is read with it as the majority of a replica set has it, and again where
that failed for a passing reason. Not here: what is read (`extract`), which error is which (`mongo_errors`), and
anything of Dagster (`mongo`), which takes longer to import than many a command to run. The URL holds a password: it is
never shown, only the hosts in it are.
"""

import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from smartdiet_assets.errors import SmartdietError, StartAgainError
from smartdiet_assets.resources.checking import CheckResult
from smartdiet_assets.resources.environment import Environment
from smartdiet_assets.resources.patience import Patience
from smartdiet_assets.resources.ssh_settings import PlainServer
from smartdiet_assets.resources.tunnel import Tunnel, Way

if TYPE_CHECKING:
    from pymongo import MongoClient
    from pymongo.errors import PyMongoError

    from smartdiet_assets.resources.mongo_reading import MongoDatabase
    from smartdiet_assets.resources.ssh_settings import SshSettings

    Client = MongoClient[dict[str, Any]]

Result = TypeVar("Result")
#: How servers refuse that: 148 where it is switched off, the others where it is not known.
_MAJORITY_REFUSED = frozenset({2, 9, 14, 72, 115, 148, 238, 303, 40415})


class MongoConnections:
    """Makes the client of the server that its fields describe, reads with it, and closes it."""

    # Whoever has the settings gives them; of a model, what is annotated here would become a field.
    if TYPE_CHECKING:
        url: str
        database: str
        #: Seconds.
        server_selection_timeout: float
        connect_timeout: float
        socket_timeout: float
        retry_delay: float
        _client: Client | None
        _tunnel: Tunnel | None
        _way: Way | None
        #: Clients whose way failed: other threads may still use them, and are told so by their next statement.
        _former: list[Client]
        _lock: threading.Lock
        #: Whether reads ask for what the majority has: until the server is found not to offer that.
        _asks_majority: bool
        #: Whether a server has answered anything yet.
        _answered: bool
        _patience: Patience | None

        @property
        def remote(self) -> SshSettings | None:
            """The SSH server in between, which the hosts are then seen from; None where there is none."""

        def require_usable(self) -> None:
            """Refuse settings that must not be used."""

        def spell(self, field: str, value: object = None) -> str:
            """Spell a setting as a message may show it; `value` is how the server spells it, where that differs."""

    def client(self) -> "Client":
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
                self.require_usable()
                if self.remote is not None:
                    self._client, self._way = self._open_remote_client(self.remote)
                else:
                    self._client = self._make_client(self.url)
            elif self._tunnel is not None:
                self._tunnel.ensure()
            return self._client

    def _open_remote_client(self, access: "SshSettings") -> "tuple[Client, Way]":
        """Open a client of one member: of several hosts the primary, or the first that answers where none is."""
        from smartdiet_assets.resources.mongo_hosts import open_forwarded

        if self._tunnel is None:
            self._tunnel = Tunnel(access, self.connect_timeout)
        return open_forwarded(self.url, self._tunnel, self._make_client, self.describe())

    def _make_client(self, url: str, **options: Any) -> "Client":
        from pymongo import MongoClient
        from pymongo.errors import PyMongoError

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
                    # A member that stepped down is asked again at once; otherwise what it says by itself is waited for.
                    serverMonitoringMode="poll",
                    **options,
                )
        except (PyMongoError, ValueError) as error:
            raise self.translate(_as_driver_error(error), f"opening {self.describe()}") from None

    def open_database(self) -> "MongoDatabase":
        """The mirrored database, through the process's client; for reading, `read` knows more.

        Raises:
            ConfigurationError: the URL or the database's name cannot be used as written.
            ServerUnreachableError: DNS does not tell the servers of the URL.
        """
        from pymongo.errors import PyMongoError

        try:
            return self.client()[self.database]
        except PyMongoError as error:
            raise self.translate(error, f"opening {self.describe()}") from None

    def read(self, attempt: "Callable[[MongoDatabase], Result]", /, *, patiently: bool = True) -> Result:
        """Read the database, again where that failed for a reason that may pass; see `mongo_reading.Read`.

        Args:
            attempt: does all of it, from the beginning each time.
            patiently: False where whoever asks has its own way of trying again.

        Raises:
            pymongo.errors.PyMongoError, SmartdietError: what the last attempt raised.
        """

        def read() -> Result:
            with self.reading() as database:
                return attempt(database)

        return self.insist(read) if patiently else Patience(retries=0).run(read, self._may_pass)

    def insist(self, attempt: Callable[[], Result]) -> Result:
        """Do something to the server that may be done twice, again where it failed for a reason that may pass.

        Raises:
            pymongo.errors.PyMongoError, SmartdietError: what the last attempt raised.
        """
        if self._patience is None:
            self._patience = Patience(self.retry_delay)
        return self._patience.run(attempt, self._may_pass)

    @contextmanager
    def reading(self) -> "Iterator[MongoDatabase]":
        """Open the database for the reads of a block, which see what the majority of a replica set has.

        Raises:
            StartAgainError: the server does not offer that; the next block asks for what the server has.
        """
        from pymongo.errors import OperationFailure
        from pymongo.read_concern import ReadConcern

        database = self.open_database()
        asks = self._asks_majority and database.read_concern.level is None
        try:
            # What is written there outlives the loss of a member; what only one member has may be rolled back.
            yield database.with_options(read_concern=ReadConcern("majority")) if asks else database
        except OperationFailure as error:
            self._answered = True
            if error.code in _MAJORITY_REFUSED and database.read_concern.level is None:
                # Refused without it too, it is something else that the server does not take.
                self._asks_majority = not asks
                if asks:
                    raise StartAgainError(f"{self.describe()} may not offer readConcern majority") from None
            raise
        self._answered = True

    @property
    def reads_majority(self) -> bool:
        """Whether reads see what the majority has, as far as is known; a level in the URL is the operator's word."""
        return self._asks_majority

    def _may_pass(self, error: Exception) -> bool:
        from pymongo.errors import ServerSelectionTimeoutError

        from smartdiet_assets.resources.mongo_errors import may_pass

        # Nobody has ever been there, and the driver has looked for a while already.
        if isinstance(error, ServerSelectionTimeoutError) and not self._answered:
            return False
        return may_pass(error)

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

    def translate(self, error: "PyMongoError", action: str) -> SmartdietError:
        """Choose our error for one of the driver's (`mongo_errors`); it names this server's variables."""
        from smartdiet_assets.resources.mongo_errors import translate_mongo_error

        return translate_mongo_error(error, action, prefix="REMOTE_" if self.remote else "")

    def describe(self) -> str:
        """Name the server in a message, without user and password."""
        from smartdiet_assets.resources.mongo_hosts import find_hosts

        url = self.spell("url")
        span = find_hosts(url)
        name = f"MongoDB at {url[slice(*span)]}" if span else "MongoDB"
        return f"{name} through {self.remote.describe()}" if self.remote else name

    def check(self) -> CheckResult:
        """Say in one sentence what keeps the mirror from reading the database, if anything does."""
        try:
            sentence = self._find_fault()
        except SmartdietError as error:
            sentence = str(error)
        return CheckResult(name="mongodb", ok=not sentence, sentence=sentence)

    def _find_fault(self) -> str:
        from pymongo.errors import PyMongoError

        def find_fault(database: "MongoDatabase") -> str:
            # Only the collections this user may read, where it may not read all.
            names = database.list_collection_names(authorizedCollections=True, nameOnly=True)
            if not names:
                return f"{self.describe()} has no database {self.spell('database')}, or one without collections"
            database[names[0]].find_one({}, {"_id": 1})
            return ""

        try:
            return self.read(find_fault)
        except PyMongoError as error:
            action = f"reading the database {self.spell('database')} of {self.describe()}"
            raise self.translate(error, action) from None


class MongoServer(MongoConnections, PlainServer):
    """The server that the environment describes, without Dagster, for the command line; close it after use."""

    def __init__(self, settings: Environment) -> None:
        """Keep the settings; nothing is opened yet.

        Raises:
            ConfigurationError: the SSH server is not named.
        """
        super().__init__(settings, settings.transfer_source)
        prefix = "REMOTE_" if self.remote else ""
        self.url, self.database = settings.get(f"{prefix}MONGODB_URL"), settings.get(f"{prefix}MONGODB_DATABASE")
        self.server_selection_timeout = self.connect_timeout = settings.connect_timeout
        self.socket_timeout, self.retry_delay = settings.read_timeout, settings.retry_delay
        self._client, self._tunnel, self._way, self._patience = None, None, None, None
        self._former, self._lock = [], threading.Lock()
        self._asks_majority, self._answered = True, False


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def _as_driver_error(error: "PyMongoError | ValueError") -> "PyMongoError":
    """Tell what is wrong with the URL as it is written from what is wrong around it."""
    from pymongo.errors import ConfigurationError as DriverConfigurationError
    from pymongo.errors import InvalidURI

    from smartdiet_assets.resources.mongo_errors import is_lookup_failure, lacks_part

    # pymongo checks parts of the URL with plain ValueErrors, which quote them.
    if isinstance(error, DriverConfigurationError) and (is_lookup_failure(error) or lacks_part(error)):
        return error
    return InvalidURI() if isinstance(error, ValueError | DriverConfigurationError) else error
