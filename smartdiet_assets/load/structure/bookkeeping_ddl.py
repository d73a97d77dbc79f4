"""The mirror's own tables, in schema `smartdiet`: where each table stands and what could not be loaded.

Here: their DDL and creating them when missing. Not here: reading and writing their rows, and the companions
of `one_per_key` tables (`table_ddl`).
"""

from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import tuple_row

from smartdiet_assets.load.structure.live import BOOKKEEPING_SCHEMA

_RELATIONS = (
    "sync_state", "rejected_rows", "awaited_parents", "missing_parents", "rejected_rows_tried_idx",
    "awaited_parents_parent_idx", "awaited_parents_tried_idx", "awaited_parents_arrived_idx",
    "missing_parents_asked_idx",
)  # fmt: skip

_CREATE = """\
CREATE SCHEMA IF NOT EXISTS smartdiet;
CREATE TABLE IF NOT EXISTS smartdiet.sync_state (
  table_name TEXT COLLATE "C" PRIMARY KEY,
  watermark TIMESTAMP,
  run_id TEXT,
  updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  code_version TEXT,
  documents_read BIGINT NOT NULL DEFAULT 0,
  reimport TEXT
);
CREATE TABLE IF NOT EXISTS smartdiet.rejected_rows (
  table_name TEXT COLLATE "C" NOT NULL,
  document_id TEXT COLLATE "C" NOT NULL,
  column_name TEXT NOT NULL,
  reason TEXT NOT NULL,
  expected TEXT NOT NULL,
  received TEXT NOT NULL,
  items INTEGER NOT NULL DEFAULT 1,
  attempts INTEGER NOT NULL DEFAULT 1,
  first_seen TIMESTAMPTZ NOT NULL DEFAULT now(),
  last_seen TIMESTAMPTZ NOT NULL DEFAULT now(),
  run_id TEXT,
  PRIMARY KEY (table_name, document_id)
);
CREATE TABLE IF NOT EXISTS smartdiet.awaited_parents (
  table_name TEXT COLLATE "C" NOT NULL,
  document_id TEXT COLLATE "C" NOT NULL,
  column_name TEXT COLLATE "C" NOT NULL,
  parent_table TEXT COLLATE "C" NOT NULL,
  parent_id TEXT COLLATE "C" NOT NULL,
  first_run_id TEXT,
  PRIMARY KEY (table_name, document_id, column_name, parent_id)
);
CREATE INDEX IF NOT EXISTS awaited_parents_parent_idx
  ON smartdiet.awaited_parents (parent_table, parent_id);
CREATE TABLE IF NOT EXISTS smartdiet.missing_parents (
  parent_table TEXT COLLATE "C" NOT NULL,
  parent_id TEXT COLLATE "C" NOT NULL,
  table_name TEXT COLLATE "C" NOT NULL,
  asked_at TIMESTAMPTZ,
  PRIMARY KEY (parent_table, parent_id, table_name)
);
INSERT INTO smartdiet.missing_parents (parent_table, parent_id, table_name)
SELECT DISTINCT parent_table, parent_id, table_name
FROM smartdiet.awaited_parents
ON CONFLICT DO NOTHING"""

#: Run after the columns below are there.
_CREATE_INDEXES = """\
CREATE INDEX IF NOT EXISTS rejected_rows_tried_idx
  ON smartdiet.rejected_rows (table_name, last_seen);
CREATE INDEX IF NOT EXISTS awaited_parents_tried_idx
  ON smartdiet.awaited_parents (table_name, tried_at);
CREATE INDEX IF NOT EXISTS awaited_parents_arrived_idx
  ON smartdiet.awaited_parents (table_name) WHERE arrived;
CREATE INDEX IF NOT EXISTS missing_parents_asked_idx
  ON smartdiet.missing_parents (parent_table, asked_at)"""

#: Columns that came after a table's first version: (table, column, type), added where they are missing.
_ADDED_COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("sync_state", "structure_digest", "TEXT"),
    ("sync_state", "window_digest", "TEXT"),
    ("sync_state", "last_result", "JSONB"),
    ("sync_state", "change_position", "TEXT"),
    ("awaited_parents", "tried_at", "TIMESTAMPTZ NOT NULL DEFAULT now()"),
    ("awaited_parents", "arrived", "BOOLEAN NOT NULL DEFAULT false"),
)

