"""The boundary where psycopg's errors become ours.

The driver's text is never repeated: it can hold values of rows.
"""

import re

import psycopg

from smartdiet_assets.errors import (
    AuthenticationError,
    ConfigurationError,
    DatabaseNotFoundError,
    LoadConflictError,
    LoadFailedError,
    PermissionDeniedError,
    ServerUnreachableError,
    SmartdietError,
    TerminalError,
)
from smartdiet_assets.resources.postgres_watch import StalledConnectionError

_NO_SERVER = "no server answers; check it, POSTGRES_HOST and POSTGRES_PORT"
_LOST = "the connection was lost"
_STALLED = "no byte came through any more, nor does the server work for the connection; check the network between"
_REFUSED = "the server refuses the user or the password; check POSTGRES_USER and POSTGRES_PASSWORD"
_NO_DATABASE = "the server has no such database; create it or check POSTGRES_DATABASE"
_POOLER = (
    "what is in between, such as a connection pooler, does not do what PostgreSQL does; PgBouncer's pool_mode has to "
    "be session or transaction"
)
_NOT_NOW = "the server takes no connections now (starting, stopping or full)"

#: SQLSTATE (5 characters) or its class (2), the longer first: our error and what a user is told.
_BY_SQLSTATE: dict[str, tuple[type[SmartdietError], str]] = {
    "08": (ServerUnreachableError, _LOST),
    "08P01": (TerminalError, _POOLER),
    "25P03": (ServerUnreachableError, "the server closed the connection (idle_in_transaction_session_timeout)"),
    "25P04": (ServerUnreachableError, "the server ended the transaction (transaction_timeout)"),
    "26000": (TerminalError, _POOLER),
    "42P05": (TerminalError, _POOLER),
    "57P01": (ServerUnreachableError, "the server or an administrator closed the connection"),
    "57P02": (ServerUnreachableError, "the server closed the connection after a crash"),
    "57P03": (ServerUnreachableError, _NOT_NOW),
    "57P05": (ServerUnreachableError, "the server closed the connection (idle_session_timeout)"),
    "53300": (ServerUnreachableError, _NOT_NOW),
    "53200": (ServerUnreachableError, "the server is out of memory"),
    "28": (AuthenticationError, _REFUSED),
    "3D000": (DatabaseNotFoundError, _NO_DATABASE),
    "57P04": (DatabaseNotFoundError, "the database was dropped"),
    "42501": (
        PermissionDeniedError,
        "the user has no right to do this; grant it or change POSTGRES_USER",
    ),
    "25006": (PermissionDeniedError, "the server or the user is read only"),
    "40": (LoadConflictError, "PostgreSQL stopped the transaction because of another one"),
    "55P03": (LoadConflictError, "another transaction held a lock for too long"),
    "55006": (LoadConflictError, "another session uses the object"),
    "23503": (LoadConflictError, "a parent row was deleted, or a child row added, meanwhile"),
    "XX000": (
        LoadConflictError,
        "PostgreSQL met an internal error, such as an index dropped by another session meanwhile",
    ),
    "53100": (TerminalError, "the server's disk is full"),
}
#: By class, what is the matter with an error that has no sentence of its own; the condition's name follows.
_BY_CLASS = {
    "09": "a trigger failed",
    "0A": "the server does not offer this",
    "22": "a value is none that the type or the function takes",
    "23": "rows break a constraint of the table",
    "25": "the transaction is not in the state for it",
    "27": "a trigger changed what was being written",
    "38": "a function failed",
    "39": "a function failed",
    "42": "what is in the database is not what the mirror made, or was told",
    "44": "a view does not take the rows",
    "53": "the server lacks the room for it",
    "54": "a limit of the server is exceeded",
    "55": "what is there is not in the state for it",
    "57": "the server was told to stop it, by an administrator or a time limit",
    "58": "the server's disk or system failed",
    "F0": "the server's configuration is wrong",
    "HV": "a foreign server failed",
    "P0": "a trigger or a function raised an error",
    "XX": "the server met an error of its own",
}
_NO_TLS = "no encrypted connection could be made; check the POSTGRES_SSL variables and the server"
_UNENCRYPTED = (
    "the server takes no connection of this user to this database from here without encryption; check "
    "POSTGRES_SSL_MODE, POSTGRES_USER and the server's pg_hba.conf"
)
_CERTIFICATE = "the server's certificate is not the authority's, or not for this host; check POSTGRES_SSL_CA"
#: Parts of the server's English texts. A failed connection carries no SQLSTATE.
_BY_TEXT: tuple[tuple[tuple[str, ...], type[SmartdietError], str], ...] = (
    (
        ("is starting up", "is shutting down", "in recovery mode", "not yet accepting",
         "not accepting connections", "too many clients", "too many connections", "connection slots"),
        ServerUnreachableError, _NOT_NOW,
    ),
    (("certificate verify failed", "does not match host name"), ConfigurationError, _CERTIFICATE),
    (
        ("server does not support SSL", "root certificate", "certificate file", "private key file", "sv1 alert",
         "sv13 alert", "sslv3 alert"),
        ConfigurationError, _NO_TLS,
    ),
    (("no encryption",), AuthenticationError, _UNENCRYPTED),
    (
        ("authentication failed", "no password supplied", "pg_hba.conf", "is not permitted to log in",
         "requires a valid client certificate"),
        AuthenticationError, _REFUSED,
    ),
    (("permission denied for database",), PermissionDeniedError, "the user may not connect to the database"),
)  # fmt: skip
#: How psycopg's own texts begin where no connection came about.
_NO_CONNECTION = ("connection failed", "connection is bad: connection to server", "failed to resolve")


