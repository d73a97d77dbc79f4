"""Temporary tables of document ids, with the type and collation of a table's document column.

Here: creating one and copying ids into it. Not here: what the ids are compared with (`load.removal`,
`load.source_ids`).
"""

from collections.abc import Iterable

from psycopg import sql
from psycopg.rows import tuple_row

from smartdiet_assets.load.execution import Connection, execute
from smartdiet_assets.load.fragments import name, target_of
from smartdiet_assets.load.staging import copy_type
from smartdiet_assets.schema.model import Table


def create_document_ids(
    connection: Connection, table: Table, relation: sql.Identifier, *, for_session: bool = False
) -> None:
    """Create a temporary table of document ids, empty, in place of one of the same name.

    Args:
        for_session: whether it outlives the transaction.
    """
    execute(connection, sql.SQL("DROP TABLE IF EXISTS {}").format(relation))
    execute(
        connection,
        sql.SQL("CREATE TEMPORARY TABLE {}{} AS\nSELECT {} FROM {} WITH NO DATA").format(
            relation,
            sql.SQL("" if for_session else " ON COMMIT DROP"),
            name(table.document_column),
            target_of(table),
        ),
    )


def copy_document_ids(connection: Connection, table: Table, relation: sql.Identifier, values: Iterable[object]) -> int:
    """Copy ids into a temporary table as they come; return how many there were."""
    statement = sql.SQL("COPY {} FROM STDIN (FORMAT BINARY)").format(relation)
    count = 0
    with connection.cursor(row_factory=tuple_row) as cursor, cursor.copy(statement) as copy:
        copy.set_types([copy_type(table.column(table.document_column))])
        write_row = copy.write_row
        for count, value in enumerate(values, 1):  # noqa: B007 - the number of the last one is the count
            write_row((value,))
    return count
