"""Loading hand-made batches: what the tests of the load share. Here: a small schema and a driver. Not here: tests."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql

from smartdiet_assets.load import opening
from smartdiet_assets.load.intake import Intake
from smartdiet_assets.load.limits import Bulk
from smartdiet_assets.load.result import LoadResult
from smartdiet_assets.load.run import conclude
from smartdiet_assets.load.write import Conclusion
from smartdiet_assets.schema.document_id import IdBatch, TypedDocument
from smartdiet_assets.schema.model import Schema, Table
from smartdiet_assets.schema.reasons import Reason, Reject
from smartdiet_assets_tests.support.declared import declare

#: One table of each shape. `groups` points at itself; `guests` have a filter; `members` a second unique key.
CLUB = """
tables:
  groups:
    columns:
      - {name: id, sql_type: VARCHAR, primary_key: true, mongo_field: _id}
      - {name: parent_id, sql_type: VARCHAR, foreign_key: groups(id), on_missing_parent: "null", mongo_field: parent}
      - {name: name, sql_type: VARCHAR}
  chains:
    columns:
      - {name: id, sql_type: VARCHAR, primary_key: true, mongo_field: _id}
      - {name: next_id, sql_type: VARCHAR, foreign_key: chains(id), mongo_field: next}
  members:
    columns:
      - {name: id, sql_type: VARCHAR, primary_key: true, mongo_field: _id}
      - {name: group_id, sql_type: VARCHAR, foreign_key: groups(id), mongo_field: group}
      - {name: sponsor_id, sql_type: VARCHAR, foreign_key: groups(id), on_missing_parent: "null", mongo_field: sponsor}
      - {name: email, sql_type: VARCHAR}
      - {name: settings, sql_type: JSONB}
      - {name: created_at, sql_type: TIMESTAMP}
      - {name: updated_at, sql_type: TIMESTAMP}
    unique_constraints: [[email]]
  guests:
    filter: {kind: guest}
    columns:
      - {name: id, sql_type: VARCHAR, primary_key: true, mongo_field: _id}
      - {name: name, sql_type: VARCHAR}
  visits:
    columns:
      - {name: id, sql_type: VARCHAR, primary_key: true, mongo_field: _id}
      - {name: guest_id, sql_type: VARCHAR, nullable: false, foreign_key: guests(id), mongo_field: guest}
      - {name: host_id, sql_type: VARCHAR, foreign_key: guests(id), on_missing_parent: "null", mongo_field: host}
  notes:
    columns:
      - {name: id, sql_type: VARCHAR, primary_key: true, mongo_field: _id}
      - {name: visit_id, sql_type: VARCHAR, foreign_key: visits(id), mongo_field: visit}
  tags:
    mongo_collection: members
    import_strategy: smart_diff
    arrays: [{field: tags}]
    columns:
      - {name: member_id, sql_type: VARCHAR, nullable: false, mongo_field: _id, foreign_key: members(id)}
      - {name: tag, sql_type: VARCHAR, nullable: false, item_field: tag}
      - {name: weight, sql_type: INTEGER, item_field: weight}
      - {name: created_at, sql_type: TIMESTAMP, nullable: false}
      - {name: updated_at, sql_type: TIMESTAMP, nullable: false}
    unique_constraints: [[member_id, tag]]
  diary:
    columns:
      - {name: id, sql_type: SERIAL, primary_key: true}
      - {name: member_id, sql_type: VARCHAR, nullable: false, mongo_field: member, foreign_key: members(id)}
      - {name: day, sql_type: INTEGER, nullable: false}
      - {name: mood, sql_type: VARCHAR}
      - {name: group_id, sql_type: VARCHAR, foreign_key: groups(id), mongo_field: group}
      - {name: updated_at, sql_type: TIMESTAMP}
    unique_constraints: [[member_id, day]]
    winner: [updated_at DESC]
