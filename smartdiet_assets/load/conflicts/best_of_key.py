"""Tables where several documents may share a key (`Shape.BEST_OF_KEY`): the best document is the row, the others wait.

The documents of touched keys that were not read again are taken from the two tables themselves, as if they had been: so
when a winner moves to another key or goes, the next one shows in the same run.
"""

from psycopg import sql

from smartdiet_assets.load.execution import Connection, execute, execute_all
from smartdiet_assets.load.fragments import (
    DOCUMENTS,
    KEYS,
    STAGING,
    WINNERS,
    candidates_of,
    differ,
    match,
    name,
    names,
    relations_of,
    stored,
    target_of,
)
from smartdiet_assets.schema.keys import DELETED_AT
from smartdiet_assets.schema.model import Table


def collect_keys(connection: Connection, table: Table) -> None:
    """Collect the keys whose winner may change: those of the run's rows, and those its documents had before."""
    index = sql.SQL("CREATE INDEX ON {} ({})").format(KEYS, names(table.key))
    execute_all(connection, [compose_keys_touched(table), index, sql.SQL("ANALYZE {}").format(KEYS)])


def compose_keys_touched(table: Table) -> sql.Composed:
    """Compose the statement that creates `mirror_keys`."""
    had = "SELECT {key} FROM {relation} WHERE {document} IN (SELECT document FROM {documents})"
    parts = {"key": names(table.key), "document": name(table.document_column), "documents": DOCUMENTS}
    return sql.SQL(
        "CREATE TEMPORARY TABLE {keys} ON COMMIT DROP AS\nSELECT {key} FROM {staging}\nUNION\n{target}\nUNION\n{others}"
    ).format(
        keys=KEYS,
        key=names(table.key),
        staging=STAGING,
        target=sql.SQL(had).format(relation=target_of(table), **parts),
        others=sql.SQL(had).format(relation=candidates_of(table), **parts),
    )


def compose_key_scope(table: Table) -> sql.Composed:
    """Compose the scope of a run: the rows of the touched keys."""
    return sql.SQL("EXISTS (SELECT FROM {} AS k WHERE {})").format(KEYS, match(table.key, "k", "t"))


def add_pool(connection: Connection, table: Table) -> int:
    """Stage the unread documents of the touched keys; return how many were waiting in the companion table."""
    added = [execute(connection, compose_pool(table, source)) for source in relations_of(table)]
    if any(added):
        execute(
            connection,
            sql.SQL("""\
INSERT INTO {documents} (document)
SELECT r.{document}
FROM {staging} AS r
WHERE NOT EXISTS (SELECT FROM {documents} AS d WHERE d.document = r.{document})""").format(
                documents=DOCUMENTS, document=name(table.document_column), staging=STAGING
            ),
        )
    return sum(added)


def compose_pool(table: Table, source: sql.Composable) -> sql.Composed:
    """Compose staging the rows of one table for touched keys. Rows of no known document have no part in it."""
    return sql.SQL("""\
INSERT INTO {staging} ({columns})
SELECT {values}
FROM {source} AS t
WHERE {scope}
  AND t.{document} IS NOT NULL
  AND NOT EXISTS ({known} WHERE k.document = t.{document})""").format(
        staging=STAGING,
        columns=names(stored(table)),
        values=names(stored(table), "t"),
        source=source,
        scope=compose_key_scope(table),
        document=name(table.document_column),
        known=_compose_either(table, sql.SQL("SELECT document FROM {}").format(DOCUMENTS), STAGING),
    )


def _compose_either(table: Table, documents: sql.Composable, relation: sql.Composable) -> sql.Composed:
    """Compose the search `k` through the documents of two relations.

    At once: after what the first one leaves, by what PostgreSQL believes, the second may be read in full for each row.
    """
    return sql.SQL("SELECT FROM ({} UNION ALL SELECT {} FROM {}) AS k (document)").format(
        documents, name(table.document_column), relation
    )


def rank(connection: Connection, table: Table) -> int:
    """Find the winner of each key among the run's rows; return how many there are."""
    execute(connection, sql.SQL("DROP TABLE IF EXISTS {}").format(WINNERS))
    winners = execute(connection, compose_winners(table))
    execute(connection, sql.SQL("ANALYZE {} ({})").format(WINNERS, _identity(table)))
    return winners


def compose_winners(table: Table) -> sql.Composed:
    """Compose the statement that creates `mirror_winners`. The schema ends every order with the document's id."""
    return sql.SQL(
        "CREATE TEMPORARY TABLE {winners} ON COMMIT DROP AS\nSELECT DISTINCT ON ({key}) {columns}\nFROM {rows}\n"
        "ORDER BY {key}, {order}"
    ).format(
        winners=WINNERS,
        key=names(table.key),
        columns=names(stored(table)),
        rows=STAGING,
        order=compose_order(table),
    )


def compose_order(table: Table) -> sql.Composed:
    """Compose the order in which documents of one key are preferred; text goes by code point, NULL comes last."""
    # A document that is gone shows where no other is left.
    living = [sql.SQL("{} IS NOT NULL").format(name(DELETED_AT))] if table.on_delete == "flag" else []
    declared = [
        sql.SQL("{}{}{} NULLS LAST").format(
            name(order.column),
            sql.SQL(' COLLATE "C"' if table.column(order.column).type.is_text else ""),
            sql.SQL(" DESC" if order.descending else ""),
        )
        for order in table.winner
    ]
    return sql.SQL(", ").join([*living, *declared])


def write_candidates(connection: Connection, table: Table) -> None:
    """Bring the companion table up to date: the run's documents that are not winners, and only those."""
    for statement in compose_candidates(table):
        execute(connection, statement)


def compose_candidates(table: Table) -> list[sql.Composed]:
    """Compose removing, changing and adding rows of the companion table; unchanged ones are not written."""
    columns = [column for column in stored(table) if column != table.document_column]
    parts = {
        "candidates": candidates_of(table),
        "documents": DOCUMENTS,
        "staging": STAGING,
        "winners": WINNERS,
        "document": name(table.document_column),
        "columns": names(stored(table)),
        "values": names(stored(table), "s"),
        "assignments": sql.SQL(", ").join(
            sql.SQL("{} = {}").format(name(column), name(column, "s")) for column in columns
        ),
        "differ": differ(columns, "c", "s"),
        "known": _compose_either(
            table,
            sql.SQL("SELECT {} FROM {}").format(name(table.document_column), WINNERS),
            candidates_of(table),
        ),
    }
    return [
        sql.SQL(text).format(**parts)
        for text in (
            """\
DELETE FROM {candidates} AS c
USING {documents} AS d
WHERE c.{document} = d.document
  AND (
    NOT EXISTS (SELECT FROM {staging} AS s WHERE s.{document} = c.{document})
    OR c.{document} IN (SELECT {document} FROM {winners}))""",
            """\
UPDATE {candidates} AS c
SET {assignments}
FROM {staging} AS s
WHERE c.{document} = s.{document}
  AND {differ}""",
            """\
INSERT INTO {candidates} ({columns})
SELECT {values}
FROM {staging} AS s
WHERE NOT EXISTS ({known} WHERE k.document = s.{document})""",
        )
    ]


def _identity(table: Table) -> sql.Composed:
    return names(dict.fromkeys([*table.key, table.document_column]))
