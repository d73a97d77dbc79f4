"""The PostgreSQL resource on a real server: what its check says, and that its password never shows."""

from pathlib import Path
from typing import ClassVar

import psycopg
import pytest
from dagster import EnvVar, build_init_resource_context
from psycopg import sql

from smartdiet_assets.demo.postgres_server import EmbeddedPostgres
from smartdiet_assets.demo.server_folder import find_free_port
from smartdiet_assets.errors import (
    AuthenticationError,
    ConfigurationError,
    DatabaseNotFoundError,
    ServerUnreachableError,
)
from smartdiet_assets.resources.postgres import PostgresResource
from smartdiet_assets.resources.postgres_errors import translate_postgres_error

PASSWORD = "s3cret-of-a-reader"


def change(resource: PostgresResource, **fields: object) -> PostgresResource:
    names = ("host", "port", "database", "user", "password")
    return PostgresResource(**{**{name: getattr(resource, name) for name in names}, **fields})


@pytest.fixture
def limited(postgres: psycopg.Connection, postgres_resource: PostgresResource) -> PostgresResource:
    """The resource as a user who may connect, and nothing else."""
    name = f"limited_{postgres_resource.database}"
    postgres.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(name), sql.Literal(PASSWORD)))
    return change(postgres_resource, user=name, password=PASSWORD)


def test_the_check_passes_where_tables_can_be_created(postgres_resource: PostgresResource) -> None:
    result = postgres_resource.check()
    assert (result.ok, result.sentence) == (True, "")


def test_the_check_says_that_no_server_answers(postgres_resource: PostgresResource) -> None:
    port = find_free_port()
    result = change(postgres_resource, port=port).check()
    assert "no server answers" in result.sentence
    assert f"127.0.0.1:{port}" in result.sentence


@pytest.mark.parametrize("host", ["no-such-host.invalid", "/no/such/folder"])
def test_a_host_that_does_not_exist_is_a_server_that_does_not_answer(
    postgres_resource: PostgresResource, host: str
) -> None:
    with pytest.raises(ServerUnreachableError, match="no server answers"):
        change(postgres_resource, host=host).connect()


@pytest.mark.parametrize("fields", [{"password": "wrong-s3cret"}, {"user": "nobody_here"}, {"password": ""}])
def test_the_check_says_that_the_password_is_wrong(postgres_resource: PostgresResource, fields: dict[str, str]) -> None:
    wrong = change(postgres_resource, **fields)
    with pytest.raises(AuthenticationError) as caught:
        wrong.connect()
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert wrong.check().sentence == str(caught.value)
    assert "refuses the user or the password" in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_the_check_says_that_the_database_is_missing(postgres_resource: PostgresResource) -> None:
    missing = change(postgres_resource, database="no_such_database")
    with pytest.raises(DatabaseNotFoundError, match="has no such database"):
        missing.connect()
    assert "no_such_database" in missing.check().sentence


def test_the_check_says_that_a_table_cannot_be_created(limited: PostgresResource) -> None:
    assert "has no right to create a table in the schema public" in limited.check().sentence


def test_the_check_says_that_the_state_schema_cannot_be_created(
    limited: PostgresResource, postgres: psycopg.Connection
) -> None:
    user = sql.Identifier(limited.user)
    postgres.execute(sql.SQL("GRANT CREATE ON SCHEMA public TO {}").format(user))
    assert "has no right to create the schema smartdiet, or tables in it" in limited.check().sentence
    postgres.execute("CREATE SCHEMA smartdiet")
    postgres.execute(sql.SQL("GRANT CREATE, USAGE ON SCHEMA smartdiet TO {}").format(user))
    assert limited.check().ok


def test_the_check_says_that_a_user_is_read_only(limited: PostgresResource, postgres: psycopg.Connection) -> None:
    statement = "ALTER ROLE {} SET default_transaction_read_only = on"
    postgres.execute(sql.SQL(statement).format(sql.Identifier(limited.user)))
    assert "is read only, or the server is" in limited.check().sentence


def test_a_connection_says_who_it_is_and_commits_nothing_by_itself(
    postgres_resource: PostgresResource,
) -> None:
    with postgres_resource.connect() as connection:
        assert not connection.autocommit
        row = connection.execute("SELECT current_setting('application_name')").fetchone()
    assert row == ("smartdiet",)


def test_what_a_failed_run_left_open_is_closed(postgres_resource: PostgresResource) -> None:
    def fail_a_step() -> None:
        with postgres_resource.yield_for_execution(build_init_resource_context()) as resource:
            connections.append(resource.connect())
            connections[0].execute("CREATE TABLE half_done (id int)")
            raise RuntimeError("a step failed")

    connections: list[psycopg.Connection] = []
    with pytest.raises(RuntimeError, match="a step failed"):
        fail_a_step()
    assert connections[0].closed
    with postgres_resource.connect() as again:
        assert again.execute("SELECT to_regclass('half_done')").fetchone() == (None,)


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_server_that_goes_away_is_a_transient_error(
    tmp_path: Path, postgres_server: EmbeddedPostgres, end: str
) -> None:
    server = EmbeddedPostgres(tmp_path / "postgres", settings={"fsync": "off"})
    with server:
        resource = PostgresResource(
            host=server.host,
            port=server.port,
            database="postgres",
            user=server.user,
            password=server.password,
        )
        connection = resource.connect()
        getattr(server, end)()
        for _ in range(2):  # first the server's last word, then a connection known to be closed
            with pytest.raises(psycopg.OperationalError) as caught:
                connection.execute("SELECT 1")
            ours = translate_postgres_error(caught.value, "merging", "users")
            assert type(ours) is ServerUnreachableError
        with pytest.raises(ServerUnreachableError, match="no server answers"):
            resource.connect()
    server.remove()


def test_the_password_shows_nowhere(limited: PostgresResource) -> None:
    assert PASSWORD not in repr(limited)
    assert PASSWORD not in str(limited)
    assert PASSWORD not in limited.describe()


def test_a_resource_that_dagster_has_not_initialized_says_so() -> None:
    with pytest.raises(ConfigurationError, match="not initialized"):
        PostgresResource(password=EnvVar("POSTGRES_PASSWORD")).connect()


def test_a_run_opens_one_connection_for_all_its_tables(postgres_resource: PostgresResource) -> None:
    with postgres_resource.borrow() as first, first.transaction():
        first.execute("SELECT 1")
    with postgres_resource.borrow() as second:
        assert second is first


def test_a_connection_that_failed_is_not_lent_again(postgres_resource: PostgresResource) -> None:
    with pytest.raises(psycopg.errors.DivisionByZero), postgres_resource.borrow() as first:
        first.execute("SELECT 1 / 0")
    with postgres_resource.borrow() as second:
        assert second is not first
    assert first.closed


def test_a_connection_the_server_ended_meanwhile_is_not_lent_again(
    postgres_resource: PostgresResource, postgres: psycopg.Connection
) -> None:
    class Distrustful(PostgresResource):
        seconds_trusted: ClassVar[float] = 0.0

    postgres_resource = Distrustful(**dict(postgres_resource))
    with postgres_resource.borrow() as first:
        pid = first.info.backend_pid
    postgres.execute("SELECT pg_terminate_backend(%s, 10000)", [pid])
    with postgres_resource.borrow() as second:
        assert second.execute("SELECT 1").fetchone() == (1,)
