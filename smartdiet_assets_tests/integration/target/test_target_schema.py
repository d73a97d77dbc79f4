"""A PostgreSQL schema of one's own for the tables: made where it is missing, and the only one that is looked at."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from smartdiet_assets.demo.postgres_server import EmbeddedPostgres
from smartdiet_assets.doctor.servers import examine_postgres
from smartdiet_assets.errors import ConfigurationError, PermissionDeniedError
from smartdiet_assets.resources.checking import Finding
from smartdiet_assets.resources.postgres import PostgresResource
from smartdiet_assets_tests.conftest import skip_or_fail
from smartdiet_assets_tests.support.pgbouncer import PgBouncer

ODD = 'Shop "1", public; --'


@pytest.fixture
def clerk(postgres: psycopg.Connection, postgres_resource: PostgresResource) -> Iterator[PostgresResource]:
    """The database as a role sees it that may make no schema."""
    role = f"clerk_{postgres_resource.database}"
    postgres.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'of-the-test'".encode())
    resource = postgres_resource.model_copy(update={"user": role, "password": "of-the-test"})
    with resource.in_schema("shop").open() as opened:
        yield opened
    postgres.execute(f"DROP OWNED BY {role}; DROP ROLE {role}".encode())


def ask(connection: psycopg.Connection, question: bytes = b"SELECT current_schemas(false)::text[]") -> object:
    row = connection.execute(question).fetchone()
    assert row is not None
    return row[0]


@pytest.mark.parametrize("name", ["shop", ODD])
def test_it_is_made_by_who_writes_and_is_all_of_the_search_path(
    postgres_resource: PostgresResource, postgres: psycopg.Connection, name: str
) -> None:
    postgres.execute("CREATE TABLE public.users ()")
    with postgres_resource.in_schema(name).open() as resource:
        with resource.connect() as connection:
            assert ask(connection) == [], "who only looks makes nothing"
        with resource.borrow(making_schema=True) as connection:
            assert ask(connection) == [name]
            assert ask(connection, b"SELECT to_regclass('users')") is None
            connection.execute("CREATE TABLE users ()")
        with resource.connect() as connection:
            assert ask(connection) == [name]
            assert ask(connection, b"SELECT count(*) FROM pg_tables WHERE schemaname = current_schema()") == 1


def test_many_that_make_it_at_once_are_no_fault(postgres_resource: PostgresResource) -> None:
    with postgres_resource.in_schema("shop").open() as resource:

        def make(_: int) -> object:
            with resource.borrow(making_schema=True) as connection:
                return ask(connection)

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(make, range(8))) == [["shop"]] * 8


def test_who_may_not_make_it_is_told_what_does(clerk: PostgresResource, postgres: psycopg.Connection) -> None:
    def examine() -> Finding:
        (found,) = [
            one for one in examine_postgres(clerk, None) if one.check == "rights" and "schema shop" in one.sentence
        ]
        return found

    with pytest.raises(PermissionDeniedError) as caught, clerk.borrow(making_schema=True):
        pass
    statement = f'CREATE SCHEMA "shop" AUTHORIZATION "{clerk.user}";'
    assert str(caught.value).endswith(
        f"has no schema shop, and the user {clerk.user} no right to make it; run {statement}"
    )
    assert examine().statements == (statement,)
    postgres.execute("CREATE SCHEMA shop")
    grant = f'GRANT USAGE, CREATE ON SCHEMA "shop" TO "{clerk.user}";'
    assert examine().statements == (grant,)
    postgres.execute(grant.encode())
    with clerk.borrow(making_schema=True) as connection:
        assert ask(connection) == ["shop"]


def test_the_doctor_knows_that_the_first_run_makes_it(postgres_resource: PostgresResource) -> None:
    with postgres_resource.in_schema("shop").open() as resource:
        said = {finding.check: finding for finding in examine_postgres(resource, None)}
        assert said["rights"].status == "passed"
        assert said["rights"].sentence.startswith("The user may create tables in shop, ")
        assert said["the rest"].sentence == "Not examined: no schema for the tables, which the first run makes."
        assert resource.check().ok


def test_the_schema_of_the_records_is_not_for_tables(postgres_resource: PostgresResource) -> None:
    with (
        pytest.raises(ConfigurationError, match="smartdiet is the schema of the mirror's own records"),
        postgres_resource.in_schema("smartdiet").open() as resource,
    ):
        resource.connect()


def test_behind_a_pooler_it_is_set_in_each_transaction_and_nobody_elses(
    postgres_server: EmbeddedPostgres, postgres_resource: PostgresResource
) -> None:
    pooler = PgBouncer(postgres_server, "transaction", pool_size=1)
    try:
        pooler.start()
    except ConfigurationError as error:
        skip_or_fail(str(error))
    try:
        behind = postgres_resource.model_copy(update={"host": pooler.host, "port": pooler.port})
        with behind.in_schema(ODD).open() as resource, behind.open() as other:
            with resource.borrow(making_schema=True) as connection:
                assert ask(connection) == [ODD]
                with connection.transaction():
                    assert ask(connection) == [ODD]
            with other.borrow() as connection:
                assert ask(connection) == ["public"]
    finally:
        pooler.stop()
