"""What PostgreSQL believes about the size of the tables a load joins.

PostgreSQL multiplies the rows per page it counted once with the pages of today. Where rows were deleted, or the
transaction that brought them failed, it may have counted hardly any: then a table of any size is taken for a row or
two, and read in full for each row of the other side. Otherwise statistics may be missing, or old: the load's statements
are hashed or find rows by index all the same.

The mirror's own records are different: every condition on them begins with the schema and the table, which nobody who
has not counted knows to be the same everywhere. They may not go without being counted, once there are many.
"""

from collections.abc import Sequence

from psycopg import sql

from smartdiet_assets.load.execution import Connection, execute_all, fetch_all
from smartdiet_assets.load.fragments import relations_of
from smartdiet_assets.load.records import RECORDS
from smartdiet_assets.load.structure.live import BOOKKEEPING_SCHEMA
from smartdiet_assets.load.transaction_settings import STATISTICS_TARGET
from smartdiet_assets.schema.model import Table

_EMPTIED = sql.SQL("""\
SELECT DISTINCT c.oid::regclass::text
FROM unnest(%s::text[]) AS wanted (name)
JOIN pg_catalog.pg_class AS c ON c.oid = to_regclass(wanted.name)
WHERE pg_has_role(c.relowner, 'USAGE')
  AND CASE
    WHEN c.reltuples >= 0 THEN c.reltuples < c.relpages
    ELSE c.relnamespace = to_regnamespace('smartdiet') AND pg_relation_size(c.oid) > 256 << 10
  END""")
_RECORDS = [sql.Identifier(BOOKKEEPING_SCHEMA, record) for record in RECORDS]


def mend_statistics(connection: Connection, table: Table) -> None:
    """Analyse those of a table, its companion, its parents and the records that are taken for nearly empty.

    That is less than a row a page, or of records never having been looked at. It waits for nobody: who holds a table is
    analysing it, or changes its form.
    """
    relations = relations_of(table)
    relations += [sql.Identifier(column.foreign_key.table) for column in table.columns if column.foreign_key]
    mend_relations(connection, [*relations, *_RECORDS])


def mend_relations(connection: Connection, relations: Sequence[sql.Identifier]) -> None:
    """Analyse those of some tables and records that are taken for nearly empty."""
    emptied = fetch_all(connection, _EMPTIED, [[relation.as_string() for relation in relations]])
    if emptied:
        # The samples of a load are small, and others plan by these statistics too.
        target = "SET LOCAL default_statistics_target {}"
        analyses = [sql.SQL("ANALYZE (SKIP_LOCKED) {}").format(sql.SQL(relation)) for (relation,) in emptied]
        small = sql.SQL(target).format(sql.SQL("= {}").format(sql.Literal(STATISTICS_TARGET)))
        execute_all(connection, [sql.SQL(target).format(sql.SQL("TO DEFAULT")), *analyses, small])
