"""Dagster's own processes on an instance, asked through the interface of the page. Not here: a browser (`ui`)."""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from smartdiet_assets.demo.server_folder import find_free_port

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
_SECONDS_TO_ANSWER = 240
_SECONDS_TO_STOP = 60
T = TypeVar("T")


class Page:
    """A web server's page, asked through its interface, and the processes behind it; close it."""

    def __init__(self, log: Path, port: int | None = None) -> None:
        self.port = port or find_free_port()
        self.log = log
        self._processes: list[subprocess.Popen[bytes]] = []

    def begin(self, command: Sequence[str | Path], environment: Mapping[str, str], folder: Path | None = None) -> int:
        """Start a process behind it; its id."""
        with self.log.open("ab") as log:
            started = subprocess.Popen(command, stdout=log, stderr=log, env=dict(environment), cwd=folder)
        self._processes.append(started)
        return started.pid

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
        """Stop them."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            try:
                process.wait(_SECONDS_TO_STOP)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class Dagit(Page):
    """A web server and a daemon on the instance of an environment, this process's if none is given."""

    def __init__(
        self, log: Path, environment: Mapping[str, str] | None = None, workspace: Path = ROOT / "workspace.yaml"
    ) -> None:
        super().__init__(log)
        given = dict(os.environ if environment is None else environment)
        own = {**given, "PYTHONPATH": str(ROOT), "PATH": f"{BIN}{os.pathsep}{given['PATH']}"}
        options = ("-w", str(workspace))
        self.begin([BIN / "dagster-webserver", "-h", "127.0.0.1", "-p", str(self.port), *options], own)
        self.begin([BIN / "dagster-daemon", "run", *options], own)
