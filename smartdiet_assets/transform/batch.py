"""One batch: from the bytes the server sent to rows, rejects and the batch's newest date."""

import gc
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache, partial

from smartdiet_assets.schema.document_id import TypedDocument
from smartdiet_assets.schema.documents import Document
from smartdiet_assets.schema.forgotten import Forgotten
from smartdiet_assets.schema.model import Table
from smartdiet_assets.schema.reasons import Reject
from smartdiet_assets.transform.convert import Adjustment
from smartdiet_assets.transform.decode import decode_batch, decode_damaged_batch
from smartdiet_assets.transform.forgetting import Forgetting
from smartdiet_assets.transform.protection import build_namer, build_renamer
from smartdiet_assets.transform.row_function import Counts, IdNote, build_row_function


@dataclass(slots=True)
class TransformedBatch:
    """What a batch of documents became.

    Attributes:
        rows: values in `Table.stored_columns` order, of the Python types psycopg dumps in binary.
        documents: the document column's value of every understood document, also of those with no row, in the
            order read; empty where `rows` tells it (shape `one_row` without a filter).
        rejects: one for a document rejected whole, one for each rejected item of the others.
        documents_read: all documents in the batch, the undecodable included.
        newest: the largest source date, naive UTC, rejected documents included; None where there is none.
        typed: those of the understood documents whose id the document column does not tell.
        collapsed: items left out as another one of their document has the same key (`Table.on_duplicate_item`).
        nulled, clamped: by column, how many values of the rows it could not hold and that became NULL, or were made
            to fit, as its `on_invalid` says.
    """

    rows: list[tuple[object, ...]] = field(default_factory=list)
    documents: list[object] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    documents_read: int = 0
    newest: datetime | None = None
    typed: list[TypedDocument] = field(default_factory=list)
    collapsed: int = 0
    nulled: Counter[str] = field(default_factory=Counter)
    clamped: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class DecodedBatch:
    """A batch decoded once, for the transformations of any number of tables, none of which changes it.

    Attributes:
        raw: the bytes of concatenated BSON documents.
        rejects: of those that cannot be decoded; where any document is damaged, the others are as far as they can be.
    """

    raw: bytes
    documents: list[Document]
    rejects: Sequence[Reject] = ()
    damaged: bool = False


def decode(raw: bytes) -> DecodedBatch:
    """Decode concatenated BSON documents."""
    with _uncollected():
        if (documents := decode_batch(raw)) is not None:
            return DecodedBatch(raw, documents)
        return DecodedBatch(raw, *decode_damaged_batch(raw), damaged=True)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Keep the garbage collector off: nothing in a batch forms cycles; measured, it takes 15 to 20% of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def build_transformer(
    table: Table, look: Callable[[list[Document]], None] | None = None, forgotten: Forgotten | None = None
) -> Callable[[bytes | DecodedBatch], TransformedBatch]:
    """Build the transformation of a table: takes the bytes of concatenated BSON documents, or what they decode to.

    Args:
        look: is shown the documents of each batch.
        forgotten: what is left out, as if it was not there.

    Raises:
        ValueError: a default or a `set` constant of the table does not fit its column.
    """
    adjustments: list[Adjustment] = []
    typed: list[IdNote] = []
    forgetting = None if forgotten is None else Forgetting(table, forgotten)
    build = partial(build_row_function, table, adjustments=adjustments, typed=typed, forgetting=forgetting)
    read_rows = build()
    # The fast path trusts text to be Unicode, which it is unless the batch had to be decoded leniently.
    build_careful = cache(lambda: build(fast=False))
    has_items, name, rename = bool(table.arrays), build_namer(table), build_renamer(table)

    def transform(raw: bytes | DecodedBatch) -> TransformedBatch:
        batch = TransformedBatch()
        adjustments.clear()
        typed.clear()
        with _uncollected():
            decoded = decode(raw) if isinstance(raw, bytes) else raw
            documents, function = decoded.documents, build_careful() if decoded.damaged else read_rows
            batch.rejects = [replace(reject, document_id=rename(reject.document_id)) for reject in decoded.rejects]
            undecodable = len(batch.rejects)
            if look is not None:
                look(documents)
            newest, *found = function(documents, batch.rows, batch.documents, batch.rejects, datetime.min)
        counts = Counts(*found)
        understood = len(batch.documents if table.tracks_documents else batch.rows)
        batch.documents_read = len(documents) + undecodable
        batch.collapsed = counts.collapsed
        batch.newest = None if newest == datetime.min else newest
        if typed:
            batch.typed = [TypedDocument(name(note[0]), *note[1:]) for note in typed]
        if adjustments:
            batch.nulled = Counter(column for column, what in adjustments if what == "nulled")
            batch.clamped = Counter(column for column, what in adjustments if what == "clamped")
        if batch.documents_read != understood + counts.rejected + undecodable:
            raise AssertionError(f"{table.name}: documents got lost between reading and rows")
        # What was read became a row, a reject, or was left out for a reason that is counted.
        became = len(batch.rows) + len(batch.rejects) - undecodable
        read = counts.items + counts.rejected if has_items else len(documents)
        if read != became + (counts.collapsed if has_items else counts.filtered):
            raise AssertionError(f"{table.name}: {'items' if has_items else 'rows'} got lost between reading and rows")
        return batch

    return transform if forgetting is None else lambda raw: forgetting.take_out(transform(raw))
