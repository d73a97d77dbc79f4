"""An embedded MariaDB: a private server process on the loopback address, its data kept in a folder."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

import pymysql
from pymysql.connections import Connection

from smartdiet_assets.demo.placed_server import PlacedServer
from smartdiet_assets.demo.postgres_placement import Placement, place_data
from smartdiet_assets.demo.server_process import SERVER_FOLDERS, write_private
from smartdiet_assets.errors import ConfigurationError

HOW_TO_HAVE_IT = "apt install mariadb-server"


def find_program(*names: str, folders: Sequence[str] = SERVER_FOLDERS) -> Path | None:
    """Find a program of MariaDB under one of its names, on the path or where servers are; None where it is not."""
    search = os.pathsep.join([os.environ.get("PATH", os.defpath), *folders])
    return next((Path(found) for name in names if (found := shutil.which(name, path=search))), None)


def has_mariadb(folders: Sequence[str] = SERVER_FOLDERS) -> bool:
    """Tell whether this machine has what an embedded MariaDB needs."""
    return all(find_program(*names, folders=folders) is not None for names in (_SERVERS, _INSTALLERS))


_SERVERS = ("mariadbd", "mysqld")
_INSTALLERS = ("mariadb-install-db", "mysql_install_db")
#: In the data folder, until the first start: what makes the account.
_ACCOUNT = "account.sql"


class EmbeddedMariaDB(PlacedServer):
    """A private MariaDB server; its `user` has all rights, over TCP from this machine."""

    user = "smartdiet"
    title = "MariaDB"
    stop_signal = signal.SIGTERM
    port_taken = ("Can't start server: Bind on TCP/IP port",)
    driver_error = pymysql.Error

    def __init__(
        self,
        directory: Path,
        *,
        settings: Mapping[str, str] | None = None,
        port: int = 0,
        folders: Sequence[str] = SERVER_FOLDERS,
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

    def _place(self) -> Placement:
        return place_data(self.directory, self._find_server().parent)

    def _create(self, placement: Placement, new: Path) -> None:
        command = [
            str(find_program(*_INSTALLERS)), "--no-defaults", f"--datadir={new}",
            "--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve",
        ]  # fmt: skip
        self._install(placement, new, command)
        # The account is made by the first start: this file is read once, and is gone before the server is used.
        write_private(new / _ACCOUNT, self._compose_account(), placement.account)

    def _compose_account(self) -> str:
        """Compose the first statements: one account with a password, and none without."""
        account = f"'{self.user}'@'{self.host}'"
        return (
            f"CREATE USER {account} IDENTIFIED BY '{self.password}';\n"
            f"GRANT ALL PRIVILEGES ON *.* TO {account} WITH GRANT OPTION;\n"
            "DELETE FROM mysql.global_priv WHERE user IN ('root', '');\n"
            "FLUSH PRIVILEGES;\n"
        )

    def _compose_command(self, placement: Placement) -> list[str]:
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
            **({"init-file": str(data / _ACCOUNT)} if (data / _ACCOUNT).exists() else {}),
            **self._settings,
        }
        return [str(self._find_server()), "--no-defaults", *(f"--{name}={value}" for name, value in settings.items())]

    def _is_ready(self, pid: int) -> bool:
        return b"ready for connections" in self._log.read_bytes()

    def _log_in(self) -> None:
        self.connect(connect_timeout=5).close()
        (self.data_directory / _ACCOUNT).unlink(missing_ok=True)
