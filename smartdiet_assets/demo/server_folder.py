"""What both embedded servers need: a folder with one holder at a time, the end of a log, a free port."""

import contextlib
import fcntl
import os
import secrets
import socket
import time
from pathlib import Path

from smartdiet_assets.errors import TerminalError

HOST = "127.0.0.1"
_POLL_SECONDS = 0.05
#: Below those that Linux gives to connections (net.ipv4.ip_local_port_range).
_FIRST_PORT, _PORTS = 20_000, 12_000


class EmbeddedServerError(TerminalError):
    """An embedded server cannot start; the message has the last lines of its log where it wrote any."""


class FolderLock:
    """A lock file that the operating system releases when its holder ends, however it ends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def acquire(self, timeout: float = 0.0) -> bool:
        """Take the lock, waiting up to `timeout` seconds; returns whether it is held."""
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + timeout
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    os.close(descriptor)
                    return False
                time.sleep(_POLL_SECONDS)
            else:
                self._descriptor = descriptor
                return True

    def release(self) -> None:
        """Give the lock back; does nothing when it is not held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def open_folder(directory: Path) -> FolderLock:
    """Create a server's folder and hold it for this process.

    Raises:
        EmbeddedServerError: the folder cannot be written, or a server already runs on it.
    """
    lock = FolderLock(directory / "lock")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        held = lock.acquire()
    except OSError as error:
        raise EmbeddedServerError(f"cannot use the folder {directory}: {error.strerror}") from None
    if not held:
        raise EmbeddedServerError(f"a server already runs on {directory}; stop it or choose another folder")
    return lock


def find_free_port() -> int:
    """Find a TCP port of the loopback address that is free now; another process may still take it first.

    None of those that systems give to connections, of which any may be taken at any moment: where a server is started
    again, or a little later, its port is still free.
    """
    while True:
        port = _FIRST_PORT + secrets.randbelow(_PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((HOST, port))
            return port


def read_last_lines(path: Path, count: int = 12) -> str:
    """Read the end of a log, "" when there is none."""
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-count:])
    except OSError:
        return ""
