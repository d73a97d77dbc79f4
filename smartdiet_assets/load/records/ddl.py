"""The mirror's own tables, in schema `smartdiet`: where each table stands and what could not be loaded.

Every line is of one table of one schema: several mirrors may share a database. `schema_name` is the first schema of the
connection's search path, where a run has its tables; a line that is added has it by default.
"""

from collections.abc import Collection

import psycopg
from psycopg import sql
from psycopg.abc import Query
from psycopg.rows import tuple_row

from smartdiet_assets.load.records import RECORDS
from smartdiet_assets.load.records.migrations import (
    KEYS,
    SCHEMA_COLUMN,
    compose_parting,
    find_shared,
    part_companions,
)
from smartdiet_assets.load.structure.live import BOOKKEEPING_SCHEMA

_RELATIONS = (*RECORDS, "awaited_parents_parent_idx", "awaited_parents_arrived_idx", "missing_parents_new_idx")

#: Apart from the rest: where an administrator made the schema, the user may have no right to make, or describe, one.
_CREATE_SCHEMA = sql.SQL("""\
CREATE SCHEMA {schema};
COMMENT ON SCHEMA {schema} IS 'What the MongoDB mirror knows about itself'""").format(
    schema=sql.Identifier(BOOKKEEPING_SCHEMA)
)
_HAS_SCHEMA = sql.SQL("SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = {})").format(
    sql.Literal(BOOKKEEPING_SCHEMA)
)

_CREATE = """\
CREATE TABLE IF NOT EXISTS smartdiet.sync_state (
  schema_name TEXT COLLATE "C" NOT NULL DEFAULT current_schema(),
  table_name TEXT COLLATE "C" NOT NULL,
  watermark TIMESTAMP,
  run_id TEXT,
  updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  code_version TEXT,
  documents_read BIGINT NOT NULL DEFAULT 0,
  reimport TEXT,
  PRIMARY KEY (schema_name, table_name)
);
CREATE TABLE IF NOT EXISTS smartdiet.rejected_rows (
  schema_name TEXT COLLATE "C" NOT NULL DEFAULT current_schema(),
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
  PRIMARY KEY (schema_name, table_name, document_id)
);
CREATE TABLE IF NOT EXISTS smartdiet.awaited_parents (
  schema_name TEXT COLLATE "C" NOT NULL DEFAULT current_schema(),
  table_name TEXT COLLATE "C" NOT NULL,
  document_id TEXT COLLATE "C" NOT NULL,
  column_name TEXT COLLATE "C" NOT NULL,
  parent_table TEXT COLLATE "C" NOT NULL,
  parent_id TEXT COLLATE "C" NOT NULL,
  first_run_id TEXT,
  PRIMARY KEY (schema_name, table_name, document_id, column_name, parent_id)
);
CREATE TABLE IF NOT EXISTS smartdiet.missing_parents (
  schema_name TEXT COLLATE "C" NOT NULL DEFAULT current_schema(),
  parent_table TEXT COLLATE "C" NOT NULL,
  parent_id TEXT COLLATE "C" NOT NULL,
  table_name TEXT COLLATE "C" NOT NULL,
  asked_at TIMESTAMPTZ,
  PRIMARY KEY (schema_name, parent_table, parent_id, table_name)
);
CREATE TABLE IF NOT EXISTS smartdiet.document_ids (
  schema_name TEXT COLLATE "C" NOT NULL DEFAULT current_schema(),
  table_name TEXT COLLATE "C" NOT NULL,
  document TEXT COLLATE "C" NOT NULL,
  document_id TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (schema_name, table_name, document)
);
CREATE TABLE IF NOT EXISTS smartdiet.document_fields (
  schema_name TEXT COLLATE "C" NOT NULL DEFAULT current_schema(),
  collection TEXT COLLATE "C" NOT NULL,
  path TEXT COLLATE "C" NOT NULL,
  bson_type TEXT COLLATE "C" NOT NULL,
  times BIGINT NOT NULL,
  looked_at BIGINT NOT NULL,
  first_seen TIMESTAMPTZ NOT NULL DEFAULT now(),
  last_seen TIMESTAMPTZ NOT NULL DEFAULT now(),
  first_run_id TEXT,
  run_id TEXT,
  PRIMARY KEY (schema_name, collection, path, bson_type)
);
CREATE TABLE IF NOT EXISTS smartdiet.load_shards (
  schema_name TEXT COLLATE "C" NOT NULL DEFAULT current_schema(),
  table_name TEXT COLLATE "C" NOT NULL,
  number INTEGER NOT NULL,
  plan_id TEXT NOT NULL,
  digest TEXT NOT NULL,
  source_clock TIMESTAMP NOT NULL,
  documents_expected BIGINT NOT NULL,
  whole BOOLEAN NOT NULL,
  bounds BYTEA NOT NULL,
  run_id TEXT,
  copied_at TIMESTAMPTZ,
  seconds DOUBLE PRECISION,
  documents_read BIGINT NOT NULL DEFAULT 0,
  rows BIGINT NOT NULL DEFAULT 0,
  rejects BIGINT NOT NULL DEFAULT 0,
  typed BIGINT NOT NULL DEFAULT 0,
  newest TIMESTAMP,
  found JSONB,
  PRIMARY KEY (schema_name, table_name, number)
);
CREATE TABLE IF NOT EXISTS smartdiet.forgotten_ids (
  schema_name TEXT COLLATE "C" NOT NULL DEFAULT current_schema(),
  table_name TEXT COLLATE "C" NOT NULL,
  digest TEXT COLLATE "C" NOT NULL,
  root TEXT COLLATE "C" NOT NULL,
  salt TEXT NOT NULL,
  forgotten_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  PRIMARY KEY (schema_name, table_name, digest, root)
)"""

