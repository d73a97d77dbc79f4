"""The servers of a benchmark run, embedded and private, and what benchmarks ask of any database on them.

Here: starting, stopping and databases; counts and checksums of tables; the server's own count of the rows it wrote.
Not here: what is loaded into them.
"""

import os
import platform
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
from psycopg import sql
from pymongo import MongoClient
from pymongo.database import Database

from smartdiet_assets.demo.mongo_server import EmbeddedMongo
from smartdiet_assets.demo.postgres_server import EmbeddedPostgres

#: The same for every contestant. No disk and no background work in the times; WAL is written as in production.
POSTGRES_SETTINGS = {
    "fsync": "off",
    "autovacuum": "off",
    "shared_buffers": "512MB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "1h",
}
Connection = psycopg.Connection[Any]
#: Whose versions matter: ours to build on, then the other tools, then the embedded MongoDB.
_PACKAGES = ("dagster", "pymongo", "psycopg", "psycopg2-binary", "dlt", "sling", "SecantusDB")
_numbers = count(1)


@dataclass(frozen=True)
class Servers:
    """Both servers, running."""

    postgres: EmbeddedPostgres
    mongo: EmbeddedMongo

    @contextmanager
    def open_postgres(self) -> Iterator[Connection]:
        """Open a new, empty PostgreSQL database, dropped at the end."""
        name = sql.Identifier(f"benchmark_{next(_numbers)}")
        with psycopg.connect(self.postgres.dsn(), autocommit=True) as admin:
            admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(name))
            try:
                with psycopg.connect(self.postgres.dsn(name.as_string(None).strip('"')), autocommit=True) as connection:
                    yield connection
            finally:
                admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))

    @contextmanager
    def open_mongo(self) -> Iterator[Database[Any]]:
        """Open a new, empty MongoDB database, dropped at the end."""
        with MongoClient[dict[str, Any]](self.mongo.uri) as client:
            database = client[f"benchmark_{next(_numbers)}"]
            try:
                yield database
            finally:
                client.drop_database(database)


@contextmanager
def start_servers() -> Iterator[Servers]:
    """Start both servers in a temporary folder; they and their data are gone at the end, however it comes."""
    with TemporaryDirectory(prefix="smartdiet-benchmarks-") as folder, ExitStack() as stack:
        postgres = EmbeddedPostgres(Path(folder, "postgres"), settings=POSTGRES_SETTINGS)
        stack.callback(postgres.remove)
        mongo = EmbeddedMongo(Path(folder, "mongo"))
        stack.callback(mongo.remove)
        postgres.start()
        mongo.start()
        yield Servers(postgres, mongo)


def describe_machine(servers: Servers) -> str:
    """Say in a sentence what a run is measured on: cores and versions, nothing that names the machine."""
    with psycopg.connect(servers.postgres.dsn()) as connection:
        postgres = connection.execute("SHOW server_version").fetchone()
    versions = [f"Python {platform.python_version()}", f"PostgreSQL {postgres[0] if postgres else ''}"]
    for package in _PACKAGES:
        with suppress(PackageNotFoundError):
            versions.append(f"{package} {version(package)}")
    return f"{os.cpu_count()} cores, shared by the servers; {', '.join(versions)}."


def sum_up(connection: Connection, table: str) -> dict[str, int | str]:
    """Count a table's rows and sum their contents up, whatever their order."""
    row = connection.execute(
        sql.SQL("SELECT count(*), sum(hashtextextended(t::text, 0))::text FROM {} AS t").format(sql.Identifier(table))
    ).fetchone()
    assert row is not None
    return {"rows": row[0], "checksum": f"{int(row[1] or 0) % 2**64:016x}"}


def sum_up_versions(connection: Connection, table: str) -> str:
    """Sum up where each row of a table is and which transaction wrote it: equal where none was written."""
    row = connection.execute(
        sql.SQL("SELECT sum(hashtextextended(ctid::text || xmin::text || xmax::text, 0))::text FROM {}").format(
            sql.Identifier(table)
        )
    ).fetchone()
    assert row is not None
    return str(row[0])


def count_writes(connection: Connection, table: str) -> int:
    """Fetch how many rows of a table the server has inserted, updated and deleted so far, by its own statistics."""
    connection.execute("SELECT pg_stat_force_next_flush()")
    connection.execute("SELECT pg_stat_clear_snapshot()")
    row = connection.execute(
        "SELECT n_tup_ins + n_tup_upd + n_tup_del FROM pg_stat_user_tables WHERE relname = %s", [table]
    ).fetchone()
    return int(row[0]) if row else 0
