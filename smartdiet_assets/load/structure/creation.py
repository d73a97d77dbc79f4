"""Bringing the database to the declared structure: what is missing is created, what differs stops the run."""

from dataclasses import dataclass

import psycopg
from psycopg import sql
from psycopg.rows import tuple_row

from smartdiet_assets.errors import SchemaMismatchError
from smartdiet_assets.load.beside import ALONE, Beside, ReadsAloneError
from smartdiet_assets.load.execution import execute_all, fetch_all, within_transaction
from smartdiet_assets.load.removal.cascade import lock_reach
from smartdiet_assets.load.structure import alteration
from smartdiet_assets.load.structure.companion import (
    build_companion,
    compose_candidates_keys,
    compose_create_candidates,
    is_same_companion,
    place,
)
from smartdiet_assets.load.structure.declared import build_expected_table
from smartdiet_assets.load.structure.live import LiveTable, Structure, read_live_table, read_structure
from smartdiet_assets.load.structure.mismatch import find_differences, find_missing_columns, find_missing_indexes
from smartdiet_assets.load.structure.naming import list_companions, place_in
from smartdiet_assets.load.structure.surroundings import Surroundings, check_parents, read_surroundings
from smartdiet_assets.load.structure.table_ddl import compose_comments, compose_indexes, compose_keys
from smartdiet_assets.schema.keys import DELETED_AT
from smartdiet_assets.schema.model import Column, Schema, Table, find_stem


@dataclass(frozen=True, slots=True)
class TableChanges:
    """What `apply_table` did to a table.

    Attributes:
        created: the table was not there.
        added_columns: the columns it lacked, in declared order.
        reimport: why all documents have to be read again, None when they need not.
        not_null_pending: columns may get their NOT NULL at the end of a run that reads everything.
        keys: with `keys_later`, the statements that build the keys, indexes and foreign keys of a created
            table and its companion.
    """

    created: bool
    added_columns: tuple[str, ...] = ()
    reimport: str | None = None
    not_null_pending: bool = False
    keys: tuple[sql.Composed, ...] = ()


# One lock for each missing table, which others of its stem take too, in the order of the stems; the statement after
# this one sees what those created for whom it waited.
_LOCK_MISSING = sql.SQL("""\
SELECT name, pg_advisory_xact_lock(hashtextextended(format('smartdiet create %%s.%%s', current_schema(), stem), 0))
FROM (
  SELECT wanted.name, wanted.stem
  FROM unnest(%s::text[], %s::text[]) AS wanted (name, stem)
  WHERE NOT EXISTS (
    SELECT FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = current_schema() AND c.relname = wanted.name AND c.relkind IN ('r', 'p', 'v', 'm', 'f'))
  ORDER BY wanted.stem
  OFFSET 0
) AS missing""")


def apply_table(
    connection: psycopg.Connection,
    schema: Schema,
    table: Table,
    *,
    keys_later: bool = False,
    beside: Beside = ALONE,
) -> TableChanges:
    """Create a table and its missing ancestors, or compare the live one and add what is newly declared.

    Two catalogue queries and no lock when nothing is to be done. Needs `apply_bookkeeping` before it, and the
    READ COMMITTED isolation level: it waits for a concurrent run that creates the same table, and looks afterwards.

    Args:
        keys_later: leave the keys of a created table to the caller (`TableChanges.keys`), to build them after
            the rows are in; until then the table holds no lock on its parents.
        beside: where others are about to create parents, only the table itself is created, and its keys are not known
            (`compose_created_keys`).

    Raises:
        SchemaMismatchError: the live table differs in a way only a person can resolve; nothing was changed.
        ReadsAloneError: there is more to do than related loads can stand.
    """
    with within_transaction(connection):
        table = place(connection, table)
        names, expected = [*schema.ancestors(table.name), table.name], beside.parents
        missing_names = _lock_missing(connection, [name for name in names if name not in expected])
        if beside.related and missing_names != [table.name]:
            raise ReadsAloneError
        if beside is not ALONE and set(missing_names) - {table.name}:
            # Others that it is not related to wait for this parent until it commits, and it for them to read with it.
            raise ReadsAloneError
        for name in missing_names:
            around = read_surroundings(connection, schema.tables[name])
            if around.exists:
                continue
            missing = place_in(schema.tables[name], around.schema)
            keys = _create(connection, schema, missing, around, keys_later and name == table.name, bool(expected))
            if name == table.name:
                return TableChanges(created=True, keys=keys)
        return _complete(connection, schema, table, _read(connection, table))


