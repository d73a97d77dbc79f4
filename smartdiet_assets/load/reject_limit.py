"""Whether a run rejects more than its table allows (`max_rejects`)."""

from psycopg import sql

from smartdiet_assets.errors import RejectGroup, TooManyRejectsError
from smartdiet_assets.load.execution import Connection, fetch_all
from smartdiet_assets.load.records.rejects import count_rejected
from smartdiet_assets.schema.model import Table

#: How many kinds of rejects the error lists, the most frequent first.
GROUPS = 20

_GROUPS = sql.SQL("""\
SELECT column_name, reason, expected, received, count(*)
FROM smartdiet.rejected_rows
WHERE schema_name = current_schema()
  AND table_name = %s
GROUP BY column_name, reason, expected, received
ORDER BY count(*) DESC, column_name, reason, expected, received
LIMIT %s""")


def check_max_rejects(connection: Connection, table: Table, *, before: int, rows: int, documents_read: int) -> None:
    """Check the records of rejects, as the run leaves them, against the table's limit (see `Table.max_rejects`).

    Args:
        before: how many documents were rejected when the run began.
        rows: how many rows the table will hold.
        documents_read: how many documents the run read.

    Raises:
        TooManyRejectsError: there are more, and more than before.
    """
    if table.max_rejects is None:
        return
    rejected = count_rejected(connection, table)
    if rejected <= before or table.max_rejects.allows(rejected, max(documents_read, rows + rejected)):
        return
    groups = [RejectGroup(*group) for group in fetch_all(connection, _GROUPS, [table.name, GROUPS])]
    raise TooManyRejectsError(table.name, rejected, before, str(table.max_rejects), groups)
