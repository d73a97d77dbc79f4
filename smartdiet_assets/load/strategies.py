"""The import strategies: which statements bring a table from what it holds to what the documents describe.

The differences are in `mirror_delta` by then (`load.diff`). No strategy writes a row that did not change, but
`replace`, and that only for documents of which some row did.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Literal

from psycopg import sql

from smartdiet_assets.errors import ConfigurationError
from smartdiet_assets.load.fragments import (
    DELTA,
    STAGING,
    compared,
    match,
    name,
    names,
    preserved,
    stored,
    target_of,
)
from smartdiet_assets.schema.model import Table

Mode = Literal["bulk", "upsert", "delta", "replace", "none"]
Action = Literal["insert", "update", "delete", "replace"]


@dataclass(frozen=True, slots=True)
class DeltaCounts:
    """Rows of the read documents: those that differ from the table, and those that do not."""

    inserted: int
    updated: int
    deleted: int
    unchanged: int

    @property
    def changed(self) -> int:
        return self.inserted + self.updated + self.deleted

    @property
    def change_ratio(self) -> float | None:
        """Changed items over the rows the documents had before; None when they had none.

        An item exchanged for another is one change, though it costs a deletion and an insertion.
        """
        existing = self.unchanged + self.updated + self.deleted
        return (max(self.inserted, self.deleted) + self.updated) / existing if existing else None


@dataclass(frozen=True, slots=True)
class MergeStep:
    """One statement that writes to the table; the load checks that it touched as many rows as were counted."""

    action: Action
    statement: sql.Composed

    @property
    def removes(self) -> bool:
        return self.action in ("delete", "replace")


class Strategy:
    """The base of all strategies, and `direct` itself: write the changed rows, remove those no longer described.

    A subclass named in YAML as `package.module:Class` overrides what differs and is created without arguments.
    """

    #: Whether rows that a read document no longer describes are removed.
    deletes: bool = True

    def choose_mode(self, table: Table, counts: DeltaCounts) -> Mode:
        """Choose how the differences are applied, knowing how many there are."""
        return "upsert"

    def compose(self, table: Table, mode: Mode) -> list[MergeStep]:
        """Compose the statements, in order.

        Inserts come first, so that a row may point at a new row of its own table, and deletes last, when nothing
        points at the old ones any more.
        """
        if mode == "replace":
            return [MergeStep("replace", compose_replace(table))]
        steps = [MergeStep("insert", compose_insert(table))]
        if compared(table):
            steps.append(MergeStep("update", compose_update(table)))
        if self.deletes:
            steps.append(MergeStep("delete", compose_delete(table)))
        return steps


class ArrayStrategy(Strategy):
    """Insert and update only; items that are gone from an array stay. Kept for old configurations."""

    deletes = False


class DeleteAndInsertStrategy(Strategy):
    """Replace all rows of each document of which at least one row differs."""

    def choose_mode(self, table: Table, counts: DeltaCounts) -> Mode:
        """Replace, whatever the share of changes."""
        return "replace"


class SmartDiffStrategy(Strategy):
    """Apply the changed rows alone up to `diff_threshold`; above it, replace all rows of the changed documents."""

    def choose_mode(self, table: Table, counts: DeltaCounts) -> Mode:
        """Compare the share of changed rows with the threshold."""
        ratio = counts.change_ratio
        return "replace" if ratio is not None and ratio > table.diff_threshold else "delta"


_STRATEGIES: dict[str, Callable[[], Strategy]] = {
    "direct": Strategy,
    "array": ArrayStrategy,
    "delete_and_insert": DeleteAndInsertStrategy,
    "smart_diff": SmartDiffStrategy,
}


def get_strategy(strategy_name: str) -> Strategy:
    """Find a strategy by its name, or import it by `package.module:Class`.

    Raises:
        ConfigurationError: there is none of that name, or the class is not a `Strategy`.
    """
    if strategy_name in _STRATEGIES:
        return _STRATEGIES[strategy_name]()
    module_name, _, class_name = strategy_name.partition(":")
    if not class_name:
        raise ConfigurationError(
            f"no import strategy {strategy_name!r}; known: {', '.join(_STRATEGIES)}, or package.module:Class"
        )
    try:
        found = getattr(import_module(module_name), class_name, None)
    except ImportError as error:
        raise ConfigurationError(f"import strategy {strategy_name!r}: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Strategy)):
        raise ConfigurationError(f"import strategy {strategy_name!r} is not a subclass of {Strategy.__qualname__}")
    return found()


def compose_insert(table: Table) -> sql.Composed:
    """Compose the INSERT of the new rows."""
    return sql.SQL("INSERT INTO {target} ({columns})\nSELECT {columns}\nFROM {delta}\nWHERE _op = 'I'").format(
        target=target_of(table), columns=names(stored(table)), delta=DELTA
    )


def compose_update(table: Table) -> sql.Composed:
    """Compose the UPDATE of the changed rows."""
    assignments = sql.SQL(", ").join(
        sql.SQL("{} = {}").format(name(column), name(column, "d")) for column in compared(table)
    )
    return sql.SQL("UPDATE {target} AS t\nSET {assignments}\nFROM {delta} AS d\nWHERE d._op = 'U'\n  AND {key}").format(
        target=target_of(table), assignments=assignments, delta=DELTA, key=match(table.key, "t", "d")
    )


def compose_delete(table: Table) -> sql.Composed:
    """Compose the DELETE of the rows no document describes any more."""
    return sql.SQL("DELETE FROM {target} AS t\nUSING {delta} AS d\nWHERE d._op = 'D'\n  AND {key}").format(
        target=target_of(table), delta=DELTA, key=match(table.key, "t", "d")
    )


def compose_replace(table: Table) -> sql.Composed:
    """Compose the replacement of all rows of the changed documents; a relationship row keeps its dates.

    The count makes PostgreSQL finish the deletion before the first insert, so that no unique key is met twice.
    """
    kept = preserved(table)
    values = sql.SQL(", ").join(
        sql.SQL("coalesce({}, {})").format(name(column, "gone"), name(column, "s"))
        if column in kept
        else name(column, "s")
        for column in stored(table)
    )
    # DISTINCT: a document with several changed rows is in the delta several times.
    return sql.SQL("""\
WITH changed AS MATERIALIZED (
  SELECT DISTINCT {document} FROM {delta}
), gone AS (
  DELETE FROM {target} AS t
  USING changed
  WHERE t.{document} = changed.{document}
  RETURNING {returned}
)
INSERT INTO {target} ({columns})
SELECT {values}
FROM {staging} AS s
JOIN changed ON changed.{document} = s.{document}
LEFT JOIN gone ON {key}
WHERE (SELECT count(*) FROM gone) >= 0""").format(
        document=name(table.document_column),
        delta=DELTA,
        target=target_of(table),
        returned=names([*table.key, *(column for column in kept if column not in table.key)], "t"),
        columns=names(stored(table)),
        values=values,
        staging=STAGING,
        key=match(table.key, "gone", "s"),
    )
