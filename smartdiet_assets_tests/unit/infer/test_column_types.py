"""The type of a column follows from the kinds of its values, their shares and their extremes."""

import uuid
from datetime import datetime
from typing import Any

import pytest
from bson import Binary, DatetimeMS, Decimal128, Int64, ObjectId, Regex, Timestamp

from smartdiet_assets.infer.column_types import decide_type, describe_share
from smartdiet_assets_tests.unit.infer.observed import observe_values

ID, DAY = ObjectId("65e8c4f0a1b2c3d4e5f60718"), datetime(2024, 3, 6, 23)
UUID = Binary.from_uuid(uuid.UUID(int=7))
NOON = datetime(2024, 3, 6, 12, 30, 1)


@pytest.mark.parametrize(
    ("values", "sql_type"),
    [
        ([], ""),
        ([None], ""),
        (["a", None], "VARCHAR"),
        (["a" * 255], "VARCHAR"),
        (["a" * 256], "TEXT"),
        ([ID], "VARCHAR"),
        ([ID, "65e8c4f0a1b2c3d4e5f60718"], "VARCHAR"),
        ([1, 2**31 - 1], "INTEGER"),
        ([Int64(1)], "BIGINT"),
        ([1, Int64(2**40)], "BIGINT"),
        ([1.5], "DOUBLE PRECISION"),
        ([1, 2.5], "DOUBLE PRECISION"),
        ([1.5, Int64(2**53)], "DOUBLE PRECISION"),
        ([1.5, Int64(2**53 + 1)], "NUMERIC"),
        ([float("nan")], "DOUBLE PRECISION"),
        ([Decimal128("12.50")], "NUMERIC(8,2)"),
        ([Decimal128("-0.001"), Decimal128("1234")], "NUMERIC(11,3)"),
        ([Decimal128("1E+3")], "NUMERIC(8,0)"),
        ([Decimal128("NaN"), Decimal128("1.5")], "NUMERIC(6,1)"),
        ([Decimal128("Infinity")], "NUMERIC"),
        ([Decimal128("1E-100")], "NUMERIC"),
        ([Decimal128("1.5"), 2], "NUMERIC"),
        ([12, "12.5"], "NUMERIC"),
        ([12, "012"], "TEXT"),
        ([12, "douze"], "TEXT"),
        ([True], "BOOLEAN"),
        ([True, 1], "TEXT"),
        ([NOON], "TIMESTAMP"),
        ([NOON, Timestamp(1, 1)], "TIMESTAMP"),
        ([NOON, DatetimeMS(2**60)], "TIMESTAMP"),
        (["2024-03-06"], "VARCHAR"),
        ([NOON, "2024-03-06"], "TEXT"),
        ([UUID], "UUID"),
        ([UUID, "7"], "TEXT"),
        ([UUID, b"\x01"], "BYTEA"),
        ([b"\x01"], "BYTEA"),
        ([{"a": 1}], "JSONB"),
        ([{"a": 1}, "a"], "JSONB"),
        ([[1]], "JSONB"),
        ([Regex("a")], "JSONB"),
    ],
)
def test_the_narrowest_type_that_keeps_every_value(values: list[Any], sql_type: str) -> None:
    assert decide_type(observe_values(*values), complete=True).sql_type == sql_type


@pytest.mark.parametrize(
    ("values", "sql_type", "on_invalid"),
    [
        ([NOON] * 99 + ["demain"], "TIMESTAMP", "null"),
        ([NOON] * 19 + ["demain"], "TIMESTAMP", "null"),
        ([NOON] * 18 + ["demain"], "TEXT", ""),
        ([NOON] * 97 + ["demain"] * 2, "TEXT", ""),
        ([True] * 400 + ["oui"] * 4, "BOOLEAN", "null"),
        (["a"] * 99 + [{"name": "a"}], "VARCHAR", "null"),
        (["a"] * 99 + [1], "TEXT", ""),
        ([ID] * 9 + [{"id": 4}], "VARCHAR", "null"),
        ([{"a": 1}] * 99 + ["a"], "JSONB", ""),
        (["a\0"], "VARCHAR", "clamp"),
        (["\udc80"], "VARCHAR", "clamp"),
        ([NOON, DatetimeMS(2**60)], "TIMESTAMP", "clamp"),
    ],
)
def test_a_few_odd_values_do_not_decide(values: list[Any], sql_type: str, on_invalid: str) -> None:
    decision = decide_type(observe_values(*values), complete=True)
    assert (decision.sql_type, decision.on_invalid) == (sql_type, on_invalid)


@pytest.mark.parametrize(
    ("values", "remark"),
    [
        ([1] * 97 + ["a"] * 3, "97% int, 3% string"),
        ([NOON] * 99 + ["demain"], "99% date, 1% string: 1 of 100 becomes NULL, sql_type: TEXT would keep it"),
        ([1, 2.0], "every double is a whole number: sql_type: BIGINT would hold them"),
        (["2024-03-06"], "every text is an ISO day: sql_type: DATE would read it"),
        (["2024-03-06T12:00:00Z", "2024-03-06"], "every text is an ISO date"),
        (["12.5"], "every text is a number"),
        ([DAY], "every date is a midnight of Europe/Paris: sql_type: DATE with timezone: Europe/Paris"),
        ([datetime(2024, 3, 6)], "every date is a midnight of UTC: sql_type: DATE would hold the day"),
        (["a\0"], "characters that PostgreSQL cannot store in 1 of 1: left out by clamp"),
    ],
)
def test_what_is_doubtful_is_said(values: list[Any], remark: str) -> None:
    assert remark in "; ".join(decide_type(observe_values(*values), complete=True).remarks)


@pytest.mark.parametrize("values", [["a"], [1], [NOON], ["01234", "75011"], [True], [DAY, NOON]])
def test_what_is_plain_needs_no_word(values: list[Any]) -> None:
    assert decide_type(observe_values(*values), complete=True).remarks == ()


def test_a_sample_does_not_limit_the_digits_of_the_documents_it_did_not_see() -> None:
    decision = decide_type(observe_values(Decimal128("12.50")), complete=False)
    assert (decision.sql_type, decision.remarks) == ("NUMERIC", ("NUMERIC(8,2) would hold the sample",))


@pytest.mark.parametrize(
    ("number", "total", "text"),
    [(3, 3, "100%"), (97, 100, "97%"), (2239, 2240, "99.96%"), (999_999, 1_000_000, ">99.99%"), (1, 2240, "0.04%"),
     (1, 1_000_000, "<0.01%"), (0, 5, "0%")],
)  # fmt: skip
def test_a_share_is_never_rounded_to_all_or_nothing(number: int, total: int, text: str) -> None:
    assert describe_share(number, total) == text
