"""What stays wrong until a person acts is tried once, and said in one sentence; what passes is tried again."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from pymongo import MongoClient

from smartdiet_assets.demo.mongo_server import EmbeddedMongo
from smartdiet_assets.resources.postgres import PostgresResource
from smartdiet_assets_tests.support.broken import MONGO_TABLES, Network
from smartdiet_assets_tests.support.fault_proxy import Fault

pytestmark = pytest.mark.timeout(180)
SECRET = "hunter2-s3cret"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, mongo_server: EmbeddedMongo) -> Iterator[EmbeddedMongo]:
    """A server that asks for a password, with a user who may read another database only."""
    with EmbeddedMongo(tmp_path_factory.mktemp("guarded"), require_auth=True) as server:
        with MongoClient[dict[str, Any]](server.uri) as client:
            client.diet.companies.insert_one({})
            roles = [{"role": "read", "db": "elsewhere"}]
            client.elsewhere.command("createUser", "outsider", pwd=SECRET, roles=roles)
        yield server


def assert_tried_once(network: Network, reason: str) -> None:
    sync = network.sync("companies")
    assert reason in sync.errors["companies"]
    assert SECRET not in sync.errors["companies"]
    assert not sync.retries
    assert network.row_counts == []


def test_a_wrong_password_of_postgres(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTGRES_PASSWORD", SECRET)
    assert_tried_once(network, "the server refuses the user or the password; check POSTGRES_USER")
    assert network.proxies["postgres"].connections == 1


def test_a_missing_permission_in_postgres(
    network: Network, postgres: psycopg.Connection, postgres_resource: PostgresResource, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = f"limited_{postgres_resource.database}"
    create = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}")
    postgres.execute(create.format(sql.Identifier(user), sql.Literal(SECRET)))
    monkeypatch.setenv("POSTGRES_USER", user)
    monkeypatch.setenv("POSTGRES_PASSWORD", SECRET)
    assert_tried_once(network, "the user has no right to do this; grant it or change POSTGRES_USER")


def test_a_wrong_password_of_mongo(network: Network, guarded: EmbeddedMongo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONGODB_URL", guarded.uri.replace(guarded.password, SECRET))
    assert_tried_once(network, "the server refuses the user or the password; check MONGODB_URL")


def test_a_missing_permission_in_mongo(
    network: Network, guarded: EmbeddedMongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    login = f"outsider:{SECRET}@{guarded.host}:{guarded.port}"
    monkeypatch.setenv("MONGODB_URL", f"mongodb://{login}/?directConnection=true&authSource=elsewhere")
    monkeypatch.setenv("MONGODB_DATABASE", "diet")
    assert_tried_once(network, "the user may not do this")


def smartdiet_sync(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command; where it hangs, its stack is the test's message."""
    command = [sys.executable, "-X", "faulthandler", "-m", "smartdiet_assets.cli", "sync", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        printed, errors = process.communicate(timeout=150)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)
        pytest.fail(f"it hangs:\n{process.communicate()[1]}")
    return subprocess.CompletedProcess(command, process.returncode, printed, errors)


@pytest.mark.parametrize(
    ("server", "fault"),
    [
        ("mongo", Fault("stall", 25_000)),
        ("postgres", Fault("stall", 60_000, "up")),
    ],
    ids=["mongo_stalled", "postgres_stalled"],
)
def test_the_command_line_ends_well_after_a_break(network: Network, server: str, fault: Fault) -> None:
    network.proxies[server].strike(fault)
    result = smartdiet_sync("--json")
    assert result.returncode == 0, result.stderr
    assert fault.struck == 1
    assert list(json.loads(result.stdout)["tables"]) == MONGO_TABLES
    network.assert_mirrored()


@pytest.mark.parametrize(("server", "how"), [("mongo", "stalled"), ("postgres", "refused"), ("postgres", "stalled")])
def test_the_command_line_says_in_one_sentence_that_a_server_is_away(network: Network, server: str, how: str) -> None:
    if how == "refused":
        network.proxies[server].refuse()
    else:
        network.proxies[server].strike(Fault("stall", times=None))
    result = smartdiet_sync()
    assert result.returncode == 2
    assert "no server answers" in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr


def test_the_command_line_reports_its_tables_when_postgres_goes_away_for_good(network: Network, tmp_path: Path) -> None:
    # The first connection is the check's before the run.
    network.proxies["postgres"].strike(Fault("reset", 60_000, "up", times=None))
    result = smartdiet_sync("--json")
    assert result.returncode == 1
    tables = json.loads(result.stdout)["tables"]
    assert "the connection was lost" in tables["companies"]["error"]
    assert tables["users"]["error"].startswith("not run")
    assert "Traceback" not in result.stderr
