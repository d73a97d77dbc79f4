"""Every database is reached through SSH, over one connection that is gone when its last user is."""

import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from smartdiet_assets.demo.mongo_server import EmbeddedMongo
from smartdiet_assets.demo.server_folder import find_free_port
from smartdiet_assets.errors import ForwardingFailedError, PermissionDeniedError, TerminalError, TransientError
from smartdiet_assets.resources.matomo import MatomoResource
from smartdiet_assets.resources.mongo import MongoResource
from smartdiet_assets.resources.postgres import PostgresResource
from smartdiet_assets.resources.tunnel import Tunnel, keep_connections
from smartdiet_assets_tests.support.remote import AnySshServer, build_access
from smartdiet_assets_tests.support.ssh_servers import InProcessSshServer, OpenSshServer, TunnelThreads


def test_the_three_databases_share_one_connection(
    either_server: AnySshServer,
    postgres_resource: PostgresResource,
    mongo_resource: MongoResource,
    mongo_database: Database[dict[str, Any]],
    matomo_resource: MatomoResource,
    reach: Callable[..., Any],
) -> None:
    mongo_database.users.insert_one({})
    access = build_access(either_server)
    before = count_logins(either_server)
    postgres, mongo = reach(postgres_resource, access), reach(mongo_resource, access)
    matomo = reach(matomo_resource, access)
    with TunnelThreads():
        assert [postgres.check().sentence, mongo.check().sentence, matomo.check([]).sentence] == ["", "", ""]
        assert count_logins(either_server) - before == 1
        postgres.close()
        matomo.close()
        assert mongo.open_database().users.count_documents({}) == 1
        mongo.close()
    either_server.wait_until_left()
    # It opens again by itself.
    assert postgres.check().ok
    assert count_logins(either_server) - before == 2


def count_logins(server: AnySshServer) -> int:
    return server.logins if isinstance(server, OpenSshServer) else server.log.logins


def test_a_remote_server_is_named_with_the_way_to_it(ssh_server: InProcessSshServer) -> None:
    access = build_access(ssh_server, server="gate.example.org", port=22)
    assert (
        PostgresResource(host="db", database="diet", access=access).describe()
        == "PostgreSQL database diet at db:5432 through SSH server gate.example.org"
    )
    assert MongoResource(url="mongodb://u:s3cret@localhost", access=access).describe() == (
        "MongoDB at localhost through SSH server gate.example.org"
    )
    other = build_access(ssh_server, server="gate.example.org", port=2222)
    assert MatomoResource(access=other).describe() == (
        "Matomo's database matomo at localhost:3306 through SSH server gate.example.org:2222"
    )


def test_a_connection_can_be_kept_between_its_users(
    ssh_server: InProcessSshServer, postgres_resource: PostgresResource, reach: Callable[..., Any]
) -> None:
    with keep_connections():
        for _ in range(3):
            remote = reach(postgres_resource, build_access(ssh_server))
            assert remote.check().ok
            remote.close()
    assert ssh_server.log.logins == 1
    ssh_server.wait_until_left()


def test_a_port_where_nothing_answers_is_named_as_the_ssh_server_sees_it(
    either_server: AnySshServer,
    postgres_resource: PostgresResource,
    mongo_resource: MongoResource,
    matomo_resource: MatomoResource,
    reach: Callable[..., Any],
) -> None:
    port = find_free_port()
    access = build_access(either_server)
    postgres = reach(postgres_resource, access, port=port)
    matomo = reach(matomo_resource, access, port=port)
    mongo = reach(mongo_resource, access, url=f"mongodb://127.0.0.1:{port}")
    expected = f"no server answers at 127.0.0.1:{port} as seen from the SSH server 127.0.0.1:{either_server.port}"
    assert issubclass(ForwardingFailedError, TransientError)
    with pytest.raises(ForwardingFailedError, match=expected):
        postgres.connect()
    with pytest.raises(ForwardingFailedError, match=expected):
        mongo.open_database()
    with pytest.raises(ForwardingFailedError, match=expected), matomo.connect():
        pass


def test_a_server_that_answers_before_it_reads_on_stops_nothing(sshd: OpenSshServer) -> None:
    """More is on its way in each direction than all buffers take: one flows while the other is full."""
    size = 40 * 1024 * 1024

    def pass_all(stream: socket.socket, *, at_once: bool) -> int:
        """Send as much as comes, before it is read or at once; how much came."""
        stream.settimeout(60)
        with ThreadPoolExecutor() as pool:
            sent = pool.submit(stream.sendall, bytes(size))
            if not at_once:
                sent.result()
            left = size
            while left and (data := stream.recv(left)):
                left -= len(data)
            sent.result()
        return size - left

    tunnel = Tunnel(build_access(sshd), 10)
    try:
        with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor() as pool:
            way = tunnel.open(*listener.getsockname())
            with socket.create_connection(way.address) as here, listener.accept()[0] as there:
                answered = pool.submit(pass_all, there, at_once=False)
                assert pass_all(here, at_once=True) == size
                assert answered.result() == size
    finally:
        tunnel.close()


def test_an_ssh_server_that_forwards_nothing_says_so(
    ssh_server: InProcessSshServer,
    postgres_resource: PostgresResource,
    monkeypatch: pytest.MonkeyPatch,
    reach: Callable[..., Any],
) -> None:
    monkeypatch.setattr(ssh_server, "forwards", False)
    remote = reach(postgres_resource, build_access(ssh_server))
    assert issubclass(PermissionDeniedError, TerminalError)
    with pytest.raises(PermissionDeniedError, match=r"does not allow connections to .*AllowTcpForwarding"):
        remote.connect()


def test_of_a_replica_set_behind_a_tunnel_one_member_is_used(
    ssh_server: InProcessSshServer, mongo_server: EmbeddedMongo, mongo_database: Database[dict[str, Any]]
) -> None:
    """The first host does not answer, and the members know themselves by names that lead nowhere from here."""
    mongo_database.users.insert_one({})
    host = mongo_server.uri.partition("://")[2].partition("/")[0]
    url = mongo_server.uri.replace(host, f"127.0.0.1:{find_free_port()},{host}")
    mongo = MongoResource(url=url, database=mongo_database.name, access=build_access(ssh_server))
    try:
        client = mongo.client()
        assert client.topology_description.topology_type_name in ("Single", "Unknown")
        assert mongo.open_database().users.count_documents({}) == 1
        assert client.topology_description.topology_type_name == "Single"
    finally:
        mongo.close()


def test_a_url_that_finds_its_servers_by_dns_is_refused(ssh_server: InProcessSshServer) -> None:
    mongo = MongoResource(url="mongodb+srv://u:s3cret@cluster.example.org", access=build_access(ssh_server))
    sentence = mongo.check().sentence
    assert "mongodb+srv:// finds its servers by DNS, which does not lead through an SSH tunnel" in sentence
    assert "s3cret" not in sentence


def test_the_password_of_a_remote_database_is_looked_for_in_its_own_variable(
    ssh_server: InProcessSshServer,
    postgres_resource: PostgresResource,
    mongo_client: MongoClient[dict[str, Any]],
    reach: Callable[..., Any],
) -> None:
    remote = reach(postgres_resource, build_access(ssh_server), password="wrong-s3cret", user="nobody")
    sentence = remote.check().sentence
    assert "check REMOTE_POSTGRES_USER and REMOTE_POSTGRES_PASSWORD" in sentence
    assert "through SSH server 127.0.0.1" in sentence
    remote.close()
