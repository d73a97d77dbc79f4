"""The records of what was forgotten: digests of ids, by table."""

from collections.abc import Collection, Iterable, Mapping

from psycopg import sql

from smartdiet_assets.load.execution import Connection, PlannedStatement, fetch_all
from smartdiet_assets.schema.forgotten import Forgotten, make_salt
from smartdiet_assets.schema.model import Table

_FETCH = sql.SQL("""\
SELECT table_name, digest, root, salt
FROM smartdiet.forgotten_ids
WHERE schema_name = current_schema() AND table_name = ANY (%s)""")
_COUNT = sql.SQL("""\
SELECT table_name, count(*)
FROM smartdiet.forgotten_ids
WHERE schema_name = current_schema()
GROUP BY table_name""")
_SALT = sql.SQL("SELECT salt FROM smartdiet.forgotten_ids WHERE schema_name = current_schema() LIMIT 1")
_ADD = """\
INSERT INTO smartdiet.forgotten_ids (table_name, digest, root, salt)
SELECT %s, digest, root, %s
FROM unnest(%s::text[], %s::text[]) AS added (digest, root)
ON CONFLICT DO NOTHING"""
_LIFT = sql.SQL("""\
DELETE FROM smartdiet.forgotten_ids
WHERE schema_name = current_schema() AND table_name = ANY (%s) AND root = ANY (%s)
RETURNING table_name, digest = root""")


def fetch_forgotten(connection: Connection, table: Table) -> Forgotten | None:
    """Fetch what is left out of a table: its own documents, and those its foreign keys may point at; None of none."""
    rows = fetch_all(connection, _FETCH, [[table.name, *table.parents]])
    digests: dict[str, dict[str, str]] = {}
    for name, digest, root, _ in rows:
        digests.setdefault(name, {})[digest] = root
    return Forgotten(rows[0][3], digests) if rows else None


def find_salt(connection: Connection) -> str:
    """Find the salt of the mirror's digests, or make it."""
    found = fetch_all(connection, _SALT)
    return str(found[0][0]) if found else make_salt()


def plan_forgotten(table: str, salt: str, digests: Mapping[str, str]) -> PlannedStatement:
    """Plan to keep documents out of a table, each with the one it is forgotten for."""
    return (_ADD, [table, salt, list(digests), list(digests.values())])


def add_forgotten(connection: Connection, table: str, salt: str, digests: Mapping[str, str]) -> None:
    """Keep documents out of a table."""
    connection.execute(*plan_forgotten(table, salt, digests))


def lift_forgotten(connection: Connection, tables: Iterable[str], roots: Collection[str]) -> dict[str, int]:
    """Let documents in again, and what was left out with them; return how many are named, by table."""
    counts: dict[str, int] = {}
    for name, is_root in fetch_all(connection, _LIFT, [list(tables), list(roots)]):
        counts[name] = counts.get(name, 0) + bool(is_root)
    return counts


def count_forgotten(connection: Connection) -> dict[str, int]:
    """Count the documents that are known to be left out, by table."""
    return dict(fetch_all(connection, _COUNT))
