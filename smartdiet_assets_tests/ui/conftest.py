"""Dagit on this test's databases, and a real browser to look at it."""

import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from smartdiet_assets.demo.server_folder import find_free_port
from smartdiet_assets_tests.conftest import skip_or_fail

CONFIG = Path(__file__).parents[2] / "config"
WORKSPACE = CONFIG.with_name("workspace.yaml")
#: Quiet and without a sandbox, which root cannot have; the browser talks to the loopback address only.
CHROMIUM_OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture
def dagit(configured_servers: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a Dagit that shows the project's own tables on this test's databases."""
    home = tmp_path / "dagster"
    home.mkdir()
    shutil.copy(CONFIG / "dagster.yaml", home)
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    monkeypatch.setenv("SMARTDIET_SCHEMAS", str(CONFIG / "schemas.yaml"))
    port = find_free_port()
    command = ["-m", "dagster", "dev", "-w", str(WORKSPACE), "-h", "127.0.0.1", "-p", str(port)]
    with (tmp_path / "dagit.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, *command], stdout=log, stderr=log, env=os.environ.copy())
    address = f"http://127.0.0.1:{port}"
    try:
        _await_answer(address, process)
        yield address
    finally:
        process.terminate()
        process.wait(60)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    executable = shutil.which("chromium")
    if executable is None:
        skip_or_fail("there is no chromium on the path; install Debian's package chromium")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=executable, args=CHROMIUM_OPTIONS)
        yield opened
        opened.close()


def _await_answer(address: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        assert process.poll() is None, "dagster dev ended"
        try:
            urllib.request.urlopen(f"{address}/server_info", timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    raise AssertionError("Dagit did not answer")
