"""The life of an embedded server, the same for each: a folder held by one process, a start that leaves nothing behind
when it fails, and an end when the block, or this process, ends.
"""

import atexit
import contextlib
import shutil
import signal
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from smartdiet_assets.demo.server_folder import HOST, EmbeddedServerError, FolderLock, open_folder


class EmbeddedServer(ABC):
    """A private server; as a context manager it runs inside the block.

    Attributes:
        directory: the folder that is kept: log, lock, the password where there is one, and the data unless its account
            cannot reach it there.
        data_directory: where the data is (known once started); as root it may be under /var/tmp.
        port: the TCP port on `host`; 0 until started unless one was asked for.
        user: who may do everything; "" where nobody has to log in.
        password: the user's; kept in a file only the owner can read.
    """

    host = HOST
    user = ""

    def __init__(self, directory: Path, port: int, log_name: str) -> None:
        self.directory = directory.resolve()
        self.data_directory = self.directory / "data"
        self.port = port
        self.password = ""
        self._asked_port = port
        self._lock: FolderLock | None = None
        self._process: subprocess.Popen[Any] | None = None
        self._log = self.directory / log_name

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.directory)!r}, port={self.port})"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def process_id(self) -> int | None:
        """The server's process id while it runs, else None."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(self) -> None:
        """Start the server and wait until it accepts connections; creates its data the first time.

        Raises:
            ConfigurationError: what it needs is not installed; the message says how to have it.
            EmbeddedServerError: the folder or the port is in use, or the server does not come up.
        """
        self._check_installed()
        if self.process_id is not None:
            raise EmbeddedServerError(f"a server already runs on {self.directory}; stop it or choose another folder")
        self._abandon()
        self._lock = open_folder(self.directory)
        try:
            self._bring_up()
        except BaseException:
            self.kill()
            raise
        atexit.register(self.stop)

    @abstractmethod
    def stop(self) -> None:
        """Stop the server; everything written is kept. Does nothing when it is not running."""

    @abstractmethod
    def kill(self) -> None:
        """End the server at once, as a crash would: the next start recovers."""

    def remove(self) -> None:
        """Stop the server and remove its folder with all data."""
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    @abstractmethod
    def _check_installed(self) -> None:
        """Raise ConfigurationError where the server is not installed."""

    @abstractmethod
    def _bring_up(self) -> None:
        """Create the data where there is none, start the process, and wait until it accepts connections."""

    def _end(self, steps: Sequence[tuple[signal.Signals, float | None]]) -> None:
        """Send signals until the process has ended, each with the seconds it is given (None: as long as it takes)."""
        process = self._process
        if process is not None and process.poll() is None:
            for step, timeout in steps:
                # Between poll and here it may end by itself; Popen then sends nothing.
                process.send_signal(step)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout)
                    break
        self._abandon()

    def _abandon(self) -> None:
        """Forget a process that has ended, and let others use the folder."""
        if self._process is not None:
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()
            self._process = None
        atexit.unregister(self.stop)
        if self._lock is not None:
            self._lock.release()
            self._lock = None
