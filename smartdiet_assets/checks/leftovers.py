"""What earlier runs left in PostgreSQL: locks of sessions that do nothing, and records of tables nobody declares.

Here: finding it, and the statement that removes it. Not here: removing anything, or the live tables themselves
(`checks.live_tables`).
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from psycopg import sql

from smartdiet_assets.load.advisory import LOCK_CLASS, WAITS_LOCK_CLASS, build_lock_number
from smartdiet_assets.load.execution import Connection, fetch_all
from smartdiet_assets.load.structure.live import BOOKKEEPING_SCHEMA
from smartdiet_assets.load.structure.naming import candidates_name
from smartdiet_assets.resources.checking import Finding
from smartdiet_assets.resources.postgres_examination import POSTGRES
from smartdiet_assets.schema.model import Schema

#: Seconds in a transaction without a statement after which nobody is taken to be at work: a run that waits for its
#: source is given up by then.
LONGEST_PAUSE = 900.0
_RECORDS = ("sync_state", "rejected_rows", "awaited_parents", "missing_parents")
# A lock without a process belongs to a prepared transaction, which outlives its session.
_LOCKS = sql.SQL("""\
SELECT l.objid::bigint, l.pid,
  l.pid IS NULL OR coalesce(
    a.state LIKE 'idle%%' AND clock_timestamp() - a.state_change > %(pause)s * interval '1 second', false)
FROM pg_catalog.pg_locks AS l
LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid = l.pid
WHERE l.locktype = 'advisory'
  AND l.granted
  AND l.objsubid = 2
  AND l.classid = ANY (%(classes)s::oid[])
  AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
ORDER BY l.pid""")
_PRESENT = sql.SQL("""\
SELECT c.relname, has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relkind = 'r'
ORDER BY c.relname""")


@dataclass(frozen=True, slots=True)
class HeldLock:
    """The lock of a table's run: the process that holds it (None for a prepared transaction), and whether it pauses."""

    table: str
    pid: int | None
    idle: bool


def examine_leftovers(connection: Connection, schema: Schema, *, pause: float = LONGEST_PAUSE) -> Iterator[Finding]:
    """Examine what earlier runs left.

    Args:
        pause: seconds without a statement after which a session that holds a lock is taken to be dead.

    Raises:
        psycopg.Error: PostgreSQL refused or was lost.
    """
    locks = fetch_locks(connection, schema, pause=pause)
    yield from judge_locks(locks)
    readable = {name for name, may_read in fetch_all(connection, _PRESENT, [BOOKKEEPING_SCHEMA]) if may_read}
    yield from _examine_records(connection, schema, readable)
    if "sync_state" in readable:
        yield from _examine_reimports(connection, schema)


def fetch_locks(connection: Connection, schema: Schema, *, pause: float) -> list[HeldLock]:
    """Fetch which tables' locks are held; a lock of a table that is not declared has no name."""
    names = {build_lock_number(name) & 0xFFFFFFFF: name for name in schema.tables}
    rows = fetch_all(connection, _LOCKS, {"pause": pause, "classes": [LOCK_CLASS, WAITS_LOCK_CLASS]})
    return [HeldLock(names.get(number, "an undeclared table"), pid, idle) for number, pid, idle in rows]


def judge_locks(locks: Sequence[HeldLock]) -> Iterator[Finding]:
    """Judge the locks: those of runs at work are as they should be. Pure."""
    dead = [lock for lock in locks if lock.idle]
    if prepared := sorted({lock.table for lock in dead if lock.pid is None}):
        yield POSTGRES.warned(
            "leftovers",
            f"A prepared transaction holds the locks of {', '.join(prepared)}, whose runs wait for it: find it in"
            " pg_prepared_xacts, and COMMIT PREPARED or ROLLBACK PREPARED it.",
        )
    sessions = sorted({lock.pid for lock in dead if lock.pid is not None})
    if sessions:
        tables = dict.fromkeys(lock.table for lock in dead if lock.pid is not None)
        yield POSTGRES.warned(
            "leftovers",
            f"Sessions that do nothing hold the locks of {', '.join(tables)}, whose runs wait for them.",
            statements=[f"SELECT pg_terminate_backend({pid});" for pid in sessions],
        )
    if not dead:
        running = dict.fromkeys(lock.table for lock in locks)
        what = f"runs of {', '.join(running)} are at work now" if running else "no run holds a table's lock"
        yield POSTGRES.passed("leftovers", f"No lock is left behind; {what}.")


def _examine_records(connection: Connection, schema: Schema, readable: Collection[str]) -> Iterator[Finding]:
    unknown: dict[str, list[str]] = {}
    for record in _RECORDS:
        if record in readable:
            query = sql.SQL("SELECT DISTINCT table_name FROM {} WHERE NOT table_name = ANY (%s) ORDER BY 1").format(
                sql.Identifier(BOOKKEEPING_SCHEMA, record)
            )
            for (table,) in fetch_all(connection, query, [list(schema.tables)]):
                unknown.setdefault(table, []).append(record)
    statements = [
        _spell(
            sql.SQL("DELETE FROM {} WHERE table_name = {}").format(
                sql.Identifier(BOOKKEEPING_SCHEMA, record), sql.Literal(table)
            )
        )
        for table, records in unknown.items()
        for record in records
    ]
    companions = {candidates_name(table)[1] for table in schema.tables.values()}
    orphaned = [name for name in readable if name.endswith("_candidates") and name not in companions]
    statements += [
        _spell(sql.SQL("DROP TABLE {}").format(sql.Identifier(BOOKKEEPING_SCHEMA, name))) for name in sorted(orphaned)
    ]
    if statements:
        names = sorted({*unknown, *(name.removesuffix("_candidates") for name in orphaned)})
        yield POSTGRES.warned(
            "old bookkeeping",
            f"The schema {BOOKKEEPING_SCHEMA} has records of tables that the schema file does not declare"
            f" ({', '.join(names)}). Where they are gone for good:",
            statements=statements,
        )


def _examine_reimports(connection: Connection, schema: Schema) -> Iterator[Finding]:
    query = sql.SQL(
        "SELECT table_name FROM smartdiet.sync_state WHERE reimport IS NOT NULL AND table_name = ANY (%s) ORDER BY 1"
    )
    names = [name for (name,) in fetch_all(connection, query, [list(schema.tables)])]
    if names:
        yield POSTGRES.warned(
            "old bookkeeping",
            f"The next runs of {', '.join(names)} read everything, for their declaration changed or another run emptied"
            f" them: smartdiet sync {' '.join(names)}",
        )


def _spell(statement: sql.Composed) -> str:
    return f"{statement.as_string(None)};"
