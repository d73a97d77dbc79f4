"""Emptying a table before it is imported again, with all that its CASCADE empties."""

from psycopg import sql

from smartdiet_assets.load.advisory import lock_tables
from smartdiet_assets.load.execution import execute, fetch_all
from smartdiet_assets.load.fragments import target_of
from smartdiet_assets.load.records.rejects import clear_rejects
from smartdiet_assets.load.records.sync_state import reset_states
from smartdiet_assets.load.structure.live import BOOKKEEPING_SCHEMA
from smartdiet_assets.load.structure.naming import candidates_name_in
from smartdiet_assets.load.target import Target

#: What TRUNCATE … CASCADE follows: every foreign key, also of tables nobody declared.
_EMPTIED = sql.SQL("""\
WITH RECURSIVE emptied AS (
  SELECT to_regclass(format('%%I.%%I', current_schema(), %s::text))::oid AS oid
  UNION
  SELECT k.conrelid
  FROM emptied AS e
  JOIN pg_catalog.pg_constraint AS k ON k.confrelid = e.oid AND k.contype = 'f'
)
SELECT n.nspname::text, c.relname::text, n.nspname = current_schema()
FROM emptied AS e
JOIN pg_catalog.pg_class AS c ON c.oid = e.oid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace""")


def truncate(target: Target) -> None:
    """Empty a table and every table that points at it; their next runs read everything."""
    connection, table = target.connection, target.table
    rows = fetch_all(connection, _EMPTIED, [table.name])
    # Another schema's may be another mirror's, which has to know; nobody here declares them.
    here = {name for _, name, is_here in rows if is_here}
    declared = [name for name in target.schema.tables if name in here]
    lock_tables(connection, [name for name in declared if name != table.name])
    execute(connection, sql.SQL("TRUNCATE TABLE {} CASCADE").format(target_of(table)))
    emptied = [(schema_name, name) for schema_name, name, _ in rows]
    companions = [sql.Identifier(BOOKKEEPING_SCHEMA, candidates_name_in(*one)) for one in emptied]
    there = sql.SQL("SELECT name FROM unnest(%s::text[]) AS companion (name) WHERE to_regclass(name) IS NOT NULL")
    for (companion,) in fetch_all(connection, there, [[companion.as_string() for companion in companions]]):
        execute(connection, sql.SQL("TRUNCATE TABLE {}").format(sql.SQL(companion)))
    reset_states(connection, emptied)
    clear_rejects(connection, emptied)
