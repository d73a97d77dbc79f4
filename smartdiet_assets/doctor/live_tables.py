"""What is looked at in the live tables: as declared, with their indexes, and may the user work with them.

Here: only the catalogue is read, no row of a table.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence

from psycopg import sql

from smartdiet_assets.checks.facts import TargetFacts
from smartdiet_assets.checks.judgement import judge_structure
from smartdiet_assets.checks.target import compare_structure
from smartdiet_assets.load.execution import Connection, fetch_all
from smartdiet_assets.load.structure.interference import (
    OTHER_TRIGGER,
    PUBLICATION,
    ROW_SECURITY,
    find_interferences,
)
from smartdiet_assets.load.structure.live import BOOKKEEPING_SCHEMA, LiveTable, read_structure
from smartdiet_assets.load.structure.mismatch import find_missing_columns, find_missing_indexes
from smartdiet_assets.load.structure.table_ddl import compose_indexes
from smartdiet_assets.resources.checking import Finding
from smartdiet_assets.resources.postgres_rights import POSTGRES, spell_statement
from smartdiet_assets.schema.model import Schema, Table

_RIGHTS = sql.SQL("""\
SELECT n.nspname, c.relname, pg_has_role(c.relowner, 'USAGE'),
  has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT')
    AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE')
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p')
  AND (n.nspname = %(state)s OR (n.nspname = current_schema() AND c.relname = ANY (%(tables)s)))
ORDER BY n.nspname, c.relname""")
# One that is being built is not valid yet.
_INVALID = sql.SQL("""\
SELECT n.nspname, c.relname, t.relname
FROM pg_catalog.pg_index AS i
JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
JOIN pg_catalog.pg_class AS t ON t.oid = i.indrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE NOT i.indisvalid
  AND (n.nspname = %(state)s OR (n.nspname = current_schema() AND t.relname = ANY (%(tables)s)))
  AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index AS p WHERE p.index_relid = i.indexrelid)
