"""Debian's PgBouncer in front of the tests' PostgreSQL. Here: starting and ending it. Not here: any test."""

import os
import shutil
import socket
import subprocess
from pathlib import Path
from tempfile import mkdtemp

from smartdiet_assets.demo.postgres_server import EmbeddedPostgres
from smartdiet_assets.demo.server_folder import find_free_port
from smartdiet_assets.errors import ConfigurationError
from smartdiet_assets_tests.support.ssh_servers import wait_until


class PgBouncer:
    """A pooler with few sessions for each database and user; log in with the server's user and password."""

    def __init__(self, server: EmbeddedPostgres, pool_mode: str, pool_size: int = 3) -> None:
        self.host = server.host
        self.port = 0
        self._server = server
        self._settings = {"pool_mode": pool_mode, "default_pool_size": str(pool_size)}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
        if program is None:
            raise ConfigurationError("pgbouncer is not installed; run: apt-get install pgbouncer")
        self.port = find_free_port()
        # Root is refused, and whom it becomes has to get there.
        self._folder = Path(mkdtemp(prefix="smartdiet-pgbouncer-"))
        server = self._server
        (self._folder / "users.txt").write_text(f'"{server.user}" "{server.password}"\n')
        settings = {
            "listen_addr": self.host, "listen_port": str(self.port), "unix_socket_dir": "", "auth_type": "plain",
            "auth_file": str(self._folder / "users.txt"), "logfile": str(self._folder / "log"), **self._settings,
        }  # fmt: skip
        config = self._folder / "pgbouncer.ini"
        lines = ["[databases]", f"* = host={server.host} port={server.port}", "[pgbouncer]"]
        config.write_text("\n".join([*lines, *(f"{name} = {value}" for name, value in settings.items())]) + "\n")
        command = [program, "-q", str(config)]
        if os.geteuid() == 0:
            for path in (self._folder, *self._folder.iterdir()):
                shutil.chown(path, "nobody")
            command[1:1] = ["-u", "nobody"]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        wait_until(self._answers, "PgBouncer listens")

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            shutil.rmtree(self._folder, ignore_errors=True)

    def _answers(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise ConfigurationError("PgBouncer does not start")
        with socket.socket() as attempt:
            return attempt.connect_ex((self.host, self.port)) == 0
