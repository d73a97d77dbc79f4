"""What the mirror makes of a live table that is not as declared."""

from smartdiet_assets.load.structure.comparison import compare_tables
from smartdiet_assets.load.structure.declared import build_expected_table, build_indexes
from smartdiet_assets.load.structure.difference import NONE, Difference
from smartdiet_assets.load.structure.key_comparison import is_served
from smartdiet_assets.load.structure.live import LiveColumn, LiveForeignKey, LiveIndex, LiveTable
from smartdiet_assets.schema.model import Column, Schema, Table
from smartdiet_assets.schema.types import parse_sql_type


def find_missing_columns(table: Table, live: LiveTable) -> tuple[Column, ...]:
    """List the declared columns the live table lacks, in declared order."""
    return tuple(column for column in table.columns if column.name not in live.columns)


def find_missing_indexes(table: Table, live: LiveTable) -> tuple[tuple[str, ...], ...]:
    """List the declared indexes that no live key or index serves, those over missing columns left out."""
    return tuple(
        columns
        for columns in build_indexes(table)
        if set(columns) <= set(live.columns) and not is_served(columns, live)
    )


def find_differences(schema: Schema, table: Table, live: LiveTable) -> list[str]:
    """List what differs otherwise, one sentence each: live, declared, and what would resolve it.

    Missing columns, and keys over them, are no differences: the mirror adds them, and indexes and comments too.
    """
    if live.kind != "table":
        return [f"live is a {live.kind}, declared is a table; rename or drop the {live.kind}"]
    missing = {column.name for column in find_missing_columns(table, live)}
    expected = build_expected_table(schema, table, live.schema)
    return [
        _word(table, live, difference)
        for difference in compare_tables(expected, live, declared=True)
        if difference.aspect not in ("index", "comment")
        and not difference.undeclared
        and missing.isdisjoint(difference.columns)
        and not (difference.aspect == "column" and difference.name in missing)
    ]


def _word(table: Table, live: LiveTable, difference: Difference) -> str:
    name = difference.name
    match difference.aspect:
        case "primary key":
            what = "primary key"
        case "foreign key":
            what = f"foreign key {name}"
        case "unique":
            what = f"unique {name}" if name.startswith("(") else f"unique index {name}"
        case _:
            what = f"column {name}"
    statements = "; ".join(statement.text for statement in difference.statements)
    yaml = _declare(table, difference)
    ending = f" or declare {yaml}" if yaml else ""
    return f"{what}: live {difference.right}, declared {difference.left}; run {statements}{ending}"


def _declare(table: Table, difference: Difference) -> str:
    """Write what would have to be declared instead; empty where nothing can be."""
    found = difference.related
    if isinstance(found, LiveColumn):
        return _declare_column(table, difference, found)
    if isinstance(found, LiveIndex):
        columns = f"[{', '.join(found.columns)}]"
        if difference.aspect == "primary key":
            return f"primary_key: {columns}" if not table.primary_key else ""
        undeclared = difference.left == NONE
        return f"unique_constraints: [{columns}]" if undeclared and found.plain and found.nulls_distinct else ""
    if isinstance(found, LiveForeignKey):
        undeclared = difference.left == NONE
        return f"foreign_key: {found.parent}({', '.join(found.parent_columns)})" if undeclared and found.plain else ""
    return "no foreign_key" if difference.aspect == "foreign key" else ""


def _declare_column(table: Table, difference: Difference, found: LiveColumn) -> str:
    match difference.aspect:
        case "column" | "type":
            return _declare_type(found.type)
        case "nullability" if found.nullable:
            return "nullable: true" if found.name not in table.primary_key else ""
        case "nullability":
            return "nullable: false"
        case "numbering":
            return "sql_type: SERIAL" if found.generated else _declare_type(found.type)
        case "default":
            return "no default" if found.default is None else "that default"
        case _:
            return ""


def _declare_type(type: str) -> str:
    """Spell a live type as a schema file would; empty where no supported type is it."""
    try:
        return f"sql_type: {parse_sql_type(type).declared}"
    except ValueError:
        return ""
