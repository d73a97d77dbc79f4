"""A PgBouncer between the commands and PostgreSQL."""

from collections.abc import Callable, Iterator

import psycopg
import pytest
from psycopg.pq import TransactionStatus

from smartdiet_assets.demo.postgres_server import EmbeddedPostgres
from smartdiet_assets.errors import ConfigurationError, TerminalError
from smartdiet_assets.resources.postgres import PostgresResource
from smartdiet_assets_tests.conftest import skip_or_fail
from smartdiet_assets_tests.integration.target.conftest import Target
from smartdiet_assets_tests.support.pgbouncer import PgBouncer

Pool = Callable[[str], PgBouncer]


@pytest.fixture
def pool(postgres_server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pool]:
    """Put a pooler of a mode before the server, and let the commands reach that."""
    started = []

    def start(mode: str) -> PgBouncer:
        pooler = PgBouncer(postgres_server, mode)
        try:
            pooler.start()
        except ConfigurationError as error:
            skip_or_fail(str(error))
        started.append(pooler)
        monkeypatch.setenv("POSTGRES_HOST", pooler.host)
        monkeypatch.setenv("POSTGRES_PORT", str(pooler.port))
        return pooler

    yield start
    for pooler in started:
        pooler.stop()


def reach(resource: PostgresResource, pooler: PgBouncer) -> PostgresResource:
    """The resource through the pooler."""
    return resource.model_copy(update={"host": pooler.host, "port": pooler.port})


@pytest.mark.parametrize("mode", ["transaction", "session"])
def test_every_command_works_through_a_pooler(target: Target, pool: Pool, mode: str) -> None:
    pool(mode)
    target.postgres.execute(
        f"ALTER DATABASE {target.resource.database} SET quote_all_identifiers = on;"
        f"ALTER DATABASE {target.resource.database} SET statement_timeout = '900ms';"
        f"ALTER DATABASE {target.resource.database} SET \"DateStyle\" = 'German'".encode()
    )
    target.use_all_commands()
    # What was prepared in one session is met in another from the third time on.
    target.expect("sync")


def test_nothing_of_ours_stays_in_the_sessions_of_others(target: Target, pool: Pool) -> None:
    pooler = pool("transaction")
    with psycopg.connect(reach_url(target, pooler), autocommit=True, prepare_threshold=None) as other:
        ask = "SELECT name, setting FROM pg_settings WHERE name <> 'application_name'"
        before = dict(other.execute(ask).fetchall())
        target.expect("sync")
        target.edit()
        target.expect("sync")
        target.expect("reconcile", "--force")
        left = "SELECT relname FROM pg_class WHERE relpersistence = 't' AND relkind = 'r'"
        assert target.postgres.execute(left).fetchall() == []
        for _ in range(10):
            now = dict(other.execute(ask).fetchall())
            # PL/pgSQL brings settings of its own.
            assert {name: now[name] for name in before} == before
            assert other.execute("SELECT count(*) FROM pg_prepared_statements").fetchone() == (0,)


def reach_url(target: Target, pooler: PgBouncer) -> str:
    resource = target.resource
    return f"postgresql://{resource.user}:{resource.password}@{pooler.host}:{pooler.port}/{resource.database}"


def test_a_transaction_has_the_settings_whichever_way_it_begins(
    postgres_resource: PostgresResource, postgres: psycopg.Connection, pool: Pool
) -> None:
    postgres.execute(f"ALTER DATABASE {postgres_resource.database} SET array_nulls = off".encode())
    ask = "SELECT current_setting('array_nulls')"
    with reach(postgres_resource, pool("transaction")).connect() as connection:
        assert connection.execute(ask).fetchone() == ("on",)
        connection.rollback()
        connection.autocommit = True
        assert connection.execute(ask).fetchone() == ("on",)
        with pytest.raises(psycopg.errors.UndefinedTable):
            connection.execute("TABLE nothing")
        connection.execute("CREATE TABLE made AS SELECT 1 AS n")
        assert postgres.execute("TABLE made").fetchall() == [(1,)]
        with connection.cursor().copy("COPY made FROM STDIN") as copy:
            copy.write_row([2])
        assert postgres.execute("TABLE made").fetchall() == [(1,), (2,)]
        assert list(connection.cursor().stream("TABLE made")) == [(1,), (2,)]
        assert connection.info.transaction_status == TransactionStatus.IDLE
        with connection.transaction():
            assert connection.execute(ask).fetchone() == ("on",)
            with connection.transaction():
                assert connection.execute(ask).fetchone() == ("on",)
        with connection.pipeline(), connection.transaction():
            cursor = connection.execute(ask)
        assert cursor.fetchone() == ("on",)


def test_a_pooler_that_takes_no_transactions_is_refused_in_a_sentence(target: Target, pool: Pool) -> None:
    pooler = pool("statement")
    with pytest.raises(TerminalError, match="pool_mode"):
        reach(target.resource, pooler).connect()
    for command in ("sync", "doctor", "check", "status"):
        result = target.run(command)
        assert result.returncode != 0
        assert "pool_mode" in " ".join((result.stdout + result.stderr).split()), command
