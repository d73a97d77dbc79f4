"""One run of one table: extract, transform and load called in order, in one PostgreSQL transaction.

Here: the order of the stages, the watermark of a run, progress. Not here: the stages themselves, or anything of
Dagster (`assets.tables`), so that tests and tools can mirror a table without an instance.
"""

import hashlib
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import partial
from typing import Any

from psycopg import Connection
from psycopg import Error as PostgresError
from psycopg.pq import TransactionStatus
from pymongo.database import Database

from smartdiet_assets.extract.window import Window, WindowRequest, plan_window
from smartdiet_assets.load.conflicts.refusal import is_refusal
from smartdiet_assets.load.limits import LOCK_TIMEOUT, RETRY_LIMIT
from smartdiet_assets.load.session import LoadResult, StageListener, TableLoad, open_load
from smartdiet_assets.mirror.capture import Capture, capture_changes
from smartdiet_assets.mirror.progress import progress_log
from smartdiet_assets.mirror.read_ahead import read_ahead
from smartdiet_assets.mirror.sources import MongoSource, Source
from smartdiet_assets.schema.model import Schema, Table
from smartdiet_assets.transform.batch import TransformedBatch

_SECONDS_BETWEEN_REPORTS = 1.0
#: Before the source is asked how many documents there are: most runs are over by then.
_SECONDS_TO_ESTIMATE = 5.0
#: How much a run holds back until it knows whether it repeats the last one: what a quiet hour leaves.
_HELD_DOCUMENTS = 2_000


@dataclass(frozen=True, slots=True)
class MirrorResult:
    """What one run of one table did. Counts are rows unless they say documents.

    `elapsed` is the whole run in seconds, `seconds` the part of each stage: capture (from the
    change stream), read, transform, and those of the load.
    `unmirrored_columns` are those the source has beyond the table's. `collapsed` counts items that are no rows, as
    another one of their document has the same key. `nulled` and `clamped` count by column the values
    of the documents read that the column could not hold, and that its `on_invalid` made NULL, or made fit.
    `capture` is what the change stream told, None for a table that is not captured from it. `read_from` is the date
    from which on every document was read by this run and those before, None where that is not known. `database` and
    `schema_name` say where in PostgreSQL the table is.
    """

    table: str
    window: Window
    load: LoadResult
    documents_read: int
    watermark: datetime | None
    elapsed: float
    seconds: dict[str, float] = field(default_factory=dict)
    unmirrored_columns: tuple[str, ...] = ()
    collapsed: int = 0
    nulled: Mapping[str, int] = field(default_factory=dict)
    clamped: Mapping[str, int] = field(default_factory=dict)
    capture: Capture | None = None
    read_from: datetime | None = None
    database: str = ""
    schema_name: str = ""


def mirror_table(
    schema: Schema,
    table: Table,
    mongo: Database[dict[str, Any]],
    connection: Connection[Any],
    *,
    run_id: str,
    request: WindowRequest,
    global_date_threshold: date | None = None,
    batch_size: int = 5000,
    lock_timeout: float = LOCK_TIMEOUT,
    on_stage: StageListener | None = None,
    retry_limit: int = RETRY_LIMIT,
    source_clock: datetime | None = None,
) -> MirrorResult:
    """Bring one table up to date with its collection, all of it or nothing.

    Args:
        schema: the declared tables; the table's missing ancestors are created empty.
        table: the table to mirror.
        mongo: the source database.
        connection: a PostgreSQL connection outside a transaction; it is used for one transaction.
        run_id: stored with the state and the rejects, to find the run they came from.
        request: which documents the operator asked for.
        global_date_threshold: see `plan_window`.
        batch_size: documents per batch.
        lock_timeout: seconds to wait for another run, or for anybody else's lock.
        on_stage: told the name of each stage of the load when it is over.
        retry_limit: at most how many documents that were tried before are tried again (see `load.records.retries`).
        source_clock: a reading of MongoDB's clock from before, naive UTC, which the watermark will not pass; by default
            it is read now.

    Raises:
        LoadConflictError: another run had the table for longer than `lock_timeout`; nothing was written.
        psycopg.Error, pymongo.errors.PyMongoError: a server refused or was lost; nothing was written.
        SchemaMismatchError: the live table is not as declared; nothing was written.
        TooManyRejectsError: more documents are rejected than the table allows; nothing was written.
        PositionLostError: the table's change stream cannot be read on from where it is; nothing was written.
    """
    with mongo.client.start_session() if table.capture == "change_stream" else nullcontext() as session:
        return mirror_source(
            MongoSource(schema, table, mongo, batch_size, session, source_clock),
            connection,
            run_id=run_id,
            request=request,
            global_date_threshold=global_date_threshold,
            lock_timeout=lock_timeout,
            on_stage=on_stage,
            retry_limit=retry_limit,
        )