#: Run after the columns below are there. No index begins like a key but serves for less: what is found by its key would
#: be searched for in all lines of its table where PostgreSQL believes that there are none.
_COMPLETE = """\
DROP INDEX IF EXISTS
  smartdiet.document_ids_id_idx, smartdiet.rejected_rows_tried_idx, smartdiet.awaited_parents_tried_idx,
  smartdiet.missing_parents_asked_idx;
CREATE INDEX IF NOT EXISTS awaited_parents_parent_idx
  ON smartdiet.awaited_parents (schema_name, parent_table, parent_id);
CREATE INDEX IF NOT EXISTS awaited_parents_arrived_idx
  ON smartdiet.awaited_parents (schema_name, table_name) WHERE arrived;
CREATE INDEX IF NOT EXISTS missing_parents_new_idx
  ON smartdiet.missing_parents (schema_name, parent_table) WHERE asked_at IS NULL;
INSERT INTO smartdiet.missing_parents (schema_name, parent_table, parent_id, table_name)
SELECT DISTINCT schema_name, parent_table, parent_id, table_name
FROM smartdiet.awaited_parents
ON CONFLICT DO NOTHING"""

#: Columns that came after a table's first version: (table, column, type), added where they are missing.
_ADDED_COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("sync_state", "structure_digest", "TEXT"),
    ("sync_state", "window_digest", "TEXT"),
    ("sync_state", "last_result", "JSONB"),
    ("sync_state", "change_position", "TEXT"),
    ("sync_state", "read_from", "TIMESTAMP"),
    ("sync_state", "retry_position", 'TEXT COLLATE "C"'),
    ("sync_state", "seconds", "DOUBLE PRECISION"),
    ("sync_state", "little_left_out", "BOOLEAN"),
    ("sync_state", "protection", "TEXT"),
    ("sync_state", "key_fingerprint", "TEXT"),
    ("awaited_parents", "arrived", "BOOLEAN NOT NULL DEFAULT false"),
    *((record, *SCHEMA_COLUMN) for record in KEYS),
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
    **{f"COLUMN smartdiet.{record}.schema_name": "The schema of the table" for record in KEYS},
    "TABLE smartdiet.sync_state": "How far each mirrored table has been read",
    "COLUMN smartdiet.sync_state.watermark": "The largest source date seen, UTC; the next run starts there",
    "COLUMN smartdiet.sync_state.run_id": "The run that wrote this line",
    "COLUMN smartdiet.sync_state.code_version": "Hash of the declaration the table was last filled by",
    "COLUMN smartdiet.sync_state.updated_at": "When the last run began",
    "COLUMN smartdiet.sync_state.documents_read": "Documents the last run read",
    "COLUMN smartdiet.sync_state.seconds": "How long its transaction took, up to the COMMIT",
    "COLUMN smartdiet.sync_state.reimport": "Why the next run has to read everything; NULL when it has not",
    "COLUMN smartdiet.sync_state.structure_digest": "Hash of the declaration and the live structure when last compared",
    "COLUMN smartdiet.sync_state.window_digest": "Hash of what the last run read, to know it again",
    "COLUMN smartdiet.sync_state.last_result": "Counts of the last run, which hold when the same is read",
    "COLUMN smartdiet.sync_state.change_position": "Where the next run goes on in the collection's change stream",
    "COLUMN smartdiet.sync_state.read_from": "The date from which on all was read, UTC; year 1 where everything was",
    "COLUMN smartdiet.sync_state.retry_position": "The id of the last turn of what is tried again, a part in each run",
    "COLUMN smartdiet.sync_state.little_left_out": "Whether the needed fields are most of the documents: all are read",
    "COLUMN smartdiet.sync_state.protection": "How values of columns were protected when they were stored, as JSON",
    "COLUMN smartdiet.sync_state.key_fingerprint": "Tells the key of its pseudonyms from another, and nothing about it",
    "TABLE smartdiet.rejected_rows": "Documents that could not be loaded, read again by each run",
    "COLUMN smartdiet.rejected_rows.document_id": (
        "The _id: 24 hexadecimal digits for an ObjectId, canonical extended JSON for anything else"
    ),
    "COLUMN smartdiet.rejected_rows.column_name": "The column at fault, empty when the whole document is",
    "COLUMN smartdiet.rejected_rows.expected": "The SQL type or the rule the value does not meet",
    "COLUMN smartdiet.rejected_rows.received": "The BSON type found; never the value",
    "COLUMN smartdiet.rejected_rows.items": "Rows of the document that are missing",
    "COLUMN smartdiet.rejected_rows.attempts": "How often it was found anew: what is wrong, or how much, had changed",
    "COLUMN smartdiet.rejected_rows.last_seen": "When it was last found anew; what stands as it is is not written",
    "TABLE smartdiet.awaited_parents": "Parents that rejected rows wait for, read by id in the parent's run",
    "COLUMN smartdiet.awaited_parents.arrived": "The parent is there; the document is read by the next run",
    "TABLE smartdiet.document_ids": "The _id of each document that shows and whose document column does not tell it",
    "COLUMN smartdiet.document_ids.document": "The value of the table's document column",
    "COLUMN smartdiet.document_ids.document_id": "The _id, as in rejected_rows",
    "TABLE smartdiet.document_fields": "Which fields and types the documents of each collection have",
    "COLUMN smartdiet.document_fields.schema_name": "The schema of the mirror's tables",
    "COLUMN smartdiet.document_fields.path": "Dotted; [] leads to the items of an array, * stands for many names",
    "COLUMN smartdiet.document_fields.bson_type": "The BSON type found; never a value",
    "COLUMN smartdiet.document_fields.times": "In how many documents or items the run that saw it last saw it",
    "COLUMN smartdiet.document_fields.looked_at": "How many documents that run looked at for it",
    "COLUMN smartdiet.document_fields.last_seen": "When a run last saw it; of a declared field, to the day",
    "COLUMN smartdiet.document_fields.first_run_id": "The run that saw it first, or looked at all since",
    "COLUMN smartdiet.document_fields.run_id": "The run that saw it last",
    "TABLE smartdiet.load_shards": "The parts of a first load that is under way; none once its table is there",
    "COLUMN smartdiet.load_shards.plan_id": "The first load it is a part of",
    "COLUMN smartdiet.load_shards.digest": "Hash of the declaration and of the collection it was planned for",
    "COLUMN smartdiet.load_shards.source_clock": "The time at the source when it was planned, UTC",
    "COLUMN smartdiet.load_shards.documents_expected": "How many documents the collection had then, about",
    "COLUMN smartdiet.load_shards.whole": "Whether whole documents are read, as the table needs most of their fields",
    "COLUMN smartdiet.load_shards.bounds": "BSON: the queries on _id that find its documents",
    "COLUMN smartdiet.load_shards.copied_at": "When its rows were committed; NULL while they are missing",
    "COLUMN smartdiet.load_shards.typed": "Documents whose id the document column does not tell",
    "COLUMN smartdiet.load_shards.newest": "The largest source date seen, UTC",
    "COLUMN smartdiet.load_shards.found": "Further counts, and names and types of the fields seen; never a value",
    "TABLE smartdiet.forgotten_ids": "Documents that are kept out of a table: forgotten, or pointing at what was",
    "COLUMN smartdiet.forgotten_ids.digest": "HMAC-SHA-256 with the salt of the id as a plain column would show it",
    "COLUMN smartdiet.forgotten_ids.root": "The digest of the document for which it is kept out, often itself",
    "TABLE smartdiet.missing_parents": "Each awaited parent once for each table that waits for it",
    "COLUMN smartdiet.missing_parents.asked_at": "When its run first asked for it; NULL when it has not yet",
}


