"""The boundary where pymongo's errors become ours.

The driver's text is never repeated: it can hold values of documents and parts of the URL. Where nothing else tells
two errors apart, it is looked at.
"""

from bson.errors import BSONError
from pymongo.common import MIN_SUPPORTED_SERVER_VERSION
from pymongo.errors import (
    AutoReconnect,
    ConnectionFailure,
    InvalidName,
    InvalidURI,
    NetworkTimeout,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)
from pymongo.errors import ConfigurationError as DriverConfigurationError

from smartdiet_assets.errors import (
    AuthenticationError,
    ConfigurationError,
    PermissionDeniedError,
    ReadFailedError,
    ServerUnreachableError,
    SmartdietError,
    TransientError,
)

#: The refusals of servers that have no such command or stage: older ones, views, look-alikes.
NOT_OFFERED = frozenset({59, 115, 166, 238, 303})
_UNAUTHORIZED = 13
_AUTHENTICATION_FAILED = 18
#: Atlas wraps its refusals in a code of its own.
_ATLAS_ERROR = 8000
#: What a server labels an error with that may pass by itself.
_PASSING_LABELS = (
    "RetryableWriteError",
    "RetryableError",
    "SystemOverloadedError",
    "TransientTransactionError",
    "ResumableChangeStreamError",
)
#: The server, or the member that answered, is going away or was lost; or a router found none.
_UNREACHABLE = frozenset(
    {
        6,  # HostUnreachable
        7,  # HostNotFound
        70,  # ShardNotFound
        71,  # ReplicaSetNotFound
        89,  # NetworkTimeout
        91,  # ShutdownInProgress
        94,  # NotYetInitialized
        95,  # NotSecondary
        133,  # FailedToSatisfyReadPreference
        145,  # PooledConnectionsDropped
        149,  # NoConfigPrimary
        189,  # PrimarySteppedDown
        199,  # ReplicaSetMonitorRemoved
        202,  # NetworkInterfaceExceededTimeLimit
        216,  # ElectionInProgress
        230,  # DNSHostNotFound
        231,  # DNSProtocolError
        279,  # ClientDisconnect
        317,  # ConnectionPoolExpired
        384,  # ConnectionError
        391,  # ReauthenticationRequired
        398,  # StreamTerminated
        407,  # PooledConnectionAcquisitionExceededTimeLimit
        450,  # PooledConnectionAcquisitionRejected
        9001,  # SocketException
        10058,  # LegacyNotPrimary
        10107,  # NotWritablePrimary
        11600,  # InterruptedAtShutdown
        11602,  # InterruptedDueToReplStateChange
        13388,  # StaleConfig: chunks or shards have moved
        13435,  # NotPrimaryNoSecondaryOk
        13436,  # NotPrimaryOrSecondary
    }
)
#: The command was stopped or put off, not refused.
_INTERRUPTED = frozenset(
    {
        24,  # LockTimeout
        43,  # CursorNotFound
        46,  # LockBusy
        50,  # MaxTimeMSExpired
        63,  # StaleShardVersion
        83,  # RemoteResultsUnavailable
        90,  # CallbackCanceled
        96,  # OperationFailed, by which a cursor ends
        107,  # LockFailed
        109,  # ConfigurationInProgress
        112,  # WriteConflict
        117,  # ConflictingOperationInProgress
        134,  # ReadConcernMajorityNotAvailableYet
        136,  # CappedPositionLost
        143,  # CursorInUse
        146,  # ExceededMemoryLimit
        150,  # StaleEpoch
        175,  # QueryPlanKilled
        203,  # ShardingStateNotInitialized
        209,  # StaleClusterTime
        211,  # KeyNotFound: the key that signs cluster times is not there yet
        215,  # DatabaseDropPending
        221,  # IndexModified
        234,  # RetryChangeStream
        237,  # CursorKilled
        239,  # SnapshotTooOld
        246,  # SnapshotUnavailable
        249,  # StaleDbVersion
        250,  # StaleChunkHistory
        251,  # NoSuchTransaction
        262,  # ExceededTimeLimit
        264,  # TooManyFilesOpen
        272,  # MigrationConflict
        285,  # IndexBuildAlreadyInProgress
        290,  # TransactionExceededLifetimeLimitSeconds
        292,  # QueryExceededMemoryLimitNoDiskUseAllowed
        314,  # ObjectIsBusy
        319,  # MovePrimaryInProgress
        338,  # ReshardCollectionInProgress
        342,  # ReshardingCriticalSectionTimeout
        343,  # ShardCannotRefreshDueToLocksHeld
        348,  # ChangeStreamTopologyChange
        355,  # InterruptedDueToStorageChange
        358,  # InternalTransactionNotSupported
        365,  # TemporarilyUnavailable
        402,  # ResourceExhausted
        406,  # MigrationBlockingOperationCoordinatorCleaningUp
        412,  # UpdatesStillPending
        414,  # AddOrRemoveShardInProgress
        433,  # AdmissionQueueOverflow
        442,  # RetryMultiPlanning
        449,  # RateLimitExceeded
        462,  # IngressRequestRateLimitExceeded
        11601,  # Interrupted
        16500,  # TooManyRequests, of Cosmos DB
    }
)
#: What OpenSSL says where one side wants no encryption, or not the certificate that is shown.
_NO_TLS = ("WRONG_VERSION_NUMBER", "CERTIFICATE_REQUIRED", "HANDSHAKE_FAILURE", "ALERT_UNKNOWN_CA")
#: What the driver says of a part that is installed apart.
_NOT_INSTALLED = ("must be installed", "pip install", "requires pymongo")


