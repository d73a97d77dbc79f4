"""Which driver error becomes which of ours, by code; a transient one is what Dagster retries."""

import psycopg
import pymongo.errors
import pymysql
import pytest
from bson.errors import InvalidBSON
from dns.resolver import NXDOMAIN

from smartdiet_assets.errors import (
    AuthenticationError,
    ConfigurationError,
    DatabaseNotFoundError,
    LoadConflictError,
    LoadFailedError,
    PermissionDeniedError,
    ReadFailedError,
    ServerUnreachableError,
    SourceTableError,
    TerminalError,
    TransientError,
)
from smartdiet_assets.resources.matomo_errors import translate_matomo_error
from smartdiet_assets.resources.mongo_errors import may_pass, translate_mongo_error
from smartdiet_assets.resources.postgres_errors import translate_postgres_error

VALUE = "marie@example.org"


@pytest.mark.parametrize(
    ("sqlstate", "expected"),
    [
        ("08006", ServerUnreachableError),
        ("57P01", ServerUnreachableError),
        ("57P03", ServerUnreachableError),
        ("53300", ServerUnreachableError),
        ("40001", LoadConflictError),
        ("40P01", LoadConflictError),
        ("55P03", LoadConflictError),
        ("23503", LoadConflictError),
        ("28P01", AuthenticationError),
        ("3D000", DatabaseNotFoundError),
        ("42501", PermissionDeniedError),
        ("25006", PermissionDeniedError),
        ("53100", TerminalError),
        ("23505", LoadFailedError),
        ("22001", LoadFailedError),
        ("57014", LoadFailedError),
    ],
)
def test_a_sqlstate_decides(sqlstate: str, expected: type[Exception]) -> None:
    error = psycopg.errors.lookup(sqlstate)(f"Key (email)=({VALUE})")
    ours = translate_postgres_error(error, "merging the rows", "users")
    assert type(ours) is expected
    assert "users" in str(ours)
    assert sqlstate in str(ours)
    assert VALUE not in str(ours)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (psycopg.OperationalError("consuming input failed: server closed"), ServerUnreachableError),
        (psycopg.OperationalError("connection failed: FATAL:  the database system is starting up"),
         ServerUnreachableError),
        (psycopg.OperationalError("connection failed: FATAL:  le système démarre"), ServerUnreachableError),
        (psycopg.OperationalError("failed to resolve host 'x'"), ServerUnreachableError),
        (psycopg.errors.ConnectionTimeout("connection timeout expired"), ServerUnreachableError),
        (psycopg.InterfaceError("the connection is closed"), ServerUnreachableError),
        (psycopg.DataError(f"cannot dump {VALUE}"), LoadFailedError),
        (ConfigurationError("ours"), ConfigurationError),
    ],
)  # fmt: skip
def test_an_error_without_a_sqlstate_is_told_by_its_kind(error: Exception, expected: type[Exception]) -> None:
    ours = translate_postgres_error(error, "writing", "users")
    assert type(ours) is expected
    assert VALUE not in str(ours)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (pymongo.errors.ServerSelectionTimeoutError(VALUE), ServerUnreachableError),
        (pymongo.errors.NetworkTimeout(VALUE), ServerUnreachableError),
        (pymongo.errors.NotPrimaryError(VALUE), ServerUnreachableError),
        (pymongo.errors.OperationFailure(VALUE, code=11600), ServerUnreachableError),
        (pymongo.errors.CursorNotFound(VALUE, code=43), TransientError),
        (pymongo.errors.OperationFailure(VALUE, code=18), AuthenticationError),
        (pymongo.errors.OperationFailure("bad auth : failed", code=8000), AuthenticationError),
        (pymongo.errors.OperationFailure(VALUE, code=13), PermissionDeniedError),
        (pymongo.errors.OperationFailure(VALUE, code=2), ReadFailedError),
        (pymongo.errors.OperationFailure(f"not allowed to do action [find] on [{VALUE}]", code=8000),
         PermissionDeniedError),
        (pymongo.errors.OperationFailure(f"CMD_NOT_ALLOWED: {VALUE} is not allowed", code=8000), ReadFailedError),
        (pymongo.errors.OperationFailure(VALUE, code=8000), TransientError),
        (pymongo.errors.OperationFailure(VALUE, code=59), ReadFailedError),
        (pymongo.errors.OperationFailure(VALUE, code=999_999, details={"errorLabels": ["RetryableError"]}),
         TransientError),
        (pymongo.errors.InvalidURI(VALUE), ConfigurationError),
        (InvalidBSON(VALUE), ReadFailedError),
    ],
)  # fmt: skip
def test_a_mongo_error_is_told_by_its_type_or_code(error: Exception, expected: type[Exception]) -> None:
    ours = translate_mongo_error(error, "reading users")
    assert type(ours) is expected
    assert str(ours).startswith("reading users failed")
    assert VALUE not in str(ours)