def compose_bookkeeping(shared: Collection[str] = ()) -> sql.Composed:
    """Compose the script that creates the tables and their comments where they are missing.

    Args:
        shared: the tables that are there and do not tell schemas apart.
    """
    additions = [
        sql.SQL("ALTER TABLE {} ADD COLUMN IF NOT EXISTS {} {}").format(
            sql.Identifier(BOOKKEEPING_SCHEMA, table), sql.Identifier(column), sql.SQL(kind)
        )
        for table, column, kind in _ADDED_COLUMNS
    ]
    comments = [
        sql.SQL("COMMENT ON {} IS {}").format(sql.SQL(target), sql.Literal(text)) for target, text in _COMMENTS.items()
    ]
    parting = compose_parting(shared)
    return sql.SQL(";\n").join([sql.SQL(_CREATE), *parting, *additions, sql.SQL(_COMPLETE), *comments])


def apply_bookkeeping(connection: psycopg.Connection) -> bool:
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
            if not _ask(connection, _HAS_SCHEMA):
                connection.execute(_CREATE_SCHEMA, prepare=False)
            shared = find_shared(connection)
            connection.execute(compose_bookkeeping(shared), prepare=False)
            if shared:
                part_companions(connection)
    return True


def _is_complete(connection: psycopg.Connection) -> bool:
    return _ask(connection, IS_COMPLETE)


def _ask(connection: psycopg.Connection, query: Query) -> bool:
    with connection.cursor(row_factory=tuple_row) as cursor:
        return cursor.execute(query, prepare=True).fetchone() == (True,)
