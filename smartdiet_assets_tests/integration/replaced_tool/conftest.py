"""Fixtures of the tests against the replaced tool: a mirror of its file, and databases full of marks."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from pymongo import MongoClient
from pymongo.database import Database

from smartdiet_assets.demo.mongo_server import EmbeddedMongo
from smartdiet_assets.demo.postgres_server import EmbeddedPostgres
from smartdiet_assets_tests.conftest import create_database
from smartdiet_assets_tests.integration.conftest import Smartdiet
from smartdiet_assets_tests.integration.replaced_tool.leaky_strategies import MARK
from smartdiet_assets_tests.integration.replaced_tool.old_mirror import OldMirror
from smartdiet_assets_tests.integration.replaced_tool.operated import Operated
from smartdiet_assets_tests.integration.replaced_tool.planted import Plant, write_faulty_users
from smartdiet_assets_tests.support.remote import build_access, set_ssh_variables
from smartdiet_assets_tests.support.ssh_servers import PASSPHRASE, PASSWORD, InProcessSshServer

Connection = psycopg.Connection[Any]


@pytest.fixture
def mirror(tmp_path: Path, mongo_database: Database[Any], postgres: Connection) -> OldMirror:
    return OldMirror(tmp_path, mongo_database, postgres)


@pytest.fixture(scope="session")
def planted_server(tmp_path_factory: pytest.TempPathFactory, mongo_server: EmbeddedMongo) -> Iterator[EmbeddedMongo]:
    """A source that wants a password, with users whose passwords are marked, and the name of one."""
    with EmbeddedMongo(tmp_path_factory.mktemp("planted"), require_auth=True) as server:
        with MongoClient[dict[str, Any]](server.uri) as client:
            for name in (MARK, "operator"):
                client.admin.command("createUser", name, pwd=MARK, roles=["root"])
            write_faulty_users(client.planted)
        yield server


@pytest.fixture
def plant(
    configured_servers: None, planted_server: EmbeddedMongo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Plant:
    monkeypatch.setenv("RETRY_DELAY", "0")
    return Plant(tmp_path, planted_server, monkeypatch)


@pytest.fixture
def source(plant: Plant, planted_server: EmbeddedMongo) -> Iterator[Database[Any]]:
    """Marked documents of this test's own."""
    with MongoClient[dict[str, Any]](planted_server.uri) as client:
        name = f"own_{os.environ['MONGODB_DATABASE']}_{os.environ['POSTGRES_DATABASE']}"
        write_faulty_users(client[name])
        plant.set("MONGODB_DATABASE", name)
        yield client[name]
        client.drop_database(name)


@pytest.fixture
def operated(
    plant: Plant,
    planted_server: EmbeddedMongo,
    postgres_server: EmbeddedPostgres,
    postgres_admin: Connection,
    ssh_server: InProcessSshServer,
    smartdiet: Smartdiet,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Operated]:
    """A source full of marks, an empty PostgreSQL database, and one of each behind an SSH server."""
    for name in ("HOST", "PORT", "USER", "PASSWORD"):
        plant.set(f"REMOTE_POSTGRES_{name}", os.environ[f"POSTGRES_{name}"])
    # The doctor says as whom a server answers.
    plant.set("MONGODB_URL", os.environ["MONGODB_URL"].replace(f"//{MARK}:", "//operator:"))
    plant.set("REMOTE_MONGODB_URL", os.environ["MONGODB_URL"])
    plant.set("REMOTE_MONGODB_DATABASE", "planted_copy")
    set_ssh_variables(monkeypatch, build_access(ssh_server))
    plant.set("CONNECT_TIMEOUT", "2")
    plant.secrets |= {PASSWORD.lower(), PASSPHRASE.lower()}
    with create_database(postgres_server, postgres_admin) as target:
        yield Operated(plant, target, smartdiet, postgres_server.directory / "postgres.log")
    with MongoClient[dict[str, Any]](planted_server.uri) as client:
        client.drop_database("planted_copy")


@pytest.fixture
def plain_user(plant: Plant, postgres: Connection, postgres_admin: Connection) -> None:
    """Let the target's user be no superuser, whose errors PostgreSQL logs whatever we say; his password is marked."""
    name = sql.Identifier("planted")
    if not postgres_admin.execute("SELECT FROM pg_roles WHERE rolname = 'planted'").fetchone():
        postgres_admin.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(name, MARK))
    owned = sql.Identifier(os.environ["POSTGRES_DATABASE"])
    postgres_admin.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(owned, name))
    plant.set("POSTGRES_USER", "planted")
    plant.set("POSTGRES_PASSWORD", MARK)
