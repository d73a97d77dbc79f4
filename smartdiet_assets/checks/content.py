"""Comparing documents with their rows, through the very transformation that a run uses.

A document that differs is read again, and so are its rows: only what is as it was, and still differs, counts. So
neither an edit nor a run at the same time is taken for a fault.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Literal, Protocol

import bson
from bson.errors import InvalidBSON
from pymongo.database import Database

from smartdiet_assets.checks.documents import LENIENT, find_date, find_start, find_threshold, group_tables, is_recent
from smartdiet_assets.checks.facts import ContentFacts, TargetFacts
from smartdiet_assets.checks.row_comparison import RowDifference, fetch_differences, fetch_rejected
from smartdiet_assets.extract.mongodb.samples import fetch_again, fetch_sample, fetch_whole
from smartdiet_assets.load.execution import Connection
from smartdiet_assets.load.records.forgotten import fetch_forgotten
from smartdiet_assets.schema.document_id import decode_document_id, encode_document_id
from smartdiet_assets.schema.documents import Document
from smartdiet_assets.schema.model import DOCUMENT_ID, Table
from smartdiet_assets.schema.reasons import Reject
from smartdiet_assets.transform.batch import TransformedBatch, build_transformer
from smartdiet_assets.transform.decode import split_batch
from smartdiet_assets.transform.protection import build_namer

#: Documents compared by one statement when all of them are.
_BATCH = 5_000


@dataclass(frozen=True, slots=True)
class SourceDocument:
    """One document as it was read, and how the records name it; `fields` is empty where it cannot be decoded."""

    document_id: str
    raw: bytes
    fields: Document


#: Why a document is not compared: it could not be loaded, changed since the last run, or is from before a date limit.
LeftOut = Literal["rejected", "changed since the last run or undated", "before the limit", "unreadable"]


class Transform(Protocol):
    """Turns documents into rows and rejects."""

    def __call__(self, documents: Sequence[SourceDocument], /) -> TransformedBatch: ...


@dataclass(slots=True)
class Comparison:
    """Which documents differ, and how."""

    differences: list[RowDifference]
    #: Encoded id by document column value as text.
    identities: Mapping[str, str]
    #: Documents that should be rejected and are not among the rejects.
    unrecorded: set[str]
    #: Rows that the documents describe.
    rows: int = 0

    @property
    def documents(self) -> set[str]:
        return {self.identities.get(found.document, "") for found in self.differences} | self.unrecorded


@dataclass(frozen=True, slots=True)
class ComparedBatch:
    """Documents of one batch that should be rows of a table, what differs, and how many were left out, by cause."""

    table: Table
    documents: Sequence[SourceDocument]
    left_out: Counter[LeftOut]
    found: Comparison


def compare_collections(
    connection: Connection,
    database: Database[Document],
    tables: Sequence[Table],
    target: Mapping[str, TargetFacts],
    *,
    sample: int | None,
    global_date_threshold: date | None = None,
) -> dict[str, ContentFacts]:
    """Compare documents of tables with their rows, and add up; see `stream_comparisons`."""
    facts = {table.name: ContentFacts() for table in tables}
    for batch in stream_comparisons(
        connection, database, tables, target, sample=sample, global_date_threshold=global_date_threshold
    ):
        found = facts[batch.table.name]
        found.left_out += batch.left_out.total()
        found.compared += len(batch.documents)
        count(found, batch.found)
    return facts


def stream_comparisons(
    connection: Connection,
    database: Database[Document],
    tables: Sequence[Table],
    target: Mapping[str, TargetFacts],
    *,
    sample: int | None,
    global_date_threshold: date | None = None,
) -> Iterator[ComparedBatch]:
    """Compare documents of tables with their rows, batch by batch: one query for each collection, one statement for
    each table and batch.

    Args:
        sample: how many documents of each collection; None compares all of them.

    Raises:
        pymongo.errors.PyMongoError, psycopg.Error: a server refused or was lost.
    """
    for group in group_tables(tables):
        transforms = {table.name: _build_transform(connection, table, target[table.name]) for table in group}
        batches = fetch_whole(database, group, _BATCH) if sample is None else fetch_sample(database, group, sample)
        for raw in batches:
            read = list(_split(raw))
            named = {table.name: _name(table, read) for table in group}
            ids = {document.document_id for documents in named.values() for document in documents}
            rejected = fetch_rejected(connection, group, list(ids))
            for table in group:
                documents = named[table.name]
                wanted, left_out = _choose(table, documents, rejected, target[table.name], global_date_threshold)
                first = compare_documents(connection, table, transforms[table.name], wanted)
                found = Comparison([], {}, set(), rows=first.rows)
                if first.documents:
                    again = _read_again(database, table, group, wanted, first.documents)
                    # The table's run may have been at work: what it rejected meanwhile is no difference.
                    rejected_now = fetch_rejected(connection, [table], [document.document_id for document in again])
                    again = [d for d in again if (table.name, d.document_id) not in rejected_now]
                    found = replace(
                        compare_documents(connection, table, transforms[table.name], again), rows=first.rows
                    )
                yield ComparedBatch(table, wanted, left_out, found)


def compare_documents(
    connection: Connection, table: Table, transform: Transform, documents: Sequence[SourceDocument]
) -> Comparison:
    """Compare documents, none of which is among the rejects, with their rows."""
    if not documents:
        return Comparison([], {}, set())
    batch = transform(documents)
    rejected = {reject.document_id for reject in batch.rejects}
    place = [column.name for column in table.stored_columns].index(table.document_column)
    understood = batch.documents or [row[place] for row in batch.rows]
    differences = fetch_differences(connection, table, batch.rows, understood)
    identities = {_as_text(value): document_id for value, document_id in _pair(documents, understood, batch.rejects)}
    # Of a document with a reject that is not recorded, nothing more needs to be said.
    kept = [found for found in differences if identities.get(found.document, "") not in rejected]
    return Comparison(kept, identities, rejected, len(batch.rows))


def count(facts: ContentFacts, found: Comparison) -> None:
    """Add what differs to the facts."""
    facts.different += len(found.documents)
    facts.rejects_missing += len(found.unrecorded)
    facts.rows_missing += sum(difference.missing for difference in found.differences)
    facts.rows_extra += sum(difference.extra for difference in found.differences)
    facts.rows_different += sum(bool(difference.columns) for difference in found.differences)
    columns = Counter(column for difference in found.differences for column in difference.columns)
    for column, number in columns.items():
        facts.columns[column] = facts.columns.get(column, 0) + number


def _build_transform(connection: Connection, table: Table, target: TargetFacts) -> Transform:
    transform = build_transformer(table, forgotten=fetch_forgotten(connection, table) if target.forgotten else None)
    return lambda documents: transform(b"".join(document.raw for document in documents))


def _split(raw: bytes) -> Iterator[SourceDocument]:
    for document in split_batch(raw):
        try:
            fields = bson.decode(document, LENIENT)
        except InvalidBSON:
            # It is among the rejects, or else nobody can tell when it changed.
            fields = {}
        yield SourceDocument(encode_document_id(fields.get(DOCUMENT_ID)), document, fields)


def _choose(
    table: Table,
    documents: Iterable[SourceDocument],
    rejected: set[tuple[str, str]],
    target: TargetFacts,
    global_date_threshold: date | None,
) -> tuple[list[SourceDocument], Counter[LeftOut]]:
    """Choose the documents whose rows should be right: mirrored since they changed, and not rejected."""
    start = find_start(table, target)
    threshold = find_threshold(table, global_date_threshold)
    chosen: list[SourceDocument] = []
    left_out: Counter[LeftOut] = Counter()
    for document in documents:
        if (table.name, document.document_id) in rejected:
            left_out["rejected"] += 1
        elif not document.fields:
            left_out["unreadable"] += 1
        elif is_recent(table, document.fields, start):
            left_out["changed since the last run or undated"] += 1
        elif threshold is not None and (find_date(table, document.fields) or datetime.min) < threshold:
            left_out["before the limit"] += 1
        else:
            chosen.append(document)
    return chosen, left_out


def _name(table: Table, documents: Iterable[SourceDocument]) -> list[SourceDocument]:
    """Name documents as the records of a table do."""
    name = build_namer(table)
    return [replace(d, document_id=name(d.fields.get(DOCUMENT_ID))) if table.hides_ids else d for d in documents]


def _read_again(
    database: Database[Document],
    table: Table,
    group: Sequence[Table],
    documents: Sequence[SourceDocument],
    ids: set[str],
) -> list[SourceDocument]:
    """Read documents again; those that are gone, or are not as they were, are left out."""
    before = {document.document_id: document for document in documents if document.document_id in ids}
    raw = fetch_again(database, group, [document.fields.get(DOCUMENT_ID) for document in before.values()])
    now = {document.document_id: document.raw for batch in raw for document in _name(table, _split(batch))}
    return [document for document_id, document in before.items() if now.get(document_id) == document.raw]


def _pair(
    documents: Sequence[SourceDocument], understood: Sequence[object], rejects: Sequence[Reject]
) -> Iterator[tuple[object, str]]:
    """Pair document column values with encoded ids: they come in the order read, without those rejected whole."""
    if len(understood) == len(documents):
        yield from zip(understood, (document.document_id for document in documents), strict=True)
        return
    whole = {reject.document_id for reject in rejects}
    kept = [document.document_id for document in documents if document.document_id not in whole]
    if len(kept) == len(understood):
        yield from zip(understood, kept, strict=True)
        return
    spelled = {_as_text(value): value for value in understood}
    for document in documents:
        value = decode_document_id(document.document_id)
        if _as_text(value) in spelled:
            yield spelled[_as_text(value)], document.document_id


def _as_text(value: object) -> str:
    """Spell a document column value as PostgreSQL does when it is cast to text."""
    return str(value).lower() if isinstance(value, bool) else str(value)
