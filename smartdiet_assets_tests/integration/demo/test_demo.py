"""`smartdiet demo` as a new user runs it: to its end, from the wheel, and interrupted."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from smartdiet_assets.demo.mariadb_server import EmbeddedMariaDB
from smartdiet_assets.demo.postgres_server import EmbeddedPostgres
from smartdiet_assets_tests.support.installed import Installed

OPTIONS = "demo --scale 0.0005"
PROGRAM = [sys.executable, "-m", "smartdiet_assets.cli", *OPTIONS.split()]


def run_environment(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("POSTGRES_", "MONGODB_"))}
    return {**kept, "XDG_CACHE_HOME": str(folder)}


def processes_of(folder: Path) -> list[str]:
    """The command lines of processes that work in a folder."""
    lines = []
    for process in psutil.process_iter(["cmdline"]):
        line = " ".join(process.info["cmdline"] or [])
        if str(folder) in line and process.pid != os.getpid():
            lines.append(line)
    return lines


@pytest.fixture(autouse=True)
def _leave_no_data(tmp_path: Path) -> Iterator[None]:
    """The demo keeps its data; started by root, it keeps some outside of its folder."""
    yield
    folder = tmp_path / "smartdiet" / "demo"
    EmbeddedPostgres(folder / "postgres").remove()
    EmbeddedMariaDB(folder / "mariadb").remove()


@pytest.mark.usefixtures("own_environment")
def test_the_demo_mirrors_twice_and_stops_what_it_started(tmp_path: Path, installed: Installed) -> None:
    result = installed.run(f"smartdiet {OPTIONS}", tmp_path, XDG_CACHE_HOME=str(tmp_path))
    assert result.returncode == 0, result.stdout + result.stderr
    first, second = result.stdout.split("A day passed in the application")
    totals = [re.search(r"total\s+([\d,]+)\s+([\d,]+)", part) for part in (first, second)]
    assert all(totals)
    inserted = [int(match[2].replace(",", "")) for match in totals if match]
    assert inserted[0] > inserted[1] > 0
    assert "failed" not in result.stdout
    assert not processes_of(tmp_path)
    assert (tmp_path / "smartdiet" / "demo").is_dir()


@pytest.mark.parametrize(
    ("number", "stage"),
    [
        (signal.SIGINT, "Starting PostgreSQL"),
        (signal.SIGTERM, "Generated"),
        (signal.SIGINT, "quizzs: "),
    ],
)
def test_the_demo_stops_what_it_started_when_it_is_interrupted(
    tmp_path: Path, number: signal.Signals, stage: str
) -> None:
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(PROGRAM, env=run_environment(tmp_path), cwd=tmp_path, **pipes) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if stage in line:
                break
        process.send_signal(number)
        output = process.stdout.read()
    assert process.returncode == 130, output
    assert "Interrupted; the servers are stopped." in output
    assert not processes_of(tmp_path)
