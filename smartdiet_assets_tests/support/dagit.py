"""Dagster's own processes on an instance, asked through the interface of the page. Not here: a browser (`ui`)."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
_SECONDS_TO_ANSWER = 240
_SECONDS_TO_STOP = 60
T = TypeVar("T")


class Dagit:
    """A web server and a daemon on the instance of an environment, this process's if none is given; close it."""

    def __init__(
        self, log: Path, environment: Mapping[str, str] | None = None, workspace: Path = ROOT / "workspace.yaml"
    ) -> None:
        with closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        options = ["-w", str(workspace)]
        self.log = log
        self._environment = dict(os.environ if environment is None else environment)
        self._processes: list[subprocess.Popen[bytes]] = []
        self._begin("dagster-webserver", "-h", "127.0.0.1", "-p", str(self.port), *options)
        self._begin("dagster-daemon", "run", *options)

    def _begin(self, command: str, *options: str) -> None:
        environment = {
            **self._environment,
            "PYTHONPATH": str(ROOT),
            "PATH": f"{BIN}{os.pathsep}{self._environment['PATH']}",
        }
        with self.log.open("ab") as log:
            self._processes.append(subprocess.Popen([BIN / command, *options], stdout=log, stderr=log, env=environment))

    def ask(self, query: str, **variables: object) -> dict[str, Any]:
        """Ask a question, or for something to be done."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/graphql", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            data: dict[str, Any] = json.load(answer)["data"]
        return data

    def wait_for(self, what: str, find: Callable[[], T | None]) -> T:
        """Wait until something is found; an answer that is not there yet counts as nothing."""
        deadline = time.monotonic() + _SECONDS_TO_ANSWER
        while time.monotonic() < deadline:
            assert all(process.poll() is None for process in self._processes), self.log.read_text()[-3000:]
            try:
                if (found := find()) is not None:
                    return found
            except (urllib.error.URLError, OSError):
                pass
            time.sleep(0.5)
        raise AssertionError(f"no {what}: {self.log.read_text()[-3000:]}")

    def close(self) -> None:
        """Stop both."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            try:
                process.wait(_SECONDS_TO_STOP)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
