"""Values at the edges of BSON, JSON and PostgreSQL, each through a whole run into a real table."""

import struct
from datetime import datetime
from decimal import Decimal
from typing import Any

import bson
import psycopg
import pytest
from bson import Binary, DatetimeMS, Decimal128, Int64, MaxKey, MinKey, ObjectId, Timestamp

from smartdiet_assets.schema.document_id import UNREADABLE, encode_document_id
from smartdiet_assets_tests.support.bson_source import (
    fetch_rejects,
    fetch_versions,
    mirror_bson,
)
from smartdiet_assets_tests.support.declared import declare

ID = ObjectId("65e8f3a0c2a4b1d2e3f4a5b6")
NAN, INFINITY = float("nan"), float("inf")
SCHEMA = """
tables:
  t:
    columns:
      - {name: id, sql_type: VARCHAR, primary_key: true, mongo_field: _id}
      - {name: text, sql_type: TEXT}
      - {name: json, sql_type: JSONB}
      - {name: deep, sql_type: TEXT, mongo_field: DEEP}
      - {name: amount, sql_type: NUMERIC}
      - {name: ratio, sql_type: DOUBLE PRECISION}
      - {name: moment, sql_type: TIMESTAMP}
      - {name: day, sql_type: DATE, timezone: Europe/Paris}
      - {name: filled, sql_type: INTEGER, default: 7}
      - {name: needed, sql_type: INTEGER, nullable: false, default: 8}
  items:
    mongo_collection: t
    arrays: [{field: items}]
    columns:
      - {name: t_id, sql_type: VARCHAR, nullable: false, mongo_field: _id}
      - {name: item, sql_type: TEXT, nullable: false, item_field: [name, "."]}
      - {name: created_at, sql_type: TIMESTAMP}
      - {name: updated_at, sql_type: TIMESTAMP}
    unique_constraints: [[t_id, item]]
"""
LEVELS = 100
DEEP = ".".join(["a"] * LEVELS)


def mirror(connection: psycopg.Connection, *documents: dict[str, Any] | bytes, table: str = "t", **options: Any) -> Any:
    raw = [document if isinstance(document, bytes) else bson.encode(document) for document in documents]
    return mirror_bson(connection, declare(SCHEMA, ("DEEP", DEEP)), table, raw, **options)


def fetch(connection: psycopg.Connection, expression: str) -> list[Any]:
    """The values of an expression, one per row, in the order of the ids."""
    return [value for (value,) in connection.execute(f'SELECT {expression} FROM t ORDER BY id COLLATE "C"')]  # type: ignore[arg-type]


def raw_document(*elements: tuple[int, bytes, bytes]) -> bytes:
    body = b"".join(bytes([kind]) + name + b"\0" + value for kind, name, value in elements)
    return struct.pack("<i", len(body) + 5) + body + b"\0"


def raw_string(value: bytes) -> bytes:
    return struct.pack("<i", len(value) + 1) + value + b"\0"


ONE = (0x10, b"_id", struct.pack("<i", 1))


# --- text


@pytest.mark.parametrize("field", ["text", "json"])
def test_nul_is_a_reject(postgres: psycopg.Connection, field: str) -> None:
    mirror(postgres, {"_id": 1, field: "a\0b"}, {"_id": 2, field: "ab"})
    assert fetch_rejects(postgres, "t") == {'{"$numberInt": "1"}': (field, "nul_character", 1)}


def test_nul_in_the_name_of_a_json_field_cannot_be(postgres: psycopg.Connection) -> None:
    # The byte ends a name in BSON: what follows is read as something else, and nothing of it is taken.
    mirror(postgres, raw_document(ONE, (0x03, b"json", raw_document((0x08, b"a\0b", b"\1")))))
    assert fetch_rejects(postgres, "t") == {'{"$numberInt": "1"}': ("", "invalid_bson", 1)}


