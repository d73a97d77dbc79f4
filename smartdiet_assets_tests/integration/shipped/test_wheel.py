"""The wheel and the sdist: what they hold, and that the wheel works in any folder, without the checkout."""

import json
import tarfile
import tomllib
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from pymongo.database import Database

from smartdiet_assets_tests.support.installed import ROOT, Installed

SHIPPED = {"schemas.yaml", "matomo_schemas.yaml", "protected.yaml", "dagster.yaml"}
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def list_package() -> set[str]:
    """Every module of the package, and the two files beside them."""
    package = ROOT / "smartdiet_assets"
    found = {*package.rglob("*.py"), package / "py.typed", package / "schema" / "schemas.schema.json"}
    return {str(path.relative_to(ROOT)) for path in found}


def test_the_wheel_holds_the_package_and_the_declarations(installed: Installed) -> None:
    with zipfile.ZipFile(installed.wheel) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
        assert names == list_package() | {f"smartdiet_assets/config/{name}" for name in SHIPPED}
        assert wheel.read("smartdiet_assets/config/schemas.yaml") == (ROOT / "config" / "schemas.yaml").read_bytes()


def test_the_sdist_holds_no_more_than_that(installed: Installed) -> None:
    with tarfile.open(installed.sdist) as sdist:
        names = {member.name.partition("/")[2] for member in sdist.getmembers() if member.isfile()}
    about = {"README.md", "pyproject.toml", "PKG-INFO", ".gitignore"}
    assert names == list_package() | {f"config/{name}" for name in SHIPPED} | about


def test_the_changelog_begins_with_the_version() -> None:
    headings = [line for line in (ROOT / "CHANGELOG.md").read_text().splitlines() if line.startswith("## ")]
    assert headings[0].split()[1] == VERSION


def test_it_is_this_version_and_not_the_checkout(installed: Installed, tmp_path: Path) -> None:
    assert installed.run("smartdiet --version", tmp_path).stdout.split()[-1] == VERSION
    where = installed.run("python -c 'import smartdiet_assets; print(smartdiet_assets.__file__)'", tmp_path).stdout
    assert Path(where.strip()).is_relative_to(installed.folder)


@pytest.fixture
def source(configured_servers: None, mongo_database: Database[dict[str, Any]]) -> None:
    """A source with one document of what the tests mirror."""
    now = datetime(2025, 5, 1)
    for collection in ("companies", "visitors"):
        mongo_database[collection].insert_one({"name": "One", "creation_date": now, "update_date": now})


@pytest.mark.usefixtures("source")
def test_a_sync_finds_the_declarations_in_any_folder(installed: Installed, tmp_path: Path) -> None:
    synced = installed.run("smartdiet sync companies --json --wait", tmp_path)
    assert synced.returncode == 0, synced.stderr
    assert json.loads(synced.stdout)["tables"]["companies"]["inserted"] == 1
    assert (tmp_path / ".dagster" / "dagster.yaml").read_bytes() == (ROOT / "config" / "dagster.yaml").read_bytes()


@pytest.mark.usefixtures("source")
def test_declarations_of_the_folder_come_first(installed: Installed, tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "schemas.yaml").write_text("tables: {visitors: {include_base: true}}\n")
    synced = installed.run("smartdiet sync --json", tmp_path)
    assert synced.returncode == 0, synced.stderr
    assert set(json.loads(synced.stdout)["tables"]) == {"visitors"}


@pytest.mark.usefixtures("configured_servers")
def test_its_declarations_are_not_edited(installed: Installed, tmp_path: Path) -> None:
    appended = installed.run("smartdiet infer users --append", tmp_path)
    assert appended.returncode == 2
    assert "is part of the installed package, where nothing is added" in " ".join(appended.stderr.split())
