"""The boundary where pymongo's errors become ours.

Here: which error is worth a retry and what a user is told. Not here: connecting (`mongo`). The driver's text
is never repeated: it can hold values of documents and parts of the URL.
"""

from bson.errors import BSONError
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

_UNAUTHORIZED = 13
_AUTHENTICATION_FAILED = 18
#: Atlas wraps its refusals in a code of its own.
_ATLAS_ERROR = 8000
#: The server, or the member that answered, is going away or was lost.
_UNREACHABLE = frozenset(
    {
        6,  # HostUnreachable
        7,  # HostNotFound
        89,  # NetworkTimeout
        91,  # ShutdownInProgress
        133,  # FailedToSatisfyReadPreference
        189,  # PrimarySteppedDown
        9001,  # SocketException
        10107,  # NotWritablePrimary
        11600,  # InterruptedAtShutdown
        11602,  # InterruptedDueToReplStateChange
        13435,  # NotPrimaryNoSecondaryOk
        13436,  # NotPrimaryOrSecondary
    }
)
#: What OpenSSL says where one side wants no encryption, or not the certificate that is shown.
_NO_TLS = ("WRONG_VERSION_NUMBER", "CERTIFICATE_REQUIRED", "HANDSHAKE_FAILURE", "ALERT_UNKNOWN_CA")
#: The read was stopped, not refused.
_INTERRUPTED = frozenset(
    {
        43,  # CursorNotFound
        50,  # MaxTimeMSExpired
        134,  # ReadConcernMajorityNotAvailableYet
        136,  # CappedPositionLost
        175,  # QueryPlanKilled
        237,  # CursorKilled
        262,  # ExceededTimeLimit
        11601,  # Interrupted
    }
)


def translate_mongo_error(error: BaseException, action: str, *, prefix: str = "") -> SmartdietError:
    """Choose our error for one of the driver's; raise it `from None`.

    Args:
        error: what pymongo or bson raised; one of ours is returned as it is.
        action: what was going on, such as "reading users from MongoDB at db:27017".
        prefix: what the names of the variables begin with that a user is told to check.
    """
    if isinstance(error, SmartdietError):
        return error
    if isinstance(error, OperationFailure):
        return _translate_refusal(error, action, prefix)
    if isinstance(error, NetworkTimeout):
        return ServerUnreachableError(f"{action} failed: no answer came in time; check the network, or READ_TIMEOUT")
    if isinstance(error, ConnectionFailure) and "certificate verify failed" in str(error):
        return ConfigurationError(
            f"{action} failed: the server's certificate is not the authority's, or not for this host; check tlsCAFile "
            f"in {prefix}MONGODB_URL"
        )
    if isinstance(error, ConnectionFailure) and any(text in str(error) for text in _NO_TLS):
        return ConfigurationError(
            f"{action} failed: no encrypted connection could be made; check the tls options of {prefix}MONGODB_URL and "
            "the server"
        )
    if isinstance(error, AutoReconnect) and not isinstance(error, ServerSelectionTimeoutError):
        return ServerUnreachableError(f"{action} failed: the connection was lost")
    if isinstance(error, ConnectionFailure):
        return ServerUnreachableError(f"{action} failed: no server answers; check it and {prefix}MONGODB_URL")
    if isinstance(error, InvalidURI | DriverConfigurationError | InvalidName):
        return ConfigurationError(
            f"{action} failed: {prefix}MONGODB_URL or {prefix}MONGODB_DATABASE cannot be used as written; in a URL the "
            "special characters of a user and password are percent-encoded"
        )
    if isinstance(error, BSONError):
        return ReadFailedError(f"{action} failed: the answer is not valid BSON")
    kind = type(error).__name__ if isinstance(error, PyMongoError) else "unexpected error"
    return ReadFailedError(f"{action} failed: {kind}")


def _translate_refusal(error: OperationFailure, action: str, prefix: str) -> SmartdietError:
    code = error.code
    if code == _AUTHENTICATION_FAILED or (code == _ATLAS_ERROR and "auth" in str(error)):
        return AuthenticationError(
            f"{action} failed: the server refuses the user or the password; check {prefix}MONGODB_URL"
        )
    if code == _UNAUTHORIZED:
        return PermissionDeniedError(
            f"{action} failed: the user may not do this (or {prefix}MONGODB_URL names no user)"
        )
    if code in _UNREACHABLE:
        return ServerUnreachableError(f"{action} failed: the server is not available (MongoDB error {code})")
    if code in _INTERRUPTED:
        return TransientError(f"{action} failed: the server stopped the read (MongoDB error {code})")
    return ReadFailedError(f"{action} failed (MongoDB error {code if code is not None else 'unknown'})")
