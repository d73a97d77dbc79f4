"""How many rows a table holds: counted where it is small, estimated where it is large."""

from psycopg import sql

from smartdiet_assets.load.execution import Connection, fetch_value
from smartdiet_assets.load.fragments import target_of
from smartdiet_assets.schema.model import Table

#: Rows of tables up to 32 MB are counted one by one; beyond that, the server's own estimate will do.
_COUNT = sql.SQL("""\
SELECT CASE
  WHEN pg_relation_size(c.oid) <= 32 << 20 OR c.reltuples < 0 THEN (SELECT count(*) FROM {})
  ELSE c.reltuples::bigint
END
FROM pg_catalog.pg_class AS c
WHERE c.oid = to_regclass(concat(quote_ident(current_schema()), '.', quote_ident({})))""")


def compose_count(table: Table) -> sql.Composed:
    """Compose the number of rows of a table, the server's estimate where counting would take long."""
    return sql.SQL("({})").format(_COUNT.format(target_of(table), sql.Literal(table.name)))


def count_rows(connection: Connection, table: Table) -> int:
    """Count the rows of a table, or give the server's estimate where counting would take long."""
    return int(fetch_value(connection, sql.SQL("SELECT {}").format(compose_count(table))))
