"""The component in a fresh project of `create-dagster`, whose environment has the wheel and not this checkout."""

import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pymongo.database import Database

from smartdiet_assets.demo.server_folder import find_free_port
from smartdiet_assets.resources.postgres import PostgresResource
from smartdiet_assets_tests.support.dagit import ROOT, Page
from smartdiet_assets_tests.support.installed import Installed
from smartdiet_assets_tests.support.shop import write_shop

LOCATIONS = "{workspaceOrError {... on Workspace {locationEntries {name locationOrLoadError {__typename}}}}}"


@dataclass(frozen=True)
class Project:
    """A project of Dagster."""

    folder: Path
    installed: Installed

    def run(self, command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a line of a shell in it."""
        return self.installed.run(command, self.folder, **variables)

    @property
    def defs(self) -> Path:
        """The folder of its components."""
        return self.folder / "src" / "bakery" / "defs"


@pytest.fixture
def project(installed: Installed, tmp_path: Path, own_environment: Path) -> Iterator[Project]:
    """A fresh project, installed as `uv sync` would."""
    made = installed.run("create-dagster project bakery --no-uv-sync", tmp_path)
    assert made.returncode == 0, made.stderr
    link = installed.packages / "bakery.pth"
    link.write_text(str(tmp_path / "bakery" / "src"))
    yield Project(tmp_path / "bakery", installed)
    link.unlink()


@pytest.fixture
def variables(
    mongo_database: Database[dict[str, Any]], postgres_resource: PostgresResource, own_environment: Path
) -> dict[str, str]:
    """Those that the scaffolded `defs.yaml` names, of a shop and an empty database."""
    write_shop(mongo_database, seed=1, customers=20)
    host, port = mongo_database.client.address or ("", 0)
    return {
        "SHOP_MONGODB_URL": f"mongodb://{host}:{port}/{mongo_database.name}?directConnection=true",
        **{
            f"SHOP_POSTGRES_{field.upper()}": str(getattr(postgres_resource, field))
            for field in ("host", "database", "user", "password")
        },
    }


def serve(project: Project, command: str, variables: dict[str, str]) -> tuple[str, str]:
    """Run the page, and ask it for its location and whether that could be loaded."""
    page = Page(project.folder / "log", find_free_port())
    try:
        page.begin(
            [*shlex.split(command), "--port", str(page.port)],
            project.installed.environment(**variables),
            project.folder,
        )
        [entry] = page.wait_for("location", lambda: page.ask(LOCATIONS)["workspaceOrError"]["locationEntries"] or None)
        return entry["name"], entry["locationOrLoadError"]["__typename"]
    finally:
        page.close()


def read_commands() -> list[str]:
    """The lines that the README shows."""
    text = (ROOT / "smartdiet_assets" / "assets" / "README.md").read_text()
    block = text.partition("### As a component")[2].partition("```bash\n")[2].partition("```")[0]
    return block.splitlines()


def test_what_the_readme_shows(
    project: Project, variables: dict[str, str], postgres: psycopg.Connection[Any], postgres_resource: PostgresResource
) -> None:
    export, *commands, serves = read_commands()
    assert export.startswith("export SHOP_MONGODB_URL=")
    assert shlex.split(serves) == ["dg", "dev"]
    for command in commands:
        ended = project.run(command, **variables)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        if "scaffold" in command:
            # The README's server listens on 5432.
            definition = project.defs / "shop" / "defs.yaml"
            definition.write_text(definition.read_text().replace("5432", str(postgres_resource.port)))
    assert postgres.execute("SELECT count(*) FROM shop.customers").fetchone() == (20,)
    assert serve(project, serves, variables) == ("bakery", "RepositoryLocation")
    assert variables["SHOP_POSTGRES_PASSWORD"] not in "".join(
        path.read_text() for path in project.folder.rglob("*.yaml")
    )
