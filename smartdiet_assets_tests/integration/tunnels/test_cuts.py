"""A tunnel that is cut, frozen or gone in the middle: the next try ends right, or the error says what is wrong."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pymongo.database import Database

from smartdiet_assets.errors import ServerUnreachableError
from smartdiet_assets.resources.mongo import MongoResource
from smartdiet_assets.resources.postgres import PostgresResource
from smartdiet_assets.resources.ssh_connection import Keepalive, SshConnection
from smartdiet_assets.resources.tunnel import Tunnel
from smartdiet_assets_tests.support.broken import (
    MONGO_TABLES,
    SCHEMA,
    SHORT_RETRIES,
    Network,
)
from smartdiet_assets_tests.support.fault_proxy import Fault, FaultProxy
from smartdiet_assets_tests.support.remote import (
    AnySshServer,
    build_access,
    move_behind_ssh,
    set_ssh_variables,
)
from smartdiet_assets_tests.support.ssh_servers import InProcessSshServer, OpenSshServer, TunnelThreads, wait_until

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def network(
    configured_servers: None,
    either_server: AnySshServer,
    mongo_database: Database[Any],
    postgres: psycopg.Connection[Any],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Iterator[Network]:
    """Both databases behind an SSH server, which is behind a proxy that can fail; short timeouts."""
    path = tmp_path / "tables.yaml"
    path.write_text(SCHEMA)
    with FaultProxy(either_server.port) as proxy:
        network = Network({"ssh": proxy}, mongo_database, postgres, (path,))
        set_ssh_variables(monkeypatch, build_access(either_server, port=proxy.port))
        move_behind_ssh(monkeypatch, source=True, destination=True)
        variables = {
            "SMARTDIET_SCHEMAS": str(path),
            "DAGSTER_HOME": str(tmp_path / "dagster"),
            "BATCH_SIZE": "50",
            "CONNECT_TIMEOUT": "10",
            "READ_TIMEOUT": "5",
            "STALL_TIMEOUT": "1",
        }
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        network.write_documents()
        yield network


@pytest.mark.parametrize(
    ("either_server", "how", "direction"),
    [
        ("ssh_server", "reset", "up"),
        ("ssh_server", "stall", "down"),
        ("sshd", "reset", "down"),
        ("sshd", "stall", "up"),
    ],
    indirect=["either_server"],
)
def test_a_tunnel_that_breaks_in_mid_copy_is_opened_again(network: Network, how: Any, direction: Any) -> None:
    fault = network.proxies["ssh"].strike(Fault(how, 60_000, direction))
    sync = network.sync(*MONGO_TABLES)
    assert not sync.errors
    assert fault.struck == 1
    assert 1 <= sum(map(len, sync.retries.values())) <= 2
    # What was written before the break is not there.
    assert set(network.row_counts) == {0}
    network.assert_mirrored()


def test_an_ssh_server_that_never_comes_back_is_a_clear_error(network: Network) -> None:
    proxy = network.proxies["ssh"]
    fault = proxy.strike(Fault("reset", 60_000, "up", times=None))
    network.on_failure = proxy.refuse
    sync = network.sync("companies")
    assert fault.struck
    assert len(sync.retries["companies"]) == SHORT_RETRIES.retries
    said = f"SSH server 127.0.0.1:{proxy.port} does not answer; check it, REMOTE_SERVER_URL and REMOTE_SERVER_PORT"
    assert f"{said}. In vain after {SHORT_RETRIES.retries + 1} tries in " in sync.errors["companies"]
    assert network.row_counts[-1] == 0


def test_a_cut_between_two_uses_is_not_even_noticed(
    either_server: AnySshServer,
    postgres_resource: PostgresResource,
    mongo_resource: MongoResource,
    mongo_database: Database[dict[str, Any]],
    reach: Callable[..., Any],
) -> None:
    mongo_database.users.insert_one({})
    access = build_access(either_server)
    postgres, mongo = reach(postgres_resource, access), reach(mongo_resource, access)
    with TunnelThreads():
        for _ in range(3):
            postgres.connect().close()
            assert mongo.open_database().users.count_documents({}) == 1
            assert either_server.cut()
        postgres.close()
        mongo.close()


def test_a_server_that_answers_nothing_any_more_is_noticed(ssh_server: InProcessSshServer) -> None:
    """Its process is halted: the network is content, and nobody sends anything."""
    with FaultProxy(ssh_server.port) as proxy:
        connection = SshConnection(build_access(ssh_server, port=proxy.port), 10, Keepalive(0.2, 0.5))
        try:
            connection.ensure()
            transport = connection._transport
            assert transport is not None
            # While it answers, nothing happens.
            time.sleep(1)
            assert transport.is_active()
            proxy.strike(Fault("stall", times=None))
            wait_until(lambda: not transport.is_active(), "the silence is noticed")
        finally:
            connection.close()


def test_a_login_that_fails_half_way_leaves_nothing_open(ssh_server: InProcessSshServer) -> None:
    for after in (0, 30, 500, 1500):
        with FaultProxy(ssh_server.port) as proxy:
            proxy.strike(Fault("reset", after, "down"))
            tunnel = Tunnel(build_access(ssh_server, port=proxy.port), 10)
            with TunnelThreads():
                try:
                    tunnel.ensure()
                except ServerUnreachableError:
                    pass
                finally:
                    tunnel.close()
        ssh_server.wait_until_left()


def test_drivers_that_try_by_themselves_do_not_log_in_again_and_again(
    ssh_server: InProcessSshServer, mongo_resource: MongoResource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A driver's pool asks for a new connection twice a second, and who fails too often is banned."""
    access = build_access(ssh_server)
    tunnel = Tunnel(access, 10)
    try:
        forward = tunnel.open("127.0.0.1", 1)
        monkeypatch.setattr(ssh_server, "validates", False)
        ssh_server.cut()
        ssh_server.wait_until_left()
        with psycopg_refused():
            psycopg.connect(host=forward.address[0], port=forward.address[1], connect_timeout=60)
        for _ in range(5):
            with psycopg_refused():
                psycopg.connect(host=forward.address[0], port=forward.address[1], connect_timeout=60)
        assert ssh_server.log.refused == 1
        # Who asks on purpose is answered, and where the password is right again, so is everything.
        monkeypatch.setattr(ssh_server, "validates", True)
        tunnel.ensure()
    finally:
        tunnel.close()


def psycopg_refused() -> Any:
    return pytest.raises(psycopg.OperationalError)


def test_a_real_server_that_is_stopped_and_started_again(
    sshd: OpenSshServer, postgres_resource: PostgresResource, reach: Callable[..., Any]
) -> None:
    postgres = reach(postgres_resource, build_access(sshd))
    held = postgres.connect()
    sshd.cut()
    with pytest.raises(psycopg.OperationalError):
        held.execute("SELECT 1")
    assert postgres.check().ok
    postgres.close()
    sshd.wait_until_left()
