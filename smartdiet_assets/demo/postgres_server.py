"""An embedded PostgreSQL: a private server process on the loopback address, its data kept in a folder.

The process ends with the thread that started it: call `start` on a thread that lives as long as the server
should (usually the main one). On Linux that holds even when this process is killed; elsewhere call `stop`.
"""

import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import psycopg

from smartdiet_assets.demo.embedded_server import EmbeddedServer
from smartdiet_assets.demo.postgres_placement import (
    Placement,
    find_binaries,
    prepare_placement,
    remove_data,
)
from smartdiet_assets.demo.server_folder import (
    EmbeddedServerError,
    find_free_port,
    read_last_lines,
)
from smartdiet_assets.demo.server_process import compose_environment, compose_launch, write_private

START_TIMEOUT_SECONDS = 60.0
STOP_TIMEOUT_SECONDS = 30.0
_POLL_SECONDS = 0.05
_PORT_ATTEMPTS = 5
_FIRST_WITH_OWN_LOCALE = 17
#: Of a postmaster.pid, counted from 0.
_STATUS_LINE = 7


#: What ends the server without a shutdown of its own.
_AT_ONCE = ((signal.SIGQUIT, 10.0), (signal.SIGKILL, None))


class EmbeddedPostgres(EmbeddedServer):
    """A private PostgreSQL server; its `user` is the superuser."""

    user = "postgres"

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

    def _bring_up(self) -> None:
        placement = prepare_placement(self.directory, self._find_binaries())
        self.data_directory = placement.data_directory
        self._create_data(placement)
        self._await_previous_server()
        self._launch_on_a_port(placement)

    def stop(self) -> None:
        """Stop the server, rolling back what is open. Does nothing when it is not running."""
        self._end([(signal.SIGINT, STOP_TIMEOUT_SECONDS), *_AT_ONCE])

    def kill(self) -> None:
        """End the server at once, as a crash would: the next start recovers from the write-ahead log."""
        self._end(_AT_ONCE)

    def remove(self) -> None:
        """Stop the server and remove its folder with all data, also where the data is elsewhere."""
        self.kill()
        if self.directory.exists():
            remove_data(prepare_placement(self.directory, self._find_binaries()))
            shutil.rmtree(self.directory)

    def _create_data(self, placement: Placement) -> None:
        """Run initdb the first time, beside the data folder: a killed one then leaves no half of it."""
        password_file = self.directory / "password"
        if (placement.data_directory / "PG_VERSION").exists():
            if password_file.exists():
                self.password = password_file.read_text()
                return
            if not placement.relocated:
                raise EmbeddedServerError(f"{password_file} is missing; remove {self.directory} to start anew")
            # What a folder of this path left behind when it was removed.
            remove_data(placement)
            placement = prepare_placement(self.directory, placement.binaries)
        self.password = secrets.token_hex(16)
        write_private(password_file, self.password, None)
        new = placement.data_directory.with_name("data.new")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        if placement.account is not None:
            os.chown(new, placement.account.uid, placement.account.gid)
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
            with self._log.open("wb") as log:
                code = subprocess.run(
                    compose_launch(placement.account, command),
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", env=compose_environment(),
                    check=False, process_group=0,
                ).returncode  # fmt: skip
        finally:
            secret.unlink()
        if code != 0:
            raise EmbeddedServerError(f"initdb failed in {new}:\n{read_last_lines(self._log)}")
        new.rename(placement.data_directory)

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
            time.sleep(_POLL_SECONDS)

    def _launch_on_a_port(self, placement: Placement) -> None:
        """Start the process; where the free port found was taken meanwhile, on another one."""
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            self.port = self._asked_port or find_free_port()
            self._launch(placement)
            if self._await_connections():
                return
            lines = read_last_lines(self._log)
            if "could not bind" not in lines and "could not create any TCP/IP sockets" not in lines:
                raise EmbeddedServerError(f"PostgreSQL did not start in {self.data_directory}:\n{lines}")
            if self._asked_port or attempt == _PORT_ATTEMPTS:
                raise EmbeddedServerError(f"port {self.port} of {self.host} is in use; choose another one")

    def _launch(self, placement: Placement) -> None:
        settings = {
            "listen_addresses": self.host,
            "port": str(self.port),
            "unix_socket_directories": "",
            "timezone": "UTC",
            "log_timezone": "UTC",
            **self._settings,
        }
        command = [str(placement.binaries / "postgres"), "-D", str(placement.data_directory)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                compose_launch(placement.account, command),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", env=compose_environment(),
                # Ctrl-C in a terminal reaches the whole group: the caller decides when the server stops.
                process_group=0,
            )  # fmt: skip

    def _await_connections(self) -> bool:
        """Wait until the server is ready and takes a connection; False where the process ended instead.

        Its pid file is asked first: another server may answer on the port that ours failed to take.

        Raises:
            EmbeddedServerError: neither happened in time.
        """
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            pid = self.process_id
            if pid is None:
                return False
            if not _is_ready(self.data_directory, pid):
                time.sleep(_POLL_SECONDS)
                continue
            try:
                psycopg.connect(self.dsn(), connect_timeout=5).close()
            except psycopg.OperationalError as error:
                raise EmbeddedServerError(f"PostgreSQL refuses its own user: {error}") from None
            return True
        lines = read_last_lines(self._log)
        raise EmbeddedServerError(
            f"PostgreSQL did not accept connections within {START_TIMEOUT_SECONDS:.0f} s:\n{lines}"
        )


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


def _is_ready(data_directory: Path, pid: int) -> bool:
    """Whether the process says in its pid file that it accepts connections."""
    try:
        lines = (data_directory / "postmaster.pid").read_text().split("\n")
    except OSError:
        return False
    return lines[0] == str(pid) and len(lines) > _STATUS_LINE and lines[_STATUS_LINE].strip() == "ready"


def _is_server_of(pid: str, data_directory: Path) -> bool:
    """Whether a live process is a PostgreSQL server started on this data folder."""
    try:
        arguments = Path("/proc", pid, "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return arguments[0].endswith(b"postgres") and os.fsencode(data_directory) in arguments
