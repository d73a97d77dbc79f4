"""A refresh for people: its plan, target first, and what it did. Names and counts; no user, password or value."""

from collections.abc import Iterable

from rich import box
from rich.console import Console
from rich.table import Table as Grid

from smartdiet_assets.cli.reports import print_grid
from smartdiet_assets.refresh.description import describe_plan
from smartdiet_assets.refresh.plan import RefreshOutcome, RefreshPlan


def print_plan(console: Console, plan: RefreshPlan) -> None:
    """Print a plan: the target, the source, and a line for each collection or table."""
    for line in describe_plan(plan):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    grid = _open_grid(plan.item, ("in target", "in source"))
    grid.add_column("")
    for item in plan.items:
        action = f"{item.action}: {item.note}" if item.note else item.action
        style = {"remove": "red", "keep": "dim", "leave out": "yellow"}.get(item.action)
        grid.add_row(item.name, _number(item.target_count), _number(item.source_count), action, style=style)
    print_grid(console, grid)


def print_outcome(console: Console, outcome: RefreshOutcome) -> None:
    """Print what a refresh did: a line for each collection or table, a total, and what to know."""
    if outcome.dry_run:
        console.print("Dry run: nothing was written.")
        return
    grid = _open_grid(outcome.plan.item, (outcome.plan.record, "MB", "indexes", "seconds"))
    grid.add_column("")
    for item in outcome.items:
        remark = f"{item.action}: {item.note}" if item.note else item.action
        cells = (f"{item.count:,}", f"{item.size / 1e6:,.1f}", f"{item.indexes}", f"{item.seconds:.2f}")
        grid.add_row(item.name, *cells, remark)
    grid.add_section()
    size, count = sum(item.size for item in outcome.items), sum(item.count for item in outcome.items)
    indexes = sum(item.indexes for item in outcome.items)
    grid.add_row("total", f"{count:,}", f"{size / 1e6:,.1f}", f"{indexes}", f"{outcome.seconds:.2f}", "", style="bold")
    print_grid(console, grid)
    for note in outcome.notes:
        console.print(note, markup=False, highlight=False, soft_wrap=True)


def _open_grid(first: str, counts: Iterable[str]) -> Grid:
    grid = Grid(box=box.SIMPLE_HEAD, pad_edge=False)
    grid.add_column(first)
    for name in counts:
        grid.add_column(name, justify="right", no_wrap=True)
    return grid


def _number(count: int | None) -> str:
    return "-" if count is None else f"{count:,}"