"""

EARLY = datetime(2024, 1, 1)
LATE = datetime(2024, 6, 1)


@dataclass
class Batch:
    """A transformed batch, as the load sees it."""

    rows: list[tuple[Any, ...]] = field(default_factory=list)
    documents: list[object] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    documents_read: int = 0
    typed: list[TypedDocument] = field(default_factory=list)


def oid(number: int) -> str:
    """An ObjectId as text."""
    return f"{number:024x}"


def read(*rows: tuple[Any, ...], rejects: Iterable[Reject] = ()) -> Batch:
    """A batch of a table whose rows tell its documents."""
    rejected = list(rejects)
    return Batch(list(rows), [], rejected, len(rows) + len(rejected))


def described(*documents: tuple[Any, Sequence[tuple[Any, ...]]], rejects: Iterable[Reject] = ()) -> Batch:
    """A batch of documents, each with the rows it describes; rejects are documents rejected whole."""
    rejected = list(rejects)
    return Batch(
        [row for _, rows in documents for row in rows],
        [document for document, _ in documents],
        rejected,
        len(documents) + len(rejected),
    )


def reject(document_id: str, column: str = "name") -> Reject:
    """A document the transformation could not read."""
    return Reject(document_id, column, Reason.INVALID_TYPE, "integer", "string")


def club(*changes: tuple[str, str]) -> Schema:
    """The schema of these tests, with parts of its text replaced."""
    return declare(CLUB, *changes)


class StepwiseLoad:
    """The load of one table in the steps a run takes, each when a test wants it."""

    def __init__(self, load: opening.Load, intake: Intake) -> None:
        self.state = load.state
        self.begin = intake.begin
        self.write = intake.take
        self.flush = intake.flush
        self.fetch_contested = intake.fetch_contested
        self._load = load
        self._intake = intake
        self._retried = False

    def retry_ids(self, limit: int = 2_000) -> Iterator[list[str]]:
        self._retried = True
        return self._intake.retry_ids(limit)

    def finish(
        self, *, watermark: datetime | None, full: bool | None = None, source_keys: Iterable[IdBatch] | None = None
    ) -> LoadResult:
        """Conclude; where nobody says so, every document was read unless documents were asked for once more."""
        full = not self._retried if full is None else full
        end = Conclusion(watermark=watermark, full=full, source_keys=source_keys)
        return conclude(self._load, self._intake.close(), end)


@contextmanager
def open_load(
    connection: psycopg.Connection[Any],
    schema: Schema,
    table: Table,
    run_id: str,
    *,
    truncate: bool = False,
    **options: Any,
) -> Iterator[StepwiseLoad]:
    """Open the load of one table to take its steps one by one."""
    with (
        opening.open_load(connection, schema, table, run_id, **options) as load,
        Intake(load, truncate=truncate) as intake,
    ):
        yield StepwiseLoad(load, intake)


def load(
    connection: psycopg.Connection[Any],
    schema: Schema,
    table: str,
    *batches: Batch,
    run_id: str = "run",
    watermark: datetime | None = None,
    truncate: bool = False,
    retry: bool = True,
    bulk_from: int = 1_000,
    on_stage: Callable[[str], None] | None = None,
) -> LoadResult:
    """Load batches into a table; `retry` reads the ids to try again, as an incremental run does."""
    options = {"truncate": truncate, "bulk": Bulk(rows=bulk_from), "on_stage": on_stage}
    with open_load(connection, schema, schema.tables[table], run_id, **options) as load:
        load.begin()
        for batch in batches:
            load.write(batch)
        if retry:
            list(load.retry_ids())
        return load.finish(watermark=watermark)


def retry_ids(connection: psycopg.Connection[Any], schema: Schema, table: str) -> list[str]:
    """The ids the next run of a table would read again, sorted."""
    with open_load(connection, schema, schema.tables[table], "peek") as load:
        ids = sorted(document_id for chunk in load.retry_ids() for document_id in chunk)
        load.begin()
        load.finish(watermark=None, full=False)
    return ids


def parent(*ids: str) -> list[str]:
    """What is asked for as parents that references of these texts may mean, sorted: a column does not tell the type."""
    return sorted(encoded for id_ in ids for encoded in (id_, f'"{id_}"'))


def rows_of(connection: psycopg.Connection[Any], relation: str, columns: str = "*") -> list[tuple[Any, ...]]:
    """All rows of a table, sorted by their text; `schema.table` for other schemas."""
    identifier = sql.Identifier(*relation.split(".", 1))
    query = sql.SQL('SELECT {} FROM {} AS t ORDER BY t::text COLLATE "C"').format(sql.SQL(columns), identifier)
    return connection.execute(query).fetchall()


def rejects_of(connection: psycopg.Connection[Any], table: str) -> list[tuple[Any, ...]]:
    """The rejects of a table: document id, column, reason, items, attempts."""
    return connection.execute(
        "SELECT document_id, column_name, reason, items, attempts FROM smartdiet.rejected_rows"
        " WHERE table_name = %s ORDER BY document_id",
        [table],
    ).fetchall()


def versions_of(connection: psycopg.Connection[Any], table: str) -> list[tuple[Any, ...]]:
    """Where each row of a table is and which transaction wrote it: equal before and after where none was written."""
    return connection.execute(
        sql.SQL("SELECT ctid::text, xmin::text, xmax::text FROM {} ORDER BY ctid").format(sql.Identifier(table))
    ).fetchall()
