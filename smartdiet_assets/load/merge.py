"""Bringing the table from what it holds to what the run's documents describe, with every count checked."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from psycopg import sql

from smartdiet_assets.errors import TableChangedError
from smartdiet_assets.load.conflicts.best_of_key import compose_key_scope, write_candidates
from smartdiet_assets.load.diff import compose_delta, compose_read_scope, fill_delta
from smartdiet_assets.load.execution import Connection, Statement, execute, execute_counted
from smartdiet_assets.load.fragments import (
    DELTA,
    STAGING,
    WINNERS,
    candidates_of,
    match,
    name,
    names,
    secondary_uniques,
    stored,
    target_of,
)
from smartdiet_assets.load.removal.cascade import apply_cascade, list_references, lock_reach
from smartdiet_assets.load.strategies import DeltaCounts, MergeStep, Mode, Strategy
from smartdiet_assets.load.target import Target
from smartdiet_assets.schema.model import Table


@dataclass(slots=True)
class Differences:
    """What differs between a run's rows and the table, how it is written, and what that did to other tables."""

    counts: DeltaCounts
    mode: Mode
    replaced: int = 0
    cascaded: Counter[str] = field(default_factory=Counter)


def compare(target: Target, strategy: Strategy, staged: int) -> Differences:
    """Find the differences and choose the mode. Nothing is written yet; the children to be touched are locked.

    Args:
        staged: how many rows there should be of the read documents.
    """
    table = target.table
    if table.shape.shares_keys:
        # A row that names no document was left by another tool; it goes when a document has its key.
        scope = sql.SQL("{} AND ({} IS NOT NULL OR ({}) IN (SELECT {} FROM {}))").format(
            compose_key_scope(table),
            name(table.document_column, "t"),
            names(table.key, "t"),
            names(table.key),
            WINNERS,
        )
        statement = compose_delta(table, rows=WINNERS, scope=scope, deletes=strategy.deletes)
    elif table.tracks_documents:
        statement = compose_delta(table, scope=compose_read_scope(table), deletes=strategy.deletes)
    else:
        statement = compose_delta(table, scope=None)
    counts = fill_delta(target.connection, table, statement, staged)
    if counts.deleted and list_references(target.schema, table.name):
        lock_reach(target.connection, target.schema, table.name, target.beside)
    # A replacement would renumber the rows of a key that only changed hands.
    mode: Mode = "upsert" if table.shape.shares_keys else strategy.choose_mode(table, counts)
    return Differences(counts, mode)


def apply_merge(target: Target, strategy: Strategy, differences: Differences) -> None:
    """Write the differences.

    Raises:
        LoadConflictError: somebody else changed the table meanwhile.
    """
    connection, table = target.connection, target.table
    if differences.counts.changed:
        cascading = differences.counts.deleted and list_references(target.schema, table.name)
        steps = [step for step in strategy.compose(table, differences.mode) if _count_expected(step, differences)]
        removing = [step for step in steps if step.removes] if cascading else []
        kept = [step for step in steps if step not in removing]
        # Values may be passed on from row to row, in more than one statement.
        passed_on = bool(secondary_uniques(table))
        before = [sql.SQL("SET CONSTRAINTS ALL DEFERRED")] if passed_on else []
        after = [sql.SQL("SET CONSTRAINTS ALL IMMEDIATE")] if passed_on else []
        if removing:
            _write(connection, table, differences, kept, before=before)
            doomed = sql.SQL("EXISTS (SELECT FROM {} AS d WHERE d._op = 'D' AND {})")
            differences.cascaded += apply_cascade(target, doomed.format(DELTA, match(table.key, "d", "t")))
            _write(connection, table, differences, removing, after=after)
        else:
            _write(connection, table, differences, kept, before=before, after=after)
    if table.shape.shares_keys:
        write_candidates(connection, table)


def _count_expected(step: MergeStep, differences: Differences) -> int:
    """Count the rows a step has to touch; a replacement writes more than differ, where any do."""
    counts = differences.counts
    return {
        "insert": counts.inserted,
        "update": counts.updated,
        "delete": counts.deleted,
        "replace": counts.changed,
    }[step.action]


def _write(
    connection: Connection,
    table: Table,
    differences: Differences,
    steps: Sequence[MergeStep],
    *,
    before: Sequence[sql.SQL] = (),
    after: Sequence[sql.SQL] = (),
) -> None:
    """Write steps in one round trip, and check how many rows each touched."""
    statements: list[Statement] = [*before, *(step.statement for step in steps), *after]
    written = execute_counted(connection, statements)[len(before) :]
    for step, rows in zip(steps, written, strict=False):
        if step.action == "replace":
            differences.replaced = rows
        elif rows != _count_expected(step, differences):
            raise TableChangedError(table.name)


def fill_empty_table(connection: Connection, table: Table) -> int:
    """Insert the run's rows into a table that holds none, the best documents first; return how many it shows."""
    source = WINNERS if table.shape.shares_keys else STAGING
    shown = execute(
        connection,
        sql.SQL("INSERT INTO {} ({columns})\nSELECT {columns}\nFROM {}").format(
            target_of(table), source, columns=names(stored(table))
        ),
    )
    if table.shape.shares_keys:
        execute(
            connection,
            sql.SQL("""\
INSERT INTO {candidates} ({columns})
SELECT {columns}
FROM {staging} AS s
WHERE NOT EXISTS (SELECT FROM {winners} AS w WHERE w.{document} = s.{document})""").format(
                candidates=candidates_of(table),
                columns=names(stored(table)),
                staging=STAGING,
                winners=WINNERS,
                document=sql.Identifier(table.document_column),
            ),
        )
    return shown
