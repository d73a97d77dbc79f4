"""Opening the load of one table: its transaction and its structure, and what every later step of it is given."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TypedDict, Unpack

from psycopg.pq import TransactionStatus

from smartdiet_assets.load.beside import ALONE, Beside
from smartdiet_assets.load.execution import Connection, PlannedStatement
from smartdiet_assets.load.hindrance import explain_hindrance
from smartdiet_assets.load.limits import BULK, LOCK_TIMEOUT, Bulk
from smartdiet_assets.load.protection import apply_changes, check_key
from smartdiet_assets.load.records.forgotten import fetch_forgotten
from smartdiet_assets.load.records.last_state import LastState, SyncState, send_last_state, take_last_state
from smartdiet_assets.load.records.sync_state import read_newest_date
from smartdiet_assets.load.stages import StageClock, StageListener
from smartdiet_assets.load.strategies import Strategy, get_strategy
from smartdiet_assets.load.structure.creation import TableChanges, apply_table, compose_created_keys
from smartdiet_assets.load.structure.live import check_search_path
from smartdiet_assets.load.structure.naming import place_in
from smartdiet_assets.load.target import Target
from smartdiet_assets.load.transaction import open_transaction
from smartdiet_assets.schema.forgotten import Forgotten
from smartdiet_assets.schema.model import Schema, Table


@dataclass(frozen=True, slots=True)
class Load(Target):
    """One load of one table, for as long as its transaction is open.

    Attributes:
        schema_name: where the table is: the connection's schema.
        last_state: how the table stood under the lock, before anything was done.
        changes: what was created, or added to it, since.
        forgotten: what is left out; None where nothing is.
        state: where the runs before it left the table, with the reason for a full read where there is one.
        bulk: when the keys of an existing empty table are built after the rows.
        careful: whether all rows are tried before they are written (`load.conflicts.refusal`).
        at_commit: statements that go with the COMMIT; a load that has none was not concluded.
    """

    clock: StageClock
    schema_name: str
    last_state: LastState
    changes: TableChanges
    state: SyncState
    forgotten: Forgotten | None
    strategy: Strategy
    bulk: Bulk
    careful: bool
    at_commit: list[PlannedStatement]

    @property
    def created(self) -> bool:
        """Whether the table was not there, and its keys are still to be built."""
        return self.changes.created

    @property
    def not_null_pending(self) -> bool:
        """Whether columns may get their NOT NULL once every document was read."""
        return self.changes.not_null_pending or (not self.created and self.last_state.has_unchecked)


class LoadOptions(TypedDict, total=False):
    """How a load is made.

    Attributes:
        lock_timeout: seconds to wait for another run, or for anybody else's lock.
        bulk: when the keys of an existing empty table are built after the rows.
        on_stage: told the name of each stage of the load when it is over.
        rekey: read the table again where it holds the pseudonyms of another key.
    """

    lock_timeout: float
    bulk: Bulk
    on_stage: StageListener | None
    rekey: bool


@contextmanager
def open_load(
    connection: Connection,
    schema: Schema,
    table: Table,
    run_id: str,
    *,
    careful: bool = False,
    beside: Beside = ALONE,
    **options: Unpack[LoadOptions],
) -> Iterator[Load]:
    """Open the load of one table; leaving the block commits everything, an exception undoes everything.

    Takes the table's lock, creates what is missing of the table and its ancestors, and compares what is there with the
    declaration. What is missing of the mirror's own tables is created before, in a transaction of its own: the other
    tables' runs would wait for the whole load.

    Args:
        careful: try all rows first; also done where the last run had any refused.
        beside: the related loads that are open in this process.

    Raises:
        ConfigurationError: the search path names no schema that exists, or the table needs a key and there is none.
        SchemaMismatchError: the live table is not as declared.
        LoadConflictError, ReadsAloneError: another run had the table for too long; related loads are in the way.
        OtherKeyError: the table, or one it points at, holds the pseudonyms of another key.
        psycopg.Error: PostgreSQL refused a statement or was lost.
        RuntimeError: the connection is in a transaction, or the block ended and nothing was concluded (`load.run`).
    """
    # Of one that was lost meanwhile nothing is known; the first statement says so.
    if connection.info.transaction_status not in (TransactionStatus.IDLE, TransactionStatus.UNKNOWN):
        raise RuntimeError(f"{table.name}: a load needs a connection outside of a transaction")
    lock_timeout = options.get("lock_timeout", LOCK_TIMEOUT)
    with explain_hindrance(connection, schema, table), open_transaction(connection, table, lock_timeout) as opened:
        last_state = opened.last_state
        schema_name = check_search_path(last_state.schema_name)
        table = place_in(table, schema_name)
        changes = _apply_structure(connection, schema, table, last_state, beside)
        load = Load(
            connection=connection,
            schema=schema,
            table=table,
            run_id=run_id,
            clock=StageClock(options.get("on_stage")),
            schema_name=schema_name,
            last_state=last_state,
            changes=changes,
            forgotten=fetch_forgotten(connection, table) if last_state.has_forgotten else None,
            strategy=get_strategy(table.import_strategy),
            state=_read_state(Target(connection, schema, table, run_id, beside=beside), last_state, changes, options),
            # The keys around it are its relatives'.
            bulk=Bulk(rows=sys.maxsize) if beside.related else options.get("bulk", BULK),
            careful=careful or bool((last_state.last_result or {}).get("refused")),
            at_commit=opened.at_commit,
            beside=beside,
        )
        load.clock.tell("opened")
        yield load
        if not load.at_commit:
            raise RuntimeError(f"{table.name}: the load was not finished")


def renew_load(load: Load) -> Load:
    """Give a load as it is once those of its parents, which were open beside it, have committed.

    They may have created the tables its keys point at, brought what its documents wait for, and taken rows away.

    Raises:
        ReadsAloneError: what was created does not go with the parents.
    """
    connection, last_state, changes = load.connection, load.last_state, load.changes
    # Their structure is not this one's; the table's own cannot have changed since it was looked at.
    now = take_last_state(send_last_state(connection, load.table))
    last_state = replace(now, same_structure=last_state.same_structure, sync=last_state.sync)
    if changes.created:
        changes = replace(changes, keys=compose_created_keys(connection, load.schema, load.table))
    return replace(load, last_state=last_state, changes=changes)


def _apply_structure(
    connection: Connection, schema: Schema, table: Table, last_state: LastState, beside: Beside
) -> TableChanges:
    if last_state.same_structure:
        return TableChanges(created=False)
    return apply_table(connection, schema, table, keys_later=True, beside=beside)


def _read_state(target: Target, last_state: LastState, changes: TableChanges, options: LoadOptions) -> SyncState:
    """Read where the runs before left a table, and take out of it what they stored under another protection."""
    rekeyed = [target.table.name] if options.get("rekey", False) else []
    check_key(target.connection, target.table, last_state.key_fingerprint, rekeyed)
    if changes.created:
        return SyncState()
    state = last_state.sync or SyncState(read_newest_date(target.connection, target.table))
    state = replace(state, reimport=changes.reimport or state.reimport)
    protected = apply_changes(target, last_state)
    if protected is None:
        return state
    if protected.emptied:
        state = replace(state, watermark=None, change_position=None, read_from=None)
    return replace(state, reimport="; ".join(filter(None, (state.reimport, protected.reason))))
