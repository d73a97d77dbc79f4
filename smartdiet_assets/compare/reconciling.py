"""The statements that bring the right side to the left one, in an order in which they can be run. Pure."""

from collections.abc import Iterator, Mapping, Sequence

from psycopg import sql

from smartdiet_assets.compare.structures import StructureComparison
from smartdiet_assets.load.structure import alteration
from smartdiet_assets.load.structure.alteration import Phase, Statement, order_statements
from smartdiet_assets.load.structure.difference import NONE, Difference
from smartdiet_assets.load.structure.live import LiveForeignKey, LiveIndex, LiveTable

_LOST = "-- May lose data; --drop prints it as a statement:"
_BY_HAND = "-- Nothing settles this by itself:"


def compose_script(comparison: StructureComparison, *, drop: bool) -> str:
    """Compose one transaction that reconciles the right side; empty where the sides are equal.

    Args:
        drop: also run what may lose data. Otherwise that stands there as a comment.
    """
    if not comparison.differences:
        return ""
    kept, lost = plan_statements(comparison, drop=drop)
    lines = ["BEGIN;"]
    # Definitions name types and parents as the left side's search path finds them.
    search_path = sql.SQL("SET LOCAL search_path TO {};").format(sql.Identifier(comparison.right.schema))
    lines += [search_path.as_string(None), "SET LOCAL TimeZone TO 'UTC';"]
    lines += [f"{statement.text};" for statement in kept]
    for statement in lost:
        lines += [_LOST, *(f"-- {line}" for line in f"{statement.text};".splitlines())]
    for difference in comparison.differences:
        if not difference.statements:
            lines += [_BY_HAND, f"-- {difference.table} is {difference.right}, and should be {difference.left}"]
    return "\n".join([*lines, "COMMIT;"])


def plan_statements(comparison: StructureComparison, *, drop: bool) -> tuple[list[Statement], list[Statement]]:
    """Plan what is run, and what is not because it may lose data, each in order."""
    differences = comparison.differences
    lossy = [d for d in differences if any(statement.loses for statement in d.statements) and not drop]
    applied = [d for d in differences if d not in lossy]
    tables = comparison.right.tables
    gone = [tables[d.table] for d in applied if d.aspect == "table" and d.left == NONE]
    statements = [s for d in applied if not (d.aspect == "table" and d.left == NONE) for s in d.statements]
    if gone:
        statements.append(alteration.drop_tables(*gone))
    statements += _make_way(comparison.left.tables, tables, applied, {s.text for s in statements})
    return order_statements(statements), order_statements([s for d in lossy for s in d.statements])


def _make_way(
    left: Mapping[str, LiveTable], right: Mapping[str, LiveTable], applied: Sequence[Difference], texts: set[str]
) -> Iterator[Statement]:
    """Take away what depends on something that changes, and give back what is still wanted.

    A foreign key depends on the key it points at and on the types of its columns, an index over an expression or some
    of the rows on the types of any column.
    """
    gone = {d.table for d in applied if d.aspect == "table" and d.left == NONE}
    changed = {
        (d.table, d.name)
        for d in applied
        if any(s.phase in (Phase.SET_TYPE, Phase.DROP_COLUMN) for s in d.statements) and d.aspect != "table"
    }
    keys = {
        (d.table, frozenset(d.related.columns))
        for d in applied
        if d.aspect in ("primary key", "unique") and isinstance(d.related, LiveIndex)
    }
    for table in right.values():
        for key in table.foreign_keys:
            dropped = alteration.drop_foreign_key(table, key)
            if dropped.text in texts:
                continue
            if key.parent in gone or _is_affected(table, key, changed, keys):
                yield dropped
                if not gone & {table.name, key.parent} and _has_key(left.get(key.parent), key):
                    yield alteration.restore_foreign_key(table, key)
        for index in (*table.indexes, *table.uniques):
            dropped = alteration.drop_index(table, index)
            if not index.plain and dropped.text not in texts and any(name == table.name for name, _ in changed):
                yield dropped
                yield alteration.add_index(table, index)


def _is_affected(
    table: LiveTable,
    key: LiveForeignKey,
    changed: set[tuple[str, str]],
    keys: set[tuple[str, frozenset[str]]],
) -> bool:
    return (
        any((table.name, column) in changed for column in key.columns)
        or any((key.parent, column) in changed for column in key.parent_columns)
        or (key.parent, frozenset(key.parent_columns)) in keys
    )


def _has_key(parent: LiveTable | None, key: LiveForeignKey) -> bool:
    """Tell whether the parent still has what the foreign key points at; of a table that is not compared, yes."""
    if parent is None:
        return True
    return any(set(index.columns) == set(key.parent_columns) for index in parent.keys)
