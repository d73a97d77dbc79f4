"""Emptying a table before it is imported again, with all that its CASCADE empties.

Here: which tables that is, and forgetting how far they were. Not here: when it is asked for (`load.session`).
"""

from psycopg import sql

from smartdiet_assets.load.advisory import lock_tables
from smartdiet_assets.load.execution import Connection, execute, fetch_all, fetch_value
from smartdiet_assets.load.fragments import target_of
from smartdiet_assets.load.rejects import clear_rejects
from smartdiet_assets.load.sync_state import reset_states
from smartdiet_assets.load.winners import candidates_of
from smartdiet_assets.schema.model import Schema, Table

#: What TRUNCATE … CASCADE follows: every foreign key, also of tables nobody declared.
_EMPTIED = sql.SQL("""\
WITH RECURSIVE emptied AS (
  SELECT to_regclass(quote_ident(%s))::oid AS oid
  UNION
  SELECT k.conrelid
  FROM emptied AS e
  JOIN pg_catalog.pg_constraint AS k ON k.confrelid = e.oid AND k.contype = 'f'
)
SELECT c.relname::text
FROM emptied AS e
JOIN pg_catalog.pg_class AS c ON c.oid = e.oid""")


def truncate(connection: Connection, schema: Schema, table: Table) -> list[str]:
    """Empty a table and every table that points at it; their next runs read everything. Return their names."""
    emptied = {row[0] for row in fetch_all(connection, _EMPTIED, [table.name])}
    declared = [name for name in schema.tables if name in emptied]
    lock_tables(connection, [name for name in declared if name != table.name])
    execute(connection, sql.SQL("TRUNCATE TABLE {} CASCADE").format(target_of(table)))
    for name in declared:
        other = schema.tables[name]
        if other.shape == "one_per_key":
            candidates = candidates_of(other)
            if fetch_value(
                connection, sql.SQL("SELECT to_regclass({}) IS NOT NULL").format(sql.Literal(candidates.as_string()))
            ):
                execute(connection, sql.SQL("TRUNCATE TABLE {}").format(candidates))
    reset_states(connection, emptied)
    clear_rejects(connection, emptied)
    return declared
