"""The companion of a table that shares keys: documents behind the best of their key, kept to know which one shows next.

It is derived from the documents, so one of another form is dropped and filled again by a re-import.
"""

from dataclasses import replace

from psycopg import sql

from smartdiet_assets.load.execution import Connection, fetch_all
from smartdiet_assets.load.structure import alteration
from smartdiet_assets.load.structure.declared import build_index
from smartdiet_assets.load.structure.live import BOOKKEEPING_SCHEMA, LiveTable, check_search_path
from smartdiet_assets.load.structure.naming import CANDIDATES_NAME, build_name, candidates_name, place_in
from smartdiet_assets.load.structure.table_ddl import compose_comments, name_indexes
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


def build_companion(table: Table, shown: LiveTable) -> LiveTable:
    """Describe the companion of a table whose documents share keys: the documents that share a key with a row shown.

    The same stored columns, without foreign keys and defaults; one row per document, found by key.
    """
    schema_name, name = candidates_name(table)
    return LiveTable(
        schema=schema_name,
        name=name,
        kind="table",
        owned=True,
        comment=f"Documents of {table.name} that wait behind another one of their key",
        columns={
            column.name: replace(
                shown.columns[column.name], nullable=column.name != table.document_column, default=None, comment=""
            )
            for column in table.stored_columns
        },
        primary_key=build_index((table.document_column,), unique=True, primary=True),
        uniques=(),
        foreign_keys=(),
        indexes=(build_index(table.key),),
    )


def compose_create_candidates(companion: LiveTable) -> list[sql.Composed]:
    """Compose a companion, in the place of the one that may be there; see `compose_candidates_keys`."""
    dropped = sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(companion.schema, companion.name))
    return [dropped, alteration.create_table(companion, companion.schema).composed, *compose_comments(companion)]


def compose_candidates_keys(companion: LiveTable) -> list[sql.Composed]:
    """Compose the keys of a companion."""
    indexes = [*companion.keys, *companion.indexes]
    names = name_indexes(companion.name, indexes)
    return [alteration.add_index(companion, *named).composed for named in zip(indexes, names, strict=True)]


def is_same_companion(wanted: LiveTable, present: LiveTable) -> bool:
    """Tell whether a live companion can hold the live table's rows: same columns, types, collations."""
    forms = [
        {name: (column.type, column.collation) for name, column in companion.columns.items()}
        for companion in (wanted, present)
    ]
    return forms[0] == forms[1]
