"""A stalled connection is noticed and given up, with its locks; a long statement is waited for."""

from collections.abc import Iterator

import psycopg
import pytest

from smartdiet_assets.demo.postgres_server import EmbeddedPostgres
from smartdiet_assets.errors import ServerUnreachableError
from smartdiet_assets.resources.postgres import PostgresResource
from smartdiet_assets.resources.postgres_errors import translate_postgres_error
from smartdiet_assets.resources.postgres_watch import StalledConnectionError
from smartdiet_assets_tests.support.fault_proxy import Fault, FaultProxy

pytestmark = pytest.mark.timeout(120)
STALL_TIMEOUT = 1.0


@pytest.fixture
def proxy(postgres_server: EmbeddedPostgres) -> Iterator[FaultProxy]:
    with FaultProxy(postgres_server.port) as proxy:
        yield proxy


@pytest.fixture
def behind(proxy: FaultProxy, postgres_resource: PostgresResource) -> Iterator[PostgresResource]:
    """The resource, its connections through the proxy."""
    fields = {name: getattr(postgres_resource, name) for name in ("host", "database", "user", "password")}
    resource = PostgresResource(**fields, port=proxy.port, connect_timeout=2.0, stall_timeout=STALL_TIMEOUT)
    yield resource
    resource.close()


def backend_is_there(postgres: psycopg.Connection, pid: int) -> bool:
    found = postgres.execute("SELECT count(*) FROM pg_stat_activity WHERE pid = %s", [pid]).fetchone()
    return found == (1,)


def copy_lines(connection: psycopg.Connection, count: int) -> None:
    """Send lines of 10 kB."""
    with connection.cursor().copy("COPY copied FROM STDIN") as copy:
        for _ in range(count):
            copy.write("x" * 10_000 + "\n")


def test_a_statement_that_takes_long_is_waited_for(behind: PostgresResource) -> None:
    with behind.connect() as connection:
        assert connection.execute("SELECT pg_sleep(%s), 7", [4 * STALL_TIMEOUT]).fetchone() == ("", 7)


def test_a_lock_that_another_holds_is_waited_for(behind: PostgresResource, postgres: psycopg.Connection) -> None:
    with behind.connect() as connection:
        postgres.execute("SELECT pg_advisory_lock(1)")
        connection.execute(f"SET lock_timeout = {int(4_000 * STALL_TIMEOUT)}")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            connection.execute("SELECT pg_advisory_lock(1)")


@pytest.mark.parametrize("one_way", [False, True])
@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_stall_ends_the_wait_and_the_servers_transaction(
    proxy: FaultProxy, behind: PostgresResource, postgres: psycopg.Connection, direction: str, one_way: bool
) -> None:
    connection = behind.connect()
    connection.execute("SELECT pg_advisory_xact_lock(2)")
    pid = connection.info.backend_pid
    proxy.strike(Fault("stall", direction=direction, one_way=one_way))
    with pytest.raises(StalledConnectionError) as caught:
        connection.execute("SELECT 1")
    assert connection.closed
    told = translate_postgres_error(caught.value, "merging", "users")
    assert type(told) is ServerUnreachableError
    assert str(told).startswith("users: merging failed: no byte came through any more")
    postgres.execute("SELECT pg_advisory_lock(2)")
    while backend_is_there(postgres, pid):
        pass


def test_rows_that_stall_on_their_way_are_noticed(proxy: FaultProxy, behind: PostgresResource) -> None:
    with behind.connect() as connection:
        connection.execute("CREATE TABLE copied (line text)")
        proxy.strike(Fault("stall", 300_000, "up"))
        with pytest.raises(StalledConnectionError):
            copy_lines(connection, 2_000)


def test_rows_that_come_slowly_are_no_stall(proxy: FaultProxy, behind: PostgresResource) -> None:
    with behind.connect() as connection:
        connection.execute("CREATE TABLE copied (line text)")
        proxy.slow_down(400_000)
        copy_lines(connection, 200)
        assert connection.execute("SELECT count(*) FROM copied").fetchone() == (200,)


def test_a_stall_of_every_connection_is_noticed_too(proxy: FaultProxy, behind: PostgresResource) -> None:
    connection = behind.connect()
    proxy.strike(Fault("stall", times=None))
    with pytest.raises(StalledConnectionError):
        connection.execute("SELECT 1")
    with pytest.raises(ServerUnreachableError, match="no server answers"):
        behind.connect()


def test_the_server_ends_the_statement_of_a_client_that_died(
    behind: PostgresResource, postgres: psycopg.Connection
) -> None:
    connection = behind.connect()
    connection.autocommit = True
    assert connection.execute("SHOW client_connection_check_interval").fetchone() == ("10s",)
    connection.execute("SET client_connection_check_interval = '100ms'")
    connection.execute("SELECT pg_advisory_lock(3)")
    pid = connection.info.backend_pid
    connection.pgconn.send_query(b"SELECT pg_sleep(3600)")
    while connection.pgconn.flush():
        pass
    # What the system does with the sockets of a killed process.
    connection.pgconn.finish()
    postgres.execute("SELECT pg_advisory_lock(3)")
    while backend_is_there(postgres, pid):
        pass
