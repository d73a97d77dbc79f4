"""The two transactions of a refresh: one that only reads the source, one that does everything in the target."""

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import Connection, errors, sql
from psycopg.rows import tuple_row

from smartdiet_assets.errors import LoadConflictError, RefreshError, SmartdietError
from smartdiet_assets.load.advisory import LOCK_CLASS, build_lock_number, try_lock_tables
from smartdiet_assets.resources.postgres import PostgresResource
from smartdiet_assets.resources.postgres_errors import translate_postgres_error

#: The second number of the advisory lock of a refresh; no table can have this name.
_REFRESH_LOCK = "\0refresh"


@dataclass(frozen=True, slots=True)
class Waits:
    """How long others are waited for, in seconds.

    Attributes:
        writers: the end of another refresh, or of a run that mirrors into a table.
        readers: a moment in which nobody reads the old tables; `attempt` is one try, in which new readers wait too.
    """

    writers: float = 60.0
    readers: float = 1800.0
    attempt: float = 2.0


# A refresh takes as long as it takes, and its names are all qualified. The server would write a failed index or foreign
# key to its log with the values of the row; where we may, we keep it from that, and report the error ourselves.
_SETTINGS = """\
SELECT set_config(name, value, true)
FROM (
  VALUES
    ('search_path', ''), ('statement_timeout', '0'), ('idle_in_transaction_session_timeout', '0'),
    ('transaction_timeout', '0'), ('lock_timeout', '60s'), ('DateStyle', 'ISO, MDY'), ('IntervalStyle', 'postgres'),
    ('extra_float_digits', '3'), ('row_security', 'off'), ('check_function_bodies', 'off'), ('jit', 'off'),
    ('default_tablespace', ''), ('default_table_access_method', 'heap'), ('bytea_output', 'hex'), ('TimeZone', 'UTC'),
    ('log_min_messages', 'log')
) AS wanted (name, value)
WHERE name IN (
  SELECT s.name
  FROM pg_catalog.pg_settings AS s
  WHERE s.context <> 'superuser' OR current_setting('is_superuser') = 'on'
)"""
_MEMORY = """\
SELECT set_config('maintenance_work_mem', greatest(pg_size_bytes(current_setting('maintenance_work_mem')), 268435456)
  / 1024 || 'kB', true)"""
#: Errors of a statement that makes something: their text names objects, where no row was looked at.
_SPEAKING_CLASSES = ("42", "0A", "2B", "58P01")
_QUOTED = re.compile('"([^"]*)"')


@contextmanager
def open_source(resource: PostgresResource) -> Iterator[Connection]:
    """Open a transaction that sees the source as it is at its first statement, and cannot write to it."""
    connection = resource.connect()
    try:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        connection.execute(_SETTINGS.encode())
        yield connection
        connection.rollback()
    finally:
        connection.close()


@contextmanager
def open_target(resource: PostgresResource) -> Iterator[Connection]:
    """Open the transaction that refreshes the target; left without `commit`, nothing has happened."""
    connection = resource.connect()
    try:
        connection.execute(_SETTINGS.encode())
        connection.execute(_MEMORY.encode())
        yield connection
    finally:
        connection.close()


def fetch(connection: Connection, query: str, parameters: Sequence[object] | None = None) -> list[tuple[Any, ...]]:
    """Run a query and return its rows."""
    with connection.cursor(row_factory=tuple_row) as cursor:
        return cursor.execute(query.encode(), parameters, prepare=False).fetchall()


def make(
    connection: Connection, statement: str, label: str, action: str = "making it", *, over_rows: bool = False
) -> None:
    """Run a statement that the catalogue of the source or target gave, or that names only objects.

    Args:
        over_rows: it looks at rows, as building an index does.

    Raises:
        SmartdietError: it failed; the target is as it was.
    """
    try:
        connection.execute(statement.encode(), prepare=False)
    except psycopg.Error as error:
        raise explain(error, action, label, statement if over_rows else None) from None


