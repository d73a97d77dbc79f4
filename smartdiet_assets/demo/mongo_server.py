"""An embedded MongoDB: SecantusDB in a child process on the loopback address, its data kept in a folder.

Only the child imports the server.

The child ends when its standard input does, so it never outlives the process that started it.
"""

import contextlib
import json
import os
import secrets
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TextIO

from smartdiet_assets.demo.embedded_server import EmbeddedServer
from smartdiet_assets.demo.mongo_indexes import follow_more_indexes
from smartdiet_assets.demo.server_folder import (
    HOST,
    EmbeddedServerError,
    FolderLock,
    read_last_lines,
)
from smartdiet_assets.demo.server_process import write_private
from smartdiet_assets.errors import ConfigurationError
from smartdiet_assets.schema.documents import Document

START_TIMEOUT_SECONDS = 60.0
STOP_TIMEOUT_SECONDS = 30.0
_MISSING = "the embedded MongoDB is not installed; run: pip install 'smartdiet_assets[demo]'"


class EmbeddedMongo(EmbeddedServer):
    """A private MongoDB server: its `user` is "" unless clients must log in."""

    def __init__(
        self,
        directory: Path,
        *,
        port: int = 0,
        require_auth: bool = False,
        options: Mapping[str, object] | None = None,
    ) -> None:
        """Describe a server; nothing happens before `start`.

        Args:
            directory: created when missing; a folder used before keeps its databases.
            port: 0 takes a free one.
            require_auth: whether clients must log in; `user` may then do everything.
            options: further parameters of `SecantusDBServer`, such as `{"oplog_max_entries": 1000}`.
        """
        super().__init__(directory, port, "mongo.log")
        self.user = "smartdiet" if require_auth else ""
        self._options = dict(options or {})

    @property
    def uri(self) -> str:
        """The server's URL, password included: for connecting, not for showing."""
        # It says it is a replica set of an address that only it knows; a direct connection does not ask.
        if self.user:
            login = f"{self.user}:{self.password}@"
            return f"mongodb://{login}{self.host}:{self.port}/?directConnection=true&authSource=admin"
        return f"mongodb://{self.host}:{self.port}/?directConnection=true"

    def _check_installed(self) -> None:
        if find_spec("secantus") is None:
            raise ConfigurationError(_MISSING)

    def _bring_up(self) -> None:
        if self.user:
            self.password = _keep_password(self.directory / "password")
        self._launch()
        self.port = self._await_port()

    def stop(self) -> None:
        """Stop the server; everything written is kept. Does nothing when it is not running."""
        process = self._process
        if process is not None and process.poll() is None:
            with contextlib.suppress(OSError):
                if process.stdin is not None:
                    process.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_TIMEOUT_SECONDS)
        self.kill()

    def kill(self) -> None:
        """End the server at once, as a crash would: the next start recovers from its journal.

        Writes of the last fraction of a second may be lost, as in MongoDB, unless made with `journal=True`.
        """
        self._end([(signal.SIGKILL, None)])

    def _launch(self) -> None:
        package_root = str(Path(__file__).parents[2])
        path = os.pathsep.join(part for part in (package_root, os.environ.get("PYTHONPATH")) if part)
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "smartdiet_assets.demo.mongo_server"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
                env={**os.environ, "PYTHONPATH": path},
                # Ctrl-C in a terminal reaches the whole group: the caller decides when the server stops.
                process_group=0,
            )  # fmt: skip
        assert self._process.stdin is not None
        request = {
            "directory": str(self.directory), "port": self._asked_port, "user": self.user,
            "password": self.password, "options": self._options,
        }  # fmt: skip
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()

    def _await_port(self) -> int:
        assert self._process is not None
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], START_TIMEOUT_SECONDS)
        line = self._process.stdout.readline() if ready else ""
        answer: Document = json.loads(line) if line else {}
        if "port" in answer:
            return int(answer["port"])
        if answer.get("port_in_use"):
            raise EmbeddedServerError(f"port {self._asked_port} of {self.host} is in use; choose another one")
        reason = answer.get("error") or read_last_lines(self._log) or "no answer in time"
        raise EmbeddedServerError(f"MongoDB did not start in {self.directory}:\n{reason}")


def _keep_password(path: Path) -> str:
    """Read the password of a folder used before, or make one that only the owner can read."""
    if path.exists():
        return path.read_text()
    password = secrets.token_hex(16)
    write_private(path, password, None)
    return password


def serve(requests: TextIO, answers: TextIO) -> None:
    """Run a server until `requests` ends: its first line asks for it, `answers` says where it is."""
    request = json.loads(requests.readline())
    directory = Path(request["directory"])
    # A server whose starter was killed may still be closing the files.
    lock = FolderLock(directory / "server.lock")
    if not lock.acquire(STOP_TIMEOUT_SECONDS):
        _answer(answers, error="another process still has the data open")
        return
    from secantus.server import SecantusDBServer  # only here: the demo extra

    follow_more_indexes()
    server = None
    try:
        server = SecantusDBServer(
            HOST, request["port"], str(directory / "data"),
            **{"enable_test_commands": False, **request["options"]},
        )  # fmt: skip
        server.start()
        if request["user"]:
            _create_user(server.port, request["user"], request["password"])
            # Read for every request, so it holds from here on, before anybody knows the port.
            server.require_auth = True
    except OSError as error:
        _answer(answers, port_in_use=bool(request["port"]), error=f"{type(error).__name__}: {error}")
    else:
        _answer(answers, port=server.port)
        requests.read()
    if server is not None:
        _close_listener(server)
        server.stop()


def _close_listener(server: object) -> None:
    """Wake the thread that accepts connections; `stop` would wait two seconds for it."""
    listener: socket.socket | None = getattr(server, "_socket", None)
    if listener is not None:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)


def _create_user(port: int, user: str, password: str) -> None:
    from pymongo import MongoClient

    with MongoClient[Document](HOST, port, directConnection=True) as client:
        if not client.admin.command("usersInfo", user)["users"]:
            client.admin.command("createUser", user, pwd=password, roles=["root"])


def _answer(answers: TextIO, **content: object) -> None:
    answers.write(json.dumps(content) + "\n")
    answers.flush()


if __name__ == "__main__":
    serve(sys.stdin, sys.stdout)
    # The server's threads may still wait on sockets; everything is on disk.
    os._exit(0)
