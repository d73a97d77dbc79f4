"""The lock that keeps two runs of one table apart.

Here: the numbers of the locks and taking them. Not here: row and table locks, which PostgreSQL takes by itself.
Every run takes its own table's lock first and, where it will also change children, theirs in the order of the schema.
As the schema's order never leads back to a parent, two runs cannot wait for each other.
"""

import zlib
from collections.abc import Iterable

from psycopg import sql

from smartdiet_assets.load.execution import Connection, execute

#: The first of the two numbers of an advisory lock; tells the mirror's locks from an application's own.
LOCK_CLASS = 0x5D1E


def build_lock_number(table_name: str) -> int:
    """Turn a table's name into the second number: a signed 32-bit hash that never changes."""
    unsigned = zlib.crc32(table_name.encode())
    return unsigned - (1 << 32) if unsigned >= 1 << 31 else unsigned


def lock_tables(connection: Connection, table_names: Iterable[str]) -> None:
    """Take the locks of tables, in the given order, until the end of the transaction.

    Raises:
        psycopg.errors.LockNotAvailable: another run held one longer than the lock timeout.
    """
    for table_name in table_names:
        execute(
            connection,
            sql.SQL("SELECT pg_advisory_xact_lock(%s, %s)"),
            [LOCK_CLASS, build_lock_number(table_name)],
        )
