"""Orphans and duplicate keys, searched for where no valid constraint of the live table keeps them out."""

from collections.abc import Collection, Mapping, Sequence

from psycopg import sql

from smartdiet_assets.checks.facts import TargetFacts
from smartdiet_assets.load.execution import Connection, fetch_all
from smartdiet_assets.load.fragments import name, names, target_of
from smartdiet_assets.load.structure.declared import build_uniques
from smartdiet_assets.load.structure.live import LiveTable
from smartdiet_assets.schema.model import Column, Table


def search_unconstrained(
    connection: Connection, tables: Sequence[Table], live: Mapping[str, LiveTable], facts: Mapping[str, TargetFacts]
) -> None:
    """Search for orphans and duplicates where nothing valid keeps them out; no statement where everything does.

    Args:
        tables: live tables.
        facts: of each table; `keyless` and `unconstrained` are set, in rows.

    Raises:
        psycopg.Error: PostgreSQL refused or was lost.
    """
    searches: list[sql.Composed] = []
    for table in tables:
        present = live[table.name]
        if present.kind != "table":
            continue
        found = facts[table.name]
        keyless = [columns for columns in _list_keys(table) if _is_searchable(columns, present)]
        keyless = [columns for columns in keyless if not _is_unique(present, columns)]
        found.keyless = dict.fromkeys(keyless, 0)
        searches += [_compose_duplicates(table, columns) for columns in keyless]
        columns = [column for column in table.columns if column.foreign_key and column.name in present.columns]
        unconstrained = [column for column in columns if not _is_constrained(present, column)]
        found.unconstrained = dict.fromkeys((column.name for column in unconstrained), 0)
        searches += [
            _compose_orphans(table, column)
            for column in unconstrained
            if column.foreign_key and column.foreign_key.table in live
        ]
    if not searches:
        return
    for table_name, columns_found, is_key, count in fetch_all(connection, sql.SQL("\nUNION ALL\n").join(searches)):
        found = facts[table_name]
        if is_key:
            found.keyless = {**found.keyless, tuple(columns_found): count}
        else:
            found.unconstrained = {**found.unconstrained, columns_found[0]: count}


def _list_keys(table: Table) -> list[tuple[str, ...]]:
    return [columns for columns in (table.primary_key, *build_uniques(table)) if columns]


def _is_searchable(columns: Collection[str], live: LiveTable) -> bool:
    return set(columns) <= set(live.columns)


def _is_unique(live: LiveTable, columns: Collection[str]) -> bool:
    indexes = [*live.uniques, *([live.primary_key] if live.primary_key else [])]
    return any(index.plain and set(index.columns) == set(columns) for index in indexes)


def _is_constrained(live: LiveTable, column: Column) -> bool:
    key = column.foreign_key
    assert key is not None
    return any(
        foreign.validated
        and foreign.columns == (column.name,)
        and (foreign.parent, foreign.parent_columns) == (key.table, (key.column,))
        for foreign in live.foreign_keys
    )


def _compose_duplicates(table: Table, columns: Sequence[str]) -> sql.Composed:
    """Compose the number of rows beyond the first of each key; NULL is no duplicate of NULL."""
    return sql.SQL("""\
SELECT {table_name}, {columns}, true, coalesce(sum(n - 1), 0)::bigint
FROM (
  SELECT count(*) AS n
  FROM {target}
  WHERE {known}
  GROUP BY {key}
  HAVING count(*) > 1
) AS repeated""").format(
        table_name=sql.Literal(table.name),
        columns=_array(columns),
        target=target_of(table),
        known=sql.SQL(" AND ").join(sql.SQL("{} IS NOT NULL").format(name(column)) for column in columns),
        key=names(columns),
    )


def _compose_orphans(table: Table, column: Column) -> sql.Composed:
    key = column.foreign_key
    assert key is not None
    return sql.SQL("""\
SELECT {table_name}, {columns}, false, count(*)
FROM {target} AS t
WHERE {column} IS NOT NULL
  AND NOT EXISTS (
    SELECT FROM {parent} AS p WHERE {parent_column}::text COLLATE "C" = {column}::text COLLATE "C")""").format(
        table_name=sql.Literal(table.name),
        columns=_array([column.name]),
        target=target_of(table),
        column=name(column.name, "t"),
        parent=sql.Identifier(key.table),
        parent_column=name(key.column, "p"),
    )


def _array(columns: Sequence[str]) -> sql.Composed:
    return sql.SQL("ARRAY[{}]::text[]").format(sql.SQL(", ").join(map(sql.Literal, columns)))
