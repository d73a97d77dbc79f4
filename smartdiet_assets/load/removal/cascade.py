"""Removing rows that other tables point at: the children first, by each foreign key's own rule.

A child's row that goes is no loss: its document is noted as waiting for the parent, and read again.
"""

from collections import Counter
from dataclasses import dataclass, field

from psycopg import sql

from smartdiet_assets.load.advisory import lock_tables
from smartdiet_assets.load.beside import ALONE, Beside
from smartdiet_assets.load.execution import Connection, execute, execute_all, fetch_value
from smartdiet_assets.load.fragments import encode, name, names, target_of
from smartdiet_assets.load.statistics import mend_relations
from smartdiet_assets.load.target import Target
from smartdiet_assets.schema.model import Schema, Table
from smartdiet_assets.schema.reasons import Reason

_FORGET_DIGEST = sql.SQL(
    "UPDATE smartdiet.sync_state SET window_digest = NULL WHERE schema_name = current_schema() AND table_name = %s"
)


@dataclass(frozen=True, slots=True)
class Reference:
    """One foreign key seen from its parent: `child.column` points at `parent.parent_column`."""

    child: str
    column: str
    parent: str
    parent_column: str
    nulled: bool


@dataclass(slots=True)
class Removal:
    """What became of rows whose document is gone.

    Attributes:
        removed: rows that went.
        flagged: rows marked in `deleted_at` now; those marked before are not counted.
        replaced: rows that show another document of their key from now on.
        cascaded: rows that went from other tables, or references set to NULL there, by table.
    """

    removed: int = 0
    flagged: int = 0
    replaced: int = 0
    cascaded: Counter[str] = field(default_factory=Counter)

    def add(self, other: "Removal") -> None:
        """Add the counts of another removal."""
        self.removed += other.removed
        self.flagged += other.flagged
        self.replaced += other.replaced
        self.cascaded += other.cascaded


def list_askable(schema: Schema, table: Table) -> list[str]:
    """List the columns whose reference tells a document's id: only such a parent can be asked for."""
    return [
        column.name
        for column in table.columns
        if column.foreign_key
        and column.foreign_key.table in schema.tables
        and column.foreign_key.column == schema.tables[column.foreign_key.table].document_column
    ]


def list_references(schema: Schema, parent: str) -> list[Reference]:
    """List the foreign keys that point at a table, its own included, in the order of the schema."""
    return [
        Reference(
            child=table.name,
            column=column.name,
            parent=parent,
            parent_column=column.foreign_key.column,
            nulled=column.foreign_key.on_missing_parent == "null",
        )
        for table in schema.tables.values()
        for column in table.columns
        if column.foreign_key is not None and column.foreign_key.table == parent
    ]


def list_reach(schema: Schema, table_name: str) -> list[str]:
    """List the tables that lose rows or references when rows of a table go, parents first, the table itself first."""
    losing_rows = {table_name}
    reached = {table_name}
    for name_ in schema.tables:
        if name_ in losing_rows:
            for reference in list_references(schema, name_):
                reached.add(reference.child)
                if not reference.nulled:
                    losing_rows.add(reference.child)
    return [name_ for name_ in schema.tables if name_ in reached]


def lock_reach(connection: Connection, schema: Schema, table_name: str, beside: Beside = ALONE) -> None:
    """Lock the tables a deletion reaches, before any row is written; the table's own lock is held already.

    So is that of a table whose load is open beside this one and waits for it.
    """
    reach = [other for other in list_reach(schema, table_name) if other != table_name]
    lock_tables(connection, [other for other in reach if not beside.holds(other)])


def apply_cascade(target: Target, doomed: sql.Composable) -> Counter[str]:
    """Make the children ready for the deletion of rows, and note whose documents now wait for a parent.

    Returns how many of their rows were removed, or lost a reference, by table.

    Args:
        doomed: condition on a row `t` of the table: it is about to be deleted.
    """
    connection, schema, table = target.connection, target.schema, target.table
    removed, nulled = Counter[str](), Counter[str]()
    references = [reference for other in list_reach(schema, table.name) for reference in list_references(schema, other)]
    present = [other for other in list_reach(schema, table.name) if _is_there(connection, other)]
    if present == [table.name] and not list_references(schema, table.name):
        return removed
    mend_relations(connection, [target_of(schema.tables[other]) for other in present])
    for other in present:
        execute_all(connection, compose_gone(schema, schema.tables[other]))
    losing = {table.name} if execute(connection, compose_asked(schema, table, doomed)) else set()
    execute(connection, sql.SQL("ANALYZE {}").format(_gone(schema, table.name)))
    for other in present:
        pointing = [r for r in references if r.child == other and r.parent in {*losing, other}]
        if pointing and _collect(target, schema.tables[other], pointing):
            losing.add(other)
    # Table by table in the order of the schema, as a first load locks the parents of its foreign keys.
    for other in present:
        for reference in references:
            if reference.child == other and reference.nulled and reference.parent in losing:
                nulled[other] += execute(connection, compose_null(schema, schema.tables[other], reference))
    for other in reversed(present):
        if other in losing:
            removed[other] = execute(connection, compose_remove(schema, schema.tables[other]))
    # The sum leaves out what is 0.
    return removed + nulled


