"""How the load spells the ids it asks for again."""

from uuid import UUID

import pytest
from bson.binary import Binary

from smartdiet_assets.load.spelling import respell, spell_reference
from smartdiet_assets.load.staging import _spell
from smartdiet_assets.schema.document_id import decode_document_id, encode_document_id

SOME_UUID = "12345678-1234-5678-1234-567812345678"


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("abc", ["abc"]),
        ("", [""]),
        ("42", ["42", 42]),
        ("-7", ["-7", -7]),
        ("007", ["007", 7.0]),
        ("12.5", ["12.5", 12.5]),
        ("99999999999999999999", ["99999999999999999999", 1e20]),
        ("true", ["true", True]),
        (SOME_UUID, [SOME_UUID, Binary.from_uuid(UUID(SOME_UUID))]),
    ],
)
def test_a_reference_is_asked_for_as_every_id_its_text_may_be(text: str, values: list[object]) -> None:
    assert [decode_document_id(encoded) for encoded in spell_reference(text)] == values


def test_an_id_noted_as_text_may_be_a_number() -> None:
    assert respell(encode_document_id("42")) == [encode_document_id("42"), encode_document_id(42)]


@pytest.mark.parametrize("value", [42, 4.5, 'with "quotes"', "plain", {"a": 1}])
def test_other_ids_are_asked_for_as_they_are(value: object) -> None:
    assert respell(encode_document_id(value)) == [encode_document_id(value)]


@pytest.mark.parametrize(("value", "text"), [("a", "a"), (5, "5"), (12.5, "12.5"), (True, "true"), ("a\0b", "")])
def test_an_encoded_id_is_found_in_a_text_column(value: object, text: str) -> None:
    assert _spell(encode_document_id(value)) == text
