"""The companion of a table that shares keys: documents behind the best of their key, kept to know which one shows next.

Here: its name in a database, its DDL, and telling whether the live one still fits. Not here: its rows (`load.merge`).
It is derived from the documents, so one of another form is dropped and filled again by a re-import.
"""

from collections.abc import Mapping

from psycopg import sql

from smartdiet_assets.load.execution import Connection, fetch_all
from smartdiet_assets.load.structure.constraints import Collation
from smartdiet_assets.load.structure.live import BOOKKEEPING_SCHEMA, LiveTable, check_search_path
from smartdiet_assets.load.structure.naming import CANDIDATES_NAME, build_name, candidates_name, place_in
from smartdiet_assets.load.structure.table_ddl import compose_column, compose_names
from smartdiet_assets.schema.keys import DELETED_AT
from smartdiet_assets.schema.model import Table

_NAME = sql.SQL(f"""\
SELECT current_schema(), EXISTS (
  SELECT FROM pg_catalog.pg_class AS c
  WHERE c.relnamespace = to_regnamespace(%(bookkeeping)s) AND c.relname = {CANDIDATES_NAME}), EXISTS (
  SELECT FROM pg_catalog.pg_class AS c
  WHERE c.relnamespace = to_regnamespace(%(bookkeeping)s) AND c.relname = %(shared)s)""")


def place(connection: Connection, table: Table) -> Table:
    """Give a table the name of its companion, as the connection's schema has it; one short query where it has none.

    Until a run has told schemas apart, the companion is named after the table alone (`bookkeeping_migration`).

    Raises:
        ConfigurationError: the search path names no schema that exists.
    """
    if table.companion or not table.shape.shares_keys:
        return table
    shared = build_name([table.name], "candidates")
    parameters = {"bookkeeping": BOOKKEEPING_SCHEMA, "table": table.name, "shared": shared}
    [(schema, there, older)] = fetch_all(connection, _NAME, parameters)
    if older and not there:
        return table.model_copy(update={"companion": shared})
    return place_in(table, check_search_path(schema))


def compose_drop_candidates(table: Table) -> list[sql.Composed]:
    """Compose the removal of a companion, which is built again from the documents."""
    return [sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(*candidates_name(table)))]


def compose_create_candidates(table: Table, collations: Mapping[str, Collation]) -> list[sql.Composed]:
    """Compose the companion of a table: the documents that share a key with a row shown.

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
