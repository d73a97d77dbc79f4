"""What a run of `smartdiet sync` came to, in a file of its own until Dagster has recorded it.

Here: writing such a file while the run goes on, and reading it meanwhile or later. Not here: recording
(`assets.recorder`). A file is JSON, a line an event, held under a lock by the sync while it lives: one that nobody
holds and that has no end is of a sync that was killed. It holds what Dagit shows and no value of a document.
"""

import errno
import fcntl
import logging
import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal, Protocol

from pydantic import Discriminator, TypeAdapter, ValidationError

from smartdiet_assets.errors import SmartdietError, TerminalError
from smartdiet_assets.mirror.failures import TableFailure
from smartdiet_assets.mirror.progress import Progress, progress_log
from smartdiet_assets.mirror.table_run import MirrorResult

#: Under DAGSTER_HOME.
FOLDER = "unrecorded"
_ENDING = ".jsonl"
#: Of what `smartdiet check` found (`checks.kept`).
CHECKS = ".checks"
#: Beside a file that could not be recorded: why.
_REASON = ".reason"
_SECONDS_BETWEEN_LOOKS = 0.1


@dataclass(frozen=True, slots=True)
class RunHead:
    """What a run is: `at` are seconds since 1970, `tables` in their order, `schema_files` what declares them."""

    run_id: str
    at: float
    tables: tuple[str, ...]
    schema_files: tuple[str, ...]
    since: str | None
    full: bool
    kind: Literal["run"] = "run"


@dataclass(frozen=True, slots=True)
class TableBegun:
    """A table's run began."""

    table: str
    at: float
    kind: Literal["begun"] = "begun"


@dataclass(frozen=True, slots=True)
class TableSaid:
    """A line of a table that is worth an event; of its progress, where it was by then."""

    table: str
    at: float
    line: str
    warning: bool = False
    documents_read: int = 0
    documents_expected: int | None = None
    kind: Literal["said"] = "said"


@dataclass(frozen=True, slots=True)
class TableEnded:
    """What a table's run came to: one of the two."""

    table: str
    at: float
    result: MirrorResult | None = None
    failure: TableFailure | None = None
    kind: Literal["ended"] = "ended"


@dataclass(frozen=True, slots=True)
class RunEnded:
    """The run is over; what has no end by now was interrupted."""

    at: float
    kind: Literal["over"] = "over"


Event = RunHead | TableBegun | TableSaid | TableEnded | RunEnded


_adapter: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Discriminator("kind")])


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

    def list_files(self) -> list["SpoolFile"]:
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
        read = getattr(record, "documents_read", 0)
        expected = getattr(record, "documents_expected", None)
        reading = getattr(record, "reading", True)
        line = self._progress[table].compose_line(time.monotonic(), read, expected, reading=reading)
        if line is not None:
            said = TableSaid(table, time.time(), line, documents_read=read, documents_expected=expected)
            self.write(said)

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
    return _adapter.dump_json(event) + b"\n"


def _write(file: int, line: bytes) -> None:
    if os.write(file, line) < len(line):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class _LineKeeper(logging.Handler):
    def __init__(self, writer: _Writer) -> None:
        super().__init__(logging.INFO)
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        self._writer.keep_line(record)


@dataclass(slots=True)
class SpoolFile:
    """What is not recorded."""

    path: Path

    @property
    def is_held(self) -> bool:
        """Whether the sync that writes it lives."""
        try:
            file = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(file)
        return False

    @property
    def age(self) -> float:
        """Seconds since it was written to; 0 where it is gone."""
        try:
            return time.time() - self.path.stat().st_mtime
        except OSError:
            return 0.0

    @property
    def reason(self) -> str:
        """Why it could not be recorded when that was tried last; "" where it was not, or the recorder was killed."""
        try:
            return self.path.with_suffix(_REASON).read_text(encoding="utf-8")
        except OSError:
            return ""

    def note_reason(self, reason: str) -> None:
        """Note why it cannot be recorded; of one that is gone, as its disk is full, nothing."""
        if not self.path.exists():
            return
        with suppress(OSError):
            self.path.with_suffix(_REASON).write_text(reason, encoding="utf-8")

    def delete(self) -> None:
        """Delete it: it is recorded."""
        self.path.unlink(missing_ok=True)
        self.path.with_suffix(_REASON).unlink(missing_ok=True)

    def refuse(self) -> SmartdietError:
        """Build the error of a file that cannot be read."""
        return UnreadableRunError(f"{self.path} cannot be read as a run of this version; delete it to give that run up")


