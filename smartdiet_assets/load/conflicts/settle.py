"""The order in which the rows of a run are settled: among themselves, with their parents, with other rows' values."""

from collections.abc import Callable

from psycopg import sql

from smartdiet_assets.load.conflicts.best_of_key import add_pool, collect_keys, compose_key_scope, rank
from smartdiet_assets.load.conflicts.clashes import compose_replaced, settle_clashes
from smartdiet_assets.load.conflicts.orphans import settle_parents
from smartdiet_assets.load.conflicts.probe import SMALL, is_settled
from smartdiet_assets.load.conflicts.read_order import tells_apart
from smartdiet_assets.load.conflicts.rereads import Settlement, is_read_once, settle_duplicates, settle_reads
from smartdiet_assets.load.conflicts.typed_ids import place_typed
from smartdiet_assets.load.execution import execute, fetch_value
from smartdiet_assets.load.fragments import STAGING, WINNERS, names, secondary_uniques
from smartdiet_assets.load.result import RowsLostError
from smartdiet_assets.schema.model import Table


def settle_rows(
    settlement: Settlement,
    *,
    written: int,
    filling: bool,
    deletes: bool,
    build_keys: Callable[[], bool] | None = None,
) -> int:
    """Settle the rows of a run; return how many there are to be shown by the table.

    Args:
        written: how many rows were copied.
        filling: whether the rows fill an empty table, rather than being compared with what it holds.
        deletes: whether the table's strategy deletes rows of the documents that were read.
        build_keys: builds the keys over rows that are in the table already, of each document the one read last;
            False, with nothing built, where some share a value. Keys that could be built are the cheapest proof that
            none do.

    Raises:
        RowsLostError: the rows that are left are not those copied but for those known to have gone.
    """
    table, connection = settlement.table, settlement.connection
    several = table.shape.shares_keys
    staged, small = settlement.rows is STAGING, written <= SMALL and not settlement.has_rejects
    plain = not (settlement.typed or settlement.known)
    if plain and staged and small and not (several or filling) and is_settled(settlement, written, _planned_by(table)):
        return written
    read_once = settlement.tracked and is_read_once(settlement)
    settle_reads(settlement, compared=not filling, read_once=read_once)
    if not plain:
        place_typed(settlement)
    # The transformation gives no item of a document twice.
    settlement.distinct = read_once and tells_apart(table, table.identity)
    if staged:
        if not (filling and settlement.distinct):
            settle_duplicates(settlement)
        if not filling:
            execute(connection, sql.SQL("ANALYZE {} ({})").format(STAGING, names(_planned_by(table))))
    if several and not filling:
        collect_keys(connection, table)
    settle_parents(settlement)
    pooled = 0
    if several and not filling:
        pooled = add_pool(connection, table)
        if pooled:
            # The world may have changed since a waiting document was last looked at.
            settle_parents(settlement)
    shown = None
    if several or (secondary_uniques(table) and not (build_keys and build_keys())):
        shown = _settle_values(settlement, filling, deletes)
    remaining = written + pooled - settlement.superseded - settlement.rejected
    found = fetch_value(connection, sql.SQL("SELECT count(*) FROM {}").format(settlement.rows))
    if found != remaining:
        raise RowsLostError(table.name, remaining, found)
    return remaining if shown is None else shown


def _settle_values(settlement: Settlement, filling: bool, deletes: bool) -> int | None:
    """Settle further unique keys; where several documents share a key, find the winners and return how many."""
    table, connection = settlement.table, settlement.connection
    several = table.shape.shares_keys
    rows = WINNERS if several else settlement.rows
    while True:
        shown = rank(connection, table) if several else None
        if not secondary_uniques(table):
            return shown
        if filling:
            replaced: sql.Composable = sql.SQL("true")
        elif several:
            replaced = compose_key_scope(table)
        else:
            replaced = compose_replaced(table, rows=rows, tracked=settlement.tracked, deletes=deletes)
        clashed = settle_clashes(settlement, rows=rows, replaced=replaced)
        # A row that went may have been another's parent, or leave its key to the next best.
        if not clashed or not (settle_parents(settlement) or several):
            return shown


def _planned_by(table: Table) -> list[str]:
    """List the columns whose statistics the planner needs for the merge."""
    references = [column.name for column in table.stored_columns if column.foreign_key is not None]
    return list(dict.fromkeys([*table.identity, *table.key, table.document_column, *references]))
