"""Values too long for an index are rejects; the longest that are taken fit PostgreSQL whatever they are.

The texts are random, so that PostgreSQL's compression does not help them.
"""

import random
from typing import Any

import bson
import psycopg
import pytest

from smartdiet_assets.schema.document_id import encode_document_id
from smartdiet_assets_tests.support.bson_source import fetch_rejects, mirror_bson
from smartdiet_assets_tests.support.declared import declare

SCHEMA = """
tables:
  parents:
    columns:
      - {name: id, sql_type: VARCHAR, primary_key: true, mongo_field: _id}
      - {name: code, sql_type: TEXT}
      - {name: part, sql_type: TEXT}
      - {name: note, sql_type: TEXT}
      - {name: data, sql_type: BYTEA}
      - {name: parent_id, sql_type: VARCHAR, foreign_key: parents(id)}
    unique_constraints: [[code, part]]
    indexes: [[note], [data]]
  items:
    mongo_collection: parents
    arrays: [{field: items}]
    columns:
      - {name: parent_id, sql_type: VARCHAR, nullable: false, mongo_field: _id}
      - {name: item, sql_type: TEXT, nullable: false, item_field: "."}
      - {name: created_at, sql_type: TIMESTAMP}
      - {name: updated_at, sql_type: TIMESTAMP}
    unique_constraints: [[parent_id, item]]
  latest:
    mongo_collection: parents
    columns:
      - {name: id, sql_type: SERIAL, primary_key: true}
      - {name: code, sql_type: TEXT, nullable: false}
      - {name: updated_at, sql_type: TIMESTAMP}
    unique_constraints: [[code]]
    winner: [updated_at DESC]
"""
ONE, TWO, ID = 2_664, 2_640, 1_000


def text(length: int, seed: int = 0) -> str:
    return "".join(random.Random(f"{length} {seed}").choices([chr(c) for c in range(0x23, 0x5B)], k=length))


def encoded(*documents: dict[str, Any]) -> list[bytes]:
    return [bson.encode(document) for document in documents]


def mirror_both(connection: psycopg.Connection, table: str, documents: list[bytes], bulk: bool) -> Any:
    """Run a table; where it is not to be filled in bulk, it has a row before."""
    schema = declare(SCHEMA)
    if not bulk:
        mirror_bson(connection, schema, table, encoded({"_id": "first", "code": "first", "items": ["a"]}))
    return mirror_bson(connection, schema, table, documents)


@pytest.fixture(params=[True, False], ids=["bulk", "merge"])
def bulk(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def test_the_longest_values_that_are_taken_fit(postgres: psycopg.Connection, bulk: bool) -> None:
    documents = encoded(
        {"_id": text(ID - 2)},
        {"_id": 2, "parent_id": text(ID - 2)},
        {"_id": 3, "code": text(TWO - 1_000), "part": text(1_000)},
        {"_id": 4, "note": text(ONE)},
        {"_id": 5, "data": random.Random(1).randbytes(ONE)},
    )

    result = mirror_both(postgres, "parents", documents, bulk)

    assert result.load.rejected == 0
    assert postgres.execute("SELECT max(length(id)), max(length(note)) FROM parents").fetchone() == (ID - 2, ONE)


@pytest.mark.parametrize(
    ("document", "column"),
    [
        ({"_id": text(ID - 1)}, "id"),
        ({"_id": "é" * 500}, "id"),
        ({"_id": "\x01" * 200}, "id"),
        ({"_id": text(5_000)}, "id"),
        ({"_id": "a" * 1_000_000}, "id"),
        ({"_id": 1, "parent_id": text(ID)}, "parent_id"),
        ({"_id": 1, "code": text(1_500), "part": text(1_400)}, "code"),
        ({"_id": 1, "note": text(ONE + 1)}, "note"),
        ({"_id": 1, "note": "é" * 2_000}, "note"),
        ({"_id": 1, "data": b"\x00" * (ONE + 1)}, "data"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_one_byte_more_is_a_reject(
    postgres: psycopg.Connection, bulk: bool, document: dict[str, Any], column: str
) -> None:
    result = mirror_both(postgres, "parents", encoded(document, {"_id": "other"}), bulk)

    assert (result.load.inserted, result.load.rejected) == (1, 1)
    name = encode_document_id(document["_id"])
    assert fetch_rejects(postgres, "parents") == {name: (column, "too_long", 1)}
    assert len(name) <= 2_000


def test_what_no_index_holds_may_be_long(postgres: psycopg.Connection) -> None:
    result = mirror_both(postgres, "parents", encoded({"_id": 1, "code": text(2_600), "part": None}), True)
    assert result.load.rejected == 0


def test_items_too_long_for_the_key_are_rejects_of_their_own(postgres: psycopg.Connection, bulk: bool) -> None:
    long = text(TWO)
    documents = encoded({"_id": "a", "items": ["b", long[:-1], long, text(TWO - 1, 1)]}, {"_id": text(1_001)})

    result = mirror_both(postgres, "items", documents, bulk)

    assert result.load.inserted == 3
    assert fetch_rejects(postgres, "items")['"a"'] == ("item", "too_long", 1)


def test_keys_that_documents_share_too(postgres: psycopg.Connection, bulk: bool) -> None:
    documents = encoded({"_id": 1, "code": text(ONE)}, {"_id": 2, "code": text(ONE)}, {"_id": 3, "code": text(ONE + 1)})

    result = mirror_both(postgres, "latest", documents, bulk)

    assert (result.load.inserted, result.load.rejected) == (1, 1)


@pytest.mark.parametrize("length", [ONE + 8, ONE + 100])
def test_postgresql_itself_would_have_failed_the_run(postgres: psycopg.Connection, length: int) -> None:
    postgres.execute("CREATE TABLE t (v text PRIMARY KEY)")
    if length < ONE + 50:
        # The rule's margin: a few bytes for alignment.
        postgres.execute("INSERT INTO t VALUES (%s)", [text(length)])
        return
    with pytest.raises(psycopg.errors.ProgramLimitExceeded):
        postgres.execute("INSERT INTO t VALUES (%s)", [text(length)])
