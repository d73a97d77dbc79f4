"""Records made before they told schemas apart: whose they are, and giving them a schema.

A record belongs to the schema in which the migrating run's search path finds a table of its name: there the runs before
it wrote. Two mirrors may have shared it, each in its own schema; neither knows any more how far it is, or what was
rejected, so both read everything once.
"""

from collections.abc import Collection

import psycopg
from psycopg import sql

from smartdiet_assets.load.execution import execute_all, fetch_all
from smartdiet_assets.load.structure.live import BOOKKEEPING_SCHEMA, check_search_path
from smartdiet_assets.load.structure.naming import build_name, candidates_name_in

#: The records with their keys, in the order in which runs write them, but for the state, which runs read first.
KEYS = {
    "sync_state": ("schema_name", "table_name"),
    "rejected_rows": ("schema_name", "table_name", "document_id"),
    "awaited_parents": ("schema_name", "table_name", "document_id", "column_name", "parent_id"),
    "missing_parents": ("schema_name", "parent_table", "parent_id", "table_name"),
}
#: The column that tells schemas apart: its name and type. The lines that are there get the default, without a rewrite.
SCHEMA_COLUMN = ("schema_name", 'TEXT COLLATE "C" NOT NULL DEFAULT current_schema()')
#: Indexes that did not begin with it.
_INDEXES = {
    "rejected_rows": ("rejected_rows_tried_idx",),
    "awaited_parents": ("awaited_parents_parent_idx", "awaited_parents_tried_idx", "awaited_parents_arrived_idx"),
    "missing_parents": ("missing_parents_asked_idx",),
}

_SHARED = sql.SQL("""\
SELECT current_schema(), array_agg(c.relname::text) FILTER (WHERE NOT EXISTS (
  SELECT FROM pg_catalog.pg_attribute AS a
  WHERE a.attrelid = c.oid AND a.attname = 'schema_name' AND NOT a.attisdropped))
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relname = ANY (%s) AND c.relkind IN ('r', 'p')""")

# A table behind the first schema of the search path was found there by the runs.
_FIND = sql.SQL("""\
UPDATE smartdiet.{record} AS r
SET schema_name = found.nspname
FROM (
  SELECT named.table_name, n.nspname
  FROM (SELECT DISTINCT table_name FROM smartdiet.{record}) AS named
  JOIN pg_catalog.pg_class AS c ON c.oid = to_regclass(quote_ident(named.table_name))
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
  WHERE n.nspname <> current_schema() AND c.relpersistence <> 't'
) AS found
WHERE r.table_name = found.table_name""")

# A table of the same name and columns in another schema is another mirror's, or a copy, which costs one full read.
_REREAD = sql.SQL("""\
WITH mirrored AS (
  SELECT s.schema_name AS known, s.table_name, n.nspname AS schema_name, ARRAY(
    SELECT a.attname
    FROM pg_catalog.pg_attribute AS a
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY a.attname
  ) AS columns
  FROM smartdiet.sync_state AS s
  JOIN pg_catalog.pg_class AS c ON c.relname = s.table_name AND c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
), alike AS (
  SELECT m.schema_name, m.table_name
  FROM mirrored AS m
  JOIN mirrored AS k ON k.table_name = m.table_name AND k.schema_name = k.known AND k.columns = m.columns
), several AS (
  SELECT schema_name, table_name
  FROM alike
  WHERE table_name IN (SELECT table_name FROM alike GROUP BY table_name HAVING count(*) > 1)
)
INSERT INTO smartdiet.sync_state AS s (schema_name, table_name, reimport)
SELECT schema_name, table_name, 'its records were those of another schema too'
FROM several
ON CONFLICT (schema_name, table_name) DO UPDATE SET
  reimport = concat_ws('; ', s.reimport, excluded.reimport),
  window_digest = NULL
RETURNING table_name""")


def find_shared(connection: psycopg.Connection) -> list[str]:
    """Find the records that are there and do not tell schemas apart, in the order to migrate them.

    Raises:
        ConfigurationError: the search path names no schema that exists.
    """
    [(schema, shared)] = fetch_all(connection, _SHARED, [BOOKKEEPING_SCHEMA, list(KEYS)])
    check_search_path(schema)
    return [record for record in KEYS if record in (shared or ())]


def compose_parting(shared: Collection[str]) -> list[sql.Composed]:
    """Compose giving a schema to the lines of records, and making it a part of their keys and indexes."""
    statements = []
    for record in shared:
        table = sql.Identifier(BOOKKEEPING_SCHEMA, record)
        statements.append(
            sql.SQL(
                "ALTER TABLE {}\n  ADD COLUMN {} {},\n  DROP CONSTRAINT IF EXISTS {},\n  ADD PRIMARY KEY ({})"
            ).format(
                table,
                sql.Identifier(SCHEMA_COLUMN[0]),
                sql.SQL(SCHEMA_COLUMN[1]),
                sql.Identifier(f"{record}_pkey"),
                sql.SQL(", ").join(map(sql.Identifier, KEYS[record])),
            )
        )
        statements += [
            sql.SQL("DROP INDEX IF EXISTS {}").format(sql.Identifier(BOOKKEEPING_SCHEMA, index))
            for index in _INDEXES.get(record, ())
        ]
        statements.append(_FIND.format(record=sql.Identifier(record)))
    return statements


def part_companions(connection: psycopg.Connection) -> None:
    """Give companions the names that tell their schemas, and have tables that shared a state with others read whole.

    Whose documents a shared companion has nobody knows: it is built again.
    """
    states = fetch_all(connection, sql.SQL("SELECT schema_name, table_name FROM smartdiet.sync_state"))
    several = {table for (table,) in fetch_all(connection, _REREAD)}
    relations = sql.SQL("SELECT c.relname::text FROM pg_catalog.pg_class AS c WHERE c.relnamespace = %s::regnamespace")
    there = {name for (name,) in fetch_all(connection, relations, [BOOKKEEPING_SCHEMA])}
    statements = []
    for schema, table in states:
        old, new = build_name([table], "candidates"), candidates_name_in(schema, table)
        companion = sql.Identifier(BOOKKEEPING_SCHEMA, old)
        if old not in there:
            continue
        if table in several:
            statements.append(sql.SQL("DROP TABLE {}").format(companion))
        elif new not in there:
            statements.append(sql.SQL("ALTER TABLE {} RENAME TO {}").format(companion, sql.Identifier(new)))
    execute_all(connection, statements)
