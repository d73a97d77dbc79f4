"""The tables of a first load in shards, which nobody sees: its rows, and what could not become rows.

All shards copy into one table of rows. What a shard that was not committed left of itself is dead to everybody, so the
table can become the target as it is.
"""

import hashlib
from dataclasses import dataclass

from psycopg import sql

from smartdiet_assets.load.execution import Connection, execute_all, fetch_value
from smartdiet_assets.load.fragments import REJECTS, TYPED, TYPED_DOCUMENTS, candidates_of, names, stored, target_of
from smartdiet_assets.load.opening import Load
from smartdiet_assets.load.staging import CREATE_REJECTS, compose_typed
from smartdiet_assets.load.structure.declared import build_expected_table
from smartdiet_assets.load.structure.live import BOOKKEEPING_SCHEMA, read_live_table
from smartdiet_assets.load.structure.table_ddl import compose_comments
from smartdiet_assets.schema.model import Table

#: The columns of a table, but for their comments.
_FORM = sql.SQL("""\
SELECT string_agg(concat_ws(' ', a.attname, a.atttypid, a.atttypmod, a.attcollation, a.attnotnull,
  pg_get_expr(d.adbin, d.adrelid)), ',' ORDER BY a.attnum)
FROM pg_catalog.pg_attribute AS a
LEFT JOIN pg_catalog.pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = {}::regclass AND a.attnum > 0""")


@dataclass(frozen=True, slots=True)
class ShardTables:
    """The names of the tables of one first load.

    Attributes:
        rows: without any key; like the target, or its stored columns alone.
        rejects, typed_documents, typed: what the temporary tables of a run hold, of all shards.
    """

    rows: sql.Identifier
    rejects: sql.Identifier
    typed_documents: sql.Identifier
    typed: sql.Identifier

    @classmethod
    def of(cls, schema_name: str, table_name: str) -> "ShardTables":
        """Name those of a table: by a hash, for names may be long."""
        named = f"{len(schema_name)}.{schema_name}.{table_name}"
        name = f"loading_{hashlib.md5(named.encode(), usedforsecurity=False).hexdigest()}"
        parts = ("rows", "rejects", "typed_documents", "typed")
        return cls(*(sql.Identifier(BOOKKEEPING_SCHEMA, f"{name}_{part}") for part in parts))

    @property
    def all(self) -> list[sql.Identifier]:
        """All of them."""
        return [self.rows, self.rejects, self.typed_documents, self.typed]

    @property
    def kept(self) -> list[tuple[sql.Identifier, sql.Identifier]]:
        """The temporary tables of a shard, each with the one that keeps what is in it."""
        return [(REJECTS, self.rejects), (TYPED_DOCUMENTS, self.typed_documents), (TYPED, self.typed)]


def find_rows(connection: Connection, tables: ShardTables) -> int | None:
    """Find the number PostgreSQL has for the table of rows, None where it is not there."""
    found: int | None = fetch_value(
        connection, sql.SQL("SELECT to_regclass({})::oid::bigint").format(sql.Literal(tables.rows.as_string()))
    )
    return found


def create_tables(load: Load, tables: ShardTables) -> None:
    """Create the tables of a first load, in the place of what an earlier one left.

    Where the load has just created its target, that is taken back: it becomes the table of rows, or is dropped.
    """
    drop_tables(load.connection, tables)
    target = target_of(load.table)
    statements = _compose_hide(target, tables.rows) if _is_movable(load) else []
    if not statements:
        copied = "CREATE TABLE {} AS\nSELECT {} FROM {} WITH NO DATA"
        statements = [sql.SQL(copied).format(tables.rows, names(stored(load.table)), target)]
        if load.created:
            gone = [target, *([candidates_of(load.table)] if load.table.shape.shares_keys else [])]
            statements += [sql.SQL("DROP TABLE {}").format(relation) for relation in gone]
    execute_all(load.connection, [*statements, *compose_temporary(load.table, tables.rows)])
    for temporary, kept in tables.kept:
        statement = "CREATE TABLE {} AS SELECT * FROM {};\nDROP TABLE {}"
        execute_all(load.connection, [sql.SQL(statement).format(kept, temporary, temporary)])


def compose_temporary(table: Table, like: sql.Composable) -> list[sql.Composed]:
    """Compose the temporary tables of what could not become rows."""
    return [CREATE_REJECTS, *compose_typed(table, like)]


def drop_tables(connection: Connection, tables: ShardTables) -> None:
    """Drop the tables of a first load, as far as they are there."""
    execute_all(connection, [sql.SQL("DROP TABLE IF EXISTS {}").format(relation) for relation in tables.all])


def can_become_target(load: Load, tables: ShardTables) -> bool:
    """Tell whether the table of rows is what the load has just created as its target."""
    if not _is_movable(load):
        return False
    forms = [
        fetch_value(load.connection, _FORM.format(sql.Literal(relation.as_string())))
        for relation in (tables.rows, target_of(load.table))
    ]
    return bool(forms[0] == forms[1])


def become_target(load: Load, tables: ShardTables) -> None:
    """Put the table of rows in the place of the target that the load has just created."""
    connection, target = load.connection, sql.Identifier(load.schema_name, load.table.name)
    execute_all(connection, [sql.SQL("DROP TABLE {}").format(target), *_compose_show(tables.rows, target)])
    live = read_live_table(connection, load.table.name)
    assert live is not None, "it was just put there"
    # Prose may have changed since.
    execute_all(connection, compose_comments(build_expected_table(load.schema, load.table, load.schema_name), live))


def _is_movable(load: Load) -> bool:
    # The sequence of a generated column would have to go along, and its numbers would have holes.
    generated = any(column.generated for column in load.table.columns)
    return load.created and not load.table.shape.shares_keys and not generated


def _compose_hide(target: sql.Identifier, rows: sql.Identifier) -> list[sql.Composed]:
    # Under a name that nobody else has: the records may have the target's.
    schema, name = map(sql.Identifier, rows._obj)
    return [
        sql.SQL("ALTER TABLE {} RENAME TO {}").format(target, name),
        sql.SQL("ALTER TABLE {} SET SCHEMA {}").format(name, schema),
    ]


def _compose_show(rows: sql.Identifier, target: sql.Identifier) -> list[sql.Composed]:
    schema, name = map(sql.Identifier, target._obj)
    return [
        sql.SQL("ALTER TABLE {} SET SCHEMA {}").format(rows, schema),
        sql.SQL("ALTER TABLE {} RENAME TO {}").format(sql.Identifier(target._obj[0], rows._obj[1]), name),
    ]
