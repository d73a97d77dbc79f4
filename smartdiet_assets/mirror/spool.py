"""What a run of `smartdiet sync` came to, in a file of its own until Dagster has recorded it.

Here: the folder of such files, and writing one while the run goes on. Not here: reading one (`mirror.run_file`), and
recording (`assets.recorder`). A file is held under a lock by the sync while it lives: one that nobody holds and that
has no end is of a sync that was killed.
"""

import errno
import fcntl
import logging
import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from smartdiet_assets.mirror.failures import TableFailure
from smartdiet_assets.mirror.progress import Progress, progress_log, read_report
from smartdiet_assets.mirror.run_events import ADAPTER, Event, RunEnded, RunHead, TableBegun, TableEnded, TableSaid
from smartdiet_assets.mirror.run_file import RunFile, SpoolFile
from smartdiet_assets.mirror.table_run import MirrorResult

#: Under DAGSTER_HOME.
FOLDER = "unrecorded"
_ENDING = ".jsonl"
#: Of what `smartdiet check` found (`checks.kept`).
CHECKS = ".checks"


class RunRecord(Protocol):
    """What is told of a run while it goes on."""

    def begin(self, table: str) -> None:
        """A table begins."""

    def end(self, table: str, came_to: MirrorResult | TableFailure) -> None:
        """A table has ended."""


class Records(Protocol):
    """What keeps runs."""

    def open(self, head: RunHead) -> AbstractContextManager[RunRecord]:
        """Keep a run until the end of the block."""


class NoSpool:
    """Keeps nothing."""

    def open(self, head: RunHead) -> AbstractContextManager[RunRecord]:
        return nullcontext(self)

    def begin(self, table: str) -> None:
        """Nobody asks."""

    def end(self, table: str, came_to: MirrorResult | TableFailure) -> None:
        """Nobody asks."""


class Spool:
    """The folder of the files, made when the first is written; `fault` says why no more are, where that is so."""

    def __init__(self, home: Path) -> None:
        self.folder = home / FOLDER
        self.fault = ""
        #: Those written by this process.
        self.written: list[Path] = []

    @contextmanager
    def open(self, head: RunHead) -> Iterator[RunRecord]:
        """Keep a run in a file; where that cannot be written, the run goes on without."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            path = self.folder / f"{time.time_ns():020}-{head.run_id}{_ENDING}"
            writer = _Writer(self, path, head)
        except (OSError, ValueError) as error:
            self.note_fault(error)
            yield NoSpool()
            return
        self.written.append(path)
        with writer.listening():
            yield writer

    def keep(self, ending: str, content: bytes) -> None:
        """Keep something else that Dagster is to record after the runs of before, whole or not at all."""
        path = self.folder / f"{time.time_ns():020}-{os.getpid()}{ending}"
        hidden = path.with_suffix(".new")
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            hidden.touch(mode=0o600)
            hidden.write_bytes(content)
            hidden.rename(path)
        except OSError as error:
            self.note_fault(error)
            with suppress(OSError):
                hidden.unlink(missing_ok=True)

    def note_fault(self, error: OSError | ValueError) -> None:
        """Note why a file could not be written; a ValueError is of a path that is no text."""
        why = error.strerror if isinstance(error, OSError) else "a file that declares tables has a name that is no text"
        self.fault = f"{self.folder} cannot be written to: {why}; set DAGSTER_HOME to a folder that can be written to"

    def list_files(self) -> list[SpoolFile]:
        """List what is not recorded, in the order in which it began."""
        try:
            paths = sorted(path for path in self.folder.iterdir() if path.suffix in (_ENDING, CHECKS))
        except OSError:
            return []
        return [RunFile(path) if path.suffix == _ENDING else SpoolFile(path) for path in paths]

    def describe_kept(self) -> str:
        """Say how many runs could not be recorded, and why; "" where none is left."""
        reasons = [file.reason for file in self.list_files() if file.reason]
        if not reasons:
            return ""
        runs = "1 run is" if len(reasons) == 1 else f"{len(reasons)} runs are"
        return f"{runs} not in Dagit yet; the next sync tries again: {reasons[-1].rstrip('.')}."


class _Writer:
    """Writes the file of a run of this process."""

    def __init__(self, spool: Spool, path: Path, head: RunHead) -> None:
        self._spool, self._path = spool, path
        self._progress: dict[str, Progress] = {}
        line = _encode(head)
        # Whoever sees the name finds it held, and what the run is.
        hidden = path.with_suffix(".new")
        self._file = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX)
            _write(self._file, line)
            hidden.rename(path)
        except OSError:
            os.close(self._file)
            hidden.unlink(missing_ok=True)
            raise

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Keep what tables say meanwhile; the run is over with the block."""
        handler = _LineKeeper(self)
        progress_log.addHandler(handler)
        progress_log.setLevel(logging.INFO)
        try:
            yield
        finally:
            progress_log.removeHandler(handler)
            self.write(RunEnded(time.time()))
            os.close(self._file)

    def begin(self, table: str) -> None:
        self._progress[table] = Progress(table, time.monotonic())
        self.write(TableBegun(table, time.time()))

    def end(self, table: str, came_to: MirrorResult | TableFailure) -> None:
        if isinstance(came_to, TableFailure):
            self.write(TableEnded(table, time.time(), failure=came_to))
            return
        if came_to.capture is not None:
            # A position holds ids of documents.
            came_to = replace(came_to, capture=replace(came_to.capture, position=""))
        self.write(TableEnded(table, time.time(), result=came_to))

    def keep_line(self, record: logging.LogRecord) -> None:
        """Keep a line of a table's progress where it is worth an event."""
        table = getattr(record, "table", "")
        if table not in self._progress or getattr(record, "finished", False):
            return
        if record.levelno >= logging.WARNING:
            self.write(TableSaid(table, time.time(), record.getMessage(), warning=True))
            return
        told = read_report(record)
        line = self._progress[table].compose_line(time.monotonic(), **told)
        if line is not None:
            read, expected = told["read"], told["expected"]
            self.write(TableSaid(table, time.time(), line, documents_read=read, documents_expected=expected))

    def write(self, event: Event) -> None:
        """Write an event whole; after the first that cannot be, the run is not kept."""
        if self._spool.fault:
            return
        try:
            _write(self._file, _encode(event))
        except (OSError, ValueError) as error:
            self._spool.note_fault(error)
            with suppress(OSError):
                self._path.unlink()


def _encode(event: Event) -> bytes:
    return ADAPTER.dump_json(event) + b"\n"


def _write(file: int, line: bytes) -> None:
    if os.write(file, line) < len(line):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class _LineKeeper(logging.Handler):
    def __init__(self, writer: _Writer) -> None:
        super().__init__(logging.INFO)
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        self._writer.keep_line(record)
