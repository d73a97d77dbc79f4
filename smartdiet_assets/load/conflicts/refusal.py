"""Rows that PostgreSQL refuses for what they hold: tried before they are written, and rejected one by one.

A run that nothing was refused in does without (`load.opening`, `mirror.table_run`). The transformation knows the types,
lengths and NOT NULLs that are declared. What else there is, PostgreSQL alone knows: how wide a row may be, or an entry
of an index, and what somebody added to the table by hand: CHECKs, domains, generated columns, indexes of expressions.
So a batch goes into an empty table of the same form first, and is halved where that is refused, until single rows are
left.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate

import psycopg
from psycopg import Rollback, sql
from psycopg.rows import tuple_row

from smartdiet_assets.load.execution import Connection, execute_all
from smartdiet_assets.load.fragments import names, stored, target_of
from smartdiet_assets.load.staging import Batch, copy_type
from smartdiet_assets.load.structure.declared import build_indexes, build_uniques
from smartdiet_assets.schema.document_id import TypedDocument, encode_plain_value
from smartdiet_assets.schema.model import Table
from smartdiet_assets.schema.reasons import Reason, Reject

_PROBE = sql.Identifier("pg_temp", "mirror_probe")
#: Bytes of a row's data beyond the columns: the temporary tables of a load hold a little more than the target.
_ROOM = "_mirror_room"
#: Data that a type, a function or an expression does not take; a row, or a structure in it, beyond PostgreSQL's limits.
_CLASSES = ("22", "54")
_STATES = {
    "23502": "NOT NULL",
    "23514": "CHECK",
    "23P01": "EXCLUDE",
    "54000": "within the size of a row and of an index entry",
    "54001": "within the depth PostgreSQL can follow",
}
#: Rows that are refused beside each other, and may be fine alone.
_TOGETHER = ("23505", "23P01")


def is_refusal(error: psycopg.Error) -> bool:
    """Tell whether an error can be about the values of a single row."""
    state = error.sqlstate or ""
    return state[:2] in _CLASSES or state in _STATES


@dataclass
class SiftedBatch:
    """A batch without the rows that are refused; see `Batch`."""

    rows: Sequence[tuple[object, ...]]
    documents: Sequence[object]
    rejects: Sequence[Reject]
    typed: Sequence[TypedDocument]
    documents_read: int


@dataclass
class Probe:
    """Tries the rows of batches in a table of the target's form."""

    connection: Connection
    table: Table
    refused: int = field(default=0, init=False)

    def open(self, *, keys_later: bool) -> None:
        """Create the table; with `keys_later`, the target has no indexes yet that could be copied."""
        statements = [
            sql.SQL("CREATE TEMPORARY TABLE {} ({} bigint DEFAULT 0, LIKE {} INCLUDING ALL) ON COMMIT DROP").format(
                _PROBE, sql.Identifier(_ROOM), target_of(self.table)
            )
        ]
        if keys_later:
            keys = [self.table.primary_key, *build_uniques(self.table), *build_indexes(self.table)]
            statements += [sql.SQL("CREATE INDEX ON {} ({})").format(_PROBE, names(key)) for key in keys if key]
        execute_all(self.connection, statements)

    def sift(self, batch: Batch) -> Batch:
        """Take the refused rows out of a batch, and reject their documents; the connection has to be free."""
        refused = dict(self._find(batch.rows))
        if not refused:
            return batch
        self.refused += len(refused)
        place = stored(self.table).index(self.table.document_column)
        typed_of = {index: document for document in batch.typed for index in range(document.first, document.last)}
        plain = {index: batch.rows[index][place] for index in refused if index not in typed_of}
        ids = {index: self._encode(value) for index, value in plain.items()}
        ids |= {index: typed_of[index].document_id for index in refused if index in typed_of}
        rejects = [_build_reject(ids[index], error) for index, error in refused.items()]
        # A document of an array goes on without the item; any other has no part in the run but its reject.
        whole = not self.table.shape.has_items
        gone = {typed_of[index].place for index in refused if index in typed_of} if whole else set()
        typed_places = {document.place for document in batch.typed}
        values = set(plain.values())
        kept = [
            index
            for index, value in enumerate(batch.documents)
            if not whole or (index not in gone if index in typed_places else value not in values)
        ]
        before = list(accumulate((index in refused for index in range(len(batch.rows))), initial=0))
        places = {index: number for number, index in enumerate(kept)}
        typed = [
            replace(
                document,
                first=document.first - before[document.first],
                last=document.last - before[document.last],
                place=places.get(document.place, -1),
            )
            for document in batch.typed
            if not whole or refused.keys().isdisjoint(range(document.first, document.last))
        ]
        rows = [row for index, row in enumerate(batch.rows) if index not in refused]
        documents = [batch.documents[index] for index in kept]
        return SiftedBatch(rows, documents, [*batch.rejects, *rejects], typed, batch.documents_read)

    def _encode(self, value: object) -> str:
        return encode_plain_value(value if self.table.source_kind.has_documents else str(value))

    def _find(self, rows: Sequence[tuple[object, ...]]) -> Iterable[tuple[int, psycopg.Error]]:
        ranges = [(0, len(rows))] if rows else []
        while ranges:
            start, end = ranges.pop()
            error = self._try(rows[start:end])
            if error is None:
                continue
            if end - start == 1:
                yield start, error
                continue
            middle = (start + end) // 2
            ranges += [(middle, end), (start, middle)]

    def _try(self, rows: Sequence[tuple[object, ...]]) -> psycopg.Error | None:
        """Write rows and take them back; give the error that can be about one of them."""
        statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(_PROBE, names(stored(self.table)))
        try:
            with self.connection.transaction():
                with self.connection.cursor(row_factory=tuple_row) as cursor, cursor.copy(statement) as copy:
                    copy.set_types([copy_type(column) for column in self.table.stored_columns])
                    for row in rows:
                        copy.write_row(row)
                raise Rollback
        except psycopg.Error as error:
            if is_refusal(error) or (error.sqlstate in _TOGETHER and len(rows) > 1):
                return error
            raise
        return None


def _build_reject(document_id: str, error: psycopg.Error) -> Reject:
    """Build the reject of a document, from the names that the server's error carries and nothing else of it."""
    state = error.sqlstate or ""
    condition = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", psycopg.errors.lookup(state).__name__).lower()
    rule = f"{_STATES.get(state, condition)} {error.diag.constraint_name or ''}".strip()
    return Reject(document_id, error.diag.column_name or "", Reason.REFUSED, rule, "")
