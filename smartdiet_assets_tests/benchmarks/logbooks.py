"""Logbook-like documents: the one collection that full load and unchanged re-import measure.

Here: their declaration (12 columns; primary key, unique key, indexes, foreign key) and deterministic documents of
about 266 bytes. Not here: loading or measuring.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any

from bson import ObjectId

from smartdiet_assets.schema.model import Schema, Table
from smartdiet_assets_tests.benchmarks.loading import declare, encode_batches

DECLARATION = """
tables:
  users:
    columns:
      - {name: id, sql_type: VARCHAR, primary_key: true, mongo_field: _id}
  logbooks:
    columns:
      - {name: id, sql_type: VARCHAR, primary_key: true, mongo_field: _id}
      - {name: user_id, sql_type: VARCHAR, nullable: false, mongo_field: user, foreign_key: users(id)}
      - {name: coaching_id, sql_type: VARCHAR, mongo_field: coaching}
      - {name: day, sql_type: DATE, nullable: false, timezone: Europe/Paris}
      - {name: meal, sql_type: VARCHAR(20), nullable: false}
      - {name: mood, sql_type: SMALLINT}
      - {name: water, sql_type: INTEGER}
      - {name: weight, sql_type: DOUBLE PRECISION}
      - {name: completed, sql_type: BOOLEAN}
      - {name: comment, sql_type: VARCHAR}
      - {name: created_at, sql_type: TIMESTAMP, nullable: false}
      - {name: updated_at, sql_type: TIMESTAMP, nullable: false}
    unique_constraints: [[user_id, day, meal]]
    indexes: [[day]]
"""
TABLE = "logbooks"
#: The same table as the replaced tool's users would have declared it, and as that tool created it.
OLD_FILE = """
tables:
  logbooks:
    columns:
      - {name: id, sql_type: VARCHAR, primary_key: true}
      - {name: user_id, sql_type: VARCHAR, nullable: false, foreign_key: users(id)}
      - {name: coaching_id, sql_type: VARCHAR}
      - {name: day, sql_type: DATE, nullable: false}
      - {name: meal, sql_type: VARCHAR(20), nullable: false}
      - {name: mood, sql_type: SMALLINT}
      - {name: water, sql_type: INTEGER}
      - {name: weight, sql_type: DOUBLE PRECISION}
      - {name: completed, sql_type: BOOLEAN}
      - {name: comment, sql_type: VARCHAR}
      - {name: created_at, sql_type: TIMESTAMP, nullable: false}
      - {name: updated_at, sql_type: TIMESTAMP, nullable: false}
    explicit_mappings:
      {_id: id, user: user_id, coaching: coaching_id, creation_date: created_at, update_date: updated_at}
"""
OLD_TABLES = (
    "CREATE TABLE users (id VARCHAR PRIMARY KEY)",
    """\
CREATE TABLE logbooks (
    id VARCHAR PRIMARY KEY, user_id VARCHAR NOT NULL REFERENCES users(id), coaching_id VARCHAR, day DATE NOT NULL,
    meal VARCHAR(20) NOT NULL, mood SMALLINT, water INTEGER, weight DOUBLE PRECISION, completed BOOLEAN,
    comment VARCHAR, created_at TIMESTAMP NOT NULL, updated_at TIMESTAMP NOT NULL, UNIQUE (user_id, day, meal)
)""",
)
_MEALS = ("breakfast", "lunch", "snack", "dinner")
_WORDS = ("tired", "better", "hungry", "walked", "slept", "early", "quiet", "busy", "fine", "sugar", "fruit", "soup")
_DOCUMENTS_PER_USER = 100
_FIRST_MIDNIGHT = datetime(2022, 3, 31, 22)


@dataclass(frozen=True)
class Logbooks:
    """The collection in memory, as raw batches, with its parents and its declaration."""

    schema: Schema
    users: list[bytes]
    batches: list[bytes]

    @property
    def parents(self) -> Table:
        return self.schema.tables["users"]

    @property
    def table(self) -> Table:
        return self.schema.tables[TABLE]


def build_logbooks(documents: int) -> Logbooks:
    """Build the collection; the same number of documents gives the same documents."""
    users = [_object_id(1_600_000_000 + 60 * number, number) for number in range(documents // _DOCUMENTS_PER_USER + 1)]
    return Logbooks(
        declare(DECLARATION),
        encode_batches({"_id": user} for user in users),
        encode_batches(_generate(users, documents)),
    )


def _generate(users: list[ObjectId], documents: int) -> Iterator[dict[str, Any]]:
    """Generate documents in the order of their creation: of one user, a meal after the other."""
    random = Random(documents)
    for number in range(documents):
        turn, place = divmod(number, len(users))
        days, meal = divmod(turn, len(_MEALS))
        midnight = _FIRST_MIDNIGHT + timedelta(days=days)
        created = midnight + timedelta(hours=7 + 4 * meal, milliseconds=random.randrange(3_600_000))
        yield {
            "_id": _object_id(int(created.timestamp()), number),
            "user": users[(place * 7919) % len(users)] if len(users) % 7919 else users[place],
            "coaching": users[random.randrange(len(users))],
            "day": midnight,
            "meal": _MEALS[meal],
            "mood": random.randrange(1, 11),
            "water": random.randrange(0, 3000),
            "weight": random.randrange(450, 1500) / 10,
            "completed": random.random() < 0.7,
            "comment": " ".join(random.choices(_WORDS, k=random.randrange(6, 18))),
            "creation_date": created,
            "update_date": created + timedelta(seconds=random.randrange(86_400)),
        }


def _object_id(seconds: int, number: int) -> ObjectId:
    """Make an id of a time, with the random part of one process and its counter."""
    return ObjectId(seconds.to_bytes(4, "big") + b"\x5f\x1c\x9a\x0e\x77" + (number % 2**24).to_bytes(3, "big"))
