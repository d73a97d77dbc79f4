"""What earlier runs left in PostgreSQL: locks of sessions that do nothing, and records of tables nobody declares."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from psycopg import sql

from smartdiet_assets.load.advisory import LOCK_CLASS, WAITS_LOCK_CLASS, build_lock_number
from smartdiet_assets.load.execution import Connection, fetch_all, fetch_value
from smartdiet_assets.load.fragments import records_here
from smartdiet_assets.load.records import RECORDS
from smartdiet_assets.load.shards.tables import ShardTables
from smartdiet_assets.load.structure.live import BOOKKEEPING_SCHEMA
from smartdiet_assets.load.structure.naming import build_name, candidates_name_in
from smartdiet_assets.resources.checking import Finding
from smartdiet_assets.resources.postgres_rights import POSTGRES, spell_statement
from smartdiet_assets.schema.model import Schema

#: Seconds in a transaction without a statement after which nobody is taken to be at work: a run that waits for its
#: source is given up by then.
LONGEST_PAUSE = 900.0
#: A companion, with its table's name and schema where it tells them: one that is a hash does not.
_COMPANION = re.compile(r"(?![0-9a-f]{32}_)(?:(?P<schema>[^.]+)\.)?(?P<table>[^.]+)_candidates")
# A lock without a process belongs to a prepared transaction, which outlives its session.
_LOCKS = sql.SQL("""\
SELECT l.objid::bigint::bit(32)::integer # hashtext(current_schema()::text), l.pid,
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
    if here := fetch_value(connection, sql.SQL("SELECT current_schema()")):
        yield from _examine_records(connection, schema, readable, here)
    if "sync_state" in readable:
        yield from _examine_reimports(connection, schema)


def fetch_locks(connection: Connection, schema: Schema, *, pause: float) -> list[HeldLock]:
    """Fetch which tables' locks are held; a lock of a table that is not declared, or of another schema, has no name."""
    names = {build_lock_number(name): name for name in schema.tables}
    rows = fetch_all(connection, _LOCKS, {"pause": pause, "classes": [LOCK_CLASS, WAITS_LOCK_CLASS]})
    return [HeldLock(names.get(number, "a table not declared here"), pid, idle) for number, pid, idle in rows]


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


def _examine_records(connection: Connection, schema: Schema, readable: set[str], here: str) -> Iterator[Finding]:
    """Examine the records of the connection's schema; those of another one are another mirror's."""
    unknown: dict[str, list[str]] = {}
    declared = {"table_name": list(schema.tables), "collection": list(schema.collections)}
    for record, subject in RECORDS.items():
        if record in readable:
            query = sql.SQL("SELECT DISTINCT {0} FROM {1} AS r WHERE NOT {0} = ANY (%s) ORDER BY 1").format(
                sql.Identifier(subject), records_here(record)
            )
            for (name,) in fetch_all(connection, query, [declared[subject]]):
                unknown.setdefault(name, []).append(record)
    statements = [
        spell_statement(
            sql.SQL("DELETE FROM {} WHERE schema_name = {} AND {} = {}").format(
                sql.Identifier(BOOKKEEPING_SCHEMA, record),
                sql.Literal(here),
                sql.SQL(RECORDS[record]),
                sql.Literal(name),
            )
        )
        for name, records in unknown.items()
        for record in records
    ]
    statements += [
        spell_statement(sql.SQL("DROP TABLE IF EXISTS {}").format(relation))
        for name, records in unknown.items()
        if "load_shards" in records
        for relation in ShardTables.of(here, name).all
    ]
    ours = {candidates_name_in(here, name) for name in schema.tables}
    # Until a run has told schemas apart.
    ours |= {build_name([name], "candidates") for name in schema.tables}
    companions = [found for name in sorted(readable - ours) if (found := _COMPANION.fullmatch(name))]
    # Another schema's are another mirror's.
    orphaned = {found[0]: found["table"] for found in companions if found["schema"] in (None, here)}
    statements += [
        spell_statement(sql.SQL("DROP TABLE {}").format(sql.Identifier(BOOKKEEPING_SCHEMA, name))) for name in orphaned
    ]
    if statements:
        names = sorted({*unknown, *orphaned.values()})
        yield POSTGRES.warned(
            "old bookkeeping",
            f"The schema {BOOKKEEPING_SCHEMA} has records of tables that the schema file does not declare"
            f" ({', '.join(names)}). Where they are gone for good:",
            statements=statements,
        )


def _examine_reimports(connection: Connection, schema: Schema) -> Iterator[Finding]:
    query = sql.SQL(
        "SELECT table_name FROM {} AS s WHERE reimport IS NOT NULL AND table_name = ANY (%s) ORDER BY 1"
    ).format(records_here("sync_state"))
    names = [name for (name,) in fetch_all(connection, query, [list(schema.tables)])]
    if names:
        yield POSTGRES.warned(
            "old bookkeeping",
            f"The next runs of {', '.join(names)} read everything, for their declaration changed or another run emptied"
            f" them: smartdiet sync {' '.join(names)}",
        )