#: Whether all of that is there: one row with one boolean.
IS_COMPLETE = (
    sql.SQL("""\
SELECT
  (
    SELECT count(*)
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = {schema} AND c.relname IN ({relations})
  ) = {relation_count}
  AND (
    SELECT count(*)
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid
    WHERE n.nspname = {schema} AND (c.relname, a.attname) IN ({columns})
  ) = {column_count}""")
    .format(
        schema=sql.Literal(BOOKKEEPING_SCHEMA),
        relations=sql.SQL(", ").join(map(sql.Literal, _RELATIONS)),
        relation_count=sql.Literal(len(_RELATIONS)),
        columns=sql.SQL(", ").join(
            sql.SQL("({}, {})").format(sql.Literal(table), sql.Literal(column)) for table, column, _ in _ADDED_COLUMNS
        ),
        column_count=sql.Literal(len(_ADDED_COLUMNS)),
    )
    .as_string(None)
)

_COMMENTS = {
    "SCHEMA smartdiet": "What the MongoDB mirror knows about itself",
    "TABLE smartdiet.sync_state": "How far each mirrored table has been read",
    "COLUMN smartdiet.sync_state.watermark": "The largest source date seen, UTC; the next run starts there",
    "COLUMN smartdiet.sync_state.run_id": "The run that wrote this line",
    "COLUMN smartdiet.sync_state.code_version": "Hash of the declaration the table was last filled by",
    "COLUMN smartdiet.sync_state.documents_read": "Documents the last run read",
    "COLUMN smartdiet.sync_state.reimport": "Why the next run has to read everything; NULL when it has not",
    "COLUMN smartdiet.sync_state.structure_digest": "Hash of the declaration and the live structure when last compared",
    "COLUMN smartdiet.sync_state.window_digest": "Hash of what the last run read, to know it again",
    "COLUMN smartdiet.sync_state.last_result": "Counts of the last run, which hold when the same is read",
    "COLUMN smartdiet.sync_state.change_position": "Where the next run goes on in the collection's change stream",
    "TABLE smartdiet.rejected_rows": "Documents that could not be loaded, read again by each run",
    "COLUMN smartdiet.rejected_rows.document_id": (
        "The _id: 24 hexadecimal digits for an ObjectId, canonical extended JSON for anything else"
    ),
    "COLUMN smartdiet.rejected_rows.column_name": "The column at fault, empty when the whole document is",
    "COLUMN smartdiet.rejected_rows.expected": "The SQL type or the rule the value does not meet",
    "COLUMN smartdiet.rejected_rows.received": "The BSON type found; never the value",
    "COLUMN smartdiet.rejected_rows.items": "Rows of the document that are missing",
    "COLUMN smartdiet.rejected_rows.attempts": "Runs that tried",
    "TABLE smartdiet.awaited_parents": "Parents that rejected rows wait for, read by id in the parent's run",
    "COLUMN smartdiet.awaited_parents.tried_at": "When the waiting document was last read",
    "COLUMN smartdiet.awaited_parents.arrived": "The parent is there; the document is read by the next run",
    "TABLE smartdiet.missing_parents": "Each awaited parent once for each table that waits for it",
    "COLUMN smartdiet.missing_parents.asked_at": "When its run last asked for it; NULL when it has not yet",
}


def compose_bookkeeping() -> sql.Composed:
    """Compose the script that creates the schema, its tables and their comments where they are missing."""
    additions = [
        sql.SQL("ALTER TABLE {} ADD COLUMN IF NOT EXISTS {} {}").format(
            sql.Identifier(BOOKKEEPING_SCHEMA, table), sql.Identifier(column), sql.SQL(kind)
        )
        for table, column, kind in _ADDED_COLUMNS
    ]
    comments = [
        sql.SQL("COMMENT ON {} IS {}").format(sql.SQL(target), sql.Literal(text)) for target, text in _COMMENTS.items()
    ]
    return sql.SQL(";\n").join([sql.SQL(_CREATE), *additions, sql.SQL(_CREATE_INDEXES), *comments])


def apply_bookkeeping(connection: psycopg.Connection[Any]) -> bool:
    """Create what is missing of schema `smartdiet`, also of an older one; one query and no lock when nothing is.

    Returns whether anything was missing: the caller then commits, as another run waits here for the end of the
    transaction.
    """
    if _is_complete(connection):
        return False
    with connection.transaction():
        # IF NOT EXISTS alone loses the race of two first runs: both see nothing, one meets a unique
        # violation.
        connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('smartdiet bookkeeping', 0))")
        if not _is_complete(connection):
            connection.execute(compose_bookkeeping(), prepare=False)
    return True


def _is_complete(connection: psycopg.Connection[Any]) -> bool:
    with connection.cursor(row_factory=tuple_row) as cursor:
        return cursor.execute(IS_COMPLETE, prepare=True).fetchone() == (True,)