@pytest.mark.parametrize(
    "value", [b"\xff", b"a\x80", b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80"], ids=lambda value: value.hex()
)
@pytest.mark.parametrize("field", [b"text", b"json"])
def test_bytes_that_are_not_utf_8_are_a_reject(postgres: psycopg.Connection, field: bytes, value: bytes) -> None:
    """A lone surrogate among them; an overlong NUL too. The rest of the batch is loaded."""
    mirror(postgres, raw_document(ONE, (0x02, field, raw_string(value))), {"_id": 2, "text": "né 😀"})
    assert fetch_rejects(postgres, "t") == {'{"$numberInt": "1"}': (field.decode(), "invalid_text", 1)}
    assert fetch(postgres, "text") == ["né 😀"]


def test_bytes_that_are_not_utf_8_in_a_name_and_in_a_field_that_is_not_mirrored(postgres: psycopg.Connection) -> None:
    named = raw_document(ONE, (0x03, b"json", raw_document((0x08, b"\xff", b"\1"))))
    other = raw_document((0x10, b"_id", struct.pack("<i", 2)), (0x02, b"other", raw_string(b"\xff")))
    mirror(postgres, named, other)
    assert fetch_rejects(postgres, "t") == {'{"$numberInt": "1"}': ("json", "invalid_text", 1)}
    assert fetch(postgres, "id") == ["2"]


# --- sizes


def test_documents_of_16_mb(postgres: psycopg.Connection) -> None:
    size = 16 * 1024 * 1024 - 64
    documents = [
        {"_id": "1", "text": "é" * (size // 2)},
        {"_id": "2", "json": "x" * size},
        {"_id": "3", "json": {"a": "\x01" * size}},
        {"_id": "4", "text": "y" * size},
    ]
    result = mirror(postgres, *documents, batch_size=3)
    assert result.load.inserted == 4
    assert fetch(postgres, "octet_length(coalesce(text, json->>'a', json#>>'{}'))") == [size // 2 * 2, size, size, size]
    assert postgres.execute("SELECT text = %s FROM t WHERE id = '1'", [documents[0]["text"]]).fetchone() == (True,)


def test_100_levels(postgres: psycopg.Connection) -> None:
    nested: Any = "bottom"
    listed: Any = "bottom"
    for _ in range(LEVELS):
        nested, listed = {"a": nested}, [listed]
    mirror(postgres, {"_id": "1", "json": nested, **nested}, {"_id": "2", "json": listed})
    path = "{" + DEEP.replace(".", ",") + "}"
    assert fetch(postgres, f"json #>> '{path}'") == ["bottom", None]
    assert fetch(postgres, "json::text")[1] == "[" * LEVELS + '"bottom"' + "]" * LEVELS
    assert fetch(postgres, "deep") == ["bottom", None]


@pytest.mark.parametrize("levels", [500, 5_000])
def test_far_more_levels_than_mongodb_allows_are_a_reject(postgres: psycopg.Connection, levels: int) -> None:
    nested = raw_document()
    for _ in range(levels):
        nested = raw_document((0x03, b"a", nested))
    result = mirror(postgres, raw_document(ONE, (0x03, b"json", nested)), raw_document((0x03, b"_id", nested)))
    assert (result.load.rows, result.load.rejected) == (0, 2)
    reasons = {document: reason for document, (_, reason, _) in fetch_rejects(postgres, "t").items()}
    if levels == 500:
        assert reasons == {'{"$numberInt": "1"}': "out_of_range", UNREADABLE: "invalid_type"}
    else:
        assert reasons == {'{"$numberInt": "1"}': "invalid_bson", UNREADABLE: "invalid_bson"}


def test_array_of_100_000_items(postgres: psycopg.Connection) -> None:
    names = [f"item {number}" for number in range(100_000)]
    document = {"_id": "1", "items": [*names[:50_000], *names], "json": names}
    assert mirror(postgres, document, table="items").load.inserted == 100_000
    assert mirror(postgres, document).load.inserted == 1
    assert fetch(postgres, "jsonb_array_length(json)") == [100_000]
    before = fetch_versions(postgres, "items")
    assert mirror(postgres, document, table="items").load.unchanged == 100_000
    assert fetch_versions(postgres, "items") == before


# --- nothing, and the same twice


def test_null_missing_undefined_and_empty(postgres: psycopg.Connection) -> None:
    mirror(
        postgres,
        {"_id": "1"},
        {"_id": "2", "filled": None, "needed": None, "json": None, "text": None},
        raw_document((0x02, b"_id", raw_string(b"3")), (0x06, b"filled", b""), (0x06, b"needed", b"")),
        {"_id": "4", "json": {}, "text": ""},
        {"_id": "5", "json": [], "text": " "},
        {"_id": "6", "json": {"": {"": ""}}},
    )
    assert fetch(postgres, "filled") == [7, None, None, 7, 7, 7]
    assert fetch(postgres, "needed") == [8] * 6
    assert fetch(postgres, "json") == [None, None, None, {}, [], {"": {"": ""}}]
    assert fetch(postgres, "text") == [None, None, None, "", " ", None]


def test_a_document_without_anything_is_a_reject(postgres: psycopg.Connection) -> None:
    for table in ("t", "items"):
        result = mirror(postgres, {}, {"_id": None}, table=table)
        assert result.load.rows == 0
        assert fetch_rejects(postgres, table) == {"null": ("t_id" if table == "items" else "id", "missing_value", 2)}


def test_a_field_twice_in_a_document_counts_as_written_last(postgres: psycopg.Connection) -> None:
    twice = raw_document((0x08, b"a", b"\1"), (0x10, b"a", struct.pack("<i", 5)))
    mirror(
        postgres,
        raw_document(
            (0x02, b"text", raw_string(b"first")), ONE, (0x02, b"text", raw_string(b"last")), (3, b"json", twice)
        ),
    )
    assert (fetch(postgres, "text"), fetch(postgres, "json")) == (["last"], [{"a": 5}])


def test_keys_with_dots_and_dollars_are_names_in_json_and_no_paths(postgres: psycopg.Connection) -> None:
    json = {"a.b": 1, "$set": 2, "$date": "x", "$numberLong": "y", "a": {"$ref": 5}, "$oid": {}, ".": None}
    mirror(postgres, {"_id": "1", "json": json, DEEP: "no path"})
    assert (fetch(postgres, "json"), fetch(postgres, "deep")) == ([json], [None])


def test_items_that_are_the_same_null_or_of_no_use(postgres: psycopg.Connection) -> None:
    result = mirror(
        postgres,
        {"_id": "1", "items": ["a", "a", None, {"name": "a"}, {"name": "b"}, ID, str(ID), 1, "1", 1.0]},
        {"_id": "2", "items": [{}, {"name": None}, [], ["c"], {"name": {}}, MinKey()]},
        {"_id": "3", "items": "alone"},
        {"_id": "4", "items": []},
        {"_id": "5", "items": None},
        {"_id": "6"},
        {"_id": "7", "items": {"name": "document"}},
        table="items",
    )
    rows = postgres.execute('SELECT t_id, item FROM items ORDER BY t_id, item COLLATE "C"').fetchall()
    assert rows == [
        ("1", "1"), ("1", "1.0"), ("1", str(ID)), ("1", "a"), ("1", "b"), ("2", "{c}"), ("2", "{}"), ("3", "alone"),
        ("7", "document"),
    ]  # fmt: skip
    assert fetch_rejects(postgres, "items") == {'"2"': ("item", "invalid_type", 4)}
    assert result.load.rejected == 1


# --- numbers and dates

LARGEST = "9.999999999999999999999999999999999E+6144"


def test_numbers_in_numeric_and_json(postgres: psycopg.Connection) -> None:
    spelled = [LARGEST, f"-{LARGEST}", "1E-6176", "-1E-6176", "0E+6111", "0E-6176", "-0", "1.10", "1E+400"]
    mirror(postgres, *({"_id": f"{n}", "amount": Decimal128(s), "json": Decimal128(s)} for n, s in enumerate(spelled)))
    for column in ("amount", "(json #>> '{}')::numeric"):
        assert [Decimal(value) for value in fetch(postgres, f"({column})::text")] == [Decimal(s) for s in spelled]
    assert fetch(postgres, "jsonb_typeof(json)") == ["number"] * len(spelled)
    assert fetch(postgres, "amount::text")[7] == fetch(postgres, "json::text")[7] == "1.10"


def test_what_is_no_number(postgres: psycopg.Connection) -> None:
    values = [NAN, INFINITY, -INFINITY, *map(Decimal128, ("NaN", "-NaN", "sNaN", "Infinity", "-Infinity"))]
    mirror(postgres, *({"_id": f"{n}", "amount": v, "ratio": v, "json": v, "text": v} for n, v in enumerate(values)))
    names = ["NaN", "Infinity", "-Infinity", "NaN", "NaN", "NaN", "Infinity", "-Infinity"]
    assert fetch(postgres, "amount::text") == fetch(postgres, "ratio::text") == fetch(postgres, "json") == names
    before = fetch_versions(postgres, "t")
    mirror(postgres, *({"_id": f"{n}", "amount": v, "ratio": v, "json": v, "text": v} for n, v in enumerate(values)))
    assert fetch_versions(postgres, "t") == before


@pytest.mark.parametrize("value", [5e-324, 1.7976931348623157e308, -0.0, 2.2250738585072014e-308, 0.1 + 0.2])
def test_doubles_are_exact(postgres: psycopg.Connection, value: float) -> None:
    mirror(postgres, {"_id": 1, "ratio": value, "amount": value, "json": value})
    assert [struct.pack(">d", found) for found in fetch(postgres, "ratio")] == [struct.pack(">d", value)]
    assert fetch(postgres, "(json #>> '{}')::float8") == fetch(postgres, "amount::float8") == [value]


FIRST, LAST = -62135596800000, 253402300799999


@pytest.mark.parametrize(
    "milliseconds", [FIRST, LAST, -1, 0, -(2**63), 2**63 - 1, FIRST - 1, LAST + 1, -62167219200000]
)
def test_dates_at_and_beyond_the_calendar(postgres: psycopg.Connection, milliseconds: int) -> None:
    document = {"_id": 1, "moment": DatetimeMS(milliseconds), "update_date": DatetimeMS(milliseconds)}
    result = mirror(postgres, document, {"_id": 2, "json": DatetimeMS(milliseconds)})
    inside = FIRST <= milliseconds <= LAST
    assert (result.load.rows, result.load.rejected) == ((2, 0) if inside else (1, 1))
    assert result.watermark is None or result.watermark <= datetime(2030, 1, 1)
    if inside:
        assert fetch(postgres, "(extract(epoch FROM moment) * 1000)::bigint")[0] == milliseconds
    else:
        assert fetch_rejects(postgres, "t") == {'{"$numberInt": "1"}': ("moment", "out_of_range", 1)}
        assert fetch(postgres, "json") == [{"$date": {"$numberLong": str(milliseconds)}}]


def test_a_day_that_its_zone_moves_out_of_the_calendar(postgres: psycopg.Connection) -> None:
    result = mirror(postgres, {"_id": 1, "day": DatetimeMS(LAST)}, {"_id": 2, "day": DatetimeMS(FIRST)})
    assert (result.load.rows, result.load.rejected) == (1, 1)
    assert fetch_rejects(postgres, "t") == {'{"$numberInt": "1"}': ("day", "out_of_range", 1)}


# --- ids

IDS: list[tuple[Any, str | None]] = [
    (ID, str(ID)),
    ("text", "text"),
    ("", ""),
    (" ", " "),
    ("NULL", "NULL"),
    ("né 😀 'quoted' \\ \"", "né 😀 'quoted' \\ \""),
    (-5, "-5"),
    (1.5, "1.5"),
    (-0.25, "-0.25"),
    (Int64(2**63 - 1), "9223372036854775807"),
    (Int64(-(2**63)), "-9223372036854775808"),
    (Decimal128("2.50"), "2.5"),
    (NAN, "NaN"),
    (True, "true"),
    (Binary(b"x" * 16, 4), "78787878-7878-7878-7878-787878787878"),
    (Binary(b"y" * 16, 3), "79797979-7979-7979-7979-797979797979"),
    (b"\x00\x01", "\\x0001"),
    (datetime(2024, 3, 6), "2024-03-06 00:00:00"),
    (DatetimeMS(2**60), None),
    ({"a": 1}, '{"a": {"$numberInt": "1"}}'),
    ({}, "{}"),
    (Timestamp(1, 2), None),
    (MaxKey(), None),
    ("a\0b", None),
    (None, None),
]


@pytest.mark.parametrize("batch_size", [1, 100])
@pytest.mark.parametrize("table", ["t", "items"])
def test_ids_of_every_kind(postgres: psycopg.Connection, table: str, batch_size: int) -> None:
    documents = [{"_id": identity, "items": ["a"]} for identity, _ in IDS]
    column = "id" if table == "t" else "t_id"
    expected = {encode_document_id(identity) for identity, text in IDS if text is None}
    for kind in ("full", "newest", "full"):
        mirror(postgres, *documents, table=table, batch_size=batch_size, kind=kind)
        held = [value for (value,) in postgres.execute(f"SELECT {column} FROM {table}")]  # type: ignore[arg-type]
        assert sorted(held) == sorted(text for _, text in IDS if text is not None)
        assert fetch_rejects(postgres, table).keys() == expected
        assert len(held) + len(expected) == len(IDS)
