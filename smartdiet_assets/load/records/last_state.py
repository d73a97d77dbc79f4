"""How a table stands, in one short query: its stored state, and whether anything changed around it.

The digest holds the identity and the transaction of every catalogue row of the table: columns, defaults, constraints,
indexes and comments. PostgreSQL writes a new row version, by a new transaction, for every change of one.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Cursor
from psycopg.rows import tuple_row

from smartdiet_assets.load.execution import Connection
from smartdiet_assets.load.fragments import has_lines
from smartdiet_assets.load.structure.live import BOOKKEEPING_SCHEMA
from smartdiet_assets.load.structure.naming import CANDIDATES_NAME
from smartdiet_assets.schema.model import Table

#: An expression with the parameters of `build_parameters`, which are the same for all tables.
STRUCTURE_DIGEST = f"""\
(
  SELECT md5(concat_ws(
    ' ', %(declaration)s::text, current_schema(), relations.oids::text,
    (
      SELECT string_agg(concat_ws(' ', c.oid, c.relkind, c.relowner, c.relnamespace), ',' ORDER BY c.oid)
      FROM pg_catalog.pg_class AS c
      WHERE c.oid = ANY (relations.oids)
    ),
    (
      SELECT string_agg(concat_ws(' ', a.attrelid, a.attnum, a.xmin), ',' ORDER BY a.attrelid, a.attnum)
      FROM pg_catalog.pg_attribute AS a
      WHERE a.attrelid = ANY (relations.oids)
    ),
    (
      SELECT string_agg(concat_ws(' ', d.oid, d.xmin), ',' ORDER BY d.oid)
      FROM pg_catalog.pg_attrdef AS d
      WHERE d.adrelid = ANY (relations.oids)
    ),
    (
      SELECT string_agg(concat_ws(' ', k.oid, k.xmin), ',' ORDER BY k.oid)
      FROM pg_catalog.pg_constraint AS k
      WHERE k.conrelid = ANY (relations.oids)
    ),
    (
      SELECT string_agg(concat_ws(' ', i.indexrelid, i.xmin, i.indisvalid, i.indisready), ',' ORDER BY i.indexrelid)
      FROM pg_catalog.pg_index AS i
      WHERE i.indrelid = ANY (relations.oids)
    ),
    (
      SELECT string_agg(concat_ws(' ', d.objoid, d.objsubid, d.xmin), ',' ORDER BY d.objoid, d.objsubid)
      FROM pg_catalog.pg_description AS d
      WHERE d.objoid = ANY (relations.oids) AND d.classoid = 'pg_catalog.pg_class'::regclass
    )
  ))
  FROM (
    SELECT array_agg(c.oid ORDER BY n.nspname, c.oid)
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE (n.nspname = current_schema() AND c.relname = %(table)s)
      OR (%(paired)s AND n.nspname = %(bookkeeping)s AND c.relname = {CANDIDATES_NAME})
  ) AS relations (oids)
)"""

_FETCH = f"""\
SELECT
  s.table_name IS NOT NULL, s.watermark, s.reimport, s.change_position, s.read_from, s.little_left_out,
  s.structure_digest IS NOT DISTINCT FROM {STRUCTURE_DIGEST}, s.code_version, s.window_digest, s.last_result,
  s.protection, s.key_fingerprint,
  {has_lines("rejected_rows", "table_name", "%(table)s")},
  {has_lines("awaited_parents", "table_name", "%(table)s")},
  {has_lines("awaited_parents", "parent_table", "%(table)s")},
  {has_lines("document_ids", "table_name", "%(table)s")},
  {has_lines("load_shards", "table_name", "%(table)s")},
  EXISTS (
    SELECT FROM smartdiet.forgotten_ids
    WHERE schema_name = current_schema() AND table_name = ANY (%(kin)s::text[])
  ),
  EXISTS (
    SELECT FROM pg_catalog.pg_constraint AS k
    JOIN pg_catalog.pg_class AS c ON c.oid = k.conrelid
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = current_schema() AND c.relname = %(table)s AND k.contype = 'c' AND NOT k.convalidated
  ),
  current_schema()
FROM (VALUES (true)) AS always (row)
LEFT JOIN smartdiet.sync_state AS s ON s.schema_name = current_schema() AND s.table_name = %(table)s"""


@dataclass(frozen=True, slots=True)
class SyncState:
    """Where a table stood when the run began.

    Attributes:
        watermark: the largest source date mirrored so far (naive UTC), None where everything has to be read.
        reimport: why every document has to be read again, None when they need not.
        change_position: where to go on in the collection's change stream, as the source spells it; None where none of
            the table's runs was captured from it. A run by dates leaves it as it is.
        read_from: the date from which on every document was read by some run (naive UTC), the earliest there is where
            all were; None where that is not known.
        little_left_out: whether the fields the table needs were most of the documents when a run last saw whole ones.
    """

    watermark: datetime | None = None
    reimport: str | None = None
    change_position: str | None = None
    read_from: datetime | None = None
    little_left_out: bool = False


@dataclass(frozen=True, slots=True)
class LastState:
    """A table at the start of a run, under its lock.

    Attributes:
        sync: its stored state, None where it has none at all.
        same_structure: whether declaration and live structure are those of the last comparison.
        code_version: the declaration the last run read by.
        window_digest: of what the last run read.
        last_result: its counts.
        protection, key_fingerprint: how its columns were protected when they were stored, and with which key; None
            where none was.
        has_rejects, awaits, awaited: whether documents of the table are rejected, wait for a parent, or are waited for.
        has_typed: whether it shows documents whose id the document column does not tell.
        has_shards: whether a first load of it in shards is under way.
        has_forgotten: whether documents of it, or that it may point at, were forgotten.
        has_unchecked: whether a condition of the table is not known of older rows, as a NOT NULL that waits for them.
        schema_name: the connection's schema, None where the search path names none that exists.
    """

    sync: SyncState | None
    same_structure: bool
    code_version: str | None
    window_digest: str | None
    last_result: dict[str, Any] | None
    protection: str | None
    key_fingerprint: str | None
    has_rejects: bool
    awaits: bool
    awaited: bool
    has_typed: bool
    has_shards: bool
    has_forgotten: bool
    has_unchecked: bool
    schema_name: str | None

    @property
    def has_retries(self) -> bool:
        """Whether there can be documents to read whatever their dates (`load.records.retries`)."""
        return self.has_rejects or self.awaits or self.awaited


def send_last_state(connection: Connection, table: Table) -> Cursor[tuple[object, ...]]:
    """Send the query for how a table stands, with other statements; the mirror's own tables must be there."""
    return connection.cursor(row_factory=tuple_row).execute(_FETCH, build_parameters(table), prepare=True)


def take_last_state(answer: Cursor[tuple[Any, ...]]) -> LastState:
    """Take how a table stands from the answer."""
    row = answer.fetchone()
    assert row is not None
    known, watermark, reimport, change_position, read_from, little_left_out, *others = row
    sync = SyncState(watermark, reimport, change_position, read_from, bool(little_left_out))
    return LastState(sync if known else None, *others)


def build_parameters(table: Table) -> dict[str, str | bool | list[str]]:
    """Build what the digest is told of a table; its name is `table`."""
    return {
        "table": table.name,
        "bookkeeping": BOOKKEEPING_SCHEMA,
        "paired": table.shape.shares_keys,
        "kin": [table.name, *table.parents],
        "declaration": hashlib.sha256(table.model_dump_json(exclude={"path", "line"}).encode()).hexdigest(),
    }
