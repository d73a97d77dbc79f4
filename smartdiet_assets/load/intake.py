"""Taking the batches of a run in: the only part of a load with state."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

from smartdiet_assets.load import bulk
from smartdiet_assets.load.conflicts.refusal import Probe
from smartdiet_assets.load.conflicts.rereads import Settlement
from smartdiet_assets.load.conflicts.typed_ids import fetch_contested
from smartdiet_assets.load.execution import execute_all, fetch_after
from smartdiet_assets.load.fragments import relations_of, target_of
from smartdiet_assets.load.limits import RETRY_LIMIT
from smartdiet_assets.load.opening import Load
from smartdiet_assets.load.records.retries import stream_retry_ids
from smartdiet_assets.load.removal.truncate import truncate
from smartdiet_assets.load.result import RowsLostError
from smartdiet_assets.load.staging import Batch, StagingWriter
from smartdiet_assets.load.statistics import mend_statistics
from smartdiet_assets.load.ways import FillEmpty, FillNew, Merge, Way

#: How much a run holds back until it knows whether it repeats the last one: what a quiet hour leaves.
_HELD_DOCUMENTS = 2_000


@dataclass(frozen=True, slots=True)
class Taken:
    """What was taken in, once it all was: all that the conclusion has to know of it.

    Attributes:
        way: how the rows are written.
        settlement: the rows, not yet settled.
        rows_written, documents_read: totals.
        refused: rows that PostgreSQL did not take for their values.
        empty: whether the table held no row before.
        emptied: whether the run emptied it.
        retries_read: whether there was anything to read again (`mirror_retries`), and all of it was read.
        digest: of what was asked and read, None where it is not to be known again.
    """

    way: Way
    settlement: Settlement
    rows_written: int
    documents_read: int
    refused: int
    empty: bool
    emptied: bool
    retries_read: bool
    digest: str | None


class Intake:
    """Takes the batches of one load in, as they come, as the block of a `with`; `close` tells what there is then.

    Args:
        truncate: empty the table, and what its CASCADE empties, before the first row.
        question: what the run asks its source, where a run that reads the same as the last one may end at once: then
            batches are held back as long as they are few.

    Attributes:
        writer: what writes the batches.
        retries_read: see `Taken`.
    """

    def __init__(self, load: Load, *, truncate: bool = False, question: str | None = None) -> None:
        self.writer = StagingWriter(load.connection, load.table)
        self.retries_read = False
        self._load = load
        self._truncate = truncate
        self._begun = False
        self._emptied = False
        #: Whether the table holds no row but the run's, and needs no comparison.
        self._empty = load.created
        self._way: Way | None = FillNew(load.changes.keys) if load.created else None
        self._probe: Probe | None = None
        self._held: list[Batch] = []
        self._digest = hashlib.blake2b(question.encode(), digest_size=16) if question is not None else None

    def __enter__(self) -> Self:
        self.writer.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self.writer.__exit__(*error)

    @property
    def digest(self) -> str | None:
        """The digest of what was asked and read; see `Taken`."""
        return self._digest.hexdigest() if self._digest else None

    @property
    def holds_all(self) -> bool:
        """Whether all that was read is held back, and nothing was left out that is to be read again."""
        return not self._begun and (self.retries_read or not self._load.last_state.has_retries)

    @property
    def documents_read(self) -> int:
        """How many documents came so far."""
        return self.writer.documents_read + sum(batch.documents_read for batch in self._held)

    def note(self, read: object) -> None:
        """Note what was read, or what else was asked: that something is not there shows in nothing read."""
        if self._digest:
            self._digest.update(read if isinstance(read, bytes) else repr(read).encode())

    def take(self, batch: Batch) -> None:
        """Take one batch. PostgreSQL may still be taking its rows in afterwards: see `flush`.

        Raises:
            ValueError: some of its documents are neither understood nor rejected.
        """
        few = self.documents_read + batch.documents_read <= _HELD_DOCUMENTS
        if self._digest and not self._begun and few:
            self._held.append(batch)
        else:
            self.begin()
            self._write(batch)

    def renew(self, load: Load) -> None:
        """Go on with the load as it is now, once those of its parents have committed (`load.opening.renew_load`)."""
        self.flush()
        self._load = load
        if load.created:
            self._way = FillNew(load.changes.keys)
        if self._begun:
            mend_statistics(load.connection, load.table)

    def flush(self) -> None:
        """Wait for the rows written so far; needed after `take` before anybody else uses the connection."""
        with self._load.clock.timed("copy"):
            self.writer.flush()

    def retry_ids(self, limit: int = RETRY_LIMIT) -> Iterator[list[str]]:
        """Stream the encoded ids of documents to read whatever their dates, in chunks of at most 100.

        They are the table's rejects, those that wait for a parent, and the parents in this table others wait for.

        Args:
            limit: at most how many of those that were tried before (see `load.records.retries`).
        """
        if not self._load.last_state.has_retries:
            return
        self.flush()
        read = self.writer.rows if self.writer.rows_written else None
        for chunk in stream_retry_ids(self._load.connection, self._load.table, read, limit):
            self.note(chunk)
            yield chunk
            self.flush()
        self.retries_read = True

    def fetch_contested(self) -> list[str]:
        """Fetch the encoded ids of documents in whose place the run read others: to be read too, at the very end.

        Unless the run reads every document: what is there was read then.
        """
        self.begin()
        typed, known = self.writer.typed_written > 0, self._load.last_state.has_typed
        if self._empty or not (typed or known):
            return []
        self.flush()
        table = self._load.table
        return fetch_contested(
            self._load.connection, table, self.writer.rows, relations_of(table), typed=typed, known=known
        )

    def begin(self) -> None:
        """Prepare the table for rows, and write what was held back; where nobody did, the first row does."""
        if self._begun:
            return
        self._begun = True
        load, writer = self._load, self.writer
        if self._truncate and not load.created:
            truncate(load)
            self._emptied = True
        if not load.beside.parents:
            mend_statistics(load.connection, load.table)
        if load.created:
            if not load.table.shape.shares_keys:
                writer.rows = target_of(load.table)
            execute_all(load.connection, writer.compose_tables())
        else:
            is_empty = bulk.compose_is_empty(relations_of(load.table))
            [(self._empty,)] = fetch_after(load.connection, writer.compose_tables(), is_empty)
        if load.careful:
            self._probe = Probe(load.connection, load.table)
            self._probe.open(keys_later=load.created)
        load.clock.tell("begun")
        for batch in self._held:
            self._write(batch)
        self._held.clear()

    def close(self, documents_read: int | None = None) -> Taken:
        """End the intake.

        Args:
            documents_read: how many documents the caller read, to be compared with how many arrived.

        Raises:
            RowsLostError: they are not the same.
        """
        self.begin()
        self.flush()
        load, writer = self._load, self.writer
        if documents_read is not None and documents_read != writer.documents_read:
            raise RowsLostError(load.table.name, documents_read, writer.documents_read)
        return Taken(
            way=self._way or self._choose_staged(),
            settlement=Settlement(
                load.connection,
                load.table,
                writer.rows,
                order=writer.order,
                typed=writer.typed_written > 0,
                known=load.last_state.has_typed and not load.created,
                has_rejects=writer.rejects_written > 0,
            ),
            rows_written=writer.rows_written,
            documents_read=writer.documents_read,
            refused=self._probe.refused if self._probe else 0,
            empty=self._empty,
            emptied=self._emptied,
            retries_read=self.retries_read,
            digest=self.digest,
        )

    def _write(self, batch: Batch) -> None:
        with self._load.clock.timed("copy"):
            if self._probe is not None:
                self.writer.flush()
                batch = self._probe.sift(batch)
            if self._way is None and self.writer.rows_written == 0:
                self._way = self._choose_direct(len(batch.rows))
            self.writer.write(batch)
        self._load.clock.tell("copied")

    def _choose_direct(self, rows: int) -> FillEmpty | None:
        """Have the rows go straight to the empty table where they are many and nobody is in the way.

        The first batch tells how many they are: the source is asked for full ones.
        """
        load = self._load
        if not self._empty or rows < load.bulk.rows or load.table.shape.shares_keys:
            return None
        keys = bulk.drop_keys(load, load.bulk.pause)
        if keys is None:
            return None
        self.writer.rows = target_of(load.table)
        return FillEmpty(keys)

    def _choose_staged(self) -> Way:
        large = self.writer.rows_written >= self._load.bulk.rows
        return FillEmpty() if self._empty and large and self._load.table.shape.shares_keys else Merge()
