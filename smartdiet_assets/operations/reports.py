"""What the command line prints: tables and progress for people. No value of a document but the id of a rejected one."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

from rich import box
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table as Grid

from smartdiet_assets.assets.mirror import progress_log
from smartdiet_assets.load.inspection import RejectedRow, TableStatus
from smartdiet_assets.operations.reconcile import ReconcileOutcome
from smartdiet_assets.operations.sync import SyncOutcome
from smartdiet_assets.schema.model import Table

_COUNTS = ("inserted", "updated", "deleted", "unchanged", "rejected")
_ADJUSTED = ("nulled", "clamped")
#: Without a terminal to fit into (a file, a pipe), lines are as long as the widest table.
_WIDTH_OF_A_FILE = 140
#: Below this width a sync's table leaves out what is nice to know.
_WIDTH_OF_ALL_COLUMNS = 108


def open_console(*, errors: bool = False) -> Console:
    """Open the console of a command: the terminal as it is, or wide lines where the output is a file."""
    console = Console(stderr=errors)
    return console if console.is_terminal else Console(stderr=errors, width=_WIDTH_OF_A_FILE)


def build_sync_grid(outcome: SyncOutcome, title: str = "", width: int = _WIDTH_OF_A_FILE) -> Grid:
    """Build the table of counts of a sync, one line per table and a total."""
    whole = width >= _WIDTH_OF_ALL_COLUMNS
    # Only where a column is declared to take invalid values is there anything to see.
    shown = (*_COUNTS, *(name for name in _ADJUSTED if any(getattr(t, name) for t in outcome.tables.values())))
    grid = Grid(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    grid.add_column("table", no_wrap=True)
    for name in ("read", *shown) if whole else shown:
        grid.add_column(name, justify="right", no_wrap=True)
    if whole:
        grid.add_column("mode")
        grid.add_column("seconds", justify="right")
    for name, table in outcome.tables.items():
        counts = [_number(getattr(table, count)) for count in shown]
        failed = bool(table.error)
        cells = [f"[red]{name}[/red]" if failed else name, *counts]
        if whole:
            cells.insert(1, _number(table.documents_read))
            cells += ["[red]failed[/red]", ""] if failed else [table.mode, f"{table.seconds:.2f}"]
        grid.add_row(*cells)
    grid.add_section()
    totals = [sum(getattr(table, count) for table in outcome.tables.values()) for count in ("documents_read", *shown)]
    if whole:
        grid.add_row("total", *map(_number, totals), "", f"{outcome.seconds:.2f}", style="bold")
    else:
        grid.add_row("total", *map(_number, totals[1:]), style="bold")
    return grid


def print_failures(console: Console, errors: Mapping[str, str]) -> None:
    """Print one paragraph per table that failed."""
    for name, error in errors.items():
        console.print(f"[red]{name}[/red]: ", end="")
        console.print(error, markup=False, highlight=False)


def build_reconcile_grid(outcome: ReconcileOutcome) -> Grid:
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
        remark = ("[red]refused[/red]" if counts.refused else "[red]failed[/red]") if table.error else table.left_out
        cells = [*map(_number, values), _number(sum(counts.cascaded.values()))]
        grid.add_row(f"[red]{name}[/red]" if table.error else name, *cells, remark)
    return grid


def build_status_grid(statuses: Iterable[TableStatus], tables: Mapping[str, Table]) -> Grid:
    """Build the table of `smartdiet status`; the tables by name tell how their changes are found."""
    grid = Grid(box=box.SIMPLE_HEAD, pad_edge=False)
    grid.add_column("table")
    for name in ("rows", "rejected"):
        grid.add_column(name, justify="right")
    grid.add_column("watermark (UTC)")
    grid.add_column("last run (UTC)")
    grid.add_column("capture")
    for status in statuses:
        grid.add_row(
            status.table,
            "-" if status.rows is None else _number(status.rows),
            _number(status.rejected) if not status.rejected else f"[yellow]{status.rejected:,}[/yellow]",
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
        grid.add_column(name, overflow="fold", no_wrap=name in ("document", "reason"))
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
        TextColumn("{task.description}"),
        TextColumn("{task.completed:,.0f} documents", justify="right"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )
    with progress, _listening(_LiveReporter(progress)):
        yield


class _LineReporter(logging.Handler):
    def __init__(self, console: Console) -> None:
        super().__init__(logging.INFO)
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        if getattr(record, "finished", False):
            self._console.print(record.getMessage(), markup=False, highlight=False)


class _LiveReporter(logging.Handler):
    def __init__(self, progress: Progress) -> None:
        super().__init__(logging.INFO)
        self._progress = progress
        self._tasks: dict[str, int] = {}

    def emit(self, record: logging.LogRecord) -> None:
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