def mirror_source(
    source: Source,
    connection: Connection[Any],
    *,
    run_id: str,
    request: WindowRequest,
    global_date_threshold: date | None = None,
    lock_timeout: float = LOCK_TIMEOUT,
    on_stage: StageListener | None = None,
    retry_limit: int = RETRY_LIMIT,
) -> MirrorResult:
    """Bring one table up to date with its source, all of it or nothing; see `mirror_table`.

    Where PostgreSQL refuses a row for its values, all is read once more, and each row is tried.
    """
    run = partial(
        _mirror_source,
        source,
        connection,
        run_id=run_id,
        request=request,
        global_date_threshold=global_date_threshold,
        lock_timeout=lock_timeout,
        on_stage=on_stage,
        retry_limit=retry_limit,
    )
    try:
        return run(careful=False)
    except PostgresError as error:
        if not is_refusal(error) or connection.info.transaction_status != TransactionStatus.IDLE:
            raise
    return run(careful=True)


def _mirror_source(
    source: Source,
    connection: Connection[Any],
    *,
    run_id: str,
    request: WindowRequest,
    global_date_threshold: date | None,
    lock_timeout: float,
    on_stage: StageListener | None,
    retry_limit: int,
    careful: bool,
) -> MirrorResult:
    started = time.perf_counter()
    schema, table = source.schema, source.table
    # Read before the first document: whatever changes from here on is dated at or after it, and read again next time.
    source_clock = source.fetch_clock()
    with open_load(
        connection, schema, table, run_id, lock_timeout=lock_timeout, on_stage=on_stage, careful=careful
    ) as load:
        window = plan_window(
            table,
            request,
            # A watermark ahead of the clock was stored under a clock that went back since: what is written now is
            # dated before it.
            watermark=min(load.state.watermark, source_clock) if load.state.watermark else None,
            has_position=table.capture == "change_stream" and load.state.change_position is not None,
            reimport=load.state.reimport is not None,
            global_date_threshold=global_date_threshold,
        )
        before_capture = time.perf_counter()
        capture = capture_changes(source, load, window, source_clock)
        capture_seconds = {"capture": time.perf_counter() - before_capture} if capture else {}
        after_key = load.fetch_newest_key() if window.by_key else None
        run = _TableRun(source, load, window, truncate=table.truncate_before_import and window.reads_everything)
        if window.kind in ("incremental", "change_stream") and not (capture and capture.deleted):
            run.hold(f"{window} {after_key}")
        with closing(read_ahead(source.fetch_window(window, after_key))) as batches:
            run.copy(batches)
        for chunk in load.changed.stream_ids("changed"):
            run.copy(source.fetch_by_ids(chunk))
        if not window.reads_everything:
            for chunk in load.retry_ids(retry_limit):
                run.note(repr(chunk))
                run.copy(source.fetch_by_ids(chunk), retry=True)
        run.report("%s: %d documents read; they are written now", reading=False)
        # Rows without dates are mirrored up to the moment of the run.
        newest = source_clock if table.incremental == "key" else run.newest
        watermark = min(newest, source_clock) if window.moves_watermark and newest else None
        removes = table.source == "matomo" and table.on_delete == "delete" and window.moves_watermark
        position = capture.position if capture else None
        read_from = window.extend(load.state.read_from)
        if run.is_repetition and not removes:
            result = load.finish_repetition(
                watermark=watermark, documents_read=run.documents_read, change_position=position
            )
        else:
            run.begin()
            if not window.reads_everything:
                run.copy(source.fetch_by_ids(load.fetch_contested()), retry=True)
            result = load.finish(
                watermark=watermark,
                documents_read=run.documents_read,
                window_digest=run.digest,
                full=window.reads_everything,
                source_keys=source.fetch_keys() if removes else None,
                change_position=position,
                read_from=read_from,
            )
    run.report("%s: %d documents mirrored", finished=True)
    return MirrorResult(
        table=table.name,
        window=window,
        load=result,
        documents_read=run.documents_read,
        watermark=result.watermark,
        elapsed=time.perf_counter() - started,
        seconds={
            **capture_seconds,
            "read": run.read_seconds,
            "transform": run.transform_seconds,
            **result.seconds,
        },
        unmirrored_columns=source.unmirrored_columns,
        collapsed=run.collapsed,
        nulled=dict(run.nulled),
        clamped=dict(run.clamped),
        capture=capture,
        read_from=read_from,
        database=connection.info.dbname,
        schema_name=load.schema_name,
    )


