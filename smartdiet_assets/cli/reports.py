"""What the command line prints: tables and progress for people. No value of a document but the id of a rejected one."""

import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table as Grid
from rich.text import Text

from smartdiet_assets.load.records.inspection import RejectedRow, TableStatus
from smartdiet_assets.mirror.progress import progress_log
from smartdiet_assets.schema.model import Table

if TYPE_CHECKING:
    # What they lean on, `smartdiet status` does without.
    from smartdiet_assets.cli.reconcile_run import ReconcileOutcome
    from smartdiet_assets.mirror.outcome import SyncOutcome

_COUNTS = ("inserted", "updated", "deleted", "unchanged", "rejected")
_ADJUSTED = ("collapsed", "nulled", "clamped")
#: Of sentences, without a terminal to fit into (a file, a pipe); a table is as wide there as it has to be.
_WIDTH_OF_A_FILE = 140
#: Of work that has no line of its own to show.
_SECONDS_BETWEEN_LINES = 10.0
#: No table is as wide.
_UNLIMITED = 100_000


def open_console(*, errors: bool = False) -> Console:
    """Open the console of a command: the terminal as it is, or wide lines where the output is a file.

    Texts are printed as they are: `[red]` or `:x:` in a name is no markup. What has a style is a `Text`. Where COLUMNS
    says how wide the output is, a file is as wide too.
    """
    console = Console(stderr=errors, markup=False, emoji=False)
    if not (console.is_terminal or os.environ.get("COLUMNS", "").isdigit()):
        console.width = _WIDTH_OF_A_FILE
    return console


def print_grid(console: Console, grid: Grid) -> None:
    """Print a table whole: where it is wider than the output, as a list, a paragraph a line, that leaves nothing out.

    The text of a cell is printed as it is, whatever marks it holds; what is to have a style is a `Text`.
    """
    needed = Measurement.get(console, console.options.update(width=_UNLIMITED, markup=False), grid).maximum
    if needed <= console.width:
        console.print(grid, markup=False)
    elif console.is_terminal or os.environ.get("COLUMNS", "").isdigit():
        _print_list(console, grid)
    else:
        Console(file=console.file, width=needed, markup=False, emoji=False).print(grid)


def _print_list(console: Console, grid: Grid) -> None:
    if grid.title:
        console.print(Text(str(grid.title)), soft_wrap=True, highlight=False)
    heads = [" ".join(str(column.header).split()) for column in grid.columns]
    for cells in zip(*(column.cells for column in grid.columns), strict=True):
        first, *others = (cell if isinstance(cell, Text) else Text(str(cell)) for cell in cells)
        console.print(first, style="bold", soft_wrap=True, highlight=False)
        line = Text()
        for head, cell in zip(heads[1:], others, strict=True):
            if not cell.plain:
                continue
            part = Text.assemble((f"{head} " if head else "", "dim"), cell)
            if line and len(line) + len(part) + 4 > console.width:
                console.print(Text.assemble("  ", line), soft_wrap=True, highlight=False)
                line = Text()
            line = Text.assemble(line, "  ", part) if line else part
        # What is wider than the output by itself is for the terminal to break: a script finds it as it is.
        console.print(Text.assemble("  ", line), soft_wrap=True, highlight=False)


