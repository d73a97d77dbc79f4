"""Comparing the columns of two tables: pure. Not here: keys and indexes (`key_comparison`)."""

from collections.abc import Iterator, Sequence

from smartdiet_assets.load.structure import alteration
from smartdiet_assets.load.structure.alteration import Statement
from smartdiet_assets.load.structure.defaults import is_same_expression
from smartdiet_assets.load.structure.difference import NONE, Aspect, Difference
from smartdiet_assets.load.structure.live import LiveColumn, LiveTable


def compare_columns(left: LiveTable, right: LiveTable, declared: bool) -> Iterator[Difference]:
    """List how columns differ; their order does not matter."""
    for name, wanted in left.columns.items():
        if name in right.columns:
            yield from _compare_column(right, wanted, right.columns[name], declared)
            continue
        yield Difference(right.name, "column", name, wanted.type, NONE, tuple(alteration.add_column(right, wanted)))
    for name, present in right.columns.items():
        if name not in left.columns:
            dropped = (alteration.drop_column(right, present),)
            yield Difference(right.name, "column", name, "no such column", present.type, dropped, related=present)


def _compare_column(table: LiveTable, wanted: LiveColumn, present: LiveColumn, declared: bool) -> Iterator[Difference]:
    def found(aspect: Aspect, left: str, right: str, statements: Sequence[Statement]) -> Difference:
        return Difference(table.name, aspect, wanted.name, left, right, tuple(statements), related=present)

    if (wanted.expression, wanted.virtual) != (present.expression, present.virtual):
        run = [alteration.drop_column(table, present), *alteration.add_column(table, wanted)]
        if wanted.expression is None and not present.virtual:
            run = [alteration.drop_expression(table, present)]
        yield found("expression", _describe_expression(wanted), _describe_expression(present), run)
        return
    if wanted.type != present.type:
        yield found("type", wanted.type, present.type, alteration.set_type(table, wanted, present))
    elif not declared and wanted.collation != present.collation:
        left, right = ".".join(wanted.collation), ".".join(present.collation)
        yield found("collation", left, right, alteration.set_type(table, wanted, present))
    if wanted.nullable != present.nullable and not (declared and not wanted.nullable and present.not_null_pending):
        left, right = ("nullable", "NOT NULL") if wanted.nullable else ("NOT NULL", "nullable")
        yield found("nullability", left, right, [alteration.set_nullable(table, wanted)])
    if wanted.generated and not present.generated:
        run = [*(alteration.drop_default(table, present) if present.default is not None else [])]
        run += alteration.add_numbering(table, wanted)
        yield found("numbering", "numbered by PostgreSQL", "no sequence", run)
    elif present.generated and not wanted.generated:
        run = alteration.drop_default(table, present)
        if wanted.default is not None:
            run = [*run, alteration.set_default(table, wanted)]
        yield found("numbering", "no sequence", "numbered by PostgreSQL", run)
    elif wanted.identity and present.identity and wanted.identity != present.identity:
        left, right = ("ALWAYS", "BY DEFAULT") if wanted.identity == "a" else ("BY DEFAULT", "ALWAYS")
        yield found("numbering", left, right, [alteration.set_numbering(table, wanted)])
    elif not wanted.generated and not is_same_expression(wanted.type, wanted.default, present.default):
        run = alteration.drop_default(table, present)
        if wanted.default is not None:
            run = [alteration.set_default(table, wanted)]
        yield found("default", _describe_default(wanted), _describe_default(present), run)


def _describe_expression(column: LiveColumn) -> str:
    if column.expression is None:
        return "a column that is written"
    return f"GENERATED ALWAYS AS ({column.expression}){' VIRTUAL' if column.virtual else ''}"


def _describe_default(column: LiveColumn) -> str:
    return "no default" if column.default is None else f"DEFAULT {column.default}"
