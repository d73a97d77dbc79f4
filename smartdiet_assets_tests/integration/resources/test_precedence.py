"""One precedence: what a process was given wins over `.env`, whichever command of Dagster reads the file first."""

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from smartdiet_assets.demo.server_folder import find_free_port
from smartdiet_assets.resources.env_file import apply_env_file

#: A code location that writes down what it is given when it is loaded, and its asset what a run is.
LOCATION = """\
import json, os
from pathlib import Path
import dagster as dg
from smartdiet_assets.resources.environment import read_environment
from smartdiet_assets.resources.postgres import PostgresResource, build_postgres_resource

settings = read_environment()

def write(name, database, user, password):
    values = [database, user, password, settings.postgres_database, os.environ["POSTGRES_DATABASE"]]
    Path(name + ".part").write_text(json.dumps(values))
    Path(name + ".part").rename(name)

write("loaded.json", settings.postgres_database, settings.postgres_user, settings.postgres_password)

@dg.asset
def seen(postgres: PostgresResource) -> None:
    write("seen.json", postgres.database, postgres.user, postgres.password)

defs = dg.Definitions(assets=[seen], resources={"postgres": build_postgres_resource(settings)})
"""
FILE = """\
POSTGRES_DATABASE=shop
POSTGRES_USER="of ${POSTGRES_DATABASE}"
POSTGRES_PASSWORD='a${HOME}b$c'
"""
#: As `dg` wants to be told of it.
PROJECT = """\
[tool.dg]
directory_type = "project"
[tool.dg.project]
root_module = "location"
code_location_target_module = "location"
"""
#: A run is started by the page itself, not by a daemon.
INSTANCE = "run_coordinator: {module: dagster._core.run_coordinator, class: DefaultRunCoordinator}"
#: The environment's database wins, and stands where the file refers to it; a password in single quotes is as it is.
EXPECTED = ["empty", "of empty", "a${HOME}b$c", "empty", "empty"]


@pytest.fixture
def folder(own_environment: Path) -> Path:
    (own_environment / ".env").write_text(FILE)
    (own_environment / "location.py").write_text(LOCATION)
    (own_environment / "home").mkdir()
    (own_environment / "home" / "dagster.yaml").write_text(INSTANCE)
    return own_environment


def compose_environment(folder: Path) -> dict[str, str]:
    return {
        **os.environ,
        "POSTGRES_DATABASE": "empty",
        "DAGSTER_HOME": str(folder / "home"),
        "PYTHONPATH": str(folder),
        "DAGSTER_DISABLE_TELEMETRY": "1",
    }


def wait_for(file: Path, process: "subprocess.Popen[str] | None" = None) -> Any:
    deadline = time.monotonic() + 240
    while not file.exists():
        assert time.monotonic() < deadline
        assert process is None or process.poll() is None, (file.parent / "output").read_text()
        time.sleep(0.2)
    return json.loads(file.read_text())


def test_dagster_asset_materialize(folder: Path) -> None:
    program = str(Path(sys.executable).with_name("dagster"))
    command = [program, "asset", "materialize", "-m", "location", "--select", "*"]
    done = subprocess.run(
        command, env=compose_environment(folder), cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert wait_for(folder / "seen.json") == EXPECTED
    assert "a${HOME}b$c" not in done.stdout + done.stderr


@contextmanager
def serve(folder: Path, command: str) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """Start a command that serves a page; the process, and the page's address."""
    port = find_free_port()
    name, *arguments = command.split()
    if name == "dg":
        (folder / "pyproject.toml").write_text(PROJECT)
        arguments += ["--no-check-yaml", "--use-active-venv"]
    else:
        arguments += ["-m", "location"]
    with (folder / "output").open("w") as output:
        process = subprocess.Popen(
            [str(Path(sys.executable).with_name(name)), *arguments, "-p", str(port)],
            env=compose_environment(folder), cwd=folder, stdout=output, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
    try:
        yield process, f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def ask(page: str, query: str, **variables: Any) -> Any:
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = urllib.request.Request(f"{page}/graphql", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.loads(answer.read())["data"]


LAUNCH = """\
mutation ($p: ExecutionParams!) {
  launchPipelineExecution(executionParams: $p) { __typename ... on LaunchRunSuccess { run { runId } } }
}"""
LOCATIONS = "{ repositoriesOrError { ... on RepositoryConnection { nodes { name location { name } } } } }"


@pytest.mark.parametrize("command", ["dg dev", "dagster-webserver"])
def test_the_code_server_of_a_page(folder: Path, command: str) -> None:
    with serve(folder, command) as (process, _):
        assert wait_for(folder / "loaded.json", process) == EXPECTED


def test_a_run_that_dagster_dev_starts(folder: Path) -> None:
    with serve(folder, "dagster dev") as (process, page):
        assert wait_for(folder / "loaded.json", process) == EXPECTED
        nodes: list[Any] = []
        deadline = time.monotonic() + 240
        while not nodes:
            assert time.monotonic() < deadline
            time.sleep(1)
            with suppress(OSError):
                nodes = ask(page, LOCATIONS)["repositoriesOrError"]["nodes"]
        selector = {
            "repositoryName": nodes[0]["name"],
            "repositoryLocationName": nodes[0]["location"]["name"],
            "pipelineName": "__ASSET_JOB",
            "assetSelection": [{"path": ["seen"]}],
        }
        launched = ask(page, LAUNCH, p={"selector": selector, "mode": "default", "runConfigData": {}})
        assert launched["launchPipelineExecution"]["__typename"] == "LaunchRunSuccess", launched
        assert wait_for(folder / "seen.json", process) == EXPECTED


def test_our_own_reading_follows_the_same_rules(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTGRES_DATABASE", "empty")
    monkeypatch.setenv("EMPTY", "")
    (folder / ".env").write_text(
        FILE + "export MATOMO_PASSWORD = 'x\\'${HOME}' # comment\nMATOMO_USER=${NONE:-u}${EMPTY}\nEMPTY=full\nALONE\n"
    )
    apply_env_file()
    names = ("POSTGRES_DATABASE", "POSTGRES_USER", "POSTGRES_PASSWORD", "MATOMO_PASSWORD", "MATOMO_USER", "EMPTY")
    assert [os.environ[name] for name in names] == ["empty", "of empty", "a${HOME}b$c", "x'${HOME}", "u", ""]
    assert not re.search("ALONE", " ".join(os.environ))
    for name in names:
        monkeypatch.delenv(name)
