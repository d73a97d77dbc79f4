"""What `infer` asks PostgreSQL: how many of the ids that items refer to are rows of their table now.

A document that is there may have no row: it was rejected, or its table was never mirrored.
"""

from collections.abc import Sequence
from typing import Any

from psycopg import Connection, sql
from psycopg import Error as PostgresError

from smartdiet_assets.infer.references import Candidate, Parent, nominate
from smartdiet_assets.resources.postgres_errors import translate_postgres_error


def count_parent_rows(connection: Connection, candidates: Sequence[Candidate]) -> None:
    """Count the rows of the ids that were found as documents; tables that are missing or empty tell nothing.

    Args:
        candidates: those in arrays' items get their `rows`, for a missing parent keeps an item out.

    Raises:
        SmartdietError: PostgreSQL refused or was lost.
    """
    try:
        for candidate in candidates:
            parent = nominate(candidate)
            if candidate.in_items and parent is not None and parent.table:
                candidate.rows = _count(connection, parent, list(candidate.ids)[: candidate.asked[parent]])
    except PostgresError as error:
        raise translate_postgres_error(error, "looking ids up in PostgreSQL") from None


def _count(connection: Connection, parent: Parent, ids: list[str]) -> int | None:
    table = sql.Identifier(parent.table)
    found = connection.execute("SELECT to_regclass(%s) IS NOT NULL", [table.as_string(connection)]).fetchone()
    if not _first(found):
        return None
    if not _first(connection.execute(sql.SQL("SELECT EXISTS (SELECT FROM {})").format(table)).fetchone()):
        return None
    query = sql.SQL("SELECT count(*) FROM {} WHERE {} = ANY(%s)").format(table, sql.Identifier(parent.column))
    return int(_first(connection.execute(query, [[text for text in ids if "\0" not in text]]).fetchone()))


def _first(row: Any) -> Any:
    assert row is not None, "the query gives one row"
    return row[0]