class _TableRun:
    """The pipe from raw batches to the load, with its counts, its clock and its progress reports.

    A run that may turn out to repeat the last one holds its batches back, up to some rows, until all are read.
    """

    def __init__(self, source: Source, load: TableLoad, window: Window, *, truncate: bool) -> None:
        self.table = source.table
        self._window = window
        self._source = source
        self.documents_read = 0
        self.newest: datetime | None = None
        self.read_seconds = 0.0
        self.transform_seconds = 0.0
        self.collapsed = 0
        self.nulled: Counter[str] = Counter()
        self.clamped: Counter[str] = Counter()
        self._load = load
        self._truncate = truncate
        self._begun = False
        self._held: list[TransformedBatch] = []
        self._hash: hashlib.blake2b | None = None
        self._begun_at = self._reported = time.monotonic()
        self._expected: int | None = None
        self._estimated = False

    def hold(self, question: str) -> None:
        """Hold batches back, and note what is asked and read, to know it again."""
        self._hash = hashlib.blake2b(question.encode(), digest_size=16)

    def note(self, question: str) -> None:
        """Note what else is asked: that something is not there makes a difference, and shows in nothing read."""
        if self._hash:
            self._hash.update(question.encode())

    @property
    def digest(self) -> str | None:
        """The digest of what was asked and read, None where nothing was noted."""
        return self._hash.hexdigest() if self._hash else None

    @property
    def is_repetition(self) -> bool:
        """Whether all of what was read is held, and is what the last run read."""
        return self.digest is not None and not self._begun and self._load.is_repetition(self.digest)

    def begin(self) -> None:
        """Let the load begin, and give it what was held back."""
        if not self._begun:
            self._begun = True
            self._load.begin(truncate=self._truncate)
            for batch in self._held:
                self._load.write(batch)
            self._held.clear()

    def copy(self, batches: Iterator[Any], *, retry: bool = False) -> None:
        """Send every batch through; a retried document does not count for the watermark, as its date may be any."""
        while True:
            before_read = time.perf_counter()
            raw = next(batches, None)
            before_transform = time.perf_counter()
            self.read_seconds += before_transform - before_read
            if raw is None:
                self._load.flush()
                return
            if self._hash:
                self._hash.update(raw if isinstance(raw, bytes) else repr(raw).encode())
            batch = self._source.transform(raw)
            self.transform_seconds += time.perf_counter() - before_transform
            self._write(batch)
            self.documents_read += batch.documents_read
            self.collapsed += batch.collapsed
            self.nulled += batch.nulled
            self.clamped += batch.clamped
            if batch.newest is not None and not retry:
                self.newest = batch.newest if self.newest is None else max(self.newest, batch.newest)
            now = time.monotonic()
            if not self._estimated and now - self._begun_at >= _SECONDS_TO_ESTIMATE:
                self._estimated = True
                self._expected = self._source.estimate_documents(self._window)
            if now - self._reported >= _SECONDS_BETWEEN_REPORTS:
                self._reported = now
                self.report("%s: %d documents read")

    def _write(self, batch: TransformedBatch) -> None:
        if self._hash and not self._begun and self.documents_read + batch.documents_read <= _HELD_DOCUMENTS:
            self._held.append(batch)
            return
        self.begin()
        self._load.write(batch)

    def report(self, message: str, *, reading: bool = True, finished: bool = False) -> None:
        """Tell whoever listens how far the table is."""
        progress_log.info(
            message,
            self.table.name,
            self.documents_read,
            extra={
                "table": self.table.name,
                "documents_read": self.documents_read,
                "documents_expected": self._expected,
                "reading": reading and not finished,
                "finished": finished,
            },
        )
