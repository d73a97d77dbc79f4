"""The reconcile pass: for each table, the ids of its source, and what is gone removed or marked.

A collection's ids are read once for all its tables. It knows nothing of Dagster, so that the command line makes the
same pass.
"""

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus

from smartdiet_assets.errors import TransientError
from smartdiet_assets.load.execution import execute
from smartdiet_assets.load.removal.reconcile import Reconciliation, reconcile_rows, table_exists
from smartdiet_assets.load.removal.source_ids import SourceIds, store_source_ids
from smartdiet_assets.mirror.failures import describe_error, translate_error
from smartdiet_assets.mirror.progress import progress_log
from smartdiet_assets.mirror.sources import find_opener
from smartdiet_assets.mirror.sources.interface import Server, Source
from smartdiet_assets.resources.patience import RETRY_DELAY, Patience
from smartdiet_assets.resources.postgres_session import SettledConnection
from smartdiet_assets.schema.document_id import IdBatch
from smartdiet_assets.schema.model import Schema, Table

_SECONDS_BETWEEN_REPORTS = 1.0
#: Of rows asked for again by their keys; the ids come in chunks of their own.
_BATCH_SIZE = 5_000

#: Opens the source of a table for as long as its block.
OpenSource = Callable[[Table], AbstractContextManager[Source]]


@dataclass(slots=True)
class TableReconciliation:
    """What the pass did to one table, in `counts`.

    Attributes:
        left_out: why the table was left alone on purpose; empty where it was not.
        error: why nothing was done; empty where it was.
        transient: whether the error may pass by itself.
        seconds: the time the table took, with reading the ids where it was the first of its collection.
    """

    counts: Reconciliation
    left_out: str = ""
    error: str = ""
    transient: bool = False
    seconds: float = 0.0


def reconcile_tables(
    schema: Schema,
    tables: Collection[str],
    connect: Callable[[], psycopg.Connection],
    open_source: OpenSource,
    *,
    run_id: str,
    dry_run: bool = False,
    force: bool = False,
    retry_delay: float = RETRY_DELAY,
) -> Iterator[tuple[str, TableReconciliation]]:
    """Reconcile tables, children before their parents, each in a transaction of its own; yield them as they end.

    A child's own deletions come first, so that its parents take along only rows whose documents are still there. Where
    the source was lost, and may come back by itself, the table is tried again.

    Args:
        connect: opens a PostgreSQL connection; asked again where one was lost.
        dry_run: change nothing; tables with `on_delete: keep` are compared too.
        force: also remove what looks like an empty or wrong source.
        retry_delay: seconds before the first of those tries.
    """
    with _Pass(schema, connect, open_source, run_id, dry_run, force, Patience(retry_delay)) as running:
        for name in reversed(list(schema.tables)):
            if name in tables:
                yield name, running.reconcile(schema.tables[name])


def build_source_opener(schema: Schema, servers: Mapping[str, Server]) -> OpenSource:
    """Build the function that opens a table's source on one of the servers, by the name of their kind."""

    def open_source(table: Table) -> AbstractContextManager[Source]:
        return find_opener(table.source_kind).open(servers[table.source], schema, table, batch_size=_BATCH_SIZE)

    return open_source


