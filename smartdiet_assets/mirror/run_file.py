"""Reading the file of a run that is not recorded in Dagster, also while `smartdiet sync` writes it (`mirror.spool`)."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from smartdiet_assets.errors import SmartdietError, TerminalError
from smartdiet_assets.mirror.run_events import ADAPTER, RunEnded, RunHead, TableBegun, TableEnded, TableSaid

#: Beside a file that could not be recorded: why.
_REASON = ".reason"
_SECONDS_BETWEEN_LOOKS = 0.1


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
                event = ADAPTER.validate_json(line)
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