ORDER BY n.nspname, c.relname""")
#: What REINDEX CONCURRENTLY calls the copies it leaves behind when it fails.
_COPIES = ("_ccnew", "_ccold")


def examine_live_tables(
    connection: Connection, schema: Schema, tables: Sequence[Table], user: str
) -> Iterator[Finding]:
    """Examine the tables of the connection's schema: structure, rights, indexes.

    Args:
        tables: those of the schema to compare, with the columns that a run would mirror.
        user: who the connection is, for the statements.

    Raises:
        SmartdietError: the search path names no schema that exists.
        psycopg.Error: PostgreSQL refused or was lost.
    """
    wanted = dict.fromkeys(name for table in tables for name in (table.name, *table.parents))
    structure = read_structure(connection, list(wanted))
    live = {table.name: structure.tables[table.name] for table in tables if table.name in structure.tables}
    facts = {name: compare_structure(schema, schema.tables[name], present) for name, present in live.items()}
    yield from _judge_structures(schema, tables, facts)
    yield from _examine_rights(connection, list(live), user)
    yield from _judge_indexes(schema, live)
    yield from _examine_invalid(connection, list(live))
    yield from _examine_interferences(connection, list(live))


def _judge_structures(schema: Schema, tables: Sequence[Table], facts: Mapping[str, TargetFacts]) -> Iterator[Finding]:
    faults = 0
    for name, found in facts.items():
        outcome = judge_structure(schema.tables[name], found)
        if found.differences:
            faults += 1
            yield POSTGRES.failed("tables", f"{name}: {outcome.sentence}", details=found.differences)
        elif any(not addition.startswith("index ") for addition in found.pending):
            faults += 1
            yield POSTGRES.warned("tables", f"{name}: {outcome.sentence}")
    missing = [table.name for table in tables if table.name not in facts]
    if not facts:
        yield POSTGRES.passed("tables", f"None of the {len(tables)} declared tables is there yet: smartdiet sync.")
    elif missing:
        yield POSTGRES.warned(
            "tables",
            f"{len(missing)} of {len(tables)} declared tables are not there yet, their first run creates them:"
            f" smartdiet sync {' '.join(missing)}",
        )
    elif not faults:
        yield POSTGRES.passed("tables", f"All {len(tables)} declared tables are as declared.")


def _examine_rights(connection: Connection, names: Sequence[str], user: str) -> Iterator[Finding]:
    rows = fetch_all(connection, _RIGHTS, {"state": BOOKKEEPING_SCHEMA, "tables": names})
    refused = [sql.Identifier(schema, name) for schema, name, owned, may_write in rows if not (owned or may_write)]
    foreign = [sql.Identifier(schema, name) for schema, name, owned, _ in rows if not owned]
    grantee = sql.Identifier(user)
    if refused:
        grant = sql.SQL("GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE {} TO {}")
        yield POSTGRES.failed(
            "table rights",
            f"The user may not read and write {len(refused)} of the mirror's tables.",
            statements=[spell_statement(grant.format(sql.SQL(", ").join(refused), grantee))],
        )
    if foreign:
        yield POSTGRES.warned(
            "table rights",
            f"The user does not own {len(foreign)} of the mirror's tables: no run can add columns or indexes to them.",
            statements=[
                spell_statement(sql.SQL("ALTER TABLE {} OWNER TO {}").format(table, grantee)) for table in foreign
            ],
        )
    if rows and not foreign:
        yield POSTGRES.passed("table rights", f"The user owns all {len(rows)} of the mirror's tables.")


def _judge_indexes(schema: Schema, live: Mapping[str, LiveTable]) -> Iterator[Finding]:
    """Judge what a run adds by itself; said with the statements, for on a large table that takes its time."""
    statements: list[str] = []
    keys = 0
    lacking = []
    for name, present in live.items():
        if present.kind != "table":
            continue
        table = schema.tables[name]
        missing = find_missing_indexes(table, present)
        # With a column that is missing, its indexes are too.
        if not missing or find_missing_columns(table, present):
            continue
        lacking.append(name)
        keys += sum(_leads_to_parent(table, columns) for columns in missing)
        statements += map(spell_statement, compose_indexes(present, missing, taken=_list_indexes(present)))
    if statements:
        yield POSTGRES.warned(
            "indexes",
            f"{_count(len(statements), 'declared index')} missing in {', '.join(lacking)}, {keys} on a foreign key,"
            f" where deleting a parent's row scans the table: smartdiet sync {' '.join(lacking)}, or run",
            statements=statements,
        )
    elif live:
        yield POSTGRES.passed("indexes", "Every declared index is there, and one on every foreign key.")


def _leads_to_parent(table: Table, columns: Sequence[str]) -> bool:
    return table.column(columns[0]).foreign_key is not None


def _list_indexes(live: LiveTable) -> Collection[str]:
    keys = [live.primary_key] if live.primary_key else []
    return {index.name for index in (*live.indexes, *live.uniques, *keys)}


def _examine_invalid(connection: Connection, names: Sequence[str]) -> Iterator[Finding]:
    statements = []
    for schema, index, _ in fetch_all(connection, _INVALID, {"state": BOOKKEEPING_SCHEMA, "tables": names}):
        action = "DROP INDEX CONCURRENTLY {}" if index.rstrip("0123456789").endswith(_COPIES) else "REINDEX INDEX {}"
        statements.append(spell_statement(sql.SQL(action).format(sql.Identifier(schema, index))))
    if statements:
        yield POSTGRES.warned(
            "invalid indexes",
            f"{_count(len(statements), 'index')} not valid, left by a CREATE INDEX CONCURRENTLY that failed: such an"
            " index slows every write and helps no read.",
            statements=statements,
        )


def _examine_interferences(connection: Connection, names: Sequence[str]) -> Iterator[Finding]:
    """Examine what others attached to the tables; what stops runs for certain is a fault."""
    for found in find_interferences(connection, names):
        if found.kind == OTHER_TRIGGER:
            continue
        find = POSTGRES.failed if found.kind in (ROW_SECURITY, PUBLICATION) else POSTGRES.warned
        yield find(found.kind, f"{found.table}: {found.sentence}.", statements=[found.statement])


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'es are' if number > 1 else ' is'}"
