"""First loads in shards under test: a schema with a tree, a child, arrays and shared keys, and what is read of it."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import bson
import psycopg
import pytest
from bson import ObjectId
from pymongo.database import Database

from smartdiet_assets.extract.mongodb import documents, id_ranges
from smartdiet_assets.extract.window import WindowRequest
from smartdiet_assets.mirror.sources.mongodb import MongoSource
from smartdiet_assets.mirror.table_run import MirrorResult, mirror_source
from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets_tests.support.mirrored import Mirrored

SCHEMA = """
defaults: {overlap: 0s, shard_documents: 100}
tables:
  people:
    include_base: true
    additional_columns:
      - {name: number, sql_type: INTEGER, nullable: false}
      - {name: email, sql_type: VARCHAR(12)}
      - {name: boss_id, sql_type: VARCHAR, mongo_field: boss, foreign_key: people(id), on_missing_parent: "null"}
    unique_constraints: [[email]]
  tags:
    mongo_collection: people
    arrays: [{field: tags}]
    columns:
      - {name: person_id, sql_type: VARCHAR, nullable: false, mongo_field: _id, foreign_key: people(id)}
      - {name: tag, sql_type: VARCHAR(3), nullable: false, item_field: "."}
      - {name: created_at, sql_type: TIMESTAMP, nullable: false}
      - {name: updated_at, sql_type: TIMESTAMP, nullable: false}
    unique_constraints: [[person_id, tag]]
  days:
    mongo_collection: people
    filter: {day: {$exists: true}}
    columns:
      - {name: id, sql_type: SERIAL, primary_key: true, nullable: false}
      - {name: day, sql_type: INTEGER, nullable: false}
      - {name: number, sql_type: INTEGER}
      - {name: updated_at, sql_type: TIMESTAMP}
    unique_constraints: [[day]]
    winner: [number DESC]
"""
EARLY = datetime(2024, 3, 1)
IDS = [ObjectId(f"{number:024x}") for number in range(1, 2_001)]


def build_person(number: int, at: datetime | None = None) -> dict[str, Any]:
    """A document: one in 50 is rejected, one in 7 names a boss, and one of 40 who is not there."""
    person: dict[str, Any] = {
        "_id": IDS[number],
        "creation_date": EARLY,
        "update_date": at or EARLY + timedelta(minutes=number),
        "number": f"n{number}" if number % 50 == 3 else number,
        "email": f"{number}@x.fr",
        "tags": ["a", "b", "long"][: number % 4],
    }
    if number % 7 == 0:
        person["boss"] = ObjectId() if number % 40 == 0 else IDS[number // 2]
    return person | ({"day": number % 20} if number % 3 else {})


class ShardedMirror(Mirrored):
    """The schema above with many people, mirrored by runs that copy shards as a test says."""

    def __init__(self, path: Path, mongo: Database[Any], postgres: psycopg.Connection[Any], people: int = 400) -> None:
        self.path = path
        path.write_text(SCHEMA)
        super().__init__(load_schema(path), mongo, postgres, batch_size=50)
        mongo["people"].insert_many([build_person(number) for number in range(people)])
        # The embedded server has no index of ids that serves ranges.
        mongo["people"].create_index([("_id", 1), ("number", 1)])

    def declare(self, *changes: tuple[str, str]) -> None:
        """Declare the tables anew, with parts of the text replaced."""
        text = SCHEMA
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        self.path.write_text(text)
        self.schema = load_schema(self.path)

    def load(self, table: str, **options: Any) -> MirrorResult:
        """Run one table."""
        source = MongoSource(self.schema, self.schema.tables[table], self.mongo, self.batch_size)
        return mirror_source(
            source, self.connection, run_id="run", request=WindowRequest("newest"), bulk=self.bulk, **options
        )

    def plans(self) -> list[tuple[int, int]]:
        """How many shards there are planned, and how many are copied, of each table."""
        query = "SELECT count(*), count(copied_at) FROM smartdiet.load_shards GROUP BY table_name ORDER BY 1"
        return self.connection.execute(query).fetchall()

    def hidden(self) -> list[str]:
        """The tables of first loads that are left."""
        query = "SELECT relname::text FROM pg_class WHERE relname LIKE 'loading%' AND relkind = 'r'"
        return [name for (name,) in self.connection.execute(query)]


class ReadCount:
    """Counts the documents that are read from the source.

    Attributes:
        in_ranges: those of them that shards read, and some that are looked at before.
        elsewhere: those of any other window, and what was rejected, read again.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.in_ranges = self.elsewhere = 0
        real = documents.iterate_batches

        def count(name: str, cursor: Any) -> Iterator[bytes]:
            for batch in real(cursor):
                setattr(self, name, getattr(self, name) + len(bson.decode_all(batch, documents.ID_OPTIONS)))
                yield batch

        monkeypatch.setattr(documents, "iterate_batches", partial(count, "elsewhere"))
        monkeypatch.setattr(id_ranges, "iterate_batches", partial(count, "in_ranges"))

    @property
    def documents(self) -> int:
        return self.in_ranges + self.elsewhere
