"""Copying one shard: its rows, what could not become rows, and the note that it is there, in one transaction."""

from collections.abc import Iterator
from contextlib import contextmanager

from psycopg import errors, sql

from smartdiet_assets.load.advisory import build_conflict
from smartdiet_assets.load.execution import Connection, execute, fetch_value
from smartdiet_assets.load.records.shards import ShardPlan, claim_shard
from smartdiet_assets.load.shards.tables import ShardTables
from smartdiet_assets.load.staging import StagingWriter
from smartdiet_assets.load.transaction_settings import apply_settings
from smartdiet_assets.schema.model import Table


@contextmanager
def open_shard(
    connection: Connection, table: Table, plan: ShardPlan, number: int, lock_timeout: float
) -> Iterator[StagingWriter | None]:
    """Open a shard to be copied; leaving the block commits it, an exception undoes it.

    Gives what takes its batches in, None where it is there by now, or its plan was given up.

    Args:
        connection: outside of a transaction.
        lock_timeout: seconds to wait for another run that copies it.

    Raises:
        LoadConflictError: that took longer.
        psycopg.Error: PostgreSQL refused a statement or was lost.
    """
    with connection.transaction():
        apply_settings(connection, lock_timeout)
        try:
            claimed = claim_shard(connection, table, plan, number)
        except errors.LockNotAvailable:
            raise build_conflict(table.name) from None
        if not claimed:
            yield None
            return
        tables = ShardTables.of(fetch_value(connection, sql.SQL("SELECT current_schema()::text")), table.name)
        with StagingWriter(connection, table, shard=tables.rows) as writer:
            yield writer
        kept = [bool(writer.rejects_written), bool(writer.typed_written), bool(writer.typed_written)]
        for (temporary, lasting), there in zip(tables.kept, kept, strict=True):
            if there:
                execute(connection, sql.SQL("INSERT INTO {} SELECT * FROM {}").format(lasting, temporary))
