"""An embedded server of programs that are on this machine: under which account, from which data, on which port.

The process ends with the thread that started it. Data is created beside its folder: a killed attempt leaves no half of
it.
"""

import os
import secrets
import shutil
import signal
import subprocess
import time
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from smartdiet_assets.demo.embedded_server import EmbeddedServer
from smartdiet_assets.demo.postgres_placement import Placement, remove_data
from smartdiet_assets.demo.server_folder import EmbeddedServerError, find_free_port, read_last_lines
from smartdiet_assets.demo.server_process import compose_environment, compose_launch, write_private

START_TIMEOUT_SECONDS = 60.0
STOP_TIMEOUT_SECONDS = 30.0
POLL_SECONDS = 0.05
_PORT_ATTEMPTS = 5


class PlacedServer(EmbeddedServer):
    """A private server whose `user` has all rights, over TCP from this machine.

    Attributes:
        title: its name.
        stop_signal: has it roll back what is open, and end.
        at_once: what ends it without that; each signal with the seconds it is given.
        port_taken: what its log says where it could not have its port.
        mark: what in its data folder tells that there is data; "" for the folder itself.
        driver_error: what its driver raises.
    """

    title: ClassVar[str]
    stop_signal: ClassVar[signal.Signals]
    at_once: ClassVar[Sequence[tuple[signal.Signals, float | None]]] = ((signal.SIGKILL, None),)
    port_taken: ClassVar[tuple[str, ...]]
    mark: ClassVar[str] = ""
    driver_error: ClassVar[type[Exception]]

    @abstractmethod
    def _place(self) -> Placement:
        """Settle account, programs and data folder."""

    @abstractmethod
    def _create(self, placement: Placement, new: Path) -> None:
        """Fill an empty folder with data; the password is known."""

    @abstractmethod
    def _compose_command(self, placement: Placement) -> list[str]:
        """Compose the command of the server."""

    @abstractmethod
    def _is_ready(self, pid: int) -> bool:
        """Whether the process says that it accepts connections."""

    @abstractmethod
    def _log_in(self) -> None:
        """Open a connection, and close it."""

    def stop(self) -> None:
        """Stop the server, rolling back what is open. Does nothing when it is not running."""
        self._end([(self.stop_signal, STOP_TIMEOUT_SECONDS), *self.at_once])

    def kill(self) -> None:
        """End the server at once, as a crash would: the next start recovers from its log."""
        self._end(self.at_once)

    def remove(self) -> None:
        """Stop the server and remove its folder with all data, also where the data is elsewhere."""
        self.kill()
        if self.directory.exists():
            remove_data(self._place())
            shutil.rmtree(self.directory)

    def _bring_up(self) -> None:
        placement = self._place()
        self.data_directory = placement.data_directory
        self._create_data(placement)
        self._launch_on_a_port(placement)

    def _create_data(self, placement: Placement) -> None:
        password_file = self.directory / "password"
        if (placement.data_directory / self.mark).exists():
            if password_file.exists():
                self.password = password_file.read_text()
                return
            if not placement.relocated:
                raise EmbeddedServerError(f"{password_file} is missing; remove {self.directory} to start anew")
            # What a folder of this path left behind when it was removed.
            remove_data(placement)
            placement = self._place()
        self.password = secrets.token_hex(16)
        write_private(password_file, self.password, None)
        new = placement.data_directory.with_name("data.new")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        if placement.account is not None:
            os.chown(new, placement.account.uid, placement.account.gid)
        self._create(placement, new)
        new.rename(placement.data_directory)

    def _install(self, placement: Placement, new: Path, command: list[str]) -> None:
        """Run the program that fills the data folder."""
        with self._log.open("wb") as log:
            code = subprocess.run(
                compose_launch(placement.account, command, self.stop_signal),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", env=compose_environment(),
                check=False, process_group=0,
            ).returncode  # fmt: skip
        if code != 0:
            raise EmbeddedServerError(f"{Path(command[0]).name} failed in {new}:\n{read_last_lines(self._log)}")

    def _launch_on_a_port(self, placement: Placement) -> None:
        """Start the process; where the free port found was taken meanwhile, on another one."""
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            self.port = self._asked_port or find_free_port()
            self._launch(placement)
            if self._await_connections():
                return
            lines = read_last_lines(self._log, 40)
            if not any(said in lines for said in self.port_taken):
                raise EmbeddedServerError(f"{self.title} did not start in {self.data_directory}:\n{lines}")
            if self._asked_port or attempt == _PORT_ATTEMPTS:
                raise EmbeddedServerError(f"port {self.port} of {self.host} is in use; choose another one")

    def _launch(self, placement: Placement) -> None:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                compose_launch(placement.account, self._compose_command(placement), self.stop_signal),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", env=compose_environment(),
                # Ctrl-C in a terminal reaches the whole group: the caller decides when the server stops.
                process_group=0,
            )  # fmt: skip

    def _await_connections(self) -> bool:
        """Wait until the server is ready and takes a connection; False where the process ended instead.

        What it says of itself is asked first: another server may answer on the port that ours failed to take.

        Raises:
            EmbeddedServerError: neither happened in time.
        """
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            pid = self.process_id
            if pid is None:
                return False
            if not self._is_ready(pid):
                time.sleep(POLL_SECONDS)
                continue
            try:
                self._log_in()
            except self.driver_error as error:
                raise EmbeddedServerError(f"{self.title} refuses its own user: {error}") from None
            return True
        raise EmbeddedServerError(
            f"{self.title} did not accept connections within {START_TIMEOUT_SECONDS:.0f} s:\n"
            f"{read_last_lines(self._log)}"
        )
