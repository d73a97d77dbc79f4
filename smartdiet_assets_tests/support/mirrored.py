"""A mirror under test: a schema, its two databases and the oracle that watches it.

Here: running a sync as an operator's run does, table by table, and what can be asked about it afterwards.
Not here: which documents there are, or what the oracle thinks (`oracle`).
"""

import itertools
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql
from pymongo.database import Database

from smartdiet_assets.extract.window import WindowRequest
from smartdiet_assets.load.limits import BULK
from smartdiet_assets.mirror.reconciliation import reconcile_tables
from smartdiet_assets.mirror.sources.interface import Source
from smartdiet_assets.mirror.sources.mongodb import MongoSource
from smartdiet_assets.mirror.table_run import MirrorResult, mirror_table
from smartdiet_assets.schema.model import Schema, Table
from smartdiet_assets_tests.oracle import MirrorOracle, compare, read_collections

#: Where every row is, and the transaction that wrote it: (ctid, xmin) by table. A rewritten row changes both.
Versions = dict[str, set[tuple[str, str]]]


class Mirrored:
    """Syncs a schema and compares every table to the oracle."""

    def __init__(
        self, schema: Schema, mongo: Database[Any], connection: psycopg.Connection[Any], batch_size: int = 3
    ) -> None:
        self.schema = schema
        self.mongo = mongo
        self.connection = connection
        self.batch_size = batch_size
        self.bulk = BULK
        self.rekey = False
        self.oracle = MirrorOracle(schema)
        self._runs = itertools.count(1)

    def run(
        self, request: WindowRequest | None = None, tables: Collection[str] | None = None
    ) -> dict[str, MirrorResult]:
        """Run every table once (or those named), parents first; the oracle does not look."""
        run_id = f"run-{next(self._runs)}"
        return {
            table.name: mirror_table(
                self.schema,
                table,
                self.mongo,
                self.connection,
                run_id=run_id,
                request=request or WindowRequest("newest"),
                batch_size=self.batch_size,
                bulk=self.bulk,
                rekey=self.rekey,
            )
            for table in self.schema.tables.values()
            if tables is None or table.name in tables
        }

    def sync(self, request: WindowRequest | None = None, tables: Collection[str] | None = None) -> list[str]:
        """Run every table once (or those named) and give the differences from what the oracle expects now."""
        self.run(request, tables)
        return self.compare(tables)

    def compare(self, tables: Collection[str] | None = None) -> list[str]:
        """Give the differences from what the oracle expects after a run of every table (or those named)."""
        self.oracle.observe(read_collections(self.mongo, self.schema), self._holder, tables)
        with self.connection.transaction():
            return compare(self.connection, self.oracle)

    def reconcile(self) -> None:
        """Reconcile every table, whatever share of its documents is gone; the oracle follows."""
        collections = read_collections(self.mongo, self.schema)

        @contextmanager
        def open_source(table: Table) -> Iterator[Source]:
            yield MongoSource(self.schema, table, self.mongo, self.batch_size)

        passing = reconcile_tables(
            self.schema, set(self.schema.tables), self._connect, open_source, run_id="reconcile", force=True
        )
        present = self.mongo.list_collection_names()
        for name, result in passing:
            # A collection that never had a document is not there.
            assert not result.error or self.schema.tables[name].mongo_collection not in present, result.error
        self.oracle.reconcile(collections)

    def _connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self.connection.info.dsn, password=self.connection.info.password)

    def _holder(self, name: str, values: list[Any]) -> Any:
        """Where the rules leave open which of several documents has the place, any one of them will do."""
        table = self.schema.tables[name]
        query = sql.SQL("SELECT {0} FROM {1} WHERE {0} = ANY(%s) LIMIT 1").format(
            sql.Identifier(table.document_column), sql.Identifier(name)
        )
        with self.connection.transaction():
            found = self.connection.execute(query, (values,)).fetchone()
        return found[0] if found else min(values)

    def versions(self) -> Versions:
        """Where every row of every table is."""
        found: Versions = {}
        with self.connection.transaction():
            for name in self.schema.tables:
                query = sql.SQL("SELECT ctid::text, xmin::text FROM {}").format(sql.Identifier(name))
                found[name] = set(self.connection.execute(query).fetchall())
        return found

    def forget(self) -> None:
        """Empty both databases and begin anew."""
        with self.connection.transaction():
            self.connection.execute("DROP SCHEMA IF EXISTS smartdiet CASCADE")
            for name in reversed(list(self.schema.tables)):
                self.connection.execute(sql.SQL("DROP TABLE IF EXISTS {} CASCADE").format(sql.Identifier(name)))
        for name in {table.mongo_collection for table in self.schema.tables.values()}:
            self.mongo[name].delete_many({})
        self.oracle = MirrorOracle(self.schema)
