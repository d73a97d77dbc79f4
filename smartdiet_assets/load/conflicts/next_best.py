"""Documents that are gone from a table where several may share a key (`Shape.BEST_OF_KEY`): who shows after them.

The affected keys go through the same steps as a load's rows, as if the documents had been read and described nothing;
with `on_delete: flag`, what they had, marked. A marked document comes after all others of its key
(`load.conflicts.best_of_key`), so a row is marked when no other is left.
"""

from psycopg import sql

from smartdiet_assets.load.conflicts.rereads import Settlement
from smartdiet_assets.load.conflicts.settle import settle_compared
from smartdiet_assets.load.execution import Connection, execute, execute_all, fetch_value
from smartdiet_assets.load.fragments import (
    CLASHES,
    DELTA,
    DOCUMENTS,
    KEYS,
    ORPHANS,
    REJECTS,
    STAGING,
    WINNERS,
    name,
    names,
    relations_of,
    stored,
)
from smartdiet_assets.load.merge import apply_merge, compare
from smartdiet_assets.load.records.rejects import store_rejects
from smartdiet_assets.load.removal.cascade import Removal
from smartdiet_assets.load.staging import compose_documents, compose_staging
from smartdiet_assets.load.strategies import Strategy
from smartdiet_assets.load.target import Target
from smartdiet_assets.schema.keys import DELETED_AT
from smartdiet_assets.schema.model import Table

_TEMPORARY = (STAGING, DOCUMENTS, REJECTS, ORPHANS, CLASHES, DELTA, KEYS, WINNERS)


def replace_documents(target: Target, gone: sql.Identifier, *, mark: sql.Composable | None) -> Removal:
    """Give the keys of documents that are gone to the next best ones, or settle anew who shows after marks changed.

    Args:
        gone: a relation with the documents' ids in the document column, each once or more.
        mark: their new `deleted_at`, an expression on their row `t`; None removes the rows.
    """
    connection, table = target.connection, target.table
    _drop_temporary(connection)
    execute_all(connection, [compose_staging(table), compose_documents(table)])
    execute(
        connection,
        sql.SQL("INSERT INTO {} (document, batch)\nSELECT DISTINCT {}, 1 FROM {}").format(
            DOCUMENTS, name(table.document_column), gone
        ),
    )
    marked = 0
    if mark is not None:
        for source in relations_of(table):
            marked += execute(connection, compose_marked(table, source, mark))
    settlement = Settlement(connection, table, STAGING)
    staged = settle_compared(settlement, marked, deletes=True)
    # A declared strategy may leave rows alone that a document no longer describes; here the document is gone.
    strategy = Strategy()
    differences = compare(target, strategy, staged)
    flagged = _count_marks(connection, table) if marked else 0
    store_rejects(settlement, target.schema, target.run_id, everything_read=False, retries_read=False)
    apply_merge(target, strategy, differences)
    _drop_temporary(connection)
    counts = differences.counts
    return Removal(counts.deleted, flagged, counts.updated - flagged, differences.cascaded)


def compose_marked(table: Table, source: sql.Composable, mark: sql.Composable) -> sql.Composed:
    """Compose staging the rows that documents have, with another mark."""
    values = [mark if column == DELETED_AT else name(column, "t") for column in stored(table)]
    return sql.SQL("""\
INSERT INTO {staging} ({columns})
SELECT {values}
FROM {source} AS t
WHERE t.{document} IN (SELECT document FROM {documents})""").format(
        staging=STAGING,
        columns=names(stored(table)),
        values=sql.SQL(", ").join(values),
        source=source,
        document=name(table.document_column),
        documents=DOCUMENTS,
    )


def _count_marks(connection: Connection, table: Table) -> int:
    """Count the changed rows that a marked document shows: only where no other was left."""
    statement = sql.SQL("SELECT count(*) FROM {} WHERE _op = 'U' AND {} IS NOT NULL").format(DELTA, name(DELETED_AT))
    count: int = fetch_value(connection, statement)
    return count


def _drop_temporary(connection: Connection) -> None:
    """Make way for, or leave behind, the temporary tables a load has in the same transaction."""
    execute_all(connection, (sql.SQL("DROP TABLE IF EXISTS {}").format(relation) for relation in _TEMPORARY))
