"""Removing the rows that are gone at the source, by comparing all keys, and those that no document owns.

Here: collecting the source's keys in a temporary table, and deleting the rows whose key is not among them, their
children first. Not here: which tables want it (`Table.on_delete`), or where the keys come from (`extract`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from psycopg import sql
from psycopg.rows import tuple_row

from smartdiet_assets.load.cascade import apply_cascade, list_references
from smartdiet_assets.load.execution import Connection, execute
from smartdiet_assets.load.fragments import name, target_of
from smartdiet_assets.schema.model import Schema, Table

_KEYS = sql.Identifier("pg_temp", "mirror_source_keys")


@dataclass(slots=True)
class Removal:
    """How many rows went, and what that did to other tables, by table."""

    removed: int = 0
    cascaded: dict[str, int] = field(default_factory=dict)


def remove_absent(
    connection: Connection, schema: Schema, table: Table, keys: Iterable[Sequence[object]], run_id: str
) -> Removal:
    """Delete the rows whose key is not among the source's.

    Args:
        keys: all keys of the source, in chunks; only one chunk is held at a time.
    """
    key = table.document_column
    execute(
        connection,
        sql.SQL("CREATE TEMPORARY TABLE {} ON COMMIT DROP AS\nSELECT {} FROM {} WITH NO DATA").format(
            _KEYS, name(key), target_of(table)
        ),
    )
    statement = sql.SQL("COPY {} FROM STDIN (FORMAT BINARY)").format(_KEYS)
    with connection.cursor(row_factory=tuple_row) as cursor, cursor.copy(statement) as copy:
        copy.set_types([table.column(key).type.name])
        for chunk in keys:
            for value in chunk:
                copy.write_row((value,))
    execute(connection, sql.SQL("CREATE INDEX ON {} ({})").format(_KEYS, name(key)))
    execute(connection, sql.SQL("ANALYZE {}").format(_KEYS))
    doomed = sql.SQL("NOT EXISTS (SELECT FROM {} AS k WHERE k.{key} = t.{key})").format(_KEYS, key=name(key))
    return _remove(connection, schema, table, doomed, run_id)


def remove_unowned(connection: Connection, schema: Schema, table: Table, run_id: str) -> Removal:
    """Delete the rows of no document: what a tool that stored no document ids left behind.

    Only after every document was read: each row that one of them describes has its id by then.
    """
    return _remove(connection, schema, table, sql.SQL("{} IS NULL").format(name(table.document_column, "t")), run_id)


def _remove(connection: Connection, schema: Schema, table: Table, doomed: sql.Composable, run_id: str) -> Removal:
    removal = Removal()
    if list_references(schema, table.name):
        cascade = apply_cascade(connection, schema, table, doomed, run_id)
        for touched in (cascade.removed, cascade.nulled):
            for child, rows in touched.items():
                removal.cascaded[child] = removal.cascaded.get(child, 0) + rows
    removal.removed = execute(connection, sql.SQL("DELETE FROM {} AS t\nWHERE {}").format(target_of(table), doomed))
    return removal
