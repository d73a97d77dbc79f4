"""Temporary tables of document ids: the document column's value, and the encoded id where that does not tell it."""

from collections.abc import Iterable

from psycopg import sql
from psycopg.rows import tuple_row

from smartdiet_assets.load.execution import Connection, execute
from smartdiet_assets.load.fragments import name, target_of
from smartdiet_assets.load.staging import copy_type
from smartdiet_assets.schema.document_id import IdBatch
from smartdiet_assets.schema.model import Table


def create_document_ids(
    connection: Connection, table: Table, relation: sql.Identifier, *, for_session: bool = False
) -> None:
    """Create a temporary table of document ids, empty, in place of one of the same name.

    Its columns are the document column, with the live one's type and collation, and `_document_id`.

    Args:
        for_session: whether it outlives the transaction.
    """
    execute(connection, sql.SQL("DROP TABLE IF EXISTS {}").format(relation))
    execute(
        connection,
        sql.SQL(
            'CREATE TEMPORARY TABLE {}{} AS\nSELECT {}, NULL::text COLLATE "C" AS _document_id FROM {} WITH NO DATA'
        ).format(
            relation,
            sql.SQL("" if for_session else " ON COMMIT DROP"),
            name(table.document_column),
            target_of(table),
        ),
    )


def copy_document_ids(
    connection: Connection, table: Table, relation: sql.Identifier, batches: Iterable[IdBatch]
) -> int:
    """Copy ids into a temporary table as they come; return how many there were."""
    statement = sql.SQL("COPY {} FROM STDIN (FORMAT BINARY)").format(relation)
    count = 0
    with connection.cursor(row_factory=tuple_row) as cursor, cursor.copy(statement) as copy:
        copy.set_types([copy_type(table.column(table.document_column)), "text"])
        write_row = copy.write_row
        for batch in batches:
            for value in batch.plain:
                write_row((value, None))
            for typed in batch.typed:
                write_row(typed)
            count += len(batch)
    return count
