"""Every documented result goes through a binary COPY with its types set, and PostgreSQL holds exactly it."""

import struct
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from psycopg import sql

from smartdiet_assets.schema.reasons import Reason
from smartdiet_assets.schema.types import parse_sql_type
from smartdiet_assets.transform.json_documents import JsonText
from smartdiet_assets_tests.support.conversion_table import EDGES, RESULTS, SAMPLES
from smartdiet_assets_tests.support.tables import single, transform
from smartdiet_assets_tests.unit.transform.test_on_invalid import FITTED

SQL_TYPES = sorted({*RESULTS, *(edge[0] for edge in EDGES)})
#: psycopg's names; it has no dumper for `bpchar`, whose binary form is that of `text`.
DUMPED_AS = {"char": "text", "real": "float4", "double precision": "float8"}


def collect_values(sql_type: str) -> list[Any]:
    """Everything the conversion table lets into a column type, as the transformation gives it."""
    sources = [SAMPLES[label] for label in RESULTS.get(sql_type, {})]
    sources += [value for edge, value, result in EDGES if edge == sql_type and not isinstance(result, Reason)]
    batch = transform(single(sql_type), *({"_id": number, "v": value} for number, value in enumerate(sources)))
    return [value for _, value in batch.rows]


def copy_values(connection: psycopg.Connection, sql_type: str, values: list[Any]) -> list[tuple[Any, str]]:
    """Copy values into a new table; returns each as psycopg and as PostgreSQL's own text show it."""
    declared = parse_sql_type(sql_type)
    connection.execute(sql.SQL("CREATE TABLE t (n integer, v {})").format(sql.SQL(declared.sql)))
    with connection.cursor().copy("COPY t FROM STDIN (FORMAT BINARY)") as copy:
        copy.set_types(["int4", DUMPED_AS.get(declared.name, declared.name)])
        for row in enumerate(values):
            copy.write_row(row)
    return connection.execute("SELECT v, v::text FROM t ORDER BY n").fetchall()


@pytest.mark.parametrize(("sql_type", "settings", "value", "expected"), FITTED)
def test_what_clamp_makes_fit_fits(
    postgres: psycopg.Connection, sql_type: str, settings: dict[str, Any], value: Any, expected: Any
) -> None:
    batch = transform(single(sql_type, on_invalid="clamp", **settings), {"_id": 1, "v": value})
    assert [got for got, _ in copy_values(postgres, sql_type, [batch.rows[0][1]])] == [expected]


@pytest.mark.parametrize("sql_type", SQL_TYPES)
def test_values_arrive_as_they_are(postgres: psycopg.Connection, sql_type: str) -> None:
    values = collect_values(sql_type)
    found = copy_values(postgres, sql_type, values)
    assert len(found) == len(values)
    for value, (got, text) in zip(values, found, strict=True):
        match value:
            case JsonText():
                same = postgres.execute("SELECT %s::jsonb::text", (value.obj,)).fetchone()
                assert same == (text,)
            case float() | Decimal() if value != value:
                assert got != got
            case float() if sql_type == "REAL":
                assert struct.pack(">f", got) == struct.pack(">f", value)
            case Decimal() if value.is_finite():
                assert Decimal(text) == value
                # The digits after the point show too: 1.10 is not spelled 1.1.
                assert -Decimal(text).as_tuple().exponent == max(0, -value.as_tuple().exponent)
            case str() if sql_type.startswith("CHAR"):
                assert got.rstrip(" ") == value
            case _:
                assert got == value
