"""Whose turn it is to record runs in Dagster: one process at a time does, as runs are recorded in their order."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

_SECONDS_BETWEEN_LOOKS = 0.1


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