def _is_there(connection: Connection, table_name: str) -> bool:
    # Not by the search path: a table of that name in a later schema is another mirror's.
    question = sql.SQL("SELECT to_regclass(format('%%I.%%I', current_schema(), %s::text)) IS NOT NULL")
    return bool(fetch_value(connection, question, [table_name]))


def _collect(target: Target, child: Table, references: list[Reference]) -> int:
    """Collect the rows of one table that go with their parents, and note what they and its orphans wait for."""
    connection, schema = target.connection, target.schema
    taking = [reference for reference in references if not reference.nulled]
    collected = 0
    found = -1
    # Only a table that points at itself needs a second round.
    while found:
        found = sum(execute(connection, compose_collect(schema, child, reference)) for reference in taking)
        collected += found
    execute(connection, sql.SQL("ANALYZE {}").format(_gone(schema, child.name)))
    for reference in references:
        execute(connection, compose_await(schema, child, reference), {"run": target.run_id})
        if reference.column in list_askable(schema, child):
            execute(connection, compose_miss(schema, child, reference))
    if collected:
        execute(connection, compose_reject(schema, child, taking), {"run": target.run_id})
        # Its next run has something to find out even if it reads what its last one did.
        execute(connection, _FORGET_DIGEST, [child.name])
    return collected


def compose_gone(schema: Schema, table: Table) -> list[sql.Composed]:
    """Compose the temporary table of the rows of a table that go; `_asked` are those the caller deletes itself."""
    gone = _gone(schema, table.name)
    return [
        sql.SQL("DROP TABLE IF EXISTS {}").format(gone),
        sql.SQL(
            "CREATE TEMPORARY TABLE {} ON COMMIT DROP AS\n"
            "SELECT ctid AS _place, false AS _asked, {} FROM {} WITH NO DATA"
        ).format(gone, names(_columns(table)), target_of(table)),
        # Whatever PostgreSQL believes about the table: a row is looked for by its place.
        sql.SQL("CREATE INDEX ON {} (_place)").format(gone),
    ]


def compose_asked(schema: Schema, table: Table, doomed: sql.Composable) -> sql.Composed:
    """Compose filling in the rows the caller is about to delete."""
    return sql.SQL("INSERT INTO {}\nSELECT t.ctid, true, {}\nFROM {} AS t\nWHERE {}").format(
        _gone(schema, table.name), names(_columns(table), "t"), target_of(table), doomed
    )


def compose_collect(schema: Schema, child: Table, reference: Reference) -> sql.Composed:
    """Compose adding the rows that point at a row that goes to those that go."""
    return sql.SQL("""\
INSERT INTO {gone}
SELECT t.ctid, false, {columns}
FROM {target} AS t
WHERE t.{column} IN (SELECT {parent_column} FROM {parents})
  AND NOT EXISTS (SELECT FROM {gone} AS g WHERE g._place = t.ctid)""").format(
        gone=_gone(schema, child.name),
        columns=names(_columns(child), "t"),
        target=target_of(child),
        column=name(reference.column),
        parent_column=name(reference.parent_column),
        parents=_gone(schema, reference.parent),
    )


def compose_await(schema: Schema, child: Table, reference: Reference) -> sql.Composed:
    """Compose noting the parents that a child's documents wait for from now on."""
    return sql.SQL("""\
INSERT INTO smartdiet.awaited_parents
  (table_name, document_id, column_name, parent_table, parent_id, first_run_id)
SELECT DISTINCT {child}, {document_id}, {column_name}, {parent}, t.{column}::text, %(run)s
FROM {target} AS t
WHERE t.{column} IN (SELECT {parent_column} FROM {parents})
  AND t.{document} IS NOT NULL
  AND NOT EXISTS (SELECT FROM {gone} AS g WHERE g._place = t.ctid AND g._asked)
ON CONFLICT (schema_name, table_name, document_id, column_name, parent_id) DO NOTHING""").format(
        child=sql.Literal(child.name),
        document_id=encode(child, name(child.document_column, "t")),
        column_name=sql.Literal(reference.column),
        parent=sql.Literal(reference.parent),
        column=name(reference.column),
        target=target_of(child),
        parent_column=name(reference.parent_column),
        parents=_gone(schema, reference.parent),
        document=name(child.document_column),
        gone=_gone(schema, child.name),
    )


