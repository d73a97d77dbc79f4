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


def settle_compared(settlement: Settlement, written: int, *, deletes: bool) -> int:
    """Settle staged rows that are compared with what the table holds; return how many there are to be shown by it.

    Args:
        written: how many rows were copied.
        deletes: whether the table's strategy deletes rows of the documents that were read.

    Raises:
        RowsLostError: the rows that are left are not those copied but for those known to have gone.
    """
    table, connection = settlement.table, settlement.connection
    several = table.shape.shares_keys
    plain = not (several or settlement.has_rejects or settlement.typed or settlement.known)
    if plain and written <= SMALL and is_settled(settlement, written, _planned_by(table)):
        return written
    _settle_reads(settlement, compared=True)
    settle_duplicates(settlement)
    execute(connection, sql.SQL("ANALYZE {} ({})").format(STAGING, names(_planned_by(table))))
    if several:
        collect_keys(connection, table)
    settle_parents(settlement)
    pooled = add_pool(connection, table) if several else 0
    if pooled:
        # The world may have changed since a waiting document was last looked at.
        settle_parents(settlement)
    if several:
        replaced = compose_key_scope(table)
    else:
        replaced = compose_replaced(table, rows=settlement.rows, tracked=settlement.tracked, deletes=deletes)
    shown = _settle_values(settlement, replaced)
    remaining = _count_remaining(settlement, written + pooled)
    return remaining if shown is None else shown


def settle_filling(settlement: Settlement, written: int, build_keys: Callable[[], bool] | None) -> int:
    """Settle rows that fill an empty table; return how many there are to be shown by it. See `settle_compared`.

    Args:
        build_keys: builds the keys over rows that are in the table already, of each document the one read last;
            False, with nothing built, where some share a value. Keys that could be built are the cheapest proof that
            none do.
    """
    _settle_reads(settlement, compared=False)
    if settlement.rows is STAGING and not settlement.distinct:
        settle_duplicates(settlement)
    settle_parents(settlement)
    proven = build_keys is not None and secondary_uniques(settlement.table) and build_keys()
    shown = None if proven else _settle_values(settlement, sql.SQL("true"))
    remaining = _count_remaining(settlement, written)
    return remaining if shown is None else shown


def _settle_reads(settlement: Settlement, *, compared: bool) -> None:
    read_once = (settlement.tracked or settlement.apart) and is_read_once(settlement)
    settle_reads(settlement, compared=compared, read_once=read_once)
    if settlement.typed or settlement.known:
        place_typed(settlement)
    # The transformation gives no item of a document twice.
    settlement.distinct = read_once and tells_apart(settlement.table, settlement.table.identity)


def _settle_values(settlement: Settlement, replaced: sql.Composable) -> int | None:
    """Settle further unique keys; where several documents share a key, find the winners and return how many."""
    table, connection = settlement.table, settlement.connection
    several = table.shape.shares_keys
    while True:
        shown = rank(connection, table) if several else None
        if not secondary_uniques(table):
            return shown
        clashed = settle_clashes(settlement, rows=WINNERS if several else settlement.rows, replaced=replaced)
        # A row that went may have been another's parent, or leave its key to the next best.
        if not clashed or not (settle_parents(settlement) or several):
            return shown


def _count_remaining(settlement: Settlement, staged: int) -> int:
    remaining = staged - settlement.superseded - settlement.rejected
    found = fetch_value(settlement.connection, sql.SQL("SELECT count(*) FROM {}").format(settlement.rows))
    if found != remaining:
        raise RowsLostError(settlement.table.name, remaining, found)
    return remaining


def _planned_by(table: Table) -> list[str]:
    """List the columns whose statistics the planner needs for the merge."""
    references = [column.name for column in table.stored_columns if column.foreign_key is not None]
    return list(dict.fromkeys([*table.identity, *table.key, table.document_column, *references]))
