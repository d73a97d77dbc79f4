"""The first load of Matomo's visits and page views, from a real MariaDB.

Nothing can be faster than reading the rows with the driver, nor than copying ready rows into a bare table and building
the same keys: the slower of the two is what the mirror is measured against. Where the machine has no MariaDB there is
nothing to measure.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from psycopg import sql
from pymysql.connections import Connection
from pymysql.cursors import SSCursor

from smartdiet_assets.demo.analytics import create_matomo_tables
from smartdiet_assets.demo.mariadb_server import EmbeddedMariaDB, has_mariadb
from smartdiet_assets.extract.window import WindowRequest
from smartdiet_assets.mirror.sources.matomo import MatomoSource
from smartdiet_assets.mirror.table_run import mirror_source
from smartdiet_assets.resources.matomo import MatomoResource
from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets.schema.model import Schema, Table
from smartdiet_assets_tests.benchmarks.floor import read_keys, take_table
from smartdiet_assets_tests.benchmarks.measuring import Comparison, Contestant, Work, measure
from smartdiet_assets_tests.benchmarks.servers import Connection as PostgresConnection
from smartdiet_assets_tests.benchmarks.servers import Servers, sum_up
from smartdiet_assets_tests.benchmarks.settings import Settings
from smartdiet_assets_tests.support.large_matomo import fill
from smartdiet_assets_tests.support.matomo_mirror import ACTION, CONFIG, VIEW, VISIT

FLOOR = "binary COPY, then keys"
READING = "the same rows read by the driver alone"
_PAGE = 5_000
#: No disk in the times.
_SETTINGS = {"innodb-flush-log-at-trx-commit": "0", "innodb-buffer-pool-size": "256M"}


def run_matomo(servers: Servers, settings: Settings) -> Iterator[Comparison]:
    """Compare the first load of both large tables with reading and with copying; 1.67 is 0.6 of the rows a second."""
    if not has_mariadb():
        return
    with TemporaryDirectory(prefix="smartdiet-benchmarks-") as folder:
        mariadb = EmbeddedMariaDB(Path(folder, "mariadb"), settings=_SETTINGS)
        try:
            mariadb.start()
            with mariadb.connect() as admin, admin.cursor() as cursor:
                cursor.execute("CREATE DATABASE matomo")
            with mariadb.connect("matomo") as source:
                create_matomo_tables(source)
                fill(source, settings.documents, 2 * settings.documents)
            yield from _run(servers, settings, mariadb)
        finally:
            mariadb.remove()


def _run(servers: Servers, settings: Settings, mariadb: EmbeddedMariaDB) -> Iterator[Comparison]:
    schema = load_schema(CONFIG)
    resource = MatomoResource(
        host=mariadb.host, port=mariadb.port, database="matomo", user=mariadb.user, password=mariadb.password
    )
    with servers.open_postgres() as connection:
        for name in (ACTION, VISIT, VIEW):
            _mirror(schema, name, resource, connection)
        # The children first: a table with rows that point at it cannot be made anew.
        for name in (VIEW, VISIT):
            yield _measure(schema, schema.tables[name], resource, mariadb, connection, settings)


def _mirror(schema: Schema, name: str, resource: MatomoResource, connection: PostgresConnection) -> None:
    with resource.connect() as source:
        mirror_source(
            MatomoSource(schema, schema.tables[name], source, _PAGE),
            connection,
            run_id="benchmark",
            request=WindowRequest("full"),
        )


def _measure(
    schema: Schema,
    table: Table,
    resource: MatomoResource,
    mariadb: EmbeddedMariaDB,
    connection: PostgresConnection,
    settings: Settings,
) -> Comparison:
    ready = take_table(connection, table.name)
    rows_read = 0

    def prepare() -> None:
        connection.execute(sql.SQL("DROP TABLE IF EXISTS {} CASCADE").format(sql.Identifier(table.name)))
        connection.execute("DELETE FROM smartdiet.sync_state WHERE table_name = %s", [table.name])
        connection.execute("CHECKPOINT")

    def check() -> Work:
        keys = read_keys(connection, table.name)
        assert keys == ready.keys
        return {**sum_up(connection, table.name), "keys": len(keys)}

    def read() -> None:
        nonlocal rows_read
        columns = ", ".join(column.source_column for column in table.columns)
        with mariadb.connect("matomo", cursorclass=SSCursor) as source:
            rows_read = _count_rows(source, f"SELECT {columns} FROM {table.source_table}")

    contestants = [
        Contestant("mirror", lambda: _mirror(schema, table.name, resource, connection), check, prepare),
        Contestant(READING, read, lambda: {"rows": rows_read}),
        Contestant(FLOOR, lambda: ready.write(connection), check, prepare),
    ]
    rounds = measure("matomo", table.name, contestants, settings.pairs, settings.on_round)
    return rounds.compare("mirror", READING, FLOOR)


def _count_rows(source: Connection[Any], statement: str) -> int:
    count = 0
    with source.cursor() as cursor:
        cursor.execute(statement)
        while rows := cursor.fetchmany(_PAGE):
            count += len(rows)
    return count
