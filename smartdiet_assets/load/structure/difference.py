"""One difference of two tables, in words and in statements. Not here: finding any (`comparison`)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from smartdiet_assets.load.structure.alteration import Statement
from smartdiet_assets.load.structure.live import LiveColumn, LiveForeignKey, LiveIndex

Aspect = Literal[
    "table",
    "column",
    "type",
    "collation",
    "nullability",
    "numbering",
    "default",
    "expression",
    "primary key",
    "unique",
    "foreign key",
    "index",
    "comment",
]
NONE = "none"


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that differs between two tables.

    Attributes:
        name: the column, the columns of a key as `(a, b)`, or the live index; empty for the table.
        left, right: what is there in words, `none` where nothing is.
        statements: what brings the right one to the left one; empty where only a person can.
        columns: the columns the right one needs for that beyond those the difference is about.
        undeclared: nothing that is declared contradicts it: the right one only has more.
        related: the live column, index or foreign key at fault on the right.
    """

    table: str
    aspect: Aspect
    name: str
    left: str
    right: str
    statements: tuple[Statement, ...] = ()
    columns: tuple[str, ...] = ()
    undeclared: bool = False
    related: LiveColumn | LiveIndex | LiveForeignKey | None = None


def spell_names(columns: Sequence[str]) -> str:
    """Write the columns of a key: `(a, b)`."""
    return f"({', '.join(columns)})"
