"""The embedded MongoDB keeps what it was given, says what is wrong, and leaves no process behind."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from smartdiet_assets.demo.mongo_server import STOP_TIMEOUT_SECONDS, EmbeddedMongo
from smartdiet_assets.demo.server_folder import EmbeddedServerError
from smartdiet_assets_tests.conftest import run_server
from smartdiet_assets_tests.integration.demo.processes import is_gone


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedMongo]:
    """A server of this test's own, which it may kill."""
    yield from run_server(EmbeddedMongo(tmp_path / "mongo"))


def open_client(uri: str) -> MongoClient[dict[str, Any]]:
    return MongoClient(uri, journal=True, serverSelectionTimeoutMS=2000)


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_data_is_kept_over_an_end_and_a_start(server: EmbeddedMongo, end: str) -> None:
    with open_client(server.uri) as client:
        client.company.users.insert_many([{"_id": number} for number in range(100)])
    pid = server.process_id
    getattr(server, end)()
    assert pid is not None
    assert is_gone(pid, 0.1)
    with EmbeddedMongo(server.directory) as again, open_client(again.uri) as client:
        assert client.company.users.count_documents({}) == 100


def test_a_stop_with_clients_connected_is_quick(server: EmbeddedMongo) -> None:
    with open_client(server.uri) as client:
        client.company.users.insert_one({})
        started = time.monotonic()
        server.stop()
        assert time.monotonic() - started < STOP_TIMEOUT_SECONDS / 2


def test_a_second_server_on_one_folder_is_refused(mongo_server: EmbeddedMongo) -> None:
    with pytest.raises(EmbeddedServerError, match="already runs on"):
        EmbeddedMongo(mongo_server.directory).start()


def test_a_port_in_use_is_named(tmp_path: Path, server: EmbeddedMongo) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        other = EmbeddedMongo(tmp_path / "other", port=port)
        with pytest.raises(EmbeddedServerError, match=f"port {port} of 127.0.0.1 is in use"):
            other.start()
    with other:
        assert other.port == port


def test_a_server_that_does_not_start_shows_why(tmp_path: Path, server: EmbeddedMongo) -> None:
    with pytest.raises(EmbeddedServerError, match="no_such_option"):
        EmbeddedMongo(tmp_path / "other", options={"no_such_option": 1}).start()


def test_it_asks_for_a_password_where_it_is_told_to_and_keeps_it(tmp_path: Path, server: EmbeddedMongo) -> None:
    guarded = EmbeddedMongo(tmp_path / "guarded", require_auth=True)
    for _ in range(2):
        with guarded:
            with open_client(guarded.uri) as client:
                client.company.users.insert_one({})
            with (
                open_client(guarded.uri.replace(guarded.password, "wrong")) as client,
                pytest.raises(OperationFailure, match=r"(?i)authentication failed"),
            ):
                client.company.users.find_one()
            with (
                open_client(f"mongodb://127.0.0.1:{guarded.port}/?directConnection=true") as client,
                pytest.raises(OperationFailure, match="requires authentication"),
            ):
                client.company.users.find_one()
            assert guarded.password not in repr(guarded)


def test_it_ends_when_its_starter_is_killed_and_starts_again_at_once(server: EmbeddedMongo) -> None:
    server.stop()
    script = (
        "import sys, time; from pathlib import Path;"
        "from smartdiet_assets.demo.mongo_server import EmbeddedMongo;"
        "server = EmbeddedMongo(Path(sys.argv[1])); server.start();"
        "print(server.process_id, flush=True); time.sleep(60)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    command = [sys.executable, "-c", script, str(server.directory)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as starter:
        assert starter.stdout is not None
        pid = int(starter.stdout.readline())
        starter.kill()
    server.start()
    assert is_gone(pid, 0.1)