class _Pass:
    """One pass: its connection, and the ids it has read so far."""

    def __init__(
        self,
        schema: Schema,
        connect: Callable[[], psycopg.Connection],
        open_source: OpenSource,
        run_id: str,
        dry_run: bool,
        force: bool,
        patience: Patience,
    ) -> None:
        self._schema = schema
        self._connect = connect
        self._open_source = open_source
        self._run_id = run_id
        self._dry_run = dry_run
        self._force = force
        self._patience = patience
        self._connection: psycopg.Connection | None = None
        self._ids: dict[tuple[object, ...], SourceIds] = {}

    def __enter__(self) -> "_Pass":
        return self

    def __exit__(self, *error: object) -> None:
        self._close()

    def reconcile(self, table: Table) -> TableReconciliation:
        """Reconcile one table; an error is part of the answer."""
        if table.on_delete == "keep" and not self._dry_run:
            return TableReconciliation(Reconciliation(), left_out="on_delete: keep")
        started = time.perf_counter()
        result = TableReconciliation(Reconciliation())
        try:
            self._patience.run(lambda: self._try(table, result), lambda error: _is_lost_source(error, table))
        except Exception as error:  # noqa: BLE001 - the other tables go on, whatever it is
            translated = translate_error(error, table)
            result.transient = isinstance(translated, TransientError)
            result.error = describe_error(translated, table)
        result.seconds = round(time.perf_counter() - started, 4)
        self._report(table, result.counts.documents, finished=True)
        return result

    def _try(self, table: Table, result: TableReconciliation) -> None:
        try:
            self._reconcile(table, result)
        except Exception:
            if self._connection and self._connection.info.transaction_status != TransactionStatus.IDLE:
                self._close()
            raise

    def _reconcile(self, table: Table, result: TableReconciliation) -> None:
        connection = self._open()
        if not table_exists(connection, table):
            result.left_out = "not mirrored yet"
            return
        with self._open_source(table) as source, self._one_session(connection):
            clock = source.fetch_clock()
            ids = self._read_ids(connection, source)
            result.counts = reconcile_rows(
                connection,
                source.schema,
                source.table,
                ids,
                source.find_keys,
                run_id=self._run_id,
                deleted_at=clock,
                dry_run=self._dry_run,
                force=self._force,
            )
        if result.counts.refused:
            result.error = (
                f"{table.name}: {result.counts.refused}. Nothing was removed or marked. If the source is the right one"
                f" and whole: smartdiet reconcile {table.name} --force"
            )
        elif table.on_delete == "keep":
            result.left_out = "on_delete: keep"

    @contextmanager
    def _one_session(self, connection: psycopg.Connection) -> Iterator[None]:
        """Keep the session that holds the ids: behind a pooler only a transaction does, and takes them along."""
        if not (isinstance(connection, SettledConnection) and connection.pooled):
            yield
            return
        try:
            with connection.transaction():
                yield
                for ids in self._ids.values():
                    execute(connection, sql.SQL("DROP TABLE {}").format(ids.relation))
        finally:
            self._ids.clear()

    def _read_ids(self, connection: psycopg.Connection, source: Source) -> SourceIds:
        """Read the ids of a source, or find those read for another table whose document column holds them alike."""
        table = source.table
        column = table.column(table.document_column)
        key = (table.mongo_collection or table.name, column.type, column.on_invalid, column.protect)
        if key not in self._ids:
            self._ids[key] = store_source_ids(connection, table, self._watch(table, source.fetch_keys()))
        return self._ids[key]

    def _watch(self, table: Table, chunks: Iterator[IdBatch]) -> Iterator[IdBatch]:
        read, reported = 0, time.monotonic()
        for chunk in chunks:
            yield chunk
            read += len(chunk)
            if time.monotonic() - reported >= _SECONDS_BETWEEN_REPORTS:
                reported = time.monotonic()
                self._report(table, read)

    def _report(self, table: Table, documents: int, *, finished: bool = False) -> None:
        message = "%s: %d documents compared" if finished else "%s: %d ids read"
        extra = {"table": table.name, "documents_read": documents, "finished": finished}
        progress_log.info(message, table.name, documents, extra=extra)

    def _open(self) -> psycopg.Connection:
        if self._connection is None or self._connection.closed:
            self._close()
            self._connection = self._connect()
            # Each table has a transaction, and the ids outlive it.
            self._connection.autocommit = True
        return self._connection

    def _close(self) -> None:
        """Close the connection, and with it the ids it holds."""
        self._ids.clear()
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _is_lost_source(error: Exception, table: Table) -> bool:
    """Whether an error is the source's, and may pass by itself."""
    translated = find_opener(table.source_kind).translate(error, table)
    return translated is not error and isinstance(translated, TransientError)
