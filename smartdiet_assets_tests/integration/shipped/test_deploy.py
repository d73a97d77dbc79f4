"""`config/deploy`: systemd takes the units, and the commands of units and containers work together as they stand.

Their folders and ports are others here, the wheel is that of the tests, and the containers' PostgreSQL the shared one.
"""

import re
import shutil
import subprocess
from collections.abc import Mapping
from configparser import ConfigParser
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from pymongo.database import Database

from smartdiet_assets.demo.server_folder import find_free_port
from smartdiet_assets_tests.conftest import skip_or_fail
from smartdiet_assets_tests.support.dagit import BIN, ROOT, Page
from smartdiet_assets_tests.support.installed import Installed

DEPLOY = ROOT / "config" / "deploy"
UNITS = DEPLOY / "systemd"
SERVICES = ("code", "web", "daemon")
LOCATIONS = "{workspaceOrError {... on Workspace {locationEntries {name locationOrLoadError {__typename}}}}}"
DAEMONS = "{instance {daemonHealth {allDaemonStatuses {daemonType required healthy}}}}"
RUNS = "{runsOrError {... on Runs {results {jobName status}}}}"
CHANGE = 'mutation {reloadRepositoryLocation(repositoryLocationName: "smartdiet") {__typename}}'
#: What is asked of one deployment and of the other, and runs: the sensor finds a table that was never filled.
SENSOR, BY_HAND = ("sensor start change_sensor", "mirror"), ("job launch -j doctor", "doctor")
GOING_ON = {"QUEUED", "NOT_STARTED", "STARTING", "STARTED"}


@dataclass(frozen=True)
class Place:
    """Where things are here that have fixed places on a server."""

    folder: Path
    installed: Installed
    code_port: int
    web_port: int

    def move(self, text: str) -> str:
        """Put the places of here into a text."""
        moves = {
            "/opt/smartdiet": self.installed.folder,
            "/etc/smartdiet": self.folder / "etc",
            "/var/lib/smartdiet": self.folder / "home",
            "4000": self.code_port,
            "3000": self.web_port,
            "0.0.0.0": "127.0.0.1",
        }
        for there, here in moves.items():
            text = text.replace(there, str(here))
        return text

    def environment(self, **variables: str) -> dict[str, str]:
        """The variables of the services."""
        return self.installed.environment(DAGSTER_HOME=str(self.folder / "home"), **variables)


@dataclass(frozen=True)
class Deployment:
    """The commands of the services, what tells that the code server is ready, and the workspace.

    Attributes:
        asked, runs: a command of Dagster on it, and the job that is then run.
    """

    commands: Mapping[str, str]
    ready: str
    workspace: str
    variables: Mapping[str, str]
    asked: str
    runs: str


@pytest.fixture
def place(tmp_path: Path, installed: Installed) -> Place:
    (tmp_path / "etc").mkdir()
    (tmp_path / "home").mkdir()
    return Place(tmp_path, installed, find_free_port(), find_free_port())


def read_unit(name: str) -> ConfigParser:
    unit = ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(UNITS / name)
    return unit


def read_units() -> Deployment:
    units = {service: read_unit(f"smartdiet-{service}.service")["Service"] for service in SERVICES}
    commands = {
        service: f"{unit.get('ExecStartPre', 'true')} && exec {unit['ExecStart']}" for service, unit in units.items()
    }
    return Deployment(commands, units["code"]["ExecStartPost"], (DEPLOY / "workspace.yaml").read_text(), {}, *SENSOR)


def read_compose(records: str) -> Deployment:
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    services = compose["services"]
    commands = {service: services[service]["command"] for service in SERVICES}
    workspace = compose["configs"]["workspace"]["content"].replace("host: code", "host: 127.0.0.1")
    ready = f"until {services['code']['healthcheck']['test']}; do sleep 1; done"
    [url] = {services[service]["environment"]["SMARTDIET_DAGSTER_POSTGRES_URL"] for service in SERVICES}
    assert re.fullmatch(r"postgresql://dagster:\$\{RECORDS_PASSWORD:\?[^}]+\}@records/dagster", url)
    return Deployment(commands, ready, workspace, {"SMARTDIET_DAGSTER_POSTGRES_URL": records}, *BY_HAND)


@pytest.fixture(params=["systemd", "compose"])
def deployment(request: pytest.FixtureRequest) -> Deployment:
    if request.param == "systemd":
        return read_units()
    return read_compose(request.getfixturevalue("postgres_database"))


