"""The bulk way: COPY into an empty table without keys, which are built once the rows are in.

Here: whether a table is empty, taking its keys away and building them. Not here: which statements that takes
(`load.rebuild`), settling the rows (`load.settle`).
"""

from collections.abc import Callable, Sequence

from psycopg import errors, sql

from smartdiet_assets.load.execution import Connection, execute, fetch_value
from smartdiet_assets.load.rebuild import read_rebuild_plan
from smartdiet_assets.schema.model import Table

#: Rows of a first batch from which on taking the keys of an existing table away is worth its locks on the parents.
BULK_FROM = 1_000


def is_empty(connection: Connection, relation: sql.Composable) -> bool:
    """Tell whether a table holds no row."""
    return not fetch_value(connection, sql.SQL("SELECT EXISTS (SELECT FROM {})").format(relation))


def drop_keys(connection: Connection, table: Table) -> list[sql.Composed]:
    """Drop the keys, indexes and foreign keys around an empty table; return the statements that build them again."""
    plan = read_rebuild_plan(connection, table.name)
    for statement in plan.drops:
        execute(connection, statement)
    return list(plan.restores)


def build_keys(connection: Connection, statements: Sequence[sql.Composed], drop_duplicates: Callable[[], None]) -> None:
    """Build keys, indexes and foreign keys over the rows.

    Duplicates are so rare that looking for them first is not worth its time: the unique index finds them.
    """
    try:
        with connection.transaction():
            for statement in statements:
                execute(connection, statement)
    except errors.UniqueViolation:
        drop_duplicates()
        for statement in statements:
            execute(connection, statement)
