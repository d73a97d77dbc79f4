"""Document ids as text: what was written is read back, and means the same `_id`."""

from datetime import datetime

import bson
import pytest
from bson import Binary, CodecOptions, DatetimeConversion, DatetimeMS, Decimal128, Int64, ObjectId, Timestamp

from smartdiet_assets.schema.document_id import UNREADABLE, decode_document_id, encode_document_id

OPTIONS: CodecOptions[dict[str, object]] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_AUTO)

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
    assert again == read
    assert bson.encode({"_id": again}) == bson.encode({"_id": value})


def test_different_ids_have_different_texts() -> None:
    assert len({encode_document_id(value) for value in IDS}) == len(IDS)


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