def verify(folder: Path) -> subprocess.CompletedProcess[str]:
    if shutil.which("systemd-analyze") is None:
        skip_or_fail("systemd-analyze is not installed; run: apt-get install systemd")
    units = map(str, [folder / "smartdiet.target", *folder.glob("*.service")])
    command = ["systemd-analyze", "verify", "--man=no", *units]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_systemd_takes_the_units(place: Place) -> None:
    units = place.folder / "units"
    shutil.copytree(UNITS, units)
    for unit in units.rglob("smartdiet*"):
        if unit.is_file():
            unit.write_text(place.move(unit.read_text()))
    verified = verify(units)
    assert (verified.returncode, verified.stderr) == (0, "")
    common = units / "smartdiet-.service.d" / "common.conf"
    common.write_text(common.read_text().replace("PrivateTmp", "PrivateTemp"))
    assert "Unknown key 'PrivateTemp'" in verify(units).stderr


def test_nobody_but_this_machine_reaches_what_listens() -> None:
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    published = {service: made["ports"] for service, made in compose.items() if "ports" in made}
    assert published == {"web": ["127.0.0.1:3000:3000"]}
    listening = [command for command in read_units().commands.values() if " -h " in command]
    assert len(listening) == 2
    assert all("-h 127.0.0.1 " in command for command in listening)
    for deployment in (read_units(), read_compose("")):
        assert "--read-only" in deployment.commands["web"]


def test_the_image_is_built_of_the_wheel(place: Place, tmp_path: Path, own_environment: Path) -> None:
    """What is copied is enough to build the wheel of, and all that is needed is installed; but for the user."""
    text = (DEPLOY / "Containerfile").read_text().replace("\\\n", " ")
    lines = [line.split(maxsplit=1) for line in text.splitlines() if line and not line.startswith("#")]
    source = tmp_path / "source"
    for line in (line for command, line in lines if command == "COPY" and not line.startswith("--from")):
        *names, target = line.split()
        for found in (found for name in names for found in ROOT.glob(name)):
            make = shutil.copytree if found.is_dir() else shutil.copyfile
            there = source / target if found.is_dir() else source / target / found.name
            there.parent.mkdir(parents=True, exist_ok=True)
            make(found, there)
    runs = [line for command, line in lines if command == "RUN"]
    builds, makes_venv, installs, _adds_user = runs
    # The wheel's backend, and what the wheel requires, are those of the tests.
    offline = {"PIP_NO_BUILD_ISOLATION": "0", "PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1", "PIP_NO_COMPILE": "1"}
    shell = {"PATH": f"{BIN}:{place.environment()['PATH']}", **offline}
    for line in (builds, makes_venv, installs):
        moved = line.replace("/wheel", str(tmp_path / "wheel")).replace("/opt/smartdiet", str(tmp_path / "opt"))
        ended = place.installed.run(moved, source, **shell)
        assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "opt" / "bin" / "smartdiet").is_file()


@pytest.mark.usefixtures("configured_servers")
def test_the_commands_work_together(place: Place, deployment: Deployment, mongo_database: Database[Any]) -> None:
    now = datetime(2025, 5, 1)
    mongo_database.visitors.insert_one({"creation_date": now, "update_date": now})
    etc = place.folder / "etc"
    (etc / "config").mkdir()
    (etc / "config" / "schemas.yaml").write_text(
        "partitions: {start: 2026-01-01}\ntables: {visitors: {include_base: true}}\n"
    )
    (etc / "workspace.yaml").write_text(place.move(deployment.workspace))
    environment = place.environment(**deployment.variables)
    page = Page(place.folder / "log", place.web_port)
    try:
        for service in SERVICES:
            started = page.begin(["bash", "-c", place.move(deployment.commands[service])], environment, etc)
            if service == "code":
                ready = ["bash", "-c", place.move(deployment.ready)]
                subprocess.run(ready, env=environment | {"MAINPID": str(started)}, timeout=120, check=True)
        entry = page.wait_for("location", lambda: page.ask(LOCATIONS)["workspaceOrError"]["locationEntries"][0])
        assert (entry["name"], entry["locationOrLoadError"]["__typename"]) == ("smartdiet", "RepositoryLocation")
        assert page.ask(CHANGE)["reloadRepositoryLocation"]["__typename"] == "UnauthorizedError"
        asked = place.installed.run(f"dagster {deployment.asked} -w workspace.yaml", etc, **environment)
        assert asked.returncode == 0, asked.stderr

        def find_ended() -> dict[str, str] | None:
            ended = {run["jobName"]: run["status"] for run in page.ask(RUNS)["runsOrError"]["results"]}
            return ended if ended and not set(ended.values()) & GOING_ON else None

        assert page.wait_for("run", find_ended) == {deployment.runs: "SUCCESS"}
        statuses = page.ask(DAEMONS)["instance"]["daemonHealth"]["allDaemonStatuses"]
        assert all(status["healthy"] for status in statuses if status["required"])
    finally:
        page.close()