@dataclass(slots=True)
class RunFile(SpoolFile):
    """A run that is not recorded, as it is read from its file, also while that is written.

    Attributes:
        begun, said, ended: what is known of its tables so far; what they said is taken out by whoever shows it.
        over_at: when the run was over; None where it goes on, or where nobody wrote an end.
    """

    begun: dict[str, float] = field(default_factory=dict)
    said: dict[str, list[TableSaid]] = field(default_factory=dict)
    ended: dict[str, TableEnded] = field(default_factory=dict)
    over_at: float | None = None
    _head: RunHead | None = None
    _read: int = 0

    @property
    def head(self) -> RunHead:
        """What the run is.

        Raises:
            SmartdietError: the file is not one of ours, or not of this version.
        """
        if self._head is None and not (self.read_on() or self._head):
            raise self.refuse()
        assert self._head is not None
        return self._head

    def follow(self, table: str) -> Iterator[TableSaid]:
        """Give what a table says, as it comes, until it has ended, or until the run is over without."""
        while True:
            held = self.is_held
            more = self.read_on()
            yield from self.said.pop(table, [])
            if table in self.ended or self.over_at is not None:
                return
            if not more:
                if not held:
                    return
                time.sleep(_SECONDS_BETWEEN_LOOKS)

    def read_on(self) -> bool:
        """Read what was written since; whether there was anything. What a killed sync wrote half is left out."""
        with open(self.path, "rb") as file:
            file.seek(self._read)
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.splitlines():
            try:
                event = _adapter.validate_json(line)
            except ValidationError:
                raise self.refuse() from None
            match event:
                case RunHead():
                    self._head = event
                case TableBegun():
                    self.begun[event.table] = event.at
                case TableSaid():
                    self.said.setdefault(event.table, []).append(event)
                case TableEnded():
                    self.ended[event.table] = event
                case RunEnded():
                    self.over_at = event.at
        return bool(whole)


class UnreadableRunError(TerminalError):
    """A file is not that of a run, or of a run of another version."""


@contextmanager
def take_turn(folder: Path, *, seconds: float | None = None, one_waits: bool = False) -> Iterator[bool]:
    """Record alone, for the block: runs are recorded in their order. Gives whether it is our turn.

    Args:
        seconds: how long to wait; None for as long as it takes.
        one_waits: give up where another one waits already: it will find whatever is there by now.
    """
    with ExitStack() as stack:
        try:
            waiting, recording = (_open_lock(stack, folder / name) for name in (".waiting", ".recording"))
        except OSError:
            # Nothing is there to record.
            yield False
            return
        if one_waits and not _lock(waiting, 0.0):
            yield False
            return
        ours = _lock(recording, seconds)
        fcntl.flock(waiting, fcntl.LOCK_UN)
        yield ours


def is_recording(folder: Path) -> bool:
    """Whether somebody records."""
    with take_turn(folder, seconds=0.0) as ours:
        return not ours and folder.is_dir()


def _open_lock(stack: ExitStack, path: Path) -> int:
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    stack.callback(os.close, file)
    return file


def _lock(file: int, seconds: float | None) -> bool:
    if seconds is None:
        fcntl.flock(file, fcntl.LOCK_EX)
        return True
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        else:
            return True
