"""Hosts of a network: namespaces with addresses, names and folders of their own, and a way to the servers of the first.

Here: hosts, the broker, and the processes on them. Not here: tests. The first host is this machine, whose servers
listen on the loopback address; each other host reaches them by its gateway, which passes on what comes.
"""

import contextlib
import itertools
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Self, TypeVar
from urllib.parse import urlsplit

from smartdiet_assets.demo.server_folder import HOST, find_free_port
from smartdiet_assets_tests.conftest import skip_or_fail
from smartdiet_assets_tests.support.dagit import ROOT

_SECONDS_TO_START = 60
_CHUNK = 64 * 1024
_numbers = itertools.count(1)
T = TypeVar("T")


def wait_for(what: str, find: Callable[[], T | None], seconds: float = _SECONDS_TO_START) -> T:
    """Wait until something is found."""
    deadline = time.monotonic() + seconds
    while (found := find()) is None:
        assert time.monotonic() < deadline, f"no {what}"
        time.sleep(0.1)
    return found


class Broker:
    """A Redis of the test's own, which asks for a password and keeps nothing; or that of SMARTDIET_TEST_BROKER."""

    def __init__(self, folder: Path) -> None:
        self.url, self._process = os.environ.get("SMARTDIET_TEST_BROKER", ""), None
        if self.url:
            named = urlsplit(self.url)
            assert named.port is not None
            assert named.password is not None
            self.port, self.password = named.port, named.password
            return
        binary = shutil.which("redis-server")
        if binary is None:
            skip_or_fail("there is no redis-server; run: apt-get install redis-server")
        self.port, self.password = find_free_port(), secrets.token_hex(16)
        self.url = f"redis://:{self.password}@{HOST}:{self.port}/0"
        settings = folder / "redis.conf"
        settings.write_text(f"bind {HOST}\nport {self.port}\nrequirepass {self.password}\nsave ''\ndir {folder}\n")
        self._process = subprocess.Popen([binary, str(settings)], stdout=subprocess.DEVNULL)
        wait_for("broker", self._find)

    def _find(self) -> bool | None:
        with contextlib.suppress(OSError), socket.create_connection((HOST, self.port), 1):
            return True
        return None

    def close(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)


class Host:
    """A host that shares nothing with this machine but a cable."""

    def __init__(self, folder: Path, name: str, ports: Collection[int]) -> None:
        """Set up a host.

        Args:
            folder: which becomes its own.
            ports: of the servers of the first host that it reaches.
        """
        number = next(_numbers)
        self.name = f"sd{os.getpid()}-{name}"
        self.folder = folder / name
        self.folder.mkdir()
        net = f"10.{199 + os.getpid() // 250 % 50}.{os.getpid() % 250}"
        self.gateway = f"{net}.{4 * number + 1}"
        self._cable = f"sd{os.getpid()}{number}"
        self._processes: list[subprocess.Popen[str]] = []
        self._logs: list[IO[str]] = []
        self._passing: list[socket.socket] = []
        if os.geteuid() != 0 or not shutil.which("ip"):
            skip_or_fail("hosts are network namespaces, which need root and Debian's iproute2")
        try:
            _run("ip", "netns", "add", self.name)
        except subprocess.CalledProcessError:
            skip_or_fail("this machine allows no network namespaces")
        _run("ip", "link", "add", self._cable, "type", "veth", "peer", "name", "eth0", "netns", self.name)
        _run("ip", "addr", "add", f"{self.gateway}/30", "dev", self._cable)
        _run("ip", "link", "set", self._cable, "up")
        _run("ip", "-n", self.name, "addr", "add", f"{net}.{4 * number + 2}/30", "dev", "eth0")
        _run("ip", "-n", self.name, "link", "set", "eth0", "up")
        _run("ip", "-n", self.name, "link", "set", "lo", "up")
        for port in ports:
            self._pass_on(port)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            _end(process)
        for listener in self._passing:
            listener.close()
        for log in self._logs:
            log.close()
        subprocess.run(["ip", "netns", "del", self.name], check=False)

    def start_worker(self, variables: Mapping[str, str], schemas: str) -> "Worker":
        """Start a worker with files and variables of the host's own; it takes one step at a time."""
        (self.folder / "schemas.yaml").write_text(schemas)
        given = {
            **{name: value.replace(HOST, self.gateway) for name, value in variables.items()},
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "HOME": str(self.folder),
            "DAGSTER_HOME": str(self.folder / "dagster"),
            "DAGSTER_DISABLE_TELEMETRY": "yes",
            "SMARTDIET_SCHEMAS": str(self.folder / "schemas.yaml"),
        }
        command = f"hostname {self.name} && exec {sys.executable} -m smartdiet_assets.cli worker --processes 1"
        log = self.folder / "worker.log"
        self._logs.append(output := log.open("w"))
        self._processes.append(
            process := subprocess.Popen(
                ["ip", "netns", "exec", self.name, "unshare", "--uts", "sh", "-c", command],
                env=given,
                cwd=self.folder,
                stdout=output,
                stderr=output,
                text=True,
                start_new_session=True,
            )
        )
        return Worker(process, log)

    def cut(self) -> None:
        """Have its network go down; no connection is told."""
        _run("ip", "-n", self.name, "link", "set", "eth0", "down")

    def mend(self) -> None:
        """Have its network come up again."""
        _run("ip", "-n", self.name, "link", "set", "eth0", "up")

    def _pass_on(self, port: int) -> None:
        listener = socket.create_server((self.gateway, port))
        self._passing.append(listener)

        def take() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    try:
                        server = socket.create_connection((HOST, port))
                    except ConnectionRefusedError:
                        client.close()
                        continue
                    for pair in ((client, server), (server, client)):
                        threading.Thread(target=_pump, args=pair, daemon=True).start()

        threading.Thread(target=take, daemon=True).start()


class Worker:
    """A worker's processes."""

    def __init__(self, process: "subprocess.Popen[str]", log: Path) -> None:
        self._process = process
        self.log = log

    def wait_until_ready(self) -> str:
        """Wait until it takes steps; its name."""

        def find() -> str | None:
            text = self.log.read_text()
            assert self._process.poll() is None, text
            found = re.search(r"^(smartdiet-\w+@\S+) carries out", text, re.MULTILINE)
            return found[1] if found else None

        return wait_for("worker", find)

    def kill(self) -> None:
        """End it as when its machine loses power."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(30)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


def _end(process: "subprocess.Popen[str]") -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(30)


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(_CHUNK):
            target.sendall(data)
    for end in (source, target):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
