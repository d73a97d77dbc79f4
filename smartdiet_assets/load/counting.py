"""How many rows a table holds. Here: counting small tables, estimating large ones. Not here: counts of a run's rows."""

from psycopg import sql

from smartdiet_assets.load.execution import Connection, fetch_all, fetch_value
from smartdiet_assets.load.fragments import target_of
from smartdiet_assets.schema.model import Table

#: Rows of tables up to 32 MB are counted one by one; beyond that, the server's own estimate will do.
_SIZE = sql.SQL("""\
SELECT pg_relation_size(c.oid) <= 32 << 20 OR c.reltuples < 0, c.reltuples::bigint
FROM pg_catalog.pg_class AS c
WHERE c.oid = to_regclass(quote_ident(%s))""")


def count_rows(connection: Connection, table: Table) -> int:
    """Count the rows of a table, or give the server's estimate where counting would take long."""
    counted, estimated = fetch_all(connection, _SIZE, [table.name])[0]
    if not counted:
        return int(estimated)
    return int(fetch_value(connection, sql.SQL("SELECT count(*) FROM {}").format(target_of(table))))
