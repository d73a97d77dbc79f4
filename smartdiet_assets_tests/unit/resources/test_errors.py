"""Which driver error becomes which of ours, by code; a transient one is what Dagster retries."""

import psycopg
import pymongo.errors
import pymysql
import pytest
from bson.errors import InvalidBSON

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
from smartdiet_assets.resources.mongo_errors import translate_mongo_error
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
        (pymongo.errors.InvalidURI(VALUE), ConfigurationError),
        (InvalidBSON(VALUE), ReadFailedError),
    ],
)
def test_a_mongo_error_is_told_by_its_type_or_code(error: Exception, expected: type[Exception]) -> None:
    ours = translate_mongo_error(error, "reading users")
    assert type(ours) is expected
    assert str(ours).startswith("reading users failed")
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
