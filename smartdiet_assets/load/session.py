"""One load of one table: a single transaction from the lock to the new watermark.

Here: the stages in their order, for the caller that brings the batches. Not here: what a stage does (its own module),
where batches come from, and the translation of driver errors, which pass through.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Literal

from psycopg import sql
from psycopg.pq import TransactionStatus

from smartdiet_assets.load import bulk
from smartdiet_assets.load.changes import ChangedDocuments
from smartdiet_assets.load.conflicts.refusal import Probe
from smartdiet_assets.load.conflicts.rereads import Settlement, drop_duplicates
from smartdiet_assets.load.conflicts.settle import settle_rows
from smartdiet_assets.load.conflicts.typed_ids import fetch_contested
from smartdiet_assets.load.counting import compose_count, count_rows
from smartdiet_assets.load.execution import Connection, execute_all, fetch_after, fetch_all, fetch_value
from smartdiet_assets.load.fragments import STAGING, WINNERS, relations_of, target_of
from smartdiet_assets.load.hindrance import explain_hindrance
from smartdiet_assets.load.limits import LOCK_TIMEOUT, RETRY_LIMIT
from smartdiet_assets.load.merge import Merge, apply_merge, compare, fill_empty_table
from smartdiet_assets.load.records import rejects
from smartdiet_assets.load.records.retries import compose_is_concerned, note_arrivals, note_asked, stream_retry_ids
from smartdiet_assets.load.records.sync_state import SyncState, plan_state, read_newest_date
from smartdiet_assets.load.reject_limit import check_max_rejects
from smartdiet_assets.load.removal.cascade import list_references, lock_reach
from smartdiet_assets.load.removal.gone import Removal, remove_absent, remove_documents, remove_unowned
from smartdiet_assets.load.removal.truncate import truncate as truncate_table
from smartdiet_assets.load.result import LoadResult, RowsLostError
from smartdiet_assets.load.same_again import is_repetition, repeat_result
from smartdiet_assets.load.staging import Batch, StagingWriter
from smartdiet_assets.load.statistics import mend_statistics
from smartdiet_assets.load.strategies import DeltaCounts, get_strategy
from smartdiet_assets.load.structure.creation import TableChanges, apply_not_null, apply_table
from smartdiet_assets.load.structure.live import check_search_path
from smartdiet_assets.load.structure.naming import place_in
from smartdiet_assets.load.transaction import LoadTransaction, open_transaction
from smartdiet_assets.schema.document_id import IdBatch
from smartdiet_assets.schema.model import Schema, Table

__all__ = ["LoadResult", "RowsLostError", "StageListener", "SyncState", "TableLoad", "open_load"]

#: Told when a stage is over: opened, begun, copied (each batch), settled, compared, rejected, merged, stored.
StageListener = Callable[[str], None]


@contextmanager
def open_load(
    connection: Connection,
    schema: Schema,
    table: Table,
    run_id: str,
    *,
    lock_timeout: float = LOCK_TIMEOUT,
    bulk_from: int = bulk.BULK_FROM,
    on_stage: StageListener | None = None,
    careful: bool = False,
) -> Iterator["TableLoad"]:
    """Open the load of one table; leaving the block commits everything, an exception undoes everything.

    Takes the table's lock, creates what is missing of the table and its ancestors, and compares what is there with the
    declaration. What is missing of the mirror's own tables is created before, in a transaction of its own: the other
    tables' runs would wait for the whole load.

    Args:
        connection: outside of a transaction. lock_timeout: seconds to wait for another run, or for anybody else's lock.
        bulk_from: rows in the first batch from which on the keys of an existing empty table are built after the rows.
        on_stage: told the name of each stage when it is over. careful: try all rows first, and reject those PostgreSQL
        refuses (`load.conflicts.refusal`); also done where the last run met any.

    Raises:
        ConfigurationError: the search path names no schema that exists.
        SchemaMismatchError: the live table is not as declared.
        LoadConflictError: another run had the table for longer than the lock timeout.
        psycopg.Error: PostgreSQL refused a statement or was lost.
        RuntimeError: the connection is in a transaction, or the block ended without `finish`.
    """
    if connection.info.transaction_status != TransactionStatus.IDLE:
        raise RuntimeError(f"{table.name}: a load needs a connection outside of a transaction")
    with (
        explain_hindrance(connection, schema, table),
        open_transaction(connection, table, lock_timeout) as transaction,
    ):
        table = place_in(table, check_search_path(transaction.standing.schema_name))
        changes = TableChanges(created=False)
        if not transaction.standing.same_structure:
            changes = apply_table(connection, schema, table, keys_later=True)
        load = TableLoad(
            connection, schema, table, run_id, changes, transaction, bulk_from, on_stage or (lambda stage: None)
        )
        load.careful |= careful
        with load.writer:
            yield load
        if not load.finished:
            raise RuntimeError(f"{table.name}: the load was not finished")


class TableLoad:
    """One load in progress: `begin`, then `write` for every batch, then `finish`.

    Attributes:
        state: where the table stood before the run, with the reason for a full read where there is one.
        changed: the documents a change stream named, kept for the caller.
        writer: what writes the batches.
        careful: whether all rows are tried before they are written; settled before `begin`.
        finished: whether `finish` has returned.
    """

    def __init__(
        self,
        connection: Connection,
        schema: Schema,
        table: Table,
        run_id: str,
        changes: TableChanges,
        transaction: LoadTransaction,
        bulk_from: int,
        on_stage: StageListener,
    ) -> None:
        self.finished = False
        self._connection = connection
        self._schema = schema
        self._table = table
        self._run_id = run_id
        self._created = changes.created
        self._standing = standing = transaction.standing
        self._last = transaction.last
        self._not_null_pending = changes.not_null_pending or (not changes.created and standing.has_unchecked)
        self._keys: list[sql.Composed] = list(changes.keys)
        self._keys_built = False
        self._bulk_from = bulk_from
        self._on_stage = on_stage
        self._strategy = get_strategy(table.import_strategy)
        self.writer = StagingWriter(connection, table)
        self.changed = ChangedDocuments(connection)
        self._deletions = Removal()
        self._removed = False
        self.careful = bool((standing.last_result or {}).get("refused"))
        self._probe: Probe | None = None
        self._retry: Literal["not asked", "asked", "read"] = "not asked"
        #: Whether there was anything to read again (`mirror_retries`), and all of it was read.
        self._retries_read = False
        self._seconds: dict[str, float] = {}
        self._inner_seconds = 0.0
        #: Whether the table holds no row but the run's, and needs no comparison.
        self._empty = changes.created
        if standing.known and not changes.created:
            state = SyncState(standing.watermark, standing.reimport, standing.change_position, standing.read_from)
        else:
            state = SyncState() if changes.created else SyncState(read_newest_date(connection, table))
        self.state = replace(state, reimport=changes.reimport or state.reimport)
        #: Where the table is: the connection's schema.
        self.schema_name = check_search_path(standing.schema_name)
        on_stage("opened")

    def retry_ids(self, limit: int = RETRY_LIMIT) -> Iterator[list[str]]:
        """Stream the encoded ids of documents to read whatever their dates, in chunks of at most 100.

        They are the table's rejects, those that wait for a parent, and the parents in this table others wait for.

        Args:
            limit: at most how many of those that were tried before (see `load.records.retries`).
        """
        if not (self._standing.has_rejects or self._standing.awaits or self._standing.awaited):
            self._retry = "read"
            return
        self._retry = "asked"
        self.flush()
        read = self.writer.rows if self.writer.rows_written else None
        for chunk in stream_retry_ids(self._connection, self._table, read, limit):
            yield chunk
            self.flush()
        self._retries_read = True
        self._retry = "read"

    def fetch_newest_key(self) -> object:
        """Fetch the largest key of the table, None where it is empty."""
        column = sql.Identifier(self._table.document_column)
        statement = sql.SQL("SELECT max({}) FROM {}").format(column, target_of(self._table))
        return fetch_value(self._connection, statement)

    def fetch_contested(self) -> list[str]:
        """Fetch the encoded ids of documents in whose place the run read others: to be read too, before `finish`.

        After `begin`, unless the run reads every document: what is there was read then.
        """
        typed, known = self.writer.typed_written > 0, self._standing.has_typed
        if self._empty or not (typed or known):
            return []
        self.flush()
        return fetch_contested(
            self._connection, self._table, self.writer.rows, relations_of(self._table), typed=typed, known=known
        )

    def remove(self, document_ids: IdBatch, deleted_at: datetime) -> None:
        """Do with the rows of deleted documents what the table's `on_delete` says; before `begin`.

        What the rows that come then want of the removed ones, such as a unique value, is free.

        Args:
            document_ids: ids of the documents.
            deleted_at: what `flag` stores, naive UTC.
        """
        # What goes may have been another row's parent.
        self._removed = True
        with self._timed("remove"):
            removal = remove_documents(
                self._connection, self._schema, self._table, [document_ids], self._run_id, deleted_at=deleted_at
            )
        self._deletions.add(removal)

    def begin(self, *, truncate: bool = False) -> None:
        """Prepare for rows; with `truncate`, empty the table and what its CASCADE empties first."""
        if truncate and not self._created:
            truncate_table(self._connection, self._schema, self._table)
            self.state = replace(self.state, watermark=None)
        mend_statistics(self._connection, self._table)
        if self._created and not self._table.shape.shares_keys:
            self.writer.rows = target_of(self._table)
        if self._created:
            execute_all(self._connection, self.writer.compose_tables())
        else:
            [(self._empty,)] = fetch_after(
                self._connection, self.writer.compose_tables(), bulk.compose_is_empty(relations_of(self._table))
            )
        if self.careful:
            self._probe = Probe(self._connection, self._table)
            self._probe.open(keys_later=self._created)
        self._on_stage("begun")

    def write(self, batch: Batch) -> None:
        """Take one batch. PostgreSQL may still be taking its rows in afterwards: see `flush`.

        Raises:
            ValueError: some of its documents are neither understood nor rejected.
        """
        with self._timed("copy"):
            if self._probe is not None:
                self.writer.flush()
                batch = self._probe.sift(batch)
            # The first batch tells how large the load is: the source is asked for full ones.
            first = self.writer.rows_written == 0 and len(batch.rows) >= self._bulk_from
            large = first and self._empty and not self._created and not self._table.shape.shares_keys
            if large and self._drop_keys():
                self.writer.rows = target_of(self._table)
            self.writer.write(batch)
        self._on_stage("copied")

    def flush(self) -> None:
        """Wait for the rows written so far; needed after `write` before anybody else uses the connection."""
        with self._timed("copy"):
            self.writer.flush()

    def is_repetition(self, window_digest: str) -> bool:
        """Tell whether a run that read what the digest stands for may end with `finish_repetition`.

        Only before `begin`, and only where `retry_ids` was read to its end.
        """
        assert self._retry == "read"
        return is_repetition(self._connection, self._table, self._standing, window_digest)

    def finish_repetition(
        self, *, watermark: datetime | None, documents_read: int, change_position: str | None = None
    ) -> LoadResult:
        """End a load that read what the last one had read: only the state is stored."""
        with self._timed("state"):
            if self._retries_read:
                note_asked(self._connection, self._schema, self._table, everything=False)
            result, stored = repeat_result(
                self._connection,
                self._table,
                self._standing,
                run_id=self._run_id,
                watermark=watermark,
                documents_read=documents_read,
                change_position=change_position,
                seconds=self._seconds,
            )
            self._last.append(stored)
        self.finished = True
        self._on_stage("stored")
        return result

    def finish(
        self,
        *,
        watermark: datetime | None,
        documents_read: int | None = None,
        window_digest: str | None = None,
        full: bool | None = None,
        source_keys: Iterable[IdBatch] | None = None,
        change_position: str | None = None,
        read_from: datetime | None = None,
    ) -> LoadResult:
        """Settle the rows, merge them, and store rejects and state; the end of the block commits it all.

        Args:
            watermark: the largest source date seen; the stored one never goes back. None leaves it where it is.
            documents_read: how many documents the caller read, to be compared with how many arrived.
            window_digest: of what was read and asked for, to know it again; None where it is not to be known again.
            full: whether every document was read, so that added columns are filled and all rejects were seen; by
                default it is when `retry_ids` was not asked for.
            source_keys: all keys the source has, in chunks: rows with another key are removed. None keeps them.
            change_position: where the next run goes on in the change stream; None leaves it where it is.
            read_from: the date from which on every document was read by now; None leaves what is known of it.

        Raises:
            RowsLostError: the counts do not add up.
            TooManyRejectsError: more documents are rejected than the table allows.
            LoadConflictError: somebody else changed the table meanwhile.
        """
        self.flush()
        if documents_read is not None and documents_read != self.writer.documents_read:
            raise RowsLostError(self._table.name, documents_read, self.writer.documents_read)
        if full is None:
            full = self._retry == "not asked"
        settlement = Settlement(self._connection, self._table, self.writer.rows, order=self.writer.order)
        settlement.has_rejects = self.writer.rejects_written > 0
        settlement.typed = self.writer.typed_written > 0
        settlement.known = self._standing.has_typed and not self._created
        filling = self._choose_filling()
        if source_keys is not None or (full and self._changes_for_all()):
            lock_reach(self._connection, self._schema, self._table.name)
        with self._timed("settle"):
            staged = settle_rows(
                settlement,
                written=self.writer.rows_written,
                filling=filling,
                deletes=self._strategy.deletes,
                build_keys=(lambda: self._try_build_keys(settlement)) if self._direct else None,
            )
        self._on_stage("settled")
        with self._timed("compare"):
            merge = self._plan(filling, staged)
        self._on_stage("compared")
        with self._timed("state"):
            # Before the merge, whose cascade adds to them.
            rejected = self._store_rejects(settlement, merge, staged, full)
        self._on_stage("rejected")
        if filling:
            staged = self._fill(settlement, staged)
            merge = Merge(DeltaCounts(inserted=staged, updated=0, deleted=0, unchanged=0), "bulk")
        else:
            with self._timed("merge"):
                apply_merge(self._connection, self._schema, self._table, self._strategy, merge, self._run_id)
        self._on_stage("merged")
        removal = Removal()
        if source_keys is not None:
            with self._timed("remove"):
                removal = remove_absent(self._connection, self._schema, self._table, source_keys, self._run_id)
        elif full and not filling and self._table.shape.shares_keys:
            with self._timed("remove"):
                removal = remove_unowned(self._connection, self._schema, self._table, self._run_id)
        with self._timed("state"):
            state = self._settle_state(watermark, full, change_position, read_from)
            rows, concerned = self._fetch_end(staged if filling else None)
            if concerned:
                # At the very end: the tables that wait are held up by it.
                self._note_parents(settlement, full)
        result = LoadResult(
            mode=merge.mode,
            inserted=merge.counts.inserted,
            updated=merge.counts.updated + self._deletions.replaced,
            deleted=merge.counts.deleted + removal.removed + self._deletions.removed,
            flagged=self._deletions.flagged,
            unchanged=merge.counts.unchanged,
            replaced=merge.replaced,
            change_ratio=merge.counts.change_ratio,
            rejected=rejected,
            rejected_total=rejects.count_rejected(self._connection, self._table)
            if self._recorded or settlement.has_rejects or merge.cascaded or removal.cascaded
            else 0,
            rejected_rows=settlement.rejected,
            superseded=settlement.superseded,
            missing_parents_null=settlement.missing_parents_null,
            cascaded={
                child: sum(part.get(child, 0) for part in (merge.cascaded, removal.cascaded, self._deletions.cascaded))
                for child in {**merge.cascaded, **removal.cascaded, **self._deletions.cascaded}
            },
            rows=rows,
            documents_read=self.writer.documents_read,
            watermark=state.watermark,
            seconds=self._seconds,
            refused=self._probe.refused if self._probe else 0,
        )
        self._last.append(
            plan_state(
                self._table,
                state,
                result,
                run_id=self._run_id,
                window_digest=window_digest,
                compared=self._not_null_pending or bool(self._keys) or not self._standing.same_structure,
            )
        )
        self.finished = True
        self._on_stage("stored")
        return result

    # --- the stages of `finish`

    def _choose_filling(self) -> bool:
        """Whether the rows fill an empty table, rather than being compared with what it holds."""
        if self._created or self._direct:
            return True
        large = self.writer.rows_written >= self._bulk_from
        return self._empty and large and self._table.shape.shares_keys

    @property
    def _direct(self) -> bool:
        """Whether the rows are in the target already."""
        return self.writer.rows is not STAGING

    def _try_build_keys(self, settlement: Settlement) -> bool:
        """Build the keys over the last read of each document; False where rows want the same unique value."""
        with self._timed("index"):
            self._keys_built = bulk.try_build_keys(self._connection, self._keys)
            if not self._keys_built and drop_duplicates(settlement):
                self._keys_built = bulk.try_build_keys(self._connection, self._keys)
        return self._keys_built

    def _plan(self, filling: bool, staged: int) -> Merge:
        if not filling:
            return compare(self._connection, self._schema, self._table, self._strategy, staged)
        return Merge(DeltaCounts(inserted=staged, updated=0, deleted=0, unchanged=0), "bulk")

    def _fill(self, settlement: Settlement, staged: int) -> int:
        """Put the rows into the empty table where they are not yet, and build its keys; return how many it shows."""
        if not self._direct:
            with self._timed("merge"):
                if not self._created:
                    self._drop_keys()
                staged = fill_empty_table(self._connection, self._table)
        superseded = settlement.superseded
        if not self._keys_built:
            with self._timed("index"):
                bulk.build_keys(
                    self._connection, self._keys, lambda: drop_duplicates(settlement), distinct=settlement.distinct
                )
        return staged - (settlement.superseded - superseded)

    def _store_rejects(self, settlement: Settlement, merge: Merge, staged: int, full: bool) -> int:
        """Store the run's rejects; return how many documents they are.

        Raises:
            TooManyRejectsError: the table allows fewer.
        """
        table, connection, counts = self._table, self._connection, merge.counts
        before = rejects.count_rejected(connection, table) if table.max_rejects else 0
        rejected = rejects.store_rejects(
            settlement,
            self._schema,
            self._run_id,
            everything_read=full,
            retries_read=self._retries_read,
            recorded=self._recorded,
        )
        if rejected and table.max_rejects:
            rows = staged if self._empty else count_rows(connection, table) + counts.inserted - counts.deleted
            check_max_rejects(connection, table, before=before, rows=rows, documents_read=self.writer.documents_read)
        return rejected

    def _fetch_end(self, known: int | None) -> tuple[int, bool]:
        """Fetch how many rows the table holds, unless that is known, and whether others are concerned by what came."""
        rows = compose_count(self._table) if known is None else sql.Literal(known)
        query = sql.SQL("SELECT {}, {}").format(rows, compose_is_concerned(self._table))
        [(counted, concerned)] = fetch_all(self._connection, query)
        return int(counted), bool(concerned)

    def _note_parents(self, settlement: Settlement, full: bool) -> None:
        """Tell the tables that wait for rows of this one what the run brought, and what it asked for in vain."""
        shown = WINNERS if self._table.shape.shares_keys else settlement.rows
        note_arrivals(self._connection, self._schema, self._table, shown)
        if full or self._retries_read:
            note_asked(self._connection, self._schema, self._table, everything=full)

    def _settle_state(
        self, watermark: datetime | None, full: bool, change_position: str | None, read_from: datetime | None
    ) -> SyncState:
        known = [instant for instant in (self.state.watermark, watermark) if instant is not None]
        if full and self._not_null_pending:
            apply_not_null(self._connection, self._table)
        return SyncState(
            watermark=max(known) if known else None,
            reimport=None if full else self.state.reimport,
            change_position=change_position or self.state.change_position,
            read_from=read_from or self.state.read_from,
        )

    # --- small things

    @property
    def _recorded(self) -> bool:
        """Whether there can be rejects or waits from before: the table's lock keeps others from adding any."""
        return self._removed or self._standing.has_rejects or self._standing.awaits

    def _changes_for_all(self) -> bool:
        """Whether the end of a full read may delete rows or change the table's form, which concerns the children."""
        return self._not_null_pending or (
            self._table.shape.shares_keys and bool(list_references(self._schema, self._table.name))
        )

    def _drop_keys(self) -> bool:
        """Take the keys around the empty table away; False where somebody is in the way, and they stay."""
        keys = bulk.drop_keys(self._connection, self._schema, self._table)
        self._keys = keys or []
        return keys is not None

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        """Add to the seconds of a stage, without those of stages within it."""
        started, before = time.perf_counter(), self._inner_seconds
        try:
            yield
        finally:
            elapsed = time.perf_counter() - started
            self._seconds[stage] = self._seconds.get(stage, 0.0) + elapsed - (self._inner_seconds - before)
            self._inner_seconds = before + elapsed
