"""An embedded PostgreSQL: a private server process on the loopback address, its data kept in a folder.

The process ends with the thread that started it: call `start` on a thread that lives as long as the server
should (usually the main one). On Linux that holds even when this process is killed; elsewhere call `stop`.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import psycopg

from smartdiet_assets.demo.placed_server import POLL_SECONDS, STOP_TIMEOUT_SECONDS, PlacedServer
from smartdiet_assets.demo.postgres_placement import Placement, find_binaries, prepare_placement
from smartdiet_assets.demo.server_folder import EmbeddedServerError
from smartdiet_assets.demo.server_process import compose_environment, compose_launch, write_private

_FIRST_WITH_OWN_LOCALE = 17
#: Of a postmaster.pid, counted from 0.
_STATUS_LINE = 7


class EmbeddedPostgres(PlacedServer):
    """A private PostgreSQL server; its `user` is the superuser."""

    user = "postgres"
    title = "PostgreSQL"
    stop_signal = signal.SIGINT
    at_once = ((signal.SIGQUIT, 10.0), (signal.SIGKILL, None))
    port_taken = ("could not bind", "could not create any TCP/IP sockets")
    mark = "PG_VERSION"
    driver_error = psycopg.OperationalError

    def __init__(
        self,
        directory: Path,
        *,
        settings: Mapping[str, str] | None = None,
        port: int = 0,
        binaries: Path | None = None,
    ) -> None:
        """Describe a server; nothing happens before `start`.

        Args:
            directory: created when missing; a folder used before keeps its databases.
            settings: server settings by name, such as `{"fsync": "off"}`.
            port: 0 takes a free one.
            binaries: the folder of `postgres` and `initdb`; by default those of the `demo` extra, PostgreSQL 18.
        """
        super().__init__(directory, port, "postgres.log")
        self._settings = dict(settings or {})
        self._binaries = binaries

    def dsn(self, database: str = "postgres") -> str:
        """Compose the URL of a database, password included: for connecting, not for showing."""
        return f"postgresql://{self.user}:{self.password}@{self.host}:{self.port}/{database}"

    def _check_installed(self) -> None:
        self._find_binaries()

    def _find_binaries(self) -> Path:
        return self._binaries or find_binaries()

    def _place(self) -> Placement:
        return prepare_placement(self.directory, self._find_binaries())

    def _create(self, placement: Placement, new: Path) -> None:
        secret = new.with_name("data.password")
        write_private(secret, self.password, placement.account)
        command = [
            str(placement.binaries / "initdb"),
            f"--pgdata={new}", f"--username={self.user}", f"--pwfile={secret}",
            "--auth=scram-sha-256", "--encoding=UTF8", *_choose_locale(placement),
        ]  # fmt: skip
        if self._settings.get("fsync") == "off":
            command.append("--no-sync")
        try:
            self._install(placement, new, command)
        finally:
            secret.unlink()

    def _launch_on_a_port(self, placement: Placement) -> None:
        self._await_previous_server()
        super()._launch_on_a_port(placement)

    def _await_previous_server(self) -> None:
        """Wait for a server whose starter was killed to finish stopping, and remove a stale postmaster.pid.

        PostgreSQL removes one by itself unless the pid now belongs to another process, which is common where
        pids are few (containers).
        """
        pid_file = self.data_directory / "postmaster.pid"
        deadline = time.monotonic() + STOP_TIMEOUT_SECONDS
        while pid_file.exists() and sys.platform == "linux":
            pid = pid_file.read_text().partition("\n")[0].strip()
            if not _is_server_of(pid, self.data_directory):
                pid_file.unlink(missing_ok=True)
                return
            if time.monotonic() > deadline:
                raise EmbeddedServerError(f"process {pid} still serves {self.data_directory}; stop it first")
            time.sleep(POLL_SECONDS)

    def _compose_command(self, placement: Placement) -> list[str]:
        settings = {
            "listen_addresses": self.host,
            "port": str(self.port),
            "unix_socket_directories": "",
            "timezone": "UTC",
            "log_timezone": "UTC",
            **self._settings,
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [str(placement.binaries / "postgres"), "-D", str(placement.data_directory), *options]

    def _is_ready(self, pid: int) -> bool:
        try:
            lines = (self.data_directory / "postmaster.pid").read_text().split("\n")
        except OSError:
            return False
        return lines[0] == str(pid) and len(lines) > _STATUS_LINE and lines[_STATUS_LINE].strip() == "ready"

    def _log_in(self) -> None:
        psycopg.connect(self.dsn(), connect_timeout=5).close()


def _choose_locale(placement: Placement) -> list[str]:
    """Choose the options of initdb for C.UTF-8: PostgreSQL's own where it has one, as older systems lack theirs."""
    version = subprocess.run(
        compose_launch(placement.account, [str(placement.binaries / "initdb"), "--version"]),
        stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd="/", env=compose_environment(), check=False,
    ).stdout  # fmt: skip
    number = re.search(r"\d+", version)
    if number is None or int(number[0]) >= _FIRST_WITH_OWN_LOCALE:
        return ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    return ["--locale=C.UTF-8"]


def _is_server_of(pid: str, data_directory: Path) -> bool:
    """Whether a live process is a PostgreSQL server started on this data folder."""
    try:
        arguments = Path("/proc", pid, "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return arguments[0].endswith(b"postgres") and os.fsencode(data_directory) in arguments
