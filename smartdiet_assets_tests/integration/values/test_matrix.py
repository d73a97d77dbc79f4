"""Every BSON type, as bytes, through a whole run into every column type: PostgreSQL holds what the matrix says."""

import struct
from typing import Any

import psycopg
import pytest

from smartdiet_assets.schema.reasons import Reason
from smartdiet_assets.transform.json_documents import JsonText
from smartdiet_assets_tests.support.bson_matrix import SQL_TYPES, list_cases
from smartdiet_assets_tests.support.bson_source import fetch_rejects, mirror_bson
from smartdiet_assets_tests.support.declared import declare

SCHEMA = """
tables:
  t:
    columns:
      - {name: id, sql_type: INTEGER, primary_key: true, mongo_field: _id}
      - {name: value, sql_type: "SQL_TYPE", mongo_field: v}
"""


@pytest.mark.parametrize("sql_type", SQL_TYPES)
def test_postgresql_holds_what_the_matrix_says(postgres: psycopg.Connection, sql_type: str) -> None:
    cases = list_cases(sql_type)
    schema = declare(SCHEMA, ("SQL_TYPE", sql_type))

    result = mirror_bson(postgres, schema, "t", [document for _, document, _ in cases])

    assert result.load.rows + result.load.rejected == result.documents_read == len(cases)
    held = dict(postgres.execute("SELECT id, value FROM t").fetchall())
    rejected = fetch_rejects(postgres, "t")
    for number, (label, _, expected) in enumerate(cases):
        key = f'{{"$numberInt": "{number}"}}'
        if isinstance(expected, Reason):
            assert rejected[key] == ("value", expected, 1), label
            assert number not in held
            continue
        assert key not in rejected, (label, rejected[key])
        assert_holds(postgres, sql_type, number, held[number], expected)


def assert_holds(connection: psycopg.Connection, sql_type: str, number: int, held: Any, expected: Any) -> None:
    match expected:
        case JsonText():
            row = connection.execute(
                "SELECT value::text, %s::jsonb::text FROM t WHERE id = %s", [expected.obj, number]
            ).fetchone()
            assert row is not None
            assert row[0] == row[1]
        case float() if sql_type == "REAL":
            assert struct.pack(">f", held) == struct.pack(">f", expected)
        case str() if sql_type.startswith("CHAR"):
            assert held == expected.ljust(40)
        case _:
            assert held == expected
            assert type(held) is type(expected)
            assert str(held) == str(expected)