def explain(error: psycopg.Error, action: str, label: str = "", over_rows: str | None = None) -> SmartdietError:
    """Choose our error for a failed step, with the server's words where these can only be names of objects.

    Args:
        over_rows: the statement, where it looked at rows.
    """
    state = error.sqlstate or ""
    primary = error.diag.message_primary
    if primary and over_rows is not None and not _names_only_objects(error, primary, over_rows):
        primary = None
    what = f"{label}: {action}" if label else action
    known = translate_postgres_error(error, action, label)
    if primary and state.startswith(_SPEAKING_CLASSES) and state != "42501":
        return RefreshError(f"{what} failed: {primary}; nothing was written")
    if state == "53200":
        return RefreshError(
            f"{what} failed: the server has no room for so many locks or so much memory; raise "
            "max_locks_per_transaction there, or refresh some schemas at a time; nothing was written"
        )
    if state == "42501" and primary:
        owner = "; the user must own what is replaced and its schema" if "must be owner" in primary else ""
        return type(known)(f"{what} failed: {primary}{owner}; nothing was written")
    return known


def _names_only_objects(error: psycopg.Error, primary: str, statement: str) -> bool:
    """Whether an error is none that a value made, as `value::regclass` makes 'relation "value" does not exist'.

    It is about the statement's text, or quotes nothing but parts of it, and no function said it.
    """
    if error.diag.context:
        return False
    quoted = _QUOTED.findall(primary)
    return bool(error.diag.statement_position) or (bool(quoted) and all(part in statement for part in quoted))


def lock_source(connection: Connection, tables: Sequence[str]) -> None:
    """Keep the source's tables as they are made until the end of the transaction; writers are not held up."""
    if tables:
        connection.execute(f"LOCK TABLE {', '.join(tables)} IN ACCESS SHARE MODE".encode())


def lock_target(
    connection: Connection, mirrored: Sequence[tuple[str, str]], wait: Callable[[str], None], timeout: float
) -> None:
    """Keep other refreshes, and runs that mirror into the tables, out until the end of the transaction.

    Args:
        mirrored: tables, as the mirror locks them: each with its schema before it.
        wait: told once what is waited for.
        timeout: seconds they are waited for.

    Raises:
        LoadConflictError: one of them took longer.
    """
    deadline = time.monotonic() + timeout
    told = False
    number = build_lock_number(_REFRESH_LOCK)
    while True:
        connection.execute("SAVEPOINT locks")
        row = connection.execute("SELECT pg_try_advisory_xact_lock(%s, %s)", [LOCK_CLASS, number]).fetchone()
        refreshing = not (row and row[0])
        if not refreshing and all(try_lock_tables(connection, [name], schema) for schema, name in mirrored):
            connection.execute("RELEASE SAVEPOINT locks")
            return
        # Locks held while waiting for others lead to deadlocks.
        connection.execute("ROLLBACK TO SAVEPOINT locks")
        who = "another refresh writes to the target" if refreshing else "a run mirrors into a table of the target"
        if time.monotonic() > deadline:
            raise LoadConflictError(f"{who}, and did for longer than {timeout:.0f} s; nothing was written, try again")
        if not told:
            wait(f"Waiting: {who}.")
            told = True
        time.sleep(0.5)


def lock_tables_exclusively(
    connection: Connection, tables: Sequence[str], wait: Callable[[str], None], waits: Waits
) -> None:
    """Shut everybody out of tables until the end of the transaction.

    Who reads one is waited for `waits.attempt` seconds at a time, in which new readers wait too; between the attempts
    everybody goes on.

    Raises:
        LoadConflictError: there was always a reader for `waits.readers` seconds.
    """
    if not tables:
        return
    deadline = time.monotonic() + waits.readers
    told = False
    statement = f"LOCK TABLE {', '.join(tables)} IN ACCESS EXCLUSIVE MODE"
    while True:
        connection.execute("SAVEPOINT swap")
        connection.execute("SELECT set_config('lock_timeout', %s, true)", [f"{round(waits.attempt * 1000)}ms"])
        try:
            connection.execute(statement.encode())
        except (errors.LockNotAvailable, errors.DeadlockDetected):
            connection.execute("ROLLBACK TO SAVEPOINT swap")
        except psycopg.Error as error:
            raise explain(error, "locking the old tables") from None
        else:
            connection.execute("RELEASE SAVEPOINT swap")
            return
        if time.monotonic() > deadline:
            raise LoadConflictError(
                f"somebody had a table of the target in use for {waits.readers:.0f} s without a pause; nothing was "
                "written, try again when the long transactions there are over"
            )
        if not told:
            wait("Everything is loaded; waiting for those who read the old tables.")
            told = True
        time.sleep(min(1.0, waits.attempt))


def quote(*parts: str) -> str:
    """Quote a name for a statement."""
    return sql.Identifier(*parts).as_string(None)
