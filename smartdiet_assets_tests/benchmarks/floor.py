"""The floor of a load: rows that are ready in PostgreSQL's own binary form, copied, and keys built over them.

Here: taking a loaded table's exact structure and rows, and building the same again by the shortest way. Not here:
anything of the project's load, which must not be able to lower its own floor.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import sql

from smartdiet_assets_tests.benchmarks.servers import Connection

#: Where the columns of a table stay when it is dropped.
_TEMPLATES = "floor_templates"
_CHUNK_BYTES = 1 << 20
_KEYS = """\
SELECT format('ALTER TABLE %%s ADD CONSTRAINT %%I %%s', conrelid::regclass, conname, pg_get_constraintdef(oid))
FROM pg_catalog.pg_constraint
WHERE conrelid = %(table)s::regclass AND contype IN ('p', 'u')
ORDER BY conname"""
_INDEXES = """\
SELECT pg_get_indexdef(i.indexrelid)
FROM pg_catalog.pg_index AS i
WHERE i.indrelid = %(table)s::regclass
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint AS c WHERE c.conindid = i.indexrelid AND c.contype IN ('p', 'u'))
ORDER BY 1"""
_FOREIGN_KEYS = """\
SELECT format('ALTER TABLE %%s ADD CONSTRAINT %%I %%s', conrelid::regclass, conname, pg_get_constraintdef(oid))
FROM pg_catalog.pg_constraint
WHERE conrelid = %(table)s::regclass AND contype = 'f'
ORDER BY conname"""


@dataclass(frozen=True)
class ReadyTable:
    """A table taken from a live one: its statements, and its rows as the bytes of a binary COPY."""

    table: str
    columns: Sequence[str]
    keys: Sequence[str]
    rows: Sequence[bytes]

    def write(self, connection: Connection) -> None:
        """Create the table, copy its rows and build its keys, in one transaction."""
        with connection.transaction():
            connection.execute("SELECT set_config('maintenance_work_mem', '256MB', true)")
            template = sql.Identifier(_TEMPLATES, self.table)
            connection.execute(sql.SQL("CREATE TABLE {} (LIKE {})").format(sql.Identifier(self.table), template))
            self.copy(connection)
            for statement in self.keys:
                connection.execute(sql.SQL(statement))

    def copy(self, connection: Connection) -> None:
        """Copy the rows into the table as it is."""
        write_rows(connection, self.table, self.columns, self.rows)


def take_table(connection: Connection, table: str) -> ReadyTable:
    """Take a loaded table's structure and rows; a template of its columns stays behind."""
    keys = read_keys(connection, table)
    template = sql.Identifier(_TEMPLATES, table)
    connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(_TEMPLATES)))
    connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(template))
    connection.execute(sql.SQL("CREATE TABLE {} (LIKE {})").format(template, sql.Identifier(table)))
    cursor = connection.execute(sql.SQL("SELECT * FROM {} LIMIT 0").format(sql.Identifier(table)))
    assert cursor.description is not None
    columns = [column.name for column in cursor.description]
    return ReadyTable(table, columns, keys, take_rows(connection, table, columns))


def read_keys(connection: Connection, table: str) -> list[str]:
    """Read the statements that build a table's keys, indexes and foreign keys, in that order."""
    return [
        row[0]
        for query in (_KEYS, _INDEXES, _FOREIGN_KEYS)
        for row in connection.execute(query, {"table": table}).fetchall()
    ]


def take_rows(connection: Connection, table: str, columns: Sequence[str], condition: str = "true") -> list[bytes]:
    """Read rows as the bytes of a binary COPY, in large pieces."""
    statement = sql.SQL("COPY (SELECT {} FROM {} WHERE {}) TO STDOUT (FORMAT BINARY)").format(
        sql.SQL(", ").join(map(sql.Identifier, columns)), sql.Identifier(table), sql.SQL(condition)
    )
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        whole = b"".join(bytes(piece) for piece in copy)
    return [whole[start : start + _CHUNK_BYTES] for start in range(0, len(whole), _CHUNK_BYTES)]


def write_rows(connection: Connection, table: str, columns: Sequence[str], rows: Sequence[bytes]) -> None:
    """Copy rows that `take_rows` read."""
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(
        sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for piece in rows:
            copy.write(piece)