def compose_miss(schema: Schema, child: Table, reference: Reference) -> sql.Composed:
    """Compose noting that the parents that go are missing from now on, to be asked for."""
    return sql.SQL("""\
INSERT INTO smartdiet.missing_parents (parent_table, parent_id, table_name)
SELECT DISTINCT {parent}, t.{column}::text, {child}
FROM {target} AS t
WHERE t.{column} IN (SELECT {parent_column} FROM {parents})
  AND t.{document} IS NOT NULL
  AND NOT EXISTS (SELECT FROM {gone} AS g WHERE g._place = t.ctid AND g._asked)
ON CONFLICT (schema_name, parent_table, parent_id, table_name) DO UPDATE SET asked_at = NULL""").format(
        child=sql.Literal(child.name),
        parent=sql.Literal(reference.parent),
        column=name(reference.column),
        target=target_of(child),
        parent_column=name(reference.parent_column),
        parents=_gone(schema, reference.parent),
        document=name(child.document_column),
        gone=_gone(schema, child.name),
    )


def compose_reject(schema: Schema, child: Table, references: list[Reference]) -> sql.Composed:
    """Compose noting the documents whose rows go as rejects."""
    pointing = sql.SQL("\n  UNION ALL\n").join(
        sql.SQL(
            "  SELECT g._place, {document_id} AS document_id, {column} AS column_name, {expected} AS expected\n"
            "  FROM {gone} AS g\n"
            "  WHERE g.{pointer} IN (SELECT {parent_column} FROM {parents}) AND g.{document} IS NOT NULL\n"
            "    AND NOT g._asked"
        ).format(
            document_id=encode(child, name(child.document_column, "g")),
            column=sql.Literal(reference.column),
            expected=sql.Literal(f"a row in {reference.parent}({reference.parent_column})"),
            gone=_gone(schema, child.name),
            pointer=name(reference.column),
            parent_column=name(reference.parent_column),
            parents=_gone(schema, reference.parent),
            document=name(child.document_column),
        )
        for reference in references
    )
    return sql.SQL("""\
INSERT INTO smartdiet.rejected_rows AS r
  (table_name, document_id, column_name, reason, expected, received, items, run_id)
SELECT {child}, document_id, min(column_name), {reason}, min(expected), '', count(DISTINCT _place), %(run)s
FROM (
{pointing}
) AS g
GROUP BY document_id
ON CONFLICT (schema_name, table_name, document_id) DO UPDATE SET
  items = {items},
  last_seen = now(),
  run_id = excluded.run_id""").format(
        child=sql.Literal(child.name),
        reason=sql.Literal(Reason.MISSING_PARENT.value),
        pointing=pointing,
        items=sql.SQL("r.items + excluded.items" if child.shape.has_items else "excluded.items"),
    )


def compose_null(schema: Schema, child: Table, reference: Reference) -> sql.Composed:
    """Compose setting a reference to NULL in the rows that stay."""
    return sql.SQL("""\
UPDATE {target} AS t
SET {column} = NULL
WHERE t.{column} IN (SELECT {parent_column} FROM {parents})
  AND NOT EXISTS (SELECT FROM {gone} AS g WHERE g._place = t.ctid)""").format(
        target=target_of(child),
        column=name(reference.column),
        parent_column=name(reference.parent_column),
        parents=_gone(schema, reference.parent),
        gone=_gone(schema, child.name),
    )


def compose_remove(schema: Schema, child: Table) -> sql.Composed:
    """Compose the deletion of the rows that go."""
    return sql.SQL(
        "DELETE FROM {target} AS t\nUSING {gone} AS g\nWHERE t.ctid = g._place\n  AND NOT g._asked\n"
        "  AND t.{document} IS NOT DISTINCT FROM g.{document}"
    ).format(target=target_of(child), gone=_gone(schema, child.name), document=name(child.document_column))


def _columns(table: Table) -> list[str]:
    return [column.name for column in table.columns]


def _gone(schema: Schema, table_name: str) -> sql.Identifier:
    return sql.Identifier("pg_temp", f"mirror_gone_{list(schema.tables).index(table_name)}")