def apply_not_null(connection: psycopg.Connection, table: Table) -> tuple[str, ...]:
    """Set NOT NULL on the added columns that wait for it and hold no NULL any more; return their names.

    To be called after the re-import. A column where an older row still holds NULL (its document is rejected,
    or was deleted at the source) goes on waiting: new rows are checked, the old one is not.
    """
    live = read_live_table(connection, table.name)
    pending = [column.name for column in live.columns.values() if column.not_null_pending] if live else []
    if live is None or not pending:
        return ()
    questions = [
        sql.SQL("NOT EXISTS (SELECT FROM {} WHERE {} IS NULL)").format(
            sql.Identifier(live.schema, live.name), sql.Identifier(name)
        )
        for name in pending
    ]
    with connection.cursor(row_factory=tuple_row) as cursor:
        answers = cursor.execute(sql.SQL("SELECT {}").format(sql.SQL(", ").join(questions))).fetchone() or ()
    filled = tuple(name for name, answer in zip(pending, answers, strict=True) if answer)
    execute_all(connection, [s.composed for name in filled for s in alteration.end_wait(live, name, nullable=False)])
    return filled


def _create(
    connection: psycopg.Connection,
    schema: Schema,
    table: Table,
    around: Surroundings,
    keys_later: bool,
    parents_later: bool,
) -> tuple[sql.Composed, ...]:
    keys: list[sql.Composed] = []
    if not parents_later:
        check_parents(table, table.columns, around)
        keys = _compose_all_keys(schema, table, around)
    wanted = build_expected_table(schema, table, around.schema, around.collations)
    statements = [alteration.create_table(wanted, wanted.schema).composed, *compose_comments(wanted)]
    if around.published:
        # Until the keys are built.
        full = sql.SQL("ALTER TABLE {} REPLICA IDENTITY FULL")
        statements.append(full.format(sql.Identifier(around.schema, table.name)))
    if table.shape.shares_keys:
        statements += compose_create_candidates(build_companion(table, wanted))
    if not keys_later:
        statements += keys
    execute_all(connection, statements)
    return tuple(keys) if keys_later else ()


def _compose_all_keys(schema: Schema, table: Table, around: Surroundings) -> list[sql.Composed]:
    wanted = build_expected_table(schema, table, around.schema, around.collations)
    keys = compose_keys(schema, table, wanted, taken=around.relations, published=around.published)
    if table.shape.shares_keys:
        keys = [*compose_candidates_keys(build_companion(table, wanted)), *keys]
    return keys


def compose_created_keys(connection: psycopg.Connection, schema: Schema, table: Table) -> tuple[sql.Composed, ...]:
    """Compose the keys of a table that was created before its parents were, which are there now.

    Raises:
        ReadsAloneError: it was created with other collations than theirs.
        SchemaMismatchError: a parent cannot be referenced.
    """
    around = read_surroundings(connection, table)
    check_parents(table, table.columns, around)
    live = _read(connection, table).tables[table.name]
    keys = {column.name: key for column in table.columns if (key := column.foreign_key)}
    if any(live.columns[name].collation != around.collations[key.table, key.column] for name, key in keys.items()):
        raise ReadsAloneError
    return tuple(_compose_all_keys(schema, table, around))