def build_sync_grid(outcome: "SyncOutcome", title: str = "") -> Grid:
    """Build the table of counts of a sync, one line per table and a total."""
    # Most tables have no items that share a key, and no column that takes invalid values.
    shown = (*_COUNTS, *(name for name in _ADJUSTED if any(getattr(t, name) for t in outcome.tables.values())))
    grid = Grid(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    grid.add_column("table", no_wrap=True)
    for name in ("read", *shown):
        grid.add_column(name, justify="right", no_wrap=True)
    grid.add_column("mode", no_wrap=True)
    grid.add_column("seconds", justify="right", no_wrap=True)
    counted = ("documents_read", *shown)
    for name, table in outcome.tables.items():
        failed = bool(table.error)
        end = (Text("failed", "red"), "") if failed else (table.mode, f"{table.seconds:.2f}")
        counts = [_number(getattr(table, count)) for count in counted]
        grid.add_row(Text(name, "red" if failed else ""), *counts, *end)
    grid.add_section()
    totals = [sum(getattr(table, count) for table in outcome.tables.values()) for count in counted]
    grid.add_row("total", *map(_number, totals), "", f"{outcome.seconds:.2f}", style="bold")
    return grid


def print_failures(console: Console, errors: Mapping[str, str]) -> None:
    """Print one paragraph per table that failed."""
    for name, error in errors.items():
        console.print(Text.assemble((name, "red"), ": "), end="", highlight=False)
        console.print(error, markup=False, highlight=False)


def print_behind(console: Console, behind: Mapping[str, str]) -> None:
    """Print a line per table whose change stream was not read up to the moment the run began."""
    for name, instant in behind.items():
        console.print(Text.assemble((name, "yellow"), ": "), end="", highlight=False)
        console.print(
            f"its change stream was read up to {instant} only, as the server showed no more; the next run goes on from"
            " there.",
            markup=False,
            highlight=False,
        )


def build_reconcile_grid(outcome: "ReconcileOutcome") -> Grid:
    """Build the table of counts of a reconcile pass, one line per table."""
    title = "Dry run: nothing was changed" if outcome.dry_run else None
    grid = Grid(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    grid.add_column("table", no_wrap=True)
    for name in ("documents", "rows", "gone", "removed", "flagged", "restored", "cascaded"):
        grid.add_column(name, justify="right", no_wrap=True)
    grid.add_column("")
    for name, table in outcome.tables.items():
        counts = table.counts
        if table.left_out and not outcome.dry_run:
            grid.add_row(name, *[""] * 7, f"left out: {table.left_out}", style="dim")
            continue
        values = (counts.documents, counts.rows, counts.gone, counts.removed, counts.flagged, counts.restored)
        remark = Text("refused" if counts.refused else "failed", "red") if table.error else Text(table.left_out)
        cells = [*map(_number, values), _number(sum(counts.cascaded.values()))]
        grid.add_row(Text(name, "red" if table.error else ""), *cells, remark)
    return grid


def build_status_grid(statuses: Iterable[TableStatus], tables: Mapping[str, Table]) -> Grid:
    """Build the table of `smartdiet status`; the tables by name tell how their changes are found."""
    grid = Grid(box=box.SIMPLE_HEAD, pad_edge=False)
    grid.add_column("table", no_wrap=True)
    for name in ("rows", "rejected"):
        grid.add_column(name, justify="right", no_wrap=True)
    for name in ("watermark (UTC)", "last run (UTC)", "capture"):
        grid.add_column(name, no_wrap=True)
    for status in statuses:
        grid.add_row(
            status.table,
            "-" if status.rows is None else _number(status.rows),
            Text(_number(status.rejected), "yellow" if status.rejected else ""),
            _instant(status.watermark),
            _instant(status.last_run),
            _describe_capture(tables[status.table]),
        )
    return grid


def _describe_capture(table: Table) -> str:
    """Say how a table's changes are found, in the words of the schema file."""
    if table.capture == "change_stream":
        return "change_stream"
    return {"dates": "dates", "key": "key", "none": "read whole"}[table.incremental]


def build_rejects_grid(rejects: Sequence[RejectedRow]) -> Grid:
    """Build the table of `smartdiet rejects`."""
    grid = Grid(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("table", "document", "column", "reason", "expected", "received"):
        # A script looks for these as they are.
        grid.add_column(name, no_wrap=True)
    for name in ("items", "attempts"):
        grid.add_column(name, justify="right")
    grid.add_column("first seen (UTC)")
    for reject in rejects:
        grid.add_row(
            reject.table_name,
            reject.document_id,
            reject.column_name,
            reject.reason,
            reject.expected,
            reject.received,
            _number(reject.items),
            _number(reject.attempts),
            _instant(reject.first_seen),
        )
    return grid


@contextmanager
def show_progress(console: Console) -> Iterator[None]:
    """Show the progress of every table while a sync runs: live on a terminal, a line per finished table elsewhere."""
    if not console.is_terminal:
        with _listening(_LineReporter(console)):
            yield
        return
    progress = Progress(
        SpinnerColumn(finished_text="[green]✓[/green]"),
        TextColumn("{task.description}", markup=False),
        TextColumn("{task.completed:,.0f} documents", justify="right"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )
    with progress, _listening(_LiveReporter(progress)):
        yield


@contextmanager
def show_collections(console: Console) -> Iterator[Callable[[str, int, int], None]]:
    """Show which collection is looked at, the how-manieth of how many: live on a terminal, else every ten seconds."""
    with console.status("") if console.is_terminal else nullcontext() as status:
        said = time.monotonic()

        def report(collection: str, number: int, of: int) -> None:
            nonlocal said
            line = Text(f"{collection} ({number} of {of} collections)")
            if status is not None:
                status.update(line)
            elif time.monotonic() - said >= _SECONDS_BETWEEN_LINES:
                console.print(line, soft_wrap=True)
                said = time.monotonic()

        yield report


class _LineReporter(logging.Handler):
    def __init__(self, console: Console) -> None:
        super().__init__(logging.INFO)
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        if getattr(record, "finished", False) or record.levelno >= logging.WARNING:
            self._console.print(record.getMessage(), markup=False, highlight=False)


class _LiveReporter(logging.Handler):
    def __init__(self, progress: Progress) -> None:
        super().__init__(logging.INFO)
        self._progress = progress
        self._tasks: dict[str, int] = {}

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.WARNING:
            self._progress.console.print(record.getMessage(), markup=False, highlight=False)
            return
        table: str = getattr(record, "table", "")
        if table not in self._tasks:
            self._tasks[table] = self._progress.add_task(table, total=None)
        count: int = getattr(record, "documents_read", 0)
        finished: bool = getattr(record, "finished", False)
        self._progress.update(
            self._progress.task_ids[self._tasks[table]], completed=count, total=count if finished else None
        )


@contextmanager
def _listening(handler: logging.Handler) -> Iterator[None]:
    level, propagate = progress_log.level, progress_log.propagate
    progress_log.setLevel(logging.INFO)
    progress_log.propagate = False
    progress_log.addHandler(handler)
    try:
        yield
    finally:
        progress_log.removeHandler(handler)
        progress_log.setLevel(level)
        progress_log.propagate = propagate


def _number(value: int) -> str:
    return f"{value:,}"


def _instant(value: datetime | None) -> str:
    if value is None:
        return "-"
    # What PostgreSQL gives with a zone is shown like the rest, in UTC.
    naive = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
    return naive.isoformat(sep=" ", timespec="seconds")
