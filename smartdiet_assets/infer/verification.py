"""Trying a plan: its tables transform the documents it was inferred from, and what they would reject is mended."""

from collections import Counter
from collections.abc import Iterable, Sequence

from smartdiet_assets.infer.plan import Plan, PlannedColumn, PlannedTable
from smartdiet_assets.schema.model import Table
from smartdiet_assets.schema.reasons import Reason
from smartdiet_assets.transform.batch import build_transformer

#: Rejected documents (or items) by table, column and reason.
Rejects = Counter[tuple[str, str, Reason]]


def count_rejects(tables: Sequence[Table], batches: Iterable[bytes]) -> Rejects:
    """Count what tables would reject of documents, parents not looked at; no key is needed for what is protected."""
    plain = [table.with_columns(c.model_copy(update={"protect": None}) for c in table.columns) for table in tables]
    transformers = {table.name: build_transformer(table) for table in plain}
    rejects: Rejects = Counter()
    for batch in batches:
        for name, transform in transformers.items():
            rejects.update((name, reject.column, reject.reason) for reject in transform(batch).rejects)
    return rejects


def mend_plan(plan: Plan, rejects: Rejects) -> bool:
    """Change a plan so that it would take what it rejected; tells whether anything could be changed."""
    changed = False
    for (table, column, reason), number in rejects.items():
        planned = next(candidate for candidate in plan if candidate.name == table)
        changed = _mend_column(plan, planned, column, reason, number) or changed
    return changed


def describe_rejects(plan: Plan, rejects: Rejects) -> None:
    """Say in the entry what will be rejected all the same."""
    for (table, column, reason), number in rejects.items():
        planned = next(candidate for candidate in plan if candidate.name == table)
        planned.remarks.append(f"{number:,} will be rejected: {reason} in {column or 'the document'}")


def _mend_column(plan: Plan, table: PlannedTable, name: str, reason: Reason, number: int) -> bool:
    if table.base and name in ("created_at", "updated_at"):
        _unfold_base(table)
        return True
    column = table.column(name)
    if column is None:
        return False
    if table.array and name in table.unique:
        return _replace_link(plan, table, column)
    if column.foreign_key and reason == Reason.TOO_LONG:
        column.foreign_key = column.on_missing_parent = ""
        column.remarks.append("some are too long for an index: no foreign key")
        return True
    if column.primary_key or column.on_invalid == "null":
        return False
    column.nullable = True
    column.on_invalid = "null"
    column.remarks.append(f"{number:,} do not fit ({reason}): NULL")
    return True


def _unfold_base(table: PlannedTable) -> None:
    """Write out what `include_base` stands for, with dates that may be missing."""
    table.base = False
    table.columns[:0] = [
        PlannedColumn("id", "VARCHAR", ("_id",), nullable=False, primary_key=True),
        PlannedColumn("created_at", "TIMESTAMP", ("created_at",), on_invalid="null"),
        PlannedColumn("updated_at", "TIMESTAMP", ("updated_at",), on_invalid="null"),
    ]


def _replace_link(plan: Plan, link: PlannedTable, key: PlannedColumn) -> bool:
    """Keep an array as JSON, as not all of its items can be rows; not where the document itself is at fault."""
    if not key.in_items:
        return False
    names = {column.name for column in plan.main.columns} | {"id", "created_at", "updated_at"}
    plain = link.name.removeprefix(f"{plan.main.name}_")
    name = next(free for free in (plain, *(f"{plain}_{n}" for n in range(2, len(names) + 3))) if free not in names)
    remark = "an array: some of its items cannot be rows"
    plan.main.columns.append(PlannedColumn(name, "JSONB", (link.array,), remarks=[remark]))
    plan.links.remove(link)
    return True