def _complete(connection: psycopg.Connection, schema: Schema, table: Table, structure: Structure) -> TableChanges:
    """Compare a live table with its declaration, and add what it lacks."""
    live = structure.tables[table.name]
    differences = find_differences(schema, table, live)
    if differences:
        raise SchemaMismatchError(table.name, differences)
    added = find_missing_columns(table, live)
    statements: list[sql.Composed] = []
    reasons: list[str] = []
    if added:
        statements += _compose_additions(connection, schema, table, added, live)
        # No document fills a mark: its column is no reason to read them.
        filled = [column.name for column in added if not column.generated and not _is_mark(table, column)]
        if filled:
            several = len(filled) > 1
            reasons.append(f"column{'s' * several} {', '.join(filled)} {'were' if several else 'was'} added")
    wanted = build_expected_table(schema, table, live.schema)
    for column in live.columns.values():
        # It is declared nullable now.
        if column.not_null_pending and column.name in wanted.columns and wanted.columns[column.name].nullable:
            statements += [statement.composed for statement in alteration.end_wait(live, column.name, nullable=True)]
    if live.owned:
        missing_indexes = find_missing_indexes(table, live)
        if missing_indexes:
            taken = read_surroundings(connection, table).relations
            statements += compose_indexes(live, missing_indexes, taken=taken)
        statements += compose_comments(wanted, live)
    if statements:
        # The children's runs read this table, and wait for it once it changes: they must not be half done then.
        lock_reach(connection, schema, table.name)
        execute_all(connection, statements)
    if table.shape.shares_keys:
        if added:
            structure = _read(connection, table)
        reasons += _renew_companion(connection, schema, table, structure)
    return TableChanges(
        created=False,
        added_columns=tuple(column.name for column in added),
        reimport="; ".join(reasons) or None,
        not_null_pending=any(column.not_null_pending for column in live.columns.values()) or bool(added),
    )


def _is_mark(table: Table, column: Column) -> bool:
    return table.on_delete == "flag" and column.name == DELETED_AT


def _renew_companion(connection: psycopg.Connection, schema: Schema, table: Table, structure: Structure) -> list[str]:
    """Build a companion that is missing or of another form anew; say why documents have to be read again."""
    live = structure.tables[table.name]
    wanted = build_companion(table, live)
    companion = structure.bookkeeping.get(wanted.name)
    if companion is not None and table.on_delete == "flag" and DELETED_AT not in companion.columns:
        # It was made before there were marks: none of its documents has one.
        added = alteration.add_column(companion, wanted.columns[DELETED_AT])
        execute_all(connection, [statement.composed for statement in added])
        companion = _read(connection, table).bookkeeping[wanted.name]
    if companion is not None and is_same_companion(wanted, companion):
        return []
    execute_all(connection, [*compose_create_candidates(wanted), *compose_candidates_keys(wanted)])
    return ["the documents behind its rows have to be collected"] if _has_rows(connection, live) else []


def _compose_additions(
    connection: psycopg.Connection,
    schema: Schema,
    table: Table,
    added: tuple[Column, ...],
    live: LiveTable,
) -> list[sql.Composed]:
    around = read_surroundings(connection, table)
    check_parents(table, added, around)
    empty = not _has_rows(connection, live)
    wanted = build_expected_table(schema, table, live.schema, around.collations)
    statements: list[sql.Composed] = []
    for column in added:
        new = wanted.columns[column.name]
        if not empty and not new.is_filled and column.name in table.primary_key:
            line = f"column {column.name} of the primary key is new and the rows have no value for it"
            truncate = sql.SQL("TRUNCATE {} CASCADE").format(sql.Identifier(live.schema, live.name))
            raise SchemaMismatchError(table.name, [f"{line}; run {truncate.as_string(None)} to fill the table anew"])
        statements += [s.composed for s in alteration.add_column(live, new, empty=empty, waits=True)]
    return statements + compose_keys(
        schema, table, wanted, taken=around.relations, only_with={column.name for column in added}
    )


def _lock_missing(connection: psycopg.Connection, names: list[str]) -> list[str]:
    """Name what is missing of a table and its ancestors, parents first, and wait for other runs that are creating it.

    Whoever had to wait may find it there.
    """
    found = fetch_all(connection, _LOCK_MISSING, [names, [find_stem(name) for name in names]])
    return sorted((name for name, _ in found), key=names.index)


def _read(connection: psycopg.Connection, table: Table) -> Structure:
    return read_structure(connection, [table.name], list_companions([table]))


def _has_rows(connection: psycopg.Connection, live: LiveTable) -> bool:
    query = sql.SQL("SELECT EXISTS (SELECT FROM {})").format(sql.Identifier(live.schema, live.name))
    with connection.cursor(row_factory=tuple_row) as cursor:
        row = cursor.execute(query).fetchone()
    return bool(row and row[0])