def translate_mongo_error(error: BaseException, action: str, *, prefix: str = "") -> SmartdietError:
    """Choose our error for one of the driver's; raise it `from None`.

    Args:
        error: what pymongo or bson raised; one of ours is returned as it is.
        action: what was going on, such as "reading users from MongoDB at db:27017".
        prefix: what the names of the variables begin with that a user is told to check.
    """
    if isinstance(error, SmartdietError):
        return error
    kind, reason = _judge(error, f"{prefix}MONGODB_URL", f"{prefix}MONGODB_DATABASE")
    return kind(f"{action} failed{reason}")


def may_pass(error: BaseException) -> bool:
    """Whether an error, the driver's or ours, may pass by itself."""
    return isinstance(translate_mongo_error(error, ""), TransientError)


def is_lookup_failure(error: BaseException) -> bool:
    """Whether the hosts of a `mongodb+srv://` URL could not be asked for: DNS, not the URL, is to blame."""
    cause = error.__cause__
    return isinstance(error, DriverConfigurationError) and (
        isinstance(cause, OSError) or type(cause).__module__.partition(".")[0] == "dns"
    )


def lacks_part(error: BaseException) -> bool:
    """Whether the driver misses a package that the URL asks for."""
    return isinstance(error, DriverConfigurationError) and any(text in str(error) for text in _NOT_INSTALLED)


def _judge(error: BaseException, url: str, database: str) -> tuple[type[SmartdietError], str]:
    """Choose our error, and what follows the word `failed`."""
    if isinstance(error, OperationFailure):
        return _judge_refusal(error, url)
    if isinstance(error, ConnectionFailure):
        return _judge_connection(error, url)
    if isinstance(error, InvalidURI | InvalidName):
        return ConfigurationError, (
            f": {url} or {database} cannot be used as written; in a URL the special characters of a user and password"
            " are percent-encoded"
        )
    if isinstance(error, DriverConfigurationError):
        return _judge_driver(error, url)
    if isinstance(error, BSONError):
        return ReadFailedError, ": the answer is not valid BSON"
    return ReadFailedError, f": {type(error).__name__ if isinstance(error, PyMongoError) else 'unexpected error'}"


def _judge_connection(error: ConnectionFailure, url: str) -> tuple[type[SmartdietError], str]:
    text = str(error)
    if isinstance(error, NetworkTimeout):
        return ServerUnreachableError, ": no answer came in time; check the network, or READ_TIMEOUT"
    if "certificate verify failed" in text:
        return ConfigurationError, (
            f": the server's certificate is not the authority's, or not for this host; check tlsCAFile in {url}"
        )
    if any(sign in text for sign in _NO_TLS):
        return ConfigurationError, (
            f": no encrypted connection could be made; check the tls options of {url} and the server"
        )
    if not isinstance(error, ServerSelectionTimeoutError):
        lost = isinstance(error, AutoReconnect)
        return ServerUnreachableError, ": the connection was lost" if lost else f": no server answers; check {url}"
    if "match selector" in text:
        return ServerUnreachableError, (
            f": servers answer, but none that the readPreference of {url} allows; check it, or the members of the set"
        )
    return ServerUnreachableError, f": no server answers; check it and {url}"


def _judge_driver(error: DriverConfigurationError, url: str) -> tuple[type[SmartdietError], str]:
    """Judge what the driver raises with a server or a machine in view; of a URL alone it raises `InvalidURI`."""
    text = str(error)
    if is_lookup_failure(error):
        return ServerUnreachableError, f": DNS does not tell the servers of {url}; check its name, and the network"
    if lacks_part(error):
        extra = "aws" if "aws" in text.lower() else "gssapi" if "GSSAPI" in text else "…"
        return ConfigurationError, (
            f": {url} asks for something the driver has no package for; install it: pip install 'pymongo[{extra}]'"
        )
    if "wire version" in text:
        return ConfigurationError, (
            f": the server's version is none the driver can talk to (MongoDB {MIN_SUPPORTED_SERVER_VERSION} or later)"
        )
    if "Sessions are not supported" in text:
        return ConfigurationError, (
            ": the server has no sessions, which change streams are read in; declare capture: dates for its collections"
        )
    return ConfigurationError, f": the driver cannot do this with this server and the options of {url}"


def _judge_refusal(error: OperationFailure, url: str) -> tuple[type[SmartdietError], str]:
    code, text = error.code, str(error)
    atlas = text.lower() if code == _ATLAS_ERROR else ""
    if code == _UNAUTHORIZED or "not allowed to do" in atlas or "not authorized" in atlas:
        return PermissionDeniedError, f": the user may not do this (or {url} names no user)"
    if code == _AUTHENTICATION_FAILED or "auth" in atlas:
        return AuthenticationError, f": the server refuses the user or the password; check {url}"
    number = f"(MongoDB error {code if code is not None else 'unknown'})"
    if code in _UNREACHABLE:
        return ServerUnreachableError, f": the server is not available {number}"
    if code in _INTERRUPTED or any(map(error.has_error_label, _PASSING_LABELS)):
        return TransientError, f": the server stopped the read {number}"
    if code in NOT_OFFERED:
        return ReadFailedError, f": the server does not offer this {number}"
    # Of a shared cluster some commands are never allowed; whatever else Atlas says may pass.
    if atlas and "not allowed" not in atlas:
        return TransientError, f": Atlas refused for now {number}"
    return ReadFailedError, f" {number}"
