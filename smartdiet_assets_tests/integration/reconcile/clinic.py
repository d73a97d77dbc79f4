"""A small mirror for the tests of the reconcile pass: one table of each shape, and a child of the first.

Here: its schema, mirroring it and reconciling it. Not here: tests.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
from bson import ObjectId
from psycopg import sql
from pymongo.database import Database

from smartdiet_assets.extract.window import WindowRequest
from smartdiet_assets.mirror.reconciliation import TableReconciliation, reconcile_tables
from smartdiet_assets.mirror.sources.interface import Source
from smartdiet_assets.mirror.sources.mongodb import MongoSource
from smartdiet_assets.mirror.table_run import mirror_table
from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets.schema.model import Schema, Table

TABLES = """
defaults: {on_delete: %(on_delete)s, max_deletions: 50%%}
tables:
  users:
    include_base: true
    additional_columns:
      - {name: email, sql_type: VARCHAR}
  friends:
    mongo_collection: users
    import_strategy: smart_diff
    arrays: [{field: friends}]
    columns:
      - {name: user_id, sql_type: VARCHAR, nullable: false, mongo_field: _id, foreign_key: users(id)}
      - {name: friend, sql_type: VARCHAR, nullable: false, item_field: "."}
    unique_constraints: [[user_id, friend]]
  logs:
    columns:
      - {name: id, sql_type: SERIAL, primary_key: true}
      - {name: user_id, sql_type: VARCHAR, nullable: false, mongo_field: user, foreign_key: users(id)}
      - {name: day, sql_type: INTEGER, nullable: false}
      - {name: mood, sql_type: INTEGER}
    unique_constraints: [[user_id, day]]
    winner: [mood DESC]
"""
NOW = datetime(2024, 1, 1)
COUNT = 10


class Clinic:
    """Ten users, each with two friends and two logs of one day, mirrored."""

    def __init__(self, folder: Path, mongo: Database[Any], connection: psycopg.Connection[Any]) -> None:
        self.mongo = mongo
        self.connection = connection
        self._folder = folder
        self.users = [ObjectId() for _ in range(COUNT)]
        self.schema = self.declare("delete")

    def declare(self, on_delete: str, *changes: tuple[str, str]) -> Schema:
        """Declare the tables with one `on_delete`, and with parts of their text replaced."""
        text = TABLES % {"on_delete": on_delete}
        for old, new in changes:
            assert old in text, old
            text = text.replace(old, new)
        path = self._folder / "schemas.yaml"
        path.write_text(text)
        self.schema = load_schema(path)
        return self.schema

    def fill(self) -> None:
        """Fill the collections."""
        dates = {"creation_date": NOW, "update_date": NOW}
        self.mongo.users.insert_many(
            [{"_id": user, "email": f"{n}", "friends": ["a", "b"], **dates} for n, user in enumerate(self.users)]
        )
        self.mongo.logs.insert_many(
            [{"user": user, "day": 1, "mood": mood, **dates} for user in self.users for mood in (1, 2)]
        )

    def sync(self, kind: Any = "full", *tables: str) -> None:
        """Mirror every table, or those named."""
        for table in (self.schema.tables[name] for name in tables or self.schema.tables):
            mirror_table(self.schema, table, self.mongo, self.connection, run_id="sync", request=WindowRequest(kind))

    def reconcile(
        self,
        *tables: str,
        mongo: Database[Any] | None = None,
        source: type[MongoSource] = MongoSource,
        **options: Any,
    ) -> dict[str, TableReconciliation]:
        """Reconcile every table, or those named."""

        @contextmanager
        def open_source(table: Table) -> Iterator[Source]:
            yield source(self.schema, table, self.mongo if mongo is None else mongo, 100)

        return dict(
            reconcile_tables(
                self.schema, tables or tuple(self.schema.tables), self.connect, open_source, run_id="pass", **options
            )
        )

    def connect(self) -> psycopg.Connection[Any]:
        """Open a connection of its own, as an operator's command does."""
        return psycopg.connect(self.connection.info.dsn, password=self.connection.info.password)

    def rows(self, table: str, columns: str) -> list[tuple[Any, ...]]:
        """The rows of a table, sorted."""
        query = sql.SQL("SELECT {} FROM {}").format(sql.SQL(columns), sql.Identifier(table))
        return sorted(self.connection.execute(query).fetchall(), key=repr)

    def everything(self) -> list[list[tuple[Any, ...]]]:
        """All rows, with where they are and which transaction wrote them."""
        return [self.rows(table, "*, ctid::text, xmin::text") for table in self.schema.tables]
