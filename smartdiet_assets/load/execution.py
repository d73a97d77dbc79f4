"""Executing composed statements on the load's connection, as they are or several in one round trip.

The temporary tables of a load have the same names in every transaction and other columns each time, so a statement
prepared in an earlier one would fail: psycopg's prepared statements are switched off. Answers are plain tuples.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row

Connection = psycopg.Connection
Statement = sql.SQL | sql.Composed
Parameters = Sequence[object] | Mapping[str, object] | None
#: A statement with its parameters, to be sent later; its text is the same for all tables, so that it can be prepared.
PlannedStatement = tuple[str, Parameters]


def execute(connection: Connection, statement: Statement, parameters: Parameters = None) -> int:
    """Execute a statement and return how many rows it touched.

    Raises:
        RuntimeError: a COPY is still open (see `load.staging`), behind which the statement would wait for ever.
    """
    _check_free(connection)
    with connection.cursor(row_factory=tuple_row) as cursor:
        touched: int = cursor.execute(_double_percent(statement, parameters), parameters, prepare=False).rowcount
        return touched


def fetch_all(connection: Connection, statement: Statement, parameters: Parameters = None) -> list[tuple[Any, ...]]:
    """Execute a query and return its rows.

    Raises:
        RuntimeError: a COPY is still open.
    """
    _check_free(connection)
    with connection.cursor(row_factory=tuple_row) as cursor:
        query = _double_percent(statement, parameters)
        rows: list[tuple[object, ...]] = cursor.execute(query, parameters, prepare=False).fetchall()
        return rows


def fetch_value(connection: Connection, statement: Statement, parameters: Parameters = None) -> Any:
    """Execute a query and return the first column of its first row, None when there is no row."""
    rows = fetch_all(connection, statement, parameters)
    return rows[0][0] if rows else None


def execute_all(connection: Connection, statements: Iterable[Statement]) -> None:
    """Execute statements that return nothing in one round trip, all of them or none.

    Raises:
        RuntimeError: a COPY is still open.
    """
    script = sql.SQL(";\n").join(statements)
    if list(script):
        execute(connection, script)


def execute_counted(connection: Connection, statements: Iterable[Statement]) -> list[int]:
    """Execute statements in one round trip, all of them or none; return how many rows each touched."""
    return [cursor.rowcount for cursor in _run(connection, statements)]


def fetch_after(connection: Connection, statements: Iterable[Statement], query: Statement) -> list[tuple[Any, ...]]:
    """Execute statements and then a query, in one round trip; return the rows of the query."""
    rows: list[tuple[object, ...]] = []
    for cursor in _run(connection, [*statements, query]):
        rows = cursor.fetchall() if cursor.description else []
    return rows


def _run(connection: Connection, statements: Iterable[Statement]) -> Iterator[psycopg.Cursor[tuple[object, ...]]]:
    """Execute statements in one round trip; give the cursor once at the result of each."""
    script = list(statements)
    if not script:
        return
    _check_free(connection)
    with connection.cursor(row_factory=tuple_row) as cursor:
        cursor.execute(sql.SQL(";\n").join(script), prepare=False)
        yield cursor
        while cursor.nextset():
            yield cursor


def within_transaction(connection: Connection) -> AbstractContextManager[object]:
    """Open a transaction where there is none; one that is open already is not divided."""
    idle = connection.info.transaction_status == TransactionStatus.IDLE
    return connection.transaction() if idle else nullcontext()


def _double_percent(statement: Statement, parameters: Parameters) -> Statement:
    """Double each `%` of the names and values that were composed into a statement with parameters, as psycopg wants it.

    Its own parts are written so; what is composed into them is not, whoever chose the name.
    """
    if parameters is None or not isinstance(statement, sql.Composed):
        return statement
    return sql.Composed([_double_part(part) for part in statement])


def _double_part(part: sql.Composable) -> sql.Composable:
    if isinstance(part, sql.Composed):
        return sql.Composed([_double_part(inner) for inner in part])
    if isinstance(part, (sql.SQL, sql.Placeholder)):
        return part
    if isinstance(part, sql.Identifier):
        return sql.Identifier(*(name.replace("%", "%%") for name in part._obj))
    # A literal is spelled by its type; few hold any.
    text = part.as_string(None)
    return sql.SQL(text.replace("%", "%%")) if "%" in text else part


def _check_free(connection: Connection) -> None:
    if connection.info.transaction_status == TransactionStatus.ACTIVE:
        raise RuntimeError("the connection is busy: a COPY was not ended")