#: What a server, a router, Atlas or a look-alike says for a while: read from MongoDB's own list of error codes.
PASSING = (
    6, 7, 24, 43, 46, 50, 70, 89, 91, 112, 117, 133, 134, 136, 150, 175, 189, 202, 234, 237, 246, 249, 250, 251, 262,
    272, 279, 290, 292, 314, 355, 358, 365, 384, 391, 402, 406, 407, 412, 433, 449, 462, 8000, 9001, 10058, 10107,
    11600, 11601, 11602, 13388, 13435, 13436, 16500,
)  # fmt: skip


@pytest.mark.parametrize("code", PASSING)
def test_a_code_of_mongodb_that_may_pass_is_worth_a_retry(code: int) -> None:
    ours = translate_mongo_error(pymongo.errors.OperationFailure(VALUE, code=code), "reading users")
    assert isinstance(ours, TransientError)
    assert str(code) in str(ours)
    assert VALUE not in str(ours)


@pytest.mark.parametrize("code", [1, 2, 8, 9, 13, 14, 17, 18, 20, 26, 48, 59, 72, 73, 115, 148, 166, 238, 280, 286])
def test_a_code_of_mongodb_that_stays_is_not(code: int) -> None:
    assert not may_pass(pymongo.errors.OperationFailure(VALUE, code=code))


def driver_error(text: str, cause: BaseException | None = None) -> pymongo.errors.ConfigurationError:
    error = pymongo.errors.ConfigurationError(text)
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "expected", "said"),
    [
        (driver_error(VALUE, NXDOMAIN()), ServerUnreachableError, "DNS does not tell the servers of X_MONGODB_URL"),
        (driver_error(VALUE, OSError(VALUE)), ServerUnreachableError, "DNS does not tell"),
        (driver_error(f"Server at {VALUE} reports wire version 7, but"), ConfigurationError, "the server's version"),
        (driver_error("Sessions are not supported by this MongoDB deployment"), ConfigurationError, "no sessions"),
        (driver_error(f"install with: python -m pip install 'pymongo[aws]' {VALUE}"), ConfigurationError, "[aws]"),
        (driver_error(VALUE), ConfigurationError, "the driver cannot do this with this server"),
        (pymongo.errors.ServerSelectionTimeoutError(f'No servers match selector "{VALUE}"'), ServerUnreachableError,
         "none that the readPreference of X_MONGODB_URL allows"),
    ],
)  # fmt: skip
def test_only_the_url_is_said_to_be_the_url(error: Exception, expected: type[Exception], said: str) -> None:
    ours = translate_mongo_error(error, "reading users", prefix="X_")
    assert type(ours) is expected
    assert said in str(ours)
    assert "cannot be used as written" not in str(ours)
    assert VALUE not in str(ours)


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (2003, ServerUnreachableError),
        (2013, ServerUnreachableError),
        (2006, ServerUnreachableError),
        (1040, ServerUnreachableError),
        (1053, ServerUnreachableError),
        (1205, TransientError),
        (1213, TransientError),
        (1317, TransientError),
        (1927, TransientError),
        (1045, AuthenticationError),
        (1698, AuthenticationError),
        (1044, PermissionDeniedError),
        (1142, PermissionDeniedError),
        (1049, DatabaseNotFoundError),
        (1146, SourceTableError),
        (2026, ConfigurationError),
        (1064, ReadFailedError),
    ],
)
def test_a_number_of_mariadb_decides_and_its_text_is_not_repeated(number: int, expected: type[Exception]) -> None:
    ours = translate_matomo_error(pymysql.OperationalError(number, f"near '{VALUE}'"), "reading visits")
    assert type(ours) is expected
    assert str(ours).startswith("reading visits failed")
    assert VALUE not in str(ours)


def test_a_connection_that_is_closed_already_is_lost() -> None:
    assert type(translate_matomo_error(pymysql.InterfaceError(0, ""), "reading")) is ServerUnreachableError
    assert type(translate_matomo_error(ConnectionResetError(104, VALUE), "reading")) is ServerUnreachableError
