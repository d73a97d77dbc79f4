"""The mirror's records as they were before they told schemas apart.

Here: their DDL, and turning a mirror's records back into them. Not here: tests.
"""

from typing import Any, LiteralString

import psycopg
from psycopg import sql

#: The first layout, and what was added to it before there was `schema_name`.
FIRST: LiteralString = """
CREATE SCHEMA smartdiet;
CREATE TABLE smartdiet.sync_state (
  table_name TEXT COLLATE "C" PRIMARY KEY, watermark TIMESTAMP, run_id TEXT,
  updated_at TIMESTAMPTZ NOT NULL DEFAULT now(), code_version TEXT, documents_read BIGINT NOT NULL DEFAULT 0,
  reimport TEXT
);
CREATE TABLE smartdiet.rejected_rows (
  table_name TEXT COLLATE "C" NOT NULL, document_id TEXT COLLATE "C" NOT NULL, column_name TEXT NOT NULL,
  reason TEXT NOT NULL, expected TEXT NOT NULL, received TEXT NOT NULL, items INTEGER NOT NULL DEFAULT 1,
  attempts INTEGER NOT NULL DEFAULT 1, first_seen TIMESTAMPTZ NOT NULL DEFAULT now(),
  last_seen TIMESTAMPTZ NOT NULL DEFAULT now(), run_id TEXT, PRIMARY KEY (table_name, document_id)
);
CREATE TABLE smartdiet.awaited_parents (
  table_name TEXT COLLATE "C" NOT NULL, document_id TEXT COLLATE "C" NOT NULL, column_name TEXT COLLATE "C" NOT NULL,
  parent_table TEXT COLLATE "C" NOT NULL, parent_id TEXT COLLATE "C" NOT NULL, first_run_id TEXT,
  PRIMARY KEY (table_name, document_id, column_name, parent_id)
);
CREATE INDEX awaited_parents_parent_idx ON smartdiet.awaited_parents (parent_table, parent_id);
"""
LAST: LiteralString = (
    FIRST
    + """
CREATE TABLE smartdiet.missing_parents (
  parent_table TEXT COLLATE "C" NOT NULL, parent_id TEXT COLLATE "C" NOT NULL, table_name TEXT COLLATE "C" NOT NULL,
  asked_at TIMESTAMPTZ, PRIMARY KEY (parent_table, parent_id, table_name)
);
ALTER TABLE smartdiet.sync_state
  ADD COLUMN structure_digest TEXT, ADD COLUMN window_digest TEXT, ADD COLUMN last_result JSONB,
  ADD COLUMN change_position TEXT;
ALTER TABLE smartdiet.awaited_parents
  ADD COLUMN tried_at TIMESTAMPTZ NOT NULL DEFAULT now(), ADD COLUMN arrived BOOLEAN NOT NULL DEFAULT false;
CREATE INDEX rejected_rows_tried_idx ON smartdiet.rejected_rows (table_name, last_seen);
CREATE INDEX awaited_parents_tried_idx ON smartdiet.awaited_parents (table_name, tried_at);
CREATE INDEX awaited_parents_arrived_idx ON smartdiet.awaited_parents (table_name) WHERE arrived;
CREATE INDEX missing_parents_asked_idx ON smartdiet.missing_parents (parent_table, asked_at);
"""
)
LAYOUTS = {"first": FIRST, "last": LAST}


def age(connection: psycopg.Connection[Any], layout: LiteralString, keep: str = "public") -> None:
    """Give the records an older layout; of two mirrors that share a line, the one in schema `keep` wrote it last."""
    with connection.transaction():
        newer = _list_columns(connection)
        connection.execute("ALTER SCHEMA smartdiet RENAME TO newer")
        connection.execute(layout)
        for record, columns in _list_columns(connection).items():
            # What was only kept then has its default.
            names = sql.SQL(", ").join(sql.Identifier(column) for column in columns if column in newer[record])
            connection.execute(
                sql.SQL(
                    "INSERT INTO smartdiet.{record} ({names})\nSELECT {names} FROM newer.{record}\n"
                    "ORDER BY schema_name <> {keep}\nON CONFLICT DO NOTHING"
                ).format(record=sql.Identifier(record), names=names, keep=sql.Literal(keep))
            )
        companions = connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'newer'::regnamespace AND relkind = 'r'"
            " AND starts_with(relname, %s) AND relname LIKE '%%\\_candidates'",
            [f"{keep}."],
        ).fetchall()
        for (name,) in companions:
            connection.execute(sql.SQL("ALTER TABLE newer.{} SET SCHEMA smartdiet").format(sql.Identifier(name)))
            connection.execute(
                sql.SQL("ALTER TABLE smartdiet.{} RENAME TO {}").format(
                    sql.Identifier(name), sql.Identifier(name.removeprefix(f"{keep}."))
                )
            )
        connection.execute("DROP SCHEMA newer CASCADE")


def _list_columns(connection: psycopg.Connection[Any]) -> dict[str, list[str]]:
    return dict(
        connection.execute(
            "SELECT c.relname, array_agg(a.attname::text ORDER BY a.attnum) FROM pg_class AS c"
            " JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0"
            " WHERE c.relnamespace = 'smartdiet'::regnamespace AND c.relkind = 'r' GROUP BY c.relname"
        ).fetchall()
    )
