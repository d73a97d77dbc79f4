"""The temporary tables a run fills: rows, understood documents and rejects, batch by batch with binary COPY.

A document can be read twice in a run, in two versions: by the query for each date field, or again by its id. The later
read counts. Rows carry no number for that: each COPY is a command of its own, and PostgreSQL notes on every row the
command that wrote it. Rejects and documents of a batch are therefore written before its rows.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Protocol

from psycopg import sql
from psycopg.rows import tuple_row

from smartdiet_assets.load.conflicts.read_order import ReadOrder
from smartdiet_assets.load.execution import Connection, execute
from smartdiet_assets.load.fragments import (
    DOCUMENTS,
    ORPHANS,
    REJECTS,
    STAGING,
    TYPED,
    TYPED_DOCUMENTS,
    name,
    names,
    stands_for_numbers,
    stored,
    target_of,
)
from smartdiet_assets.schema.document_id import TypedDocument, read_plain_value
from smartdiet_assets.schema.model import Column, Table
from smartdiet_assets.schema.reasons import Reject


class Batch(Protocol):
    """What the load needs of a transformed batch.

    Attributes:
        rows: values in `Table.stored_columns` order.
        documents: the document column value of every document that was understood, also those with zero rows; empty
            where the rows tell (a `one_row` table without filter).
        rejects: what was not understood; for `items` also single items of documents that were.
        typed: those of the understood documents whose id the document column does not tell.
        documents_read: all documents of the batch.
    """

    @property
    def rows(self) -> Sequence[tuple[object, ...]]: ...
    @property
    def documents(self) -> Sequence[object]: ...
    @property
    def rejects(self) -> Sequence[Reject]: ...
    @property
    def typed(self) -> Sequence[TypedDocument]: ...
    @property
    def documents_read(self) -> int: ...


def copy_type(column: Column) -> str:
    """Name a column's type as binary COPY is told it."""
    return column.type.base.sent_as


def compose_staging(table: Table) -> sql.Composed:
    """Compose the staging table, with the types and collations of the live columns."""
    return sql.SQL("CREATE TEMPORARY TABLE {} ON COMMIT DROP AS\nSELECT {} FROM {} WITH NO DATA").format(
        STAGING, names(stored(table)), target_of(table)
    )


def compose_documents(table: Table) -> sql.Composed:
    """Compose the table of the documents that were understood."""
    return sql.SQL(
        "CREATE TEMPORARY TABLE {} ON COMMIT DROP AS\nSELECT {} AS document, 0 AS batch FROM {} WITH NO DATA"
    ).format(DOCUMENTS, name(table.document_column), target_of(table))


def compose_typed(table: Table, like: sql.Composable) -> list[sql.Composed]:
    """Compose the tables of documents whose id the document column does not tell, and of their rows.

    Args:
        like: the relation whose columns their values are of.
    """
    return [
        sql.SQL(
            "CREATE TEMPORARY TABLE {} ON COMMIT DROP AS\n"
            "SELECT ''::text COLLATE \"C\" AS document_id, {} AS document, 0 AS batch FROM {} WITH NO DATA"
        ).format(TYPED_DOCUMENTS, name(table.document_column), like),
        sql.SQL(
            "CREATE TEMPORARY TABLE {} ON COMMIT DROP AS\n"
            "SELECT ''::text COLLATE \"C\" AS _document_id, 0 AS _batch, {} FROM {} WITH NO DATA"
        ).format(TYPED, names(stored(table)), like),
    ]


#: Created with the first reject. The index is for the records, of which PostgreSQL may believe that there are none.
CREATE_REJECTS = sql.SQL("""\
CREATE TEMPORARY TABLE {0} (
  document_id text COLLATE "C",
  document text COLLATE "C",
  column_name text,
  reason text,
  expected text,
  received text,
  batch integer
) ON COMMIT DROP;
CREATE INDEX ON {0} (document_id)""").format(REJECTS)

CREATE_ORPHANS = sql.SQL("""\
CREATE TEMPORARY TABLE {0} (
  document_id text COLLATE "C",
  document text COLLATE "C",
  column_name text COLLATE "C",
  parent_table text COLLATE "C",
  parent_column text,
  parent_id text COLLATE "C",
  nulled boolean,
  place tid
) ON COMMIT DROP;
CREATE INDEX ON {0} (document_id)""").format(ORPHANS)


