"""A comparison for people and for scripts: what differs by table, a summary line, and the object `--json` prints.

Names, types, counts and technical identifiers; never a value of a row.
"""

from collections import Counter
from collections.abc import Iterator
from itertools import groupby

from rich.console import Console
from rich.text import Text

from smartdiet_assets.compare.row_differences import KINDS, DifferingKey, RowComparison
from smartdiet_assets.compare.running import Outcome
from smartdiet_assets.load.structure.difference import NONE, Difference

#: Notes that are no remarks on what was left out of the comparison.
_PLAIN = ("documents",)
_NOTHING = (NONE, "no such column", "no sequence", "no default")


def print_outcome(console: Console, outcome: Outcome, *, limit: int | None) -> None:
    """Print what differs, grouped by table, and a line that sums it up."""
    rows = {comparison.table: comparison for comparison in outcome.rows or ()}
    structure = outcome.structure.differences if outcome.structure else ()
    by_table = {table: list(found) for table, found in groupby(structure, key=lambda difference: difference.table)}
    names = dict.fromkeys([*(outcome.structure.tables if outcome.structure else ()), *rows])
    for name in names:
        lines = [_describe_difference(difference, outcome) for difference in by_table.get(name, ())]
        if name in rows:
            lines += _describe_rows(rows[name], outcome, limit)
        if lines:
            console.print(Text(name, "bold"), highlight=False)
        for line in lines:
            console.print(Text.assemble("  ", line), highlight=False, soft_wrap=True)
    if outcome.structure and outcome.structure.undeclared:
        number = len(outcome.structure.undeclared)
        things = "thing is" if number == 1 else "things are"
        console.print(f"{number} more {things} there that nothing declares; --undeclared lists them.", highlight=False)
    console.print(_summarise(outcome), markup=False, highlight=False)


def build_json(outcome: Outcome) -> dict[str, object]:
    """Build the object that `--json` prints."""
    built: dict[str, object] = {
        "left": outcome.left.label,
        "right": outcome.right.label,
        "equal": not outcome.differs and not outcome.faulty,
    }
    if outcome.structure is not None:
        built["tables"] = len(outcome.structure.tables)
        built["differences"] = [_build_difference(difference) for difference in outcome.structure.differences]
        built["undeclared"] = list(outcome.structure.undeclared)
    if outcome.rows is not None:
        built["rows"] = {comparison.table: _build_rows(comparison) for comparison in outcome.rows}
    return built


def _describe_difference(difference: Difference, outcome: Outcome) -> Text:
    what = " ".join(part for part in (difference.aspect, difference.name) if part)
    left, right = outcome.left.label, outcome.right.label
    if difference.right in _NOTHING and difference.left not in _NOTHING:
        return Text.assemble((f"+ {what}", "green"), f": only in {left}: {difference.left}")
    if difference.left in _NOTHING and difference.right not in _NOTHING:
        return Text.assemble((f"- {what}", "red"), f": only in {right}: {difference.right}")
    return Text.assemble((f"~ {what}", "yellow"), f": {left} {difference.left} | {right} {difference.right}")


def _describe_rows(comparison: RowComparison, outcome: Outcome, limit: int | None) -> Iterator[Text]:
    if comparison.fault:
        yield Text.assemble(("! not compared", "red"), f": {comparison.fault}")
        return
    notes = [f"{number:,} {note}" for note, number in comparison.notes.items() if note not in _PLAIN and number]
    if comparison.equal:
        if notes:
            yield Text(f"rows: equal; {', '.join(notes)}", "dim")
        return
    left, right = outcome.left.label, outcome.right.label
    counts = [
        Text(f"+ {comparison.missing:,} only in {left}" if comparison.missing else "", "green"),
        Text(f"- {comparison.extra:,} only in {right}" if comparison.extra else "", "red"),
        Text(f"~ {comparison.different:,} different" if comparison.different else "", "yellow"),
    ]
    columns = ", ".join(f"{column} {number:,}" for column, number in sorted(comparison.columns.items()))
    totals = f"{comparison.left:,} | {comparison.right:,}"
    yield Text.assemble(
        f"rows: {totals}: ", Text(", ").join(filter(None, counts)), f" (in {columns})" if columns else ""
    )
    if notes:
        yield Text(f"      {', '.join(notes)}", "dim")
    marks = {"missing": ("+", "green"), "extra": ("-", "red"), "different": ("~", "yellow")}
    for kind in KINDS:
        for key in comparison.keys:
            if key.kind == kind:
                yield Text.assemble("    ", marks[kind], f" {_format_key(key, comparison)}")
    listed = Counter(key.kind for key in comparison.keys)
    if limit is not None and any(listed[kind] == limit for kind in KINDS):
        yield Text(f"    at most {limit} of each kind are listed; --limit 0 lists all", "dim")
    elif not comparison.keys:
        yield Text("    nothing that identifies these rows may be shown", "dim")


def _format_key(key: DifferingKey, comparison: RowComparison) -> str:
    """Write a key; of a column that may not be shown only the name."""
    values = dict(key.values)
    return ", ".join(f"{column} {values.get(column) or '(not shown)'}" for column in comparison.key_columns)


def _summarise(outcome: Outcome) -> str:
    rows = outcome.rows or ()
    number = len(outcome.structure.tables) if outcome.structure else len(rows)
    text = f"{number} table{'' if number == 1 else 's'} of {outcome.left.label} and {outcome.right.label}"
    parts = []
    if outcome.structure and outcome.structure.differences:
        count = len(outcome.structure.differences)
        tables = len({difference.table for difference in outcome.structure.differences})
        parts.append(f"{count} difference{'' if count == 1 else 's'} of structure in {tables}")
    elif outcome.structure:
        parts.append("structures are equal")
    if outcome.rows is not None:
        differing = [comparison for comparison in rows if not comparison.equal]
        total = sum(c.missing + c.extra + c.different for c in differing)
        parts.append(f"{total:,} rows differ in {len(differing)}" if differing else "rows are equal")
    if faults := sum(bool(comparison.fault) for comparison in rows):
        parts.append(f"{faults} not compared")
    return f"{text}: {', '.join(parts)}."


def _build_difference(difference: Difference) -> dict[str, object]:
    return {
        "table": difference.table,
        "aspect": difference.aspect,
        "name": difference.name,
        "left": difference.left,
        "right": difference.right,
        "loses_data": any(statement.loses for statement in difference.statements),
    }


def _build_rows(comparison: RowComparison) -> dict[str, object]:
    built: dict[str, object] = {
        "left": comparison.left,
        "right": comparison.right,
        "missing": comparison.missing,
        "extra": comparison.extra,
        "different": comparison.different,
        "columns": dict(sorted(comparison.columns.items())),
        "keys": [{"kind": key.kind, **dict(key.values)} for key in comparison.keys],
        "key_columns": list(comparison.key_columns),
        "left_out": list(comparison.left_out),
        "notes": dict(comparison.notes),
    }
    if comparison.fault:
        built["fault"] = comparison.fault
    return built
