"""The rows of a small run looked at once: in most runs there is nothing to settle.

One question stands for all those `load.conflicts.settle` asks step by step. Larger runs take the steps at once: what
they build, such as the index of the rows, serves the merge.
"""

from psycopg import sql

from smartdiet_assets.load.conflicts.clashes import compose_may_clash
from smartdiet_assets.load.conflicts.orphans import compose_is_orphaned
from smartdiet_assets.load.conflicts.rereads import Settlement
from smartdiet_assets.load.execution import fetch_after
from smartdiet_assets.load.fragments import DOCUMENTS, names, secondary_uniques

#: Rows up to which a run is small: they are read as fast as an index of them is built.
SMALL = 5_000


def is_settled(settlement: Settlement, written: int, planned_by: list[str]) -> bool:
    """Tell whether nothing was read twice, and no row lacks a parent, shares its key or wants another row's value.

    Args:
        written: how many rows were copied.
        planned_by: the columns whose statistics the planner needs for the merge.
    """
    table, rows = settlement.table, settlement.rows
    analyse = [sql.SQL("ANALYZE {} ({})").format(rows, names(planned_by))]
    faults: list[sql.Composable] = [_compose_shared(rows, names(table.identity))]
    if settlement.tracked:
        analyse.append(sql.SQL("ANALYZE {}").format(DOCUMENTS))
        faults.append(_compose_shared(DOCUMENTS, sql.SQL("document")))
    faults += [
        compose_is_orphaned(table, rows, column) for column in table.stored_columns if column.foreign_key is not None
    ]
    faults += [compose_may_clash(table, columns, rows) for columns in secondary_uniques(table)]
    query = sql.SQL("SELECT (SELECT count(*) FROM {}) = {} AND NOT (\n  {}\n)").format(
        rows, sql.Literal(written), sql.SQL("\n  OR ").join(faults)
    )
    [(settled,)] = fetch_after(settlement.connection, analyse, query)
    return bool(settled)


def _compose_shared(relation: sql.Composable, columns: sql.Composable) -> sql.Composed:
    return sql.SQL("EXISTS (SELECT FROM {} GROUP BY {} HAVING count(*) > 1)").format(relation, columns)