def translate_postgres_error(error: BaseException, action: str, table: str = "", *, prefix: str = "") -> SmartdietError:
    """Choose our error for one of psycopg's; raise it `from None`.

    Args:
        error: what psycopg raised; one of ours is returned as it is.
        action: what was going on, such as "connecting to PostgreSQL at db:5432" or "merging the rows".
        table: the table it was going on for, "" where there is none.
        prefix: what the names of the variables begin with that a user is told to check.
    """
    if isinstance(error, SmartdietError):
        return error
    if isinstance(error, StalledConnectionError):
        return ServerUnreachableError(f"{f'{table}: ' if table else ''}{action} failed: {_STALLED}")
    sqlstate = error.sqlstate if isinstance(error, psycopg.Error) else None
    what = f"{table}: {action}" if table else action
    if sqlstate is not None:
        found = _BY_SQLSTATE.get(sqlstate) or _BY_SQLSTATE.get(sqlstate[:2])
        if found is not None:
            kind, reason = found
            return kind(f"{what} failed: {_name_variables(reason, prefix)} (SQLSTATE {sqlstate})")
    elif isinstance(error, psycopg.OperationalError):
        kind, reason = _explain_connection_failure(error)
        return kind(f"{what} failed: {_name_variables(reason, prefix)}")
    elif isinstance(error, psycopg.InterfaceError) and "connection is" in str(error):
        return ServerUnreachableError(f"{what} failed: {_LOST}")
    if table:
        return LoadFailedError(table, action, sqlstate, explain_sqlstate(error))
    return TerminalError(f"{action} failed: {explain_sqlstate(error)}")


def explain_sqlstate(error: BaseException) -> str:
    """Explain an error that has no sentence of its own: its class, its condition's name, and the code."""
    sqlstate = error.sqlstate if isinstance(error, psycopg.Error) else None
    if sqlstate is None:
        return f"the driver does not take it ({type(error).__name__})"
    try:
        condition = psycopg.errors.lookup(sqlstate).__name__
    except KeyError:
        condition = "UnknownCondition"
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", condition).lower()
    return f"{_BY_CLASS.get(sqlstate[:2], 'the server refuses it')}: {words} (SQLSTATE {sqlstate})"


def _name_variables(reason: str, prefix: str) -> str:
    return reason.replace("POSTGRES_", f"{prefix}POSTGRES_")


def _explain_connection_failure(error: psycopg.OperationalError) -> tuple[type[SmartdietError], str]:
    """Tell the causes apart by the text, of which nothing is kept.

    A server of another language says them in it: then whether it came to ask for the password tells a refusal
    from a server that is not ready.
    """
    text = str(error)
    for parts, kind, reason in _BY_TEXT:
        if any(part in text for part in parts):
            return kind, reason
    if "does not exist" in text:
        if 'database "' in text:
            return DatabaseNotFoundError, _NO_DATABASE
        return AuthenticationError, _REFUSED
    if "FATAL" in text:
        if error.pgconn is not None and error.pgconn.used_password:
            return AuthenticationError, "the server refuses the user, the password or the database"
        return ServerUnreachableError, "the server refuses the connection"
    if isinstance(error, psycopg.errors.ConnectionTimeout) or any(part in text for part in _NO_CONNECTION):
        return ServerUnreachableError, _NO_SERVER
    return ServerUnreachableError, _LOST
