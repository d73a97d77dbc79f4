"""A mirror that is captured from change streams, small enough to tell a history in a few lines.

Here: its tables, one of each shape, and the words of the tests. Not here: the tests, or what the oracle judges
(`integration.mirror`).
"""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from bson import json_util
from psycopg import sql
from pymongo.database import Database

from smartdiet_assets.extract.window import WindowRequest
from smartdiet_assets.mirror.table_run import MirrorResult, mirror_table
from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets.schema.model import Schema

TABLES = """
collections:
  people: {capture: CAPTURE}
  diary: {capture: CAPTURE}

tables:
  people:
    on_delete: ON_DELETE
    columns:
      - {name: id, sql_type: VARCHAR, nullable: false, primary_key: true, mongo_field: _id}
      - {name: name, sql_type: VARCHAR(10)}
      - {name: email, sql_type: VARCHAR}
    unique_constraints: [[email]]

  tags:
    on_delete: ON_DELETE
    mongo_collection: people
    arrays: [{field: tags}]
    columns:
      - {name: person_id, sql_type: VARCHAR, nullable: false, mongo_field: _id}
      - {name: tag, sql_type: VARCHAR, nullable: false, item_field: "."}
    unique_constraints: [[person_id, tag]]

  moods:
    on_delete: ON_DELETE
    mongo_collection: diary
    columns:
      - {name: person_id, sql_type: VARCHAR, nullable: false, mongo_field: person}
      - {name: day, sql_type: INTEGER, nullable: false}
      - {name: mood, sql_type: VARCHAR}
      - {name: stars, sql_type: INTEGER}
    unique_constraints: [[person_id, day]]
    winner: [stars DESC]
"""


class Captured:
    """The tables above on one source and one target.

    Attributes:
        schema: as last declared.
        source: the documents.
        connection: the tables.
    """

    def __init__(self, path: Path, source: Database[Any], connection: psycopg.Connection[Any]) -> None:
        self._path = path
        self._runs = itertools.count(1)
        self.source = source
        self.connection = connection
        self.schema: Schema
        self.declare()

    def declare(self, *changes: tuple[str, str], capture: str = "change_stream", on_delete: str = "keep") -> None:
        """Declare the tables anew, with parts of their text replaced."""
        text = TABLES
        for old, new in (*changes, ("CAPTURE", capture), ("ON_DELETE", on_delete)):
            text = text.replace(old, new)
        self._path.write_text(text)
        self.schema = load_schema(self._path)

    def sync(self, table: str = "people", request: WindowRequest | None = None) -> MirrorResult:
        """Run one table, the normal incremental run where nothing else is asked for."""
        return mirror_table(
            self.schema,
            self.schema.tables[table],
            self.source,
            self.connection,
            run_id=f"run-{next(self._runs)}",
            request=request or WindowRequest("newest"),
        )

    def rows(self, table: str, *columns: str) -> list[Any]:
        """The values of some columns of all rows, sorted; bare values where it is one column."""
        query = sql.SQL("SELECT {} FROM {}").format(
            sql.SQL(", ").join(map(sql.Identifier, columns)), sql.Identifier(table)
        )
        found = self.connection.execute(query).fetchall()
        return sorted((row[0] if len(columns) == 1 else row for row in found), key=repr)

    def position(self, table: str = "people") -> dict[str, Any]:
        """What is stored of where the next run goes on in the stream."""
        query = "SELECT change_position FROM smartdiet.sync_state WHERE table_name = %s"
        found = self.connection.execute(query, [table]).fetchone()
        return json_util.loads(found[0]) if found and found[0] else {}

    @contextmanager
    def changed_position(self, table: str = "people") -> Iterator[dict[str, Any]]:
        """Store the position as the block leaves it."""
        position = self.position(table)
        yield position
        self.connection.execute(
            "UPDATE smartdiet.sync_state SET change_position = %s WHERE table_name = %s",
            [json_util.dumps(position, json_options=json_util.CANONICAL_JSON_OPTIONS), table],
        )