class StagingWriter:
    """Writes the batches of a run and counts them.

    The COPY of a batch's rows stays open until the next batch comes, or `flush`: so PostgreSQL takes rows in while the
    next ones are read and transformed, on a core of its own.

    Args:
        shard: the relation that receives the rows of one of several shards, and is like the target.

    Attributes:
        rows: the relation that receives the rows; the target itself, the bulk way. rows_written, documents_read: totals
        so far.
        typed_written: of the documents read, those whose id the document column does not tell
        (`load.conflicts.typed_ids`). order: of the ids of the understood documents, where they are tracked.
    """

    def __init__(self, connection: Connection, table: Table, *, shard: sql.Composable | None = None) -> None:
        self.rows: sql.Composable = shard or STAGING
        self._like = shard or target_of(table)
        #: No document is in two shards: nobody asks which were read.
        self._tracks = table.tracks_documents and shard is None
        self.rows_written = 0
        self.documents_read = 0
        self.rejects_written = 0
        self.typed_written = 0
        self._connection = connection
        self._table = table
        self._batches = 0
        self._copying = ExitStack()
        self._types = [copy_type(column) for column in table.stored_columns]
        place = stored(table).index(table.document_column)
        self._document_types = [self._types[place], "int4"]
        self.order = ReadOrder(table)

    def __enter__(self) -> "StagingWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # After an error PostgreSQL is told to forget the rows; else the connection would still wait for some.
        self._copying.__exit__(kind, error, trace)

    def flush(self) -> None:
        """Wait until PostgreSQL has all that was written; anything else on the connection has to wait for this."""
        self._copying.close()

    def compose_tables(self) -> list[sql.Composed]:
        """Compose the temporary tables that rows and documents are written to; that of rejects comes with the first."""
        statements = [compose_staging(self._table)] if self.rows is STAGING else []
        if self._table.tracks_documents:
            statements.append(compose_documents(self._table))
        return statements

    def write(self, batch: Batch) -> None:
        """Copy one batch: rejects, documents, then rows (see the module's docstring for why).

        Raises:
            ValueError: documents of the batch are neither understood nor rejected; nothing may be lost silently.
        """
        understood = len(batch.documents) if self._table.tracks_documents else len(batch.rows)
        rejected = batch.documents_read - understood
        # A document of a relationship table may be understood and have rejected items.
        single = not self._table.shape.has_items and rejected != len(batch.rejects)
        if single or not 0 <= rejected <= len(batch.rejects):
            raise ValueError(
                f"{self._table.name}: a batch of {batch.documents_read} documents has {understood} understood"
                f" and {len(batch.rejects)} rejects"
            )
        self._batches += 1
        self.documents_read += batch.documents_read
        rows, documents = batch.rows, batch.documents
        if batch.typed:
            rows, documents = self._write_typed(batch)
        if batch.rejects:
            if not self.rejects_written:
                self.flush()
                execute(self._connection, CREATE_REJECTS)
            numbers = stands_for_numbers(self._table)
            self._copy(
                REJECTS,
                ["document_id", "document", "column_name", "reason", "expected", "received", "batch"],
                ["text"] * 6 + ["int4"],
                [
                    (
                        reject.document_id,
                        read_plain_value(reject.document_id, numbers=numbers),
                        reject.column,
                        reject.reason.value,
                        reject.expected,
                        reject.received,
                        self._batches,
                    )
                    for reject in batch.rejects
                ],
            )
            self.flush()
            self.rejects_written += len(batch.rejects)
        if self._tracks and documents:
            self.order.note(documents)
            number = self._batches
            self._copy(
                DOCUMENTS,
                ["document", "batch"],
                self._document_types,
                [(document, number) for document in documents],
            )
            self.flush()
        if rows:
            self._copy(self.rows, stored(self._table), self._types, rows)
        self.rows_written += len(batch.rows)

    def _write_typed(self, batch: Batch) -> tuple[Sequence[tuple[object, ...]], Sequence[object]]:
        """Copy the documents whose id their column does not tell, with their rows, apart; return the other ones."""
        if not self.typed_written:
            self.flush()
            for statement in compose_typed(self._table, self._like):
                execute(self._connection, statement)
        number = self._batches
        self._copy(
            TYPED_DOCUMENTS,
            ["document_id", "document", "batch"],
            ["text", self._document_types[0], "int4"],
            [(document.document_id, document.value, number) for document in batch.typed],
        )
        self._copy(
            TYPED,
            ["_document_id", "_batch", *stored(self._table)],
            ["text", "int4", *self._types],
            [
                (document.document_id, number, *row)
                for document in batch.typed
                for row in batch.rows[document.first : document.last]
            ],
        )
        self.typed_written += len(batch.typed)
        places = {document.place for document in batch.typed}
        taken = {place for document in batch.typed for place in range(document.first, document.last)}
        return (
            [row for place, row in enumerate(batch.rows) if place not in taken],
            [document for place, document in enumerate(batch.documents) if place not in places],
        )

    def _copy(
        self,
        relation: sql.Composable,
        columns: Sequence[str],
        types: Sequence[str],
        rows: Sequence[tuple[object, ...]],
    ) -> None:
        self.flush()
        statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(relation, names(columns))
        cursor = self._copying.enter_context(self._connection.cursor(row_factory=tuple_row))
        copy = self._copying.enter_context(cursor.copy(statement))
        copy.set_types(types)
        write_row = copy.write_row
        for row in rows:
            write_row(row)
