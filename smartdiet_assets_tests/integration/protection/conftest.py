"""People, what they write, and who reads it: a schema with a protected column of each kind, and its two databases."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pymongo.database import Database

from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets_tests.support.mirrored import Mirrored

KEY, OTHER_KEY = "a key of tests alone", "another key of tests"
TABLES = """
defaults: {overlap: 0s, undeclared: ignore, on_delete: delete, max_deletions: 100%}
collections:
  posts: {capture: change_stream}
tables:
  people:
    include_base: true
    additional_columns:
      - {name: name, sql_type: VARCHAR(40), nullable: false}
      - {name: mail, sql_type: VARCHAR(60)}
      - {name: born, sql_type: DATE}
      - {name: age, sql_type: INTEGER}
      - {name: note, sql_type: JSONB}
    unique_constraints: [[mail]]
  posts:
    include_base: true
    additional_columns:
      - {name: person_id, sql_type: VARCHAR, nullable: false, mongo_field: person, foreign_key: people(id)}
      - {name: text, sql_type: TEXT}
  tags:
    mongo_collection: posts
    arrays: [{field: tags}]
    columns:
      - {name: post_id, sql_type: VARCHAR, nullable: false, mongo_field: _id, foreign_key: posts(id)}
      - {name: tag, sql_type: VARCHAR(40), nullable: false, item_field: .}
    unique_constraints: [[post_id, tag]]
  diary:
    columns:
      - {name: person_id, sql_type: VARCHAR, nullable: false, mongo_field: person, foreign_key: people(id)}
      - {name: day, sql_type: DATE, nullable: false}
      - {name: mood, sql_type: VARCHAR(40)}
      - {name: updated_at, sql_type: TIMESTAMP, nullable: false}
    unique_constraints: [[person_id, day]]
    winner: [updated_at]
"""
#: What does not concern ids.
OF_VALUES = """
protect:
  people: {name: {keep: 1}, mail: pseudonym, born: {keep: year}, age: redact, note: redact}
  posts: {text: redact}
  tags: {tag: pseudonym}
  diary: {mood: pseudonym}
"""
OF_ALL = """
protect:
  people: {id: pseudonym, name: {keep: 1}, mail: pseudonym, born: {keep: year}, age: redact, note: redact}
  posts: {id: pseudonym, person_id: pseudonym, text: redact}
  tags: {post_id: pseudonym, tag: pseudonym}
  diary: {document_id: pseudonym, person_id: pseudonym, mood: pseudonym}
"""

Build = Callable[..., Mirrored]


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    path = tmp_path / "tables.yaml"
    path.write_text(TABLES)
    return path


@pytest.fixture
def overlay(tmp_path: Path) -> Path:
    path = tmp_path / "protected.yaml"
    path.write_text(OF_ALL)
    return path


@pytest.fixture
def build(tables: Path, overlay: Path, mongo_database: Database[Any], postgres: psycopg.Connection[Any]) -> Build:
    """Build a mirror of the tables with protections and a key."""

    def build(protections: str = "", key: str = KEY, rekey: bool = False) -> Mirrored:
        overlay.write_text(protections)
        schema = load_schema(tables, protected=overlay, pseudonym_key=key)
        mirrored = Mirrored(schema, mongo_database, postgres)
        mirrored.rekey = rekey
        return mirrored

    return build


@pytest.fixture
def commands(configured_servers: None, tables: Path, overlay: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables that commands read, with all protections."""
    for name, value in (
        ("SMARTDIET_SCHEMAS", str(tables)),
        ("SMARTDIET_PROTECTED", str(overlay)),
        ("SMARTDIET_PSEUDONYM_KEY", KEY),
        ("DAGSTER_HOME", str(tables.parent / "dagster")),
    ):
        monkeypatch.setenv(name, value)
