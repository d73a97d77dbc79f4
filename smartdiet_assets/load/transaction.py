"""The transaction of a load: its first and its last round trip, each of several statements.

Where PostgreSQL is far away, a round trip takes longer than all that an idle table asks of it. Sent together, each
statement still sees what was committed before it began: how the table stands is read under the lock.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field

from psycopg import Pipeline, Rollback, Transaction, errors
from psycopg.pq import TransactionStatus

from smartdiet_assets.load.advisory import build_conflict, send_lock
from smartdiet_assets.load.execution import Connection, PlannedStatement
from smartdiet_assets.load.records.ddl import IS_COMPLETE, apply_bookkeeping
from smartdiet_assets.load.records.last_state import LastState, send_last_state, take_last_state
from smartdiet_assets.load.transaction_settings import apply_settings
from smartdiet_assets.schema.model import Table


@dataclass(frozen=True, slots=True)
class LoadTransaction:
    """A transaction that has its settings and the table's lock.

    Attributes:
        last_state: how the table stands.
        at_commit: statements that go with the COMMIT; nobody asks for their answers.
    """

    last_state: LastState
    at_commit: list[PlannedStatement] = field(default_factory=list)


@contextmanager
def open_transaction(connection: Connection, table: Table, lock_timeout: float) -> Iterator[LoadTransaction]:
    """Begin the transaction of a load; leaving the block commits it, an exception undoes it.

    What is missing of the mirror's own tables is created before, in a transaction of its own.

    Args:
        connection: outside of a transaction; with autocommit, BEGIN is sent along with the rest.
        lock_timeout: seconds to wait for any lock.

    Raises:
        LoadConflictError: another run had the table for longer than the lock timeout.
        psycopg.Error: PostgreSQL refused a statement or was lost.
    """
    begun = _begin(connection, table, lock_timeout)
    if begun is None:
        with connection.transaction():
            apply_settings(connection, lock_timeout)
            apply_bookkeeping(connection)
        begun = _begin(connection, table, lock_timeout)
        assert begun is not None, "what was just created is there"
    last_state, stack = begun
    with stack:
        transaction = LoadTransaction(last_state)
        yield transaction
        try:
            with connection.pipeline() if Pipeline.is_supported() else nullcontext():
                for statement, parameters in transaction.at_commit:
                    connection.execute(statement, parameters, prepare=True)
                stack.close()
        except BaseException:
            # The driver takes the transaction for committed by then.
            if connection.info.transaction_status == TransactionStatus.INERROR:
                connection.rollback()
            raise


def _begin(connection: Connection, table: Table, lock_timeout: float) -> tuple[LastState, ExitStack] | None:
    """Begin with one round trip; None, and nothing is begun, where something is missing of the mirror's own tables."""
    lock = None
    with ExitStack() as stack:
        try:
            with _send_together(connection):
                stack.enter_context(Transaction(connection))
                apply_settings(connection, lock_timeout)
                complete = connection.execute(IS_COMPLETE, prepare=True)
                lock = send_lock(connection, table.name)
                last_state = send_last_state(connection, table)
        except errors.LockNotAvailable:
            if lock is None or lock.pgresult is None:
                raise build_conflict(table.name) from None
            raise
        except (errors.UndefinedTable, errors.UndefinedColumn):
            raise Rollback from None
        if complete.fetchone() != (True,):
            raise Rollback
        return take_last_state(last_state), stack.pop_all()
    return None


def _send_together(connection: Connection) -> AbstractContextManager[object]:
    """Send the statements of a block in one round trip; without autocommit the driver itself waits for BEGIN."""
    return connection.pipeline() if connection.autocommit and Pipeline.is_supported() else nullcontext()
