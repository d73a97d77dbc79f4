"""The rights that the README of doctor says are enough, on a server that asks; and what is said where one is missing.

Not here: rights on single collections, and the one to open a change stream, which the embedded server does not tell
apart from `find` on the database.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pymongo import MongoClient

from smartdiet_assets.demo.mongo_server import EmbeddedMongo
from smartdiet_assets.errors import SmartdietError
from smartdiet_assets.resources.mongo import MongoResource
from smartdiet_assets_tests.conftest import run_server
from smartdiet_assets_tests.integration.conftest import Smartdiet
from smartdiet_assets_tests.integration.network.test_refusals import CAPTURED, SCHEMA
from smartdiet_assets_tests.support.broken import NOW
from smartdiet_assets_tests.support.refreshed import Pair, read_bytes, read_indexes

pytestmark = pytest.mark.timeout(180)
SECRET = "Marked-s3cret"
#: Roles of our own, by the actions they allow on the database.
OWN_ROLES = {"reads_and_lists": ["find", "listCollections"], "lists": ["listCollections"]}
BUILT_IN = ("read", "readWrite", "dbAdmin")


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, mongo_server: EmbeddedMongo) -> Iterator[EmbeddedMongo]:
    """A server with a user for each role, of the same name, on the databases `diet` and `copy`."""
    for server in run_server(EmbeddedMongo(tmp_path_factory.mktemp("guarded"), require_auth=True)):
        with MongoClient[dict[str, Any]](server.uri) as client:
            dates = {"creation_date": NOW, "update_date": NOW}
            for database in (client.diet, client.copy):
                for role, actions in OWN_ROLES.items():
                    privileges = [{"resource": {"db": database.name, "collection": ""}, "actions": actions}]
                    database.command("createRole", role, privileges=privileges, roles=[])
                for role in (*OWN_ROLES, *BUILT_IN):
                    database.command("createUser", role, pwd=SECRET, roles=[role])
            client.diet.parents.insert_many([{"_id": n, **dates} for n in range(3)])
            client.diet.kids.insert_many([{"_id": n, "parent": n, **dates} for n in range(3)])
            client.diet.command({"create": "views", "viewOn": "kids", "pipeline": []})
            for collection in (client.diet.parents, client.diet.kids):
                for field in dates:
                    collection.create_index(field)
        yield server


@pytest.fixture
def setting(
    guarded: EmbeddedMongo, configured_servers: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> pytest.MonkeyPatch:
    (tmp_path / "tables.yaml").write_text(SCHEMA)
    for name, value in {
        "MONGODB_DATABASE": "diet",
        "SMARTDIET_SCHEMAS": str(tmp_path / "tables.yaml"),
        "DAGSTER_HOME": str(tmp_path / "dagster"),
        "RETRY_DELAY": "0.02",
    }.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def compose_url(server: EmbeddedMongo, role: str, database: str = "diet") -> str:
    return f"mongodb://{role}:{SECRET}@{server.host}:{server.port}/?directConnection=true&authSource={database}"


def test_the_role_read_is_enough_for_all_that_only_reads(
    guarded: EmbeddedMongo, setting: pytest.MonkeyPatch, smartdiet: Smartdiet, tmp_path: Path
) -> None:
    setting.setenv("MONGODB_URL", compose_url(guarded, "read"))
    for command in (
        "sync",
        "check --all",
        "compare mongo local --data",
        "reconcile",
        "infer kids --all",
        "infer views --sample 2",
        "doctor",
    ):
        ended = smartdiet(*command.split())
        assert ended.code == 0, f"{command}: {ended.out}{ended.err}"
    (tmp_path / "tables.yaml").write_text(CAPTURED)
    assert smartdiet("sync").code == 0
    assert "The change streams of parents, kids can be opened" in smartdiet("doctor").out


def test_what_the_doctor_may_not_see_is_not_held_against_the_server(
    guarded: EmbeddedMongo, setting: pytest.MonkeyPatch, smartdiet: Smartdiet
) -> None:
    setting.setenv("MONGODB_URL", compose_url(guarded, "reads_and_lists"))
    assert smartdiet("sync").code == 0
    doctor = smartdiet("doctor")
    assert doctor.code == 0, doctor.out
    lines = [" ".join(line.split()) for line in doctor.out.splitlines() if "MongoDB indexes" in line]
    assert len(lines) == 1, "not examined, and not found well beside that"
    assert "Not examined: reading the indexes of parents, kids failed: the user may not do this" in lines[0]


def test_a_view_has_no_indexes_of_its_own(
    guarded: EmbeddedMongo, setting: pytest.MonkeyPatch, smartdiet: Smartdiet, tmp_path: Path
) -> None:
    """The embedded server lists them for a view; what MongoDB answers is in `doctor.test_refusals`."""
    (tmp_path / "tables.yaml").write_text("tables:\n  views: {include_base: true}\n")
    setting.setenv("MONGODB_URL", compose_url(guarded, "read"))
    assert smartdiet("sync").code == 0
    assert smartdiet("check", "--all").code == 0


def test_a_missing_right_is_said_with_the_statement_that_grants_it(
    guarded: EmbeddedMongo, setting: pytest.MonkeyPatch, smartdiet: Smartdiet, postgres: psycopg.Connection[Any]
) -> None:
    setting.setenv("MONGODB_URL", compose_url(guarded, "lists"))
    refused = smartdiet("sync")
    assert refused.code == 2
    assert "the user may not do this" in refused.err
    doctor = smartdiet("doctor")
    assert doctor.code == 1
    said = " ".join(doctor.out.split())
    assert "reading parents, kids failed: the user may not do this (or MONGODB_URL names no user); it needs" in said
    assert 'db.getSiblingDB("diet").grantRolesToUser("lists", [{role: "read", db: "diet"}])' in doctor.out
    assert SECRET not in refused.err + doctor.out
    assert postgres.execute("SELECT to_regclass('parents')").fetchone() == (None,)


def test_a_refresh_needs_to_read_one_side_and_to_read_and_write_the_other(guarded: EmbeddedMongo) -> None:
    with MongoClient[dict[str, Any]](guarded.uri) as client:
        pair = Pair(guarded, client.diet, client.copy)
        build = pair.build_refresh

        def build_as(target_role: str) -> Any:
            refresh = build()
            source = MongoResource(url=compose_url(guarded, "read"), database="diet", retry_delay=0.02)
            url = compose_url(guarded, target_role, "copy")
            refresh._source = source
            refresh._target = MongoResource(url=url, database="copy", retry_delay=0.02)
            return refresh

        client.copy.own.insert_one({"_id": 1})
        pair.build_refresh = lambda **options: build_as("read")  # type: ignore[method-assign]
        with pytest.raises(SmartdietError, match=r"the user may not do this.*the target is as it was"):
            pair.refresh()
        assert list(read_bytes(client.copy)) == ["own"]
        pair.build_refresh = lambda **options: build_as("readWrite")  # type: ignore[method-assign]
        pair.refresh()
        assert read_bytes(client.copy) == read_bytes(client.diet)
        assert read_indexes(client.copy) == read_indexes(client.diet)
