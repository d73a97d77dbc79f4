"""Comparing two tables by definition and not by name: what differs, and the statements that resolve it.

The left one is how it should be: declared (`declared`) or live; the right one is live, and what the statements
change.

The order of columns, privileges, triggers, check constraints and views are the operator's own and never compared. A
declaration is met more easily than a live table is equalled: it says nothing of collations, of the order of a key's
columns, or of indexes and comments beyond its own, and any index that begins with a declared one serves.
"""

from collections.abc import Iterator
from dataclasses import replace

from smartdiet_assets.load.structure import alteration
from smartdiet_assets.load.structure.column_comparison import compare_columns
from smartdiet_assets.load.structure.difference import NONE, Difference
from smartdiet_assets.load.structure.key_comparison import (
    compare_foreign_keys,
    compare_indexes,
    compare_primary_key,
    compare_uniques,
)
from smartdiet_assets.load.structure.live import LiveTable


def compare_tables(left: LiveTable, right: LiveTable, *, declared: bool = False) -> list[Difference]:
    """List what differs between a table and a live one.

    Args:
        declared: the left one is a declaration.
    """
    if right.kind != "table" or left.kind != "table":
        kinds = [Difference(left.name, "table", "", f"a {left.kind}", f"a {right.kind}")]
        return kinds if left.kind != right.kind else []
    return [
        *compare_columns(left, right, declared),
        *compare_primary_key(left, right, declared),
        *compare_uniques(left, right, declared),
        *compare_foreign_keys(left, right, declared),
        *compare_indexes(left, right, declared),
        *compare_comments(left, right, declared),
    ]


def find_missing_table(left: LiveTable, schema_name: str) -> Difference:
    """Describe a table that is not on the right, with all statements that create it there."""
    bare = strip_table(left, schema_name)
    rest = [statement for found in compare_tables(left, bare) for statement in found.statements]
    created = alteration.create_table(left, schema_name)
    return Difference(left.name, "table", "", f"{len(left.columns)} columns", NONE, (created, *rest))


def strip_table(table: LiveTable, schema_name: str) -> LiveTable:
    """Describe a table just created in a schema: its columns, and no more."""
    return replace(
        table,
        schema=schema_name,
        comment="",
        columns={name: replace(column, comment="") for name, column in table.columns.items()},
        primary_key=None,
        uniques=(),
        foreign_keys=(),
        indexes=(),
    )


def find_extra_table(right: LiveTable) -> Difference:
    """Describe a table that is not on the left."""
    dropped = (alteration.drop_tables(right),)
    return Difference(right.name, "table", "", NONE, f"{len(right.columns)} columns", dropped, undeclared=True)


def compare_comments(left: LiveTable, right: LiveTable, declared: bool) -> Iterator[Difference]:
    """List how the comments of the table and of its columns differ."""
    pairs = [("", left.comment, right.comment)]
    pairs += [
        (name, column.comment, right.columns[name].comment if name in right.columns else "")
        for name, column in left.columns.items()
    ]
    for name, wanted, present in pairs:
        if wanted != present:
            run = (alteration.set_comment(right, wanted, name),)
            more = declared and not wanted
            needed = (name,) if name else ()
            yield Difference(right.name, "comment", name, wanted or NONE, present or NONE, run, needed, undeclared=more)
