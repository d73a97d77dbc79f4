"""The boundary where PyMySQL's errors become ours.

The driver's text is never repeated: it can hold values of rows.
"""

import ssl

import pymysql

from smartdiet_assets.errors import (
    AuthenticationError,
    ConfigurationError,
    DatabaseNotFoundError,
    PermissionDeniedError,
    ReadFailedError,
    ServerUnreachableError,
    SmartdietError,
    SourceTableError,
    TransientError,
)

_NO_SERVER = "no server answers; check it, MATOMO_HOST and MATOMO_PORT"
_LOST = "the connection was lost"
_REFUSED = "the server refuses the user or the password; check MATOMO_USER and MATOMO_PASSWORD"
_NO_RIGHT = "the user has no right to read it; GRANT SELECT on the database's tables, or change MATOMO_USER"
_NOT_NOW = "the server takes no connections now (stopping or full)"
_INTERRUPTED = "the server stopped the read"

#: Error number: our error and what a user is told.
_BY_NUMBER: dict[int, tuple[type[SmartdietError], str]] = {
    **dict.fromkeys((2002, 2003, 2005), (ServerUnreachableError, _NO_SERVER)),
    **dict.fromkeys((0, 2006, 2013, 2014, 2055, 1153, 1158, 1159, 1160, 1161), (ServerUnreachableError, _LOST)),
    **dict.fromkeys((1040, 1053, 1077, 1079, 1203, 1226), (ServerUnreachableError, _NOT_NOW)),
    **dict.fromkeys((1045, 1524, 1698, 1251, 2059, 1862, 4151), (AuthenticationError, _REFUSED)),
    1130: (AuthenticationError, "the server takes no connections from this machine; check the user's host"),
    1044: (
        PermissionDeniedError,
        "the user may not use this database, or there is none of that name; grant it or check MATOMO_DATABASE",
    ),
    1049: (DatabaseNotFoundError, "the server has no such database; check MATOMO_DATABASE"),
    **dict.fromkeys((1142, 1143, 1227), (PermissionDeniedError, _NO_RIGHT)),
    1146: (SourceTableError, "there is no such table; check MATOMO_DATABASE and MATOMO_TABLE_PREFIX"),
    1054: (SourceTableError, "a column that was there is gone; run it again"),
    2026: (ConfigurationError, "no encrypted connection could be made; check the MATOMO_SSL variables"),
    **dict.fromkeys((1205, 1213, 1317, 1927, 1969, 3024), (TransientError, _INTERRUPTED)),
}
_CERTIFICATE = "the server's certificate is not the authority's, or not for this host; check MATOMO_SSL_CA"


def translate_matomo_error(error: BaseException, action: str) -> SmartdietError:
    """Choose our error for one of PyMySQL's; raise it `from None`.

    Args:
        error: what PyMySQL raised; one of ours is returned as it is.
        action: what was going on, such as "reading log_visit of Matomo's database matomo at db:3306".
    """
    if isinstance(error, SmartdietError):
        return error
    number = error.args[0] if isinstance(error, pymysql.Error) and error.args else None
    if isinstance(error, pymysql.InterfaceError) and not isinstance(number, int):
        number = 0
    cause = getattr(error, "original_exception", None) or error.__cause__
    if isinstance(error, ssl.SSLCertVerificationError) or isinstance(cause, ssl.SSLCertVerificationError):
        return ConfigurationError(f"{action} failed: {_CERTIFICATE}")
    if isinstance(number, int) and number in _BY_NUMBER:
        kind, reason = _BY_NUMBER[number]
        # PyMySQL raises the number of a refused connection also where a file of the TLS options cannot be read.
        return kind(f"{action} failed: {reason} (error {number})" if number >= 1000 else f"{action} failed: {reason}")
    if isinstance(error, ssl.SSLError | FileNotFoundError | ValueError):
        return ConfigurationError(f"{action} failed: the MATOMO_SSL variables cannot be used as written")
    if isinstance(error, OSError):
        return ServerUnreachableError(f"{action} failed: {_LOST}")
    return ReadFailedError(f"{action} failed (error {number if isinstance(number, int) else 'unknown'})")
