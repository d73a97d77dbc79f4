"""How the load spells the ids it asks for again."""

from datetime import datetime
from uuid import UUID

import pytest
from bson.binary import Binary
from bson.decimal128 import Decimal128
from bson.objectid import ObjectId

from smartdiet_assets.load.spelling import respell, spell_value
from smartdiet_assets.schema.document_id import decode_document_id, encode_document_id, read_plain_value

HEX = "65e8f3a0c2a4b1d2e3f4a5b6"
SOME_UUID = "12345678-1234-5678-1234-567812345678"


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("abc", ["abc"]),
        ("", [""]),
        ("42", ["42", 42]),
        ("-7", ["-7", -7]),
        ("007", ["007"]),
        ("12.5", ["12.5", 12.5]),
        ("99999999999999999999", ["99999999999999999999", 1e20, Decimal128("99999999999999999999")]),
        ("true", ["true", True]),
        (SOME_UUID, [SOME_UUID, Binary.from_uuid(UUID(SOME_UUID)), Binary(UUID(SOME_UUID).bytes, 3)]),
        ("2024-03-06 12:00:00.5", ["2024-03-06 12:00:00.5", datetime(2024, 3, 6, 12, 0, 0, 500_000)]),
        (HEX, [ObjectId(HEX), HEX]),
        ('{"a": {"$numberInt": "5"}}', ['{"a": {"$numberInt": "5"}}', {"a": 5}]),
    ],
)
def test_a_reference_is_asked_for_as_every_id_its_text_may_be(text: str, values: list[object]) -> None:
    assert [decode_document_id(encoded) for encoded in spell_value(text)] == values


def test_an_id_noted_as_text_may_be_a_number() -> None:
    assert respell(encode_document_id("42")) == [encode_document_id("42"), encode_document_id(42)]


@pytest.mark.parametrize("value", [42, 4.5, 'with "quotes"', "plain", {"a": 1}])
def test_other_ids_are_asked_for_as_they_are(value: object) -> None:
    assert respell(encode_document_id(value)) == [encode_document_id(value)]


@pytest.mark.parametrize(
    ("value", "text", "number"),
    [
        ("a", "a", ""),
        ("5", "5", ""),
        (ObjectId(HEX), HEX, ""),
        (5, "", "5"),
        (12.5, "", ""),
        (True, "", ""),
        ("a\0b", "", ""),
    ],
)
def test_an_encoded_id_is_found_in_a_column_only_where_the_column_tells_it(
    value: object, text: str, number: str
) -> None:
    """A rejected 5 is not the `"5"` that a character column holds, and the other way round."""
    assert read_plain_value(encode_document_id(value), numbers=False) == text
    assert read_plain_value(encode_document_id(value), numbers=True) == number
