"""Taking in what the shards of a first load have copied, not batches; the rest is as in any load (`load.run`)."""

from psycopg import sql

from smartdiet_assets.load import bulk
from smartdiet_assets.load.conflicts.read_order import ReadOrder
from smartdiet_assets.load.conflicts.rereads import Settlement
from smartdiet_assets.load.execution import execute, execute_all
from smartdiet_assets.load.fragments import STAGING, names, stored, target_of
from smartdiet_assets.load.intake import Taken
from smartdiet_assets.load.opening import Load
from smartdiet_assets.load.records.shards import ShardPlan
from smartdiet_assets.load.shards.tables import ShardTables, become_target, can_become_target, compose_temporary
from smartdiet_assets.load.staging import compose_documents, compose_staging
from smartdiet_assets.load.statistics import mend_statistics
from smartdiet_assets.load.ways import FillEmpty, FillNew, Merge, Way

#: Processes that help to build an index, where the server has as many to spare.
_HELPERS = "SELECT set_config('max_parallel_maintenance_workers', '{}', true)"
_MOST_HELPERS = 8


def take_shards(load: Load, plan: ShardPlan) -> Taken:
    """Take in the rows and rejects of all shards.

    No id is in two shards, nor was one read twice in its own, whose ids come in their order.
    """
    table, connection = load.table, load.connection
    tables = ShardTables.of(load.schema_name, table.name)
    execute(connection, sql.SQL(_HELPERS.format(_MOST_HELPERS)))
    mend_statistics(connection, table)
    with load.clock.timed("copy"):
        way, rows = _place_rows(load, tables, sum(copied.rows for copied in plan.copied))
        has_rejects, typed = (any(getattr(copied, name) for copied in plan.copied) for name in ("rejects", "typed"))
        execute_all(connection, compose_temporary(table, rows) if has_rejects or typed else [])
        for temporary, kept in tables.kept if has_rejects or typed else []:
            execute(connection, sql.SQL("INSERT INTO {} SELECT * FROM {}").format(temporary, kept))
    return Taken(
        way=way,
        settlement=Settlement(
            connection,
            table,
            rows,
            order=ReadOrder(table),
            apart=True,
            typed=typed,
            known=load.last_state.has_typed and not load.created,
            has_rejects=has_rejects or typed,
        ),
        rows_written=sum(copied.rows for copied in plan.copied),
        documents_read=sum(copied.documents_read for copied in plan.copied),
        refused=0,
        empty=True,
        emptied=False,
        retries_read=False,
        digest=None,
    )


def _place_rows(load: Load, tables: ShardTables, count: int) -> tuple[Way, sql.Composable]:
    """Put the rows where the rest of the load looks for them: into the target itself, wherever they may go there."""
    table = load.table
    moved = can_become_target(load, tables)
    way, rows = _choose_way(load, count)
    if moved:
        become_target(load, tables)
    else:
        if rows is STAGING:
            execute(load.connection, compose_staging(table))
        statement = "INSERT INTO {} ({columns})\nSELECT {columns} FROM {}"
        inserted = sql.SQL(statement).format(rows, tables.rows, columns=names(stored(table)))
        execute(load.connection, inserted)
    if table.tracks_documents:
        execute(load.connection, compose_documents(table))
    return way, rows


def _choose_way(load: Load, count: int) -> tuple[Way, sql.Composable]:
    """Choose as an intake does, of the same reasons, for a table that holds no row."""
    shares, large = load.table.shape.shares_keys, count >= load.bulk.rows
    if load.created:
        return FillNew(load.changes.keys), STAGING if shares else target_of(load.table)
    if shares or not large:
        return FillEmpty() if shares and large else Merge(), STAGING
    keys = bulk.drop_keys(load, load.bulk.pause)
    return (Merge(), STAGING) if keys is None else (FillEmpty(keys), target_of(load.table))
