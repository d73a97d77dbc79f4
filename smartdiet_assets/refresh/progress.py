"""Showing a refresh while it runs: live on a terminal, plain lines in a file, some lines in Dagster's log.

Names and counts only.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.progress import Progress as LiveDisplay

#: Between two plain lines about one item.
_SECONDS_BETWEEN_LINES = 10.0


class Progress(Protocol):
    """What a refresh tells while it runs; may be called from one thread only."""

    def begin(self, name: str, total: int | None) -> None:
        """An item's copy begins; `total` is the records expected, None where unknown."""

    def advance(self, name: str, count: int, size: int) -> None:
        """So many further records, of so many bytes, are written."""

    def finish(self, name: str, note: str = "") -> None:
        """An item's copy is ready to be swapped in."""

    def say(self, sentence: str) -> None:
        """Something that concerns no single item, such as the step that begins."""


@dataclass(slots=True)
class _Running:
    total: int | None
    began: float
    told: float
    count: int = 0
    size: int = 0


class LineProgress:
    """Progress as lines: one for each finished item, and one in ten seconds for an item that takes longer."""

    def __init__(self, write: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._write = write
        self._clock = clock
        self._items: dict[str, _Running] = {}

    def begin(self, name: str, total: int | None) -> None:
        now = self._clock()
        self._items[name] = _Running(total, now, now)

    def advance(self, name: str, count: int, size: int) -> None:
        item = self._items[name]
        item.count += count
        item.size += size
        now = self._clock()
        if now - item.told >= _SECONDS_BETWEEN_LINES:
            item.told = now
            of_total = f" of {item.total:,}" if item.total else ""
            self._write(f"{name}: {item.count:,}{of_total}, {_megabytes(item.size)}")

    def finish(self, name: str, note: str = "") -> None:
        item = self._items.pop(name)
        seconds = self._clock() - item.began
        self._write(
            f"{name}: {item.count:,} copied, {_megabytes(item.size)}, {seconds:.1f} s{'; ' + note if note else ''}"
        )

    def say(self, sentence: str) -> None:
        self._write(sentence)


class LiveProgress:
    """Progress as bars on a terminal, one for each item."""

    def __init__(self, display: LiveDisplay) -> None:
        self._display = display
        self._tasks: dict[str, TaskID] = {}
        self._sizes: dict[str, int] = {}

    def begin(self, name: str, total: int | None) -> None:
        self._tasks[name] = self._display.add_task(name, total=total, size="")
        self._sizes[name] = 0

    def advance(self, name: str, count: int, size: int) -> None:
        self._sizes[name] += size
        self._display.update(self._tasks[name], advance=count, size=_megabytes(self._sizes[name]))

    def finish(self, name: str, note: str = "") -> None:
        task = self._tasks[name]
        # The total was an estimate.
        count = self._display.tasks[self._display.task_ids.index(task)].completed
        self._display.update(task, total=count, completed=count)

    def say(self, sentence: str) -> None:
        self._display.console.print(sentence, markup=False, highlight=False)


@contextmanager
def show_refresh(console: Console) -> Iterator[Progress]:
    """Show the progress of a refresh on a console: live where it is a terminal, as lines elsewhere."""
    if not console.is_terminal:
        yield LineProgress(lambda line: console.print(line, markup=False, highlight=False))
        return
    display = LiveDisplay(
        SpinnerColumn(finished_text="[green]✓[/green]"),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TextColumn("{task.fields[size]}", justify="right"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )
    with display:
        yield LiveProgress(display)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
