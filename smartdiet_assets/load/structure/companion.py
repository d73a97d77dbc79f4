"""The companion of a `one_per_key` table: documents that share a key, kept to know which one shows next.

Here: its DDL, and telling whether the live one still fits. Not here: its rows (`load.merge`).
It is derived from the documents, so one of another form is dropped and filled again by a re-import.
"""

from collections.abc import Mapping

from psycopg import sql

from smartdiet_assets.load.structure.constraints import Collation
from smartdiet_assets.load.structure.live import LiveTable
from smartdiet_assets.load.structure.naming import build_name, candidates_name
from smartdiet_assets.load.structure.table_ddl import compose_column, compose_names
from smartdiet_assets.schema.keys import DELETED_AT
from smartdiet_assets.schema.model import Table


def compose_drop_candidates(table: Table) -> list[sql.Composed]:
    """Compose the removal of a companion, which is built again from the documents."""
    return [sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(*candidates_name(table)))]


def compose_create_candidates(table: Table, collations: Mapping[str, Collation]) -> list[sql.Composed]:
    """Compose the companion of a `one_per_key` table: the documents that share a key with a row shown.

    The same stored columns, without foreign keys and defaults; see `compose_candidates_keys`.
    """
    target = sql.Identifier(*candidates_name(table))
    columns = [
        compose_column(
            column,
            nullable=column.name != table.document_column,
            collation=collations.get(column.name, ()),
            default=False,
        )
        for column in table.stored_columns
    ]
    return [
        sql.SQL("CREATE TABLE {} (\n  {}\n)").format(target, sql.SQL(",\n  ").join(columns)),
        sql.SQL("COMMENT ON TABLE {} IS {}").format(
            target, sql.Literal(f"Documents of {table.name} that wait behind another one of their key")
        ),
    ]


def compose_candidates_keys(table: Table) -> list[sql.Composed]:
    """Compose the keys of the companion: one row per document, found by key."""
    schema_name, name = candidates_name(table)
    target = sql.Identifier(schema_name, name)
    return [
        sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} PRIMARY KEY ({})").format(
            target, sql.Identifier(build_name([name], "pkey")), sql.Identifier(table.document_column)
        ),
        sql.SQL("CREATE INDEX {} ON {} ({})").format(
            sql.Identifier(build_name([name, *table.key], "idx")), target, compose_names(table.key)
        ),
    ]


def compose_add_mark(table: Table) -> sql.Composed:
    """Compose adding the column of `on_delete: flag` to a companion made before: none of its documents is marked."""
    mark = compose_column(table.column(DELETED_AT), nullable=True, collation=(), default=False)
    return sql.SQL("ALTER TABLE {} ADD COLUMN {}").format(sql.Identifier(*candidates_name(table)), mark)


def is_same_companion(table: Table, live: LiveTable, companion: LiveTable) -> bool:
    """Tell whether a live companion can hold the live table's rows: same columns, types, collations."""
    expected = {name: live.columns[name] for name in (column.name for column in table.stored_columns)}
    return {name: (column.type, column.collation) for name, column in expected.items()} == {
        name: (column.type, column.collation) for name, column in companion.columns.items()
    }
