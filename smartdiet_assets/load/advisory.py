"""The locks that keep two runs apart, and the one order in which every run takes its locks.

No two runs can wait for each other, because each takes what it needs in the same order:

1. its own table's lock, at the start;
2. where it will delete parents' rows or change the table's form, the locks of the tables that reaches, in the order of
   the schema, which never leads back to a parent; before it has written to a table anybody else can see;
3. the table locks of what it writes, children before their parents only where 2 has shut out everybody below; those a
   new foreign key needs on the parents (SHARE ROW EXCLUSIVE), in the order of the schema.

At its very end a run may note for its children that what they wait for arrived. It does not wait for a child's run that
has their records, but leaves them alone then: they are found in turn.

The bulk way needs more than readers of a parent can give (ACCESS EXCLUSIVE), so it never waits for it: it is not taken
when somebody is there. What is left are an operator's own sessions; PostgreSQL then stops one side (deadlock, lock
timeout, a parent just deleted), which is a `TransientError`, and the run is tried again.
"""

import zlib
from collections.abc import Iterable

from psycopg import Cursor, errors, sql
from psycopg.rows import tuple_row

from smartdiet_assets.errors import LoadConflictError
from smartdiet_assets.load.execution import Connection, execute, fetch_value

#: The first of the two numbers of an advisory lock; tells the mirror's locks from an application's own.
LOCK_CLASS = 0x5D1E


#: The same for the records of what a table's documents wait for, which the runs of their parents write too.
WAITS_LOCK_CLASS = 0x5D1F

# A table of the same name in another schema is another mirror's.
_LOCK = "SELECT pg_advisory_xact_lock(%s, %s::integer # hashtext(current_schema()::text))"
_TRY_LOCK = sql.SQL("SELECT pg_try_advisory_xact_lock(%s, %s::integer # hashtext(coalesce(%s, current_schema())))")


def build_lock_number(table_name: str) -> int:
    """Turn a table's name into a signed 32-bit hash that never changes; with its schema's it is the second number."""
    unsigned = zlib.crc32(table_name.encode())
    return unsigned - (1 << 32) if unsigned >= 1 << 31 else unsigned


def lock_tables(connection: Connection, table_names: Iterable[str]) -> None:
    """Take the locks of tables, in the given order, until the end of the transaction.

    Raises:
        LoadConflictError: another run held one longer than the lock timeout.
    """
    for table_name in table_names:
        try:
            _lock(connection, LOCK_CLASS, table_name)
        except errors.LockNotAvailable:
            raise build_conflict(table_name) from None


def send_lock(connection: Connection, table_name: str) -> Cursor[tuple[object, ...]]:
    """Send for a table's lock, with other statements; it is held when the answer is there."""
    return connection.cursor(row_factory=tuple_row).execute(
        _LOCK, [LOCK_CLASS, build_lock_number(table_name)], prepare=True
    )


def build_conflict(table_name: str) -> LoadConflictError:
    """Build the error of a lock that another run held longer than the lock timeout."""
    return LoadConflictError(
        f"{table_name}: another run has the table, and had it for longer than the lock timeout; "
        "nothing was written, try again when it is over"
    )


def try_lock_tables(connection: Connection, table_names: Iterable[str], schema_name: str | None = None) -> bool:
    """Take the locks of tables without waiting; False as soon as another run has one.

    The caller undoes the savepoint it is in when the answer is False: locks held out of order lead to deadlocks.

    Args:
        schema_name: where the tables are; None is the connection's schema.
    """
    return all(_try_lock(connection, LOCK_CLASS, table_name, schema_name) for table_name in table_names)


def lock_waits(connection: Connection, table_name: str) -> None:
    """Take the lock of what a table's documents wait for, until the end of the transaction: its own run's part.

    Runs of its parents hold it only while they commit.

    Raises:
        psycopg.errors.LockNotAvailable: one held it longer than the lock timeout.
    """
    _lock(connection, WAITS_LOCK_CLASS, table_name)


def try_lock_waits(connection: Connection, table_names: Iterable[str]) -> bool:
    """Take the locks of what other tables' documents wait for, without waiting; False as soon as a run has one."""
    return all(_try_lock(connection, WAITS_LOCK_CLASS, table_name) for table_name in table_names)


def _lock(connection: Connection, lock_class: int, table_name: str) -> None:
    execute(connection, sql.SQL(_LOCK), [lock_class, build_lock_number(table_name)])


def _try_lock(connection: Connection, lock_class: int, table_name: str, schema_name: str | None = None) -> bool:
    parameters = [lock_class, build_lock_number(table_name), schema_name]
    return bool(fetch_value(connection, _TRY_LOCK, parameters))
