"""Copying a database into an empty one on the same server: logbooks and users, with keys, indexes and foreign keys.

Against the client programs of PostgreSQL, piped into each other as a person would. Ours also gathers the planner's
statistics of the new tables, which theirs leave to autovacuum.
"""

import subprocess
from collections.abc import Iterator

import psycopg
from psycopg import sql

from smartdiet_assets.demo.postgres_placement import find_binaries
from smartdiet_assets.refresh.postgres.refresh import PostgresRefresh
from smartdiet_assets.refresh.progress import LineProgress
from smartdiet_assets.resources.postgres import PostgresResource
from smartdiet_assets_tests.benchmarks.floor import read_keys
from smartdiet_assets_tests.benchmarks.loading import load_batches
from smartdiet_assets_tests.benchmarks.logbooks import TABLE, build_logbooks
from smartdiet_assets_tests.benchmarks.measuring import Comparison, Contestant, Work, measure
from smartdiet_assets_tests.benchmarks.servers import Servers, sum_up
from smartdiet_assets_tests.benchmarks.settings import Settings

CUSTOM = "pg_dump -Fc | pg_restore"
PLAIN = "pg_dump | psql"
_TARGET = "benchmark_refreshed"


def run_refresh_postgres(servers: Servers, settings: Settings) -> Iterator[Comparison]:
    """Compare a refresh with both pipes."""
    logbooks = build_logbooks(settings.documents)
    binaries = find_binaries()
    with servers.open_postgres() as source, psycopg.connect(servers.postgres.dsn(), autocommit=True) as admin:
        load_batches(source, logbooks.schema, logbooks.parents, logbooks.users)
        load_batches(source, logbooks.schema, logbooks.table, logbooks.batches)
        source.execute("VACUUM ANALYZE")
        wanted = {**sum_up(source, TABLE), "keys": len(read_keys(source, TABLE))}
        name = source.info.dbname
        here, there = servers.postgres.dsn(name), servers.postgres.dsn(_TARGET)

        def drop() -> None:
            admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(_TARGET)))

        def prepare() -> None:
            drop()
            admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(_TARGET)))
            admin.execute("CHECKPOINT")

        def check() -> Work:
            with psycopg.connect(there, autocommit=True) as target:
                found = {**sum_up(target, TABLE), "keys": len(read_keys(target, TABLE))}
            assert found == wanted
            return found

        def resource(database: str) -> PostgresResource:
            server = servers.postgres
            return PostgresResource(
                host=server.host, port=server.port, user=server.user, password=server.password, database=database
            )

        def refresh() -> None:
            copying = PostgresRefresh(resource(name), resource(_TARGET), "local")
            copying.run(copying.plan(), LineProgress(lambda line: None))

        def pipe(dump: list[str], restore: list[str]) -> None:
            with subprocess.Popen([str(binaries / dump[0]), *dump[1:], here], stdout=subprocess.PIPE) as first:
                command = [str(binaries / restore[0]), *restore[1:]]
                subprocess.run(command, stdin=first.stdout, stdout=subprocess.DEVNULL, check=True)
            assert first.returncode == 0

        contestants = [
            Contestant("refresh", refresh, check, prepare),
            Contestant(CUSTOM, lambda: pipe(["pg_dump", "-Fc"], ["pg_restore", "-d", there]), check, prepare),
            Contestant(PLAIN, lambda: pipe(["pg_dump"], ["psql", "-q", "-d", there]), check, prepare),
        ]
        try:
            rounds = measure("refresh_postgres", "a database", contestants, settings.pairs, settings.on_round)
        finally:
            drop()
        yield rounds.compare(
            "refresh", CUSTOM, at_most=1.0, obstacle="both catalogues are read; it weighs in small databases."
        )
        yield rounds.compare("refresh", PLAIN)
