"""`smartdiet init`: a company that comes new has a folder, and the folder is a mirror that runs."""

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pymongo.database import Database

from smartdiet_assets.definitions import load_definitions
from smartdiet_assets.errors import ConfigurationError
from smartdiet_assets.infer import project
from smartdiet_assets.infer.project import compose_project, write_project
from smartdiet_assets.resources.environment import read_environment
from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets_tests.integration.conftest import Smartdiet
from smartdiet_assets_tests.support.shop import change_shop, write_shop

FILES = [".dagster", ".env", ".gitignore", "README.md", "schemas.yaml", "workspace.yaml"]
SECRET = "s'3${HOME}\\cret"


def list_files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def shop(
    configured_servers: None, mongo_database: Database[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Any:
    """A shop's database, the variables of both servers, and an empty folder to be in."""
    write_shop(mongo_database, customers=40)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return mongo_database


def forget_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave it to the `.env` of the folder to say where the servers are."""
    for name in project.TAKEN:
        monkeypatch.delenv(name, raising=False)


def test_a_shop_is_a_running_mirror_after_two_commands(
    smartdiet: Smartdiet, shop: Database[Any], postgres: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = smartdiet("init", "shop")
    assert made.code == 0, made.err
    assert "shop is made, with 8 tables in schemas.yaml." in made.out
    assert made.out.splitlines()[-4:] == ["  cd shop", "  smartdiet doctor", "  smartdiet sync", "  dagster dev"]
    assert list_files(Path("shop")) == FILES
    assert Path("shop/.env").stat().st_mode & 0o777 == 0o600

    forget_variables(monkeypatch)
    monkeypatch.chdir("shop")
    assert smartdiet("doctor").code == 0
    for expected in (40, 41):
        synced = smartdiet("sync")
        assert synced.code == 0, synced.err
        assert postgres.execute("SELECT count(*) FROM customers").fetchone() == (expected,)
        change_shop(shop)
    assert smartdiet("sync").code == 0
    assert smartdiet("check", "--all").code == 0

    assert load_schema("schemas.yaml").rules_of("customers").ignored_fields["__v"]
    repository = load_definitions().get_repository_def()
    assert {key.to_user_string() for key in repository.asset_graph.get_all_asset_keys()} == set(
        load_schema("schemas.yaml").tables
    )
    assert smartdiet("home").out.strip() == str(Path(".dagster").resolve())


def test_the_chapter_of_the_readme_is_followed_to_the_letter(
    smartdiet: Smartdiet, shop: Database[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    readme = Path(project.__file__).with_name("README.md").read_text()
    block = readme.partition("## Another company in five minutes")[2].partition("```bash\n")[2].partition("```")[0]
    monkeypatch.delenv("MONGODB_DATABASE")
    done = []
    for line in block.splitlines():
        command, *words = shlex.split(line, comments=True)
        done.append(command)
        if command == "export":
            # Of the same servers' variables, with the test's values.
            assert all(os.environ.get(word.partition("=")[0]) for word in words)
        elif command == "cd":
            forget_variables(monkeypatch)
            monkeypatch.chdir(words[0])
        elif command == "smartdiet":
            ended = smartdiet(*(shop.name if words[n - 1] == "--database" else word for n, word in enumerate(words)))
            assert ended.code == 0, ended.err
        else:
            assert (command, words) == ("dagster", ["dev"])
            assert load_definitions().get_repository_def().asset_graph.get_all_asset_keys()
    assert done == ["export", "export", "smartdiet", "cd", "smartdiet", "smartdiet", "dagster"]


def test_dagster_finds_the_mirror_and_its_runs_by_the_folder_alone(
    smartdiet: Smartdiet, shop: Database[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert smartdiet("init").code == 0
    forget_variables(monkeypatch)
    command = [str(Path(sys.executable).with_name("dagster")), "definitions", "validate"]
    environment = {name: value for name, value in os.environ.items() if name != "DAGSTER_HOME"}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    assert "Validation successful for code location smartdiet" in ended.stdout + ended.stderr


def test_without_a_source_the_file_waits_for_one(
    smartdiet: Smartdiet, shop: Database[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {name: os.environ[name] for name in project.TAKEN}
    forget_variables(monkeypatch)
    made = smartdiet("init")
    assert made.code == 0, made.err
    assert "This folder is made, with no table yet in schemas.yaml." in made.out
    assert "edit .env: MONGODB_URL, MONGODB_DATABASE, POSTGRES_HOST, POSTGRES_DATABASE, POSTGRES_USER" in made.out
    assert not load_schema("schemas.yaml").tables

    text = Path(".env").read_text()
    for name, value in given.items():
        text = text.replace(f"{name}=\n", f"{name}={value}\n")
    Path(".env").write_text(text)
    added = smartdiet("infer", "--all-collections", "--append")
    assert added.code == 0, added.err
    assert len(load_schema("schemas.yaml").tables) == 8
    assert smartdiet("sync").code == 0


@pytest.mark.parametrize("name", [*FILES, "notes.txt"])
def test_nothing_is_written_beside_what_is_there(smartdiet: Smartdiet, shop: Database[Any], name: str) -> None:
    Path(name).write_text("mine")
    for arguments in ([], ["--mongodb-url", "mongodb://nowhere.invalid/shop"]):
        refused = smartdiet("init", *arguments)
        assert refused.code == 2
        assert refused.err == f". is not empty, it has {name}: nothing was written; name a folder that is new or empty"
    assert (list_files(Path()), Path(name).read_text()) == ([name], "mine")


def test_a_repository_and_a_virtual_environment_are_no_hindrance(smartdiet: Smartdiet, shop: Database[Any]) -> None:
    Path(".git").mkdir()
    Path("venv").mkdir()
    Path("venv/pyvenv.cfg").touch()
    assert smartdiet("init").code == 0
    assert list_files(Path()) == sorted([*FILES, ".git", "venv"])


@pytest.mark.parametrize(
    ("folder", "url", "sentence"),
    [
        ("new", "mongodb://reader:xxxxxxxxx@127.0.0.1:1/shop", "no server"),
        ("new", "mongodb://reader:xxxxxxxxx[@127.0.0.1:1/shop", "no server"),
        ("new", "mongodb://reader:xxxxxxxxx\uff0f@127.0.0.1:1/shop", "no server"),
        ("new", "mongodb://reader:xxxxxxxxx/@127.0.0.1:1/shop", "cannot be used"),
        (".", "postgresql://xxxxxxxxx", "MONGODB_URL must be a URL that starts with mongodb://"),
        ("new", "mongodb://reader:xxxxxxxxx@127.0.0.1:1", "say with --database which database"),
    ],
)
def test_what_fails_leaves_nothing_and_tells_no_password(
    smartdiet: Smartdiet,
    shop: Database[Any],
    monkeypatch: pytest.MonkeyPatch,
    folder: str,
    url: str,
    sentence: str,
) -> None:
    monkeypatch.delenv("MONGODB_DATABASE")
    failed = smartdiet("init", folder, "--mongodb-url", url)
    assert failed.code == 2
    assert sentence in failed.err
    assert "xxxxxxxxx" not in failed.err + failed.out
    assert list_files(Path()) == []


@pytest.mark.parametrize("folder", [".", "new"])
def test_an_interruption_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str) -> None:
    """At any of the files, and at any of the moves into the folder."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    files = compose_project(Path(folder), "", {}, "")
    for number in range(len(files)):
        broken = dict(files)
        # A name that cannot be written ends it where a signal would.
        broken[list(files)[number]] = "\udcff"
        with pytest.raises(UnicodeEncodeError):
            write_project(Path(folder), broken)
        assert list_files(Path()) == []
    Path("blocked").mkdir()
    (Path("blocked") / "workspace.yaml").write_text("mine")
    with pytest.raises(
        ConfigurationError, match=r"blocked cannot be written: it has workspace\.yaml by now; nothing was"
    ):
        write_project(Path("blocked"), files)
    assert list_files(Path("blocked")) == ["workspace.yaml"]
    assert (Path("blocked") / "workspace.yaml").read_text() == "mine"


def test_a_password_is_read_as_it_was_given_and_stands_in_the_env_file_alone(
    smartdiet: Smartdiet, shop: Database[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSTGRES_PASSWORD", SECRET)
    made = smartdiet("init", "shop")
    forget_variables(monkeypatch)
    monkeypatch.chdir("shop")
    assert read_environment().postgres_password == SECRET
    holding = [path.name for path in Path().rglob("*") if path.is_file() and "cret" in path.read_text()]
    assert holding == [".env"]
    assert "cret" not in made.out + made.err
