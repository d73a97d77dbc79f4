"""The oracle's values against those worked out by hand from the reference texts: who judges must be judged first."""

import uuid
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import pytest
from bson import Binary, Code, Decimal128, Int64, ObjectId, Regex, Timestamp
from bson.datetime_ms import DatetimeMS

from smartdiet_assets.schema.model import Column
from smartdiet_assets.schema.types import parse_sql_type
from smartdiet_assets_tests.oracle.values import Unfit, convert

IDENTITY = ObjectId("650000000000000000000001")


def as_column(sql_type: str, zone: str | None = None) -> Column:
    return Column(name="c", type=parse_sql_type(sql_type), timezone=zone)


@pytest.mark.parametrize(
    ("sql_type", "value", "expected"),
    [
        ("VARCHAR", True, "true"),
        ("TEXT", False, "false"),
        ("VARCHAR", 12, "12"),
        ("VARCHAR", Int64(2**40), "1099511627776"),
        ("VARCHAR", 12.0, "12.0"),
        ("VARCHAR", 12.5, "12.5"),
        ("VARCHAR", float("nan"), "NaN"),
        ("VARCHAR", Decimal128("1.50"), "1.50"),
        ("VARCHAR", IDENTITY, "650000000000000000000001"),
        ("VARCHAR", datetime(2024, 3, 6, 23, 0, 0, 123000), "2024-03-06 23:00:00.123"),
        ("VARCHAR", datetime(2024, 3, 6, 23), "2024-03-06 23:00:00"),
        ("VARCHAR", ["a", "b c", "", "null", 'x"y'], '{a,"b c","","null","x\\"y"}'),
        ("VARCHAR", [], "{}"),
        ("VARCHAR(4)", "caf\N{LATIN SMALL LETTER E WITH ACUTE}", "café"),
        ("SMALLINT", 12.5, 13),
        ("SMALLINT", -12.5, -13),
        ("SMALLINT", "12", 12),
        ("INTEGER", Decimal128("2.4"), 2),
        ("BIGINT", Int64(2**62), 2**62),
        ("DOUBLE PRECISION", 3, 3.0),
        ("DOUBLE PRECISION", "2.5", 2.5),
        ("NUMERIC", 0.1, Decimal("0.1")),
        ("NUMERIC(6,2)", Decimal128("1.005"), Decimal("1.01")),
        ("NUMERIC(6,2)", -1.005, Decimal("-1.01")),
        ("BOOLEAN", "true", True),
        ("BOOLEAN", " OFF ", False),
        ("DATE", datetime(2024, 3, 6, 23), date(2024, 3, 6)),
        ("DATE", "2024-03-06T23:30:00+02:00", date(2024, 3, 6)),
        ("TIMESTAMP", "2024-03-06T23:30:00+02:00", datetime(2024, 3, 6, 23, 30)),
        ("TIMESTAMP", Timestamp(1_700_000_000, 3), datetime(2023, 11, 14, 22, 13, 20)),
        ("TIMESTAMPTZ", "2024-03-06T23:30:00+02:00", datetime(2024, 3, 6, 21, 30)),
        ("TIME", "08:30", time(8, 30)),
        ("TIME", datetime(2024, 3, 6, 23, 1, 2), time(23, 1, 2)),
        ("UUID", "12345678-1234-5678-1234-567812345678", uuid.UUID("12345678123456781234567812345678")),
        ("UUID", Binary(bytes(range(16)), 4), uuid.UUID(bytes=bytes(range(16)))),
        ("BYTEA", b"\x00\xff", b"\x00\xff"),
        ("JSONB", {"b": [1, 2.50, None], "a": {"n": float("nan")}}, '{"a":{"n":"NaN"},"b":[1,2.5,null]}'),
        ("JSONB", IDENTITY, '"650000000000000000000001"'),
        ("JSONB", datetime(2024, 3, 6, 23, 0, 0, 120000), '"2024-03-06T23:00:00.120Z"'),
        ("JSONB", Decimal128("12345678901234567890.5"), "12345678901234567890.5"),
        ("JSONB", b"\x01\x02", '"AQI="'),
    ],
)
def test_a_value_reads_as_the_conversion_table_says(sql_type: str, value: Any, expected: Any) -> None:
    assert convert(value, as_column(sql_type)) == expected


@pytest.mark.parametrize(
    ("sql_type", "value", "reason"),
    [
        ("VARCHAR", {}, "invalid_type"),
        ("VARCHAR", [IDENTITY], "invalid_type"),
        ("VARCHAR", Code("x"), "invalid_type"),
        ("VARCHAR", Regex("x"), "invalid_type"),
        ("VARCHAR(3)", "abcd", "too_long"),
        ("CHAR(3)", "abcd", "too_long"),
        ("TEXT", "a\0b", "nul_character"),
        ("TEXT", "a\ud800", "invalid_text"),
        ("SMALLINT", 32768, "out_of_range"),
        ("SMALLINT", 32767.5, "out_of_range"),
        ("SMALLINT", True, "invalid_type"),
        ("SMALLINT", "12.5", "invalid_type"),
        ("INTEGER", float("nan"), "out_of_range"),
        ("INTEGER", Decimal128("1E+6000"), "out_of_range"),
        ("BIGINT", 2.0**63, "out_of_range"),
        ("NUMERIC(4,2)", 99.995, "out_of_range"),
        ("DOUBLE PRECISION", "far", "invalid_type"),
        ("REAL", 1e39, "out_of_range"),
        ("BOOLEAN", "oui", "invalid_type"),
        ("BOOLEAN", 1, "invalid_type"),
        ("DATE", "", "invalid_type"),
        ("DATE", 20240306, "invalid_type"),
        ("DATE", DatetimeMS(10**15), "out_of_range"),
        ("TIMESTAMP", IDENTITY, "invalid_type"),
        ("UUID", "no", "invalid_type"),
        ("BYTEA", "no", "invalid_type"),
        ("JSONB", {"deep": ["\0"]}, "nul_character"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_reason(sql_type: str, value: Any, reason: str) -> None:
    with pytest.raises(Unfit) as refused:
        convert(value, as_column(sql_type))
    assert refused.value.reason == reason


def test_a_zone_moves_local_midnights_to_their_own_day() -> None:
    """22:00Z in summer and 23:00Z in winter are both midnight in Paris."""
    day = as_column("DATE", "Europe/Paris")
    assert convert(datetime(2024, 3, 6, 23), day) == date(2024, 3, 7)
    assert convert(datetime(2024, 7, 1, 22, 0), day) == date(2024, 7, 2)
    assert convert(datetime(2024, 7, 1, 21, 59), day) == date(2024, 7, 1)
