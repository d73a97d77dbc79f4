"""An embedded MariaDB: a private server process on the loopback address, its data kept in a folder.

The process ends with the thread that started it, as the embedded PostgreSQL's does.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pymysql
from pymysql.connections import Connection

from smartdiet_assets.demo.embedded_server import EmbeddedServer
from smartdiet_assets.demo.postgres_placement import Placement, place_data, remove_data
from smartdiet_assets.demo.server_folder import (
    EmbeddedServerError,
    find_free_port,
    read_last_lines,
)
from smartdiet_assets.demo.server_process import compose_environment, compose_launch, write_private
from smartdiet_assets.errors import ConfigurationError

START_TIMEOUT_SECONDS = 60.0
STOP_TIMEOUT_SECONDS = 30.0
_POLL_SECONDS = 0.05
_PORT_ATTEMPTS = 5
#: Where distributions put a server that is not on a user's path.
_SERVER_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/usr/libexec", "/opt/homebrew/bin")
HOW_TO_HAVE_IT = "apt install mariadb-server"


def find_program(*names: str, folders: Sequence[str] = _SERVER_FOLDERS) -> Path | None:
    """Find a program of MariaDB under one of its names, on the path or where servers are; None where it is not."""
    search = os.pathsep.join([os.environ.get("PATH", os.defpath), *folders])
    return next((Path(found) for name in names if (found := shutil.which(name, path=search))), None)


def has_mariadb(folders: Sequence[str] = _SERVER_FOLDERS) -> bool:
    """Tell whether this machine has what an embedded MariaDB needs."""
    return all(find_program(*names, folders=folders) is not None for names in (_SERVERS, _INSTALLERS))


_SERVERS = ("mariadbd", "mysqld")
_INSTALLERS = ("mariadb-install-db", "mysql_install_db")


class EmbeddedMariaDB(EmbeddedServer):
    """A private MariaDB server; its `user` has all rights, over TCP from this machine."""

    user = "smartdiet"

    def __init__(
        self,
        directory: Path,
        *,
        settings: Mapping[str, str] | None = None,
        port: int = 0,
        folders: Sequence[str] = _SERVER_FOLDERS,
    ) -> None:
        """Describe a server; nothing happens before `start`.

        Args:
            directory: created when missing; a folder used before keeps its databases.
            settings: server settings by name, such as `{"innodb-flush-log-at-trx-commit": "0"}`.
            port: 0 takes a free one.
            folders: where programs are looked for beside the path.
        """
        self._folders = folders
        super().__init__(directory, port, "mariadb.log")
        self._settings = dict(settings or {})

    def connect(self, database: str | None = None, **options: object) -> Connection:
        """Open a connection as the account with all rights, autocommit on."""
        settings: dict[str, object] = {"charset": "utf8mb4", "autocommit": True, **options}
        return pymysql.connect(
            host=self.host, port=self.port, user=self.user, password=self.password, database=database, **settings
        )

    def _check_installed(self) -> None:
        self._find_server()

    def _find_server(self) -> Path:
        server = find_program(*_SERVERS, folders=self._folders)
        if server is None or not has_mariadb(self._folders):
            raise ConfigurationError(f"this machine has no MariaDB; run: {HOW_TO_HAVE_IT}")
        return server

    def _bring_up(self) -> None:
        server = self._find_server()
        placement = place_data(self.directory, server.parent)
        self.data_directory = placement.data_directory
        self._create_data(placement)
        self._launch_on_a_port(server, placement)

    def stop(self) -> None:
        """Stop the server, rolling back what is open. Does nothing when it is not running."""
        self._end([(signal.SIGTERM, STOP_TIMEOUT_SECONDS), (signal.SIGKILL, None)])

    def kill(self) -> None:
        """End the server at once, as a crash would: the next start recovers from its log."""
        self._end([(signal.SIGKILL, None)])

    def remove(self) -> None:
        """Stop the server and remove its folder with all data, also where the data is elsewhere."""
        self.kill()
        if self.directory.exists():
            remove_data(place_data(self.directory, Path()))
            shutil.rmtree(self.directory)

    def _create_data(self, placement: Placement) -> None:
        """Create the data the first time, beside its folder: a killed attempt then leaves no half of it."""
        password_file = self.directory / "password"
        if placement.data_directory.exists():
            if password_file.exists():
                self.password = password_file.read_text()
                return
            if not placement.relocated:
                raise EmbeddedServerError(f"{password_file} is missing; remove {self.directory} to start anew")
            remove_data(placement)
            placement = place_data(self.directory, placement.binaries)
        self.password = secrets.token_hex(16)
        write_private(password_file, self.password, None)
        new = placement.data_directory.with_name("data.new")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        if placement.account is not None:
            os.chown(new, placement.account.uid, placement.account.gid)
        # The account is made by the first start: this file is read once, and is gone before the server is used.
        installer = find_program(*_INSTALLERS)
        command = [
            str(installer), "--no-defaults", f"--datadir={new}", "--auth-root-authentication-method=normal",
            "--skip-test-db", "--skip-name-resolve",
        ]  # fmt: skip
        with self._log.open("wb") as log:
            code = subprocess.run(
                compose_launch(placement.account, command, signal.SIGTERM),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", env=_compose_environment(),
                check=False, process_group=0,
            ).returncode  # fmt: skip
        if code != 0:
            raise EmbeddedServerError(f"{installer} failed in {new}:\n{read_last_lines(self._log)}")
        write_private(new / "account.sql", self._compose_account(), placement.account)
        new.rename(placement.data_directory)

    def _compose_account(self) -> str:
        """Compose the first statements: one account with a password, and none without."""
        account = f"'{self.user}'@'{self.host}'"
        return (
            f"CREATE USER {account} IDENTIFIED BY '{self.password}';\n"
            f"GRANT ALL PRIVILEGES ON *.* TO {account} WITH GRANT OPTION;\n"
            "DELETE FROM mysql.global_priv WHERE user IN ('root', '');\n"
            "FLUSH PRIVILEGES;\n"
        )

    def _launch_on_a_port(self, server: Path, placement: Placement) -> None:
        """Start the process; where the free port found was taken meanwhile, on another one."""
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            self.port = self._asked_port or find_free_port()
            self._launch(server, placement)
            if self._await_connections():
                (placement.data_directory / "account.sql").unlink(missing_ok=True)
                return
            lines = read_last_lines(self._log, 40)
            if "Can't start server: Bind on TCP/IP port" not in lines:
                raise EmbeddedServerError(f"MariaDB did not start in {self.data_directory}:\n{lines}")
            if self._asked_port or attempt == _PORT_ATTEMPTS:
                raise EmbeddedServerError(f"port {self.port} of {self.host} is in use; choose another one")

    def _launch(self, server: Path, placement: Placement) -> None:
        data = placement.data_directory
        settings = {
            "datadir": str(data),
            "bind-address": self.host,
            "port": str(self.port),
            # A path of its own, short enough for a socket; nobody is told of it.
            "socket": str(data / "s"),
            "pid-file": str(data / "mariadb.pid"),
            "skip-name-resolve": "ON",
            "default-time-zone": "+00:00",
            "character-set-server": "utf8mb4",
            "innodb-buffer-pool-size": "64M",
            "log-warnings": "1",
            **({"init-file": str(data / "account.sql")} if (data / "account.sql").exists() else {}),
            **self._settings,
        }
        command = [str(server), "--no-defaults", *(f"--{name}={value}" for name, value in settings.items())]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                compose_launch(placement.account, command, signal.SIGTERM),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", env=_compose_environment(),
                # Ctrl-C in a terminal reaches the whole group: the caller decides when the server stops.
                process_group=0,
            )  # fmt: skip

    def _await_connections(self) -> bool:
        """Wait until the server is ready and takes our account; False where the process ended instead.

        Its log is asked first: another server may answer on the port that ours failed to take.

        Raises:
            EmbeddedServerError: neither happened in time.
        """
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            if self.process_id is None:
                return False
            if b"ready for connections" not in self._log.read_bytes():
                time.sleep(_POLL_SECONDS)
                continue
            try:
                self.connect(connect_timeout=5).close()
            except pymysql.Error as error:
                raise EmbeddedServerError(f"MariaDB refuses its own user: {error}") from None
            return True
        lines = read_last_lines(self._log)
        raise EmbeddedServerError(f"MariaDB did not accept connections within {START_TIMEOUT_SECONDS:.0f} s:\n{lines}")


def _compose_environment() -> dict[str, str]:
    # The installer is a shell script that looks for programs.
    return {**compose_environment(), "PATH": os.pathsep.join([os.defpath, *_SERVER_FOLDERS])}
