"""Document ids as text: what was written is read back, and means the same `_id`."""

from datetime import datetime
from fractions import Fraction
from uuid import UUID

import bson
import pytest
from bson import Binary, CodecOptions, DatetimeConversion, DatetimeMS, Decimal128, Int64, ObjectId, Timestamp
from hypothesis import given
from hypothesis import strategies as st

from smartdiet_assets.schema.document_id import (
    UNREADABLE,
    decode_document_id,
    encode_document_id,
    encode_plain_value,
    read_plain_value,
    tells_id,
)
from smartdiet_assets.schema.types import parse_sql_type

OPTIONS: CodecOptions[dict[str, object]] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_AUTO)

#: Ids that MongoDB takes for another one of the list, or for a number of another type.
ONE_TO_MONGODB = [Int64(5), 12.0, Decimal128("1E+3")]
IDS = [
    ObjectId("65e8f3a0c2a4b1d2e3f4a5b6"),
    "65e8f3a0c2a4b1d2e3f4a5b6",
    "",
    "é\0😀",
    5,
    Int64(5),
    1.5,
    12.0,
    True,
    None,
    datetime(2024, 3, 6, 23, 0, 0, 123000),
    DatetimeMS(2**60),
    b"bytes",
    Binary(b"x" * 16, 4),
    Decimal128("1E+3"),
    Timestamp(1, 2),
    {"user": ObjectId("65e8f3a0c2a4b1d2e3f4a5b6"), "day": datetime(2024, 3, 6)},
]


@pytest.mark.parametrize("value", IDS, ids=repr)
def test_id_survives_the_way_through_text(value: object) -> None:
    read = bson.decode(bson.encode({"_id": value}), OPTIONS)["_id"]
    again = decode_document_id(encode_document_id(read))
    assert encode_document_id(again) == encode_document_id(read)
    if value not in ONE_TO_MONGODB:
        assert again == read
        assert bson.encode({"_id": again}) == bson.encode({"_id": value})


def test_different_ids_have_different_texts() -> None:
    different = [value for value in IDS if value not in ONE_TO_MONGODB]
    assert len({encode_document_id(value) for value in different}) == len(different)


DECIMALS = [
    "5",
    "5.00",
    "0.1",
    "1E+3",
    "-0",
    "NaN",
    "-NaN",
    "sNaN",
    "Infinity",
    "1E+6100",
    "1E-6100",
    "1234567890123456789",
]
NUMBERS = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-5, 5).map(float),
    st.floats(),
    st.sampled_from(DECIMALS).map(Decimal128),
    st.decimals(-(10**20), 10**20, places=2).map(Decimal128),
)


def value_of(number: object) -> object:
    """What MongoDB compares: the value, exactly; every NaN is one."""
    exact = number.to_decimal() if isinstance(number, Decimal128) else number
    if "nan" in str(exact).lower():
        return "nan"
    return float(exact) if "inf" in str(exact).lower() else Fraction(exact)


@given(NUMBERS, NUMBERS)
def test_numbers_are_one_id_where_they_are_one_value(one: object, other: object) -> None:
    same = value_of(one) == value_of(other)
    assert (encode_document_id(one) == encode_document_id(other)) == same
    assert (encode_document_id({"a": [one]}) == encode_document_id({"a": [other]})) == same


@pytest.mark.parametrize(
    ("sql_type", "value", "document_id", "tells"),
    [
        ("VARCHAR", "65e8f3a0c2a4b1d2e3f4a5b6", ObjectId("65e8f3a0c2a4b1d2e3f4a5b6"), True),
        ("VARCHAR", "65e8f3a0c2a4b1d2e3f4a5b6", "65e8f3a0c2a4b1d2e3f4a5b6", False),
        ("VARCHAR", "65E8F3A0C2A4B1D2E3F4A5B6", "65E8F3A0C2A4B1D2E3F4A5B6", True),
        ("VARCHAR", "abc", "abc", True),
        ("VARCHAR", "abc", "abc ", False),
        ("VARCHAR", "5", 5, False),
        ("VARCHAR", "5", "5", True),
        ("VARCHAR", "true", True, False),
        ("BIGINT", 5, Int64(5), True),
        ("BIGINT", 5, 5.0, True),
        ("BIGINT", 5, Decimal128("5.0"), True),
        ("BIGINT", 5, 4.6, False),
        ("BIGINT", 5, "5", False),
        ("SMALLINT", 1, True, False),
        ("UUID", UUID(int=1), Binary.from_uuid(UUID(int=1)), False),
    ],
)
def test_a_column_tells_an_id_by_its_value_alone(
    sql_type: str, value: object, document_id: object, tells: bool
) -> None:
    assert tells_id(parse_sql_type(sql_type), value, document_id) is tells
    if tells:
        encoded = encode_document_id(document_id)
        assert read_plain_value(encoded, numbers=isinstance(value, int)) == str(value)
        assert encode_plain_value(value) == encoded


def test_object_id_is_plain_hex_and_a_string_is_quoted() -> None:
    assert encode_document_id(IDS[0]) == "65e8f3a0c2a4b1d2e3f4a5b6"
    assert encode_document_id("abc") == '"abc"'


@pytest.mark.parametrize("value", IDS, ids=repr)
def test_text_fits_a_postgresql_column(value: object) -> None:
    text = encode_document_id(value)
    assert "\0" not in text
    text.encode()


def test_unreadable_id_asks_for_nothing() -> None:
    assert decode_document_id(UNREADABLE) is None


def test_foreign_text_is_an_error() -> None:
    with pytest.raises(ValueError, match="Expecting value"):
        decode_document_id("abc")
