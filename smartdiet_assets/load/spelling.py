"""Which encoded ids a column value may stand for: a column does not tell the type of an id that is no ObjectId."""

import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from uuid import UUID

from bson.binary import OLD_UUID_SUBTYPE, Binary
from bson.decimal128 import Decimal128
from bson.objectid import ObjectId

from smartdiet_assets.schema.document_id import decode_document_id, encode_document_id, encode_plain_value

#: A number as `transform.text` spells an id: its digits, or where that would be long, a decimal's own form.
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?(E[-+]?[0-9]+)?|NaN|-?Infinity")
_INTEGER = re.compile(r"-?[0-9]{1,19}")
_BINARY = re.compile(r"\\x((?:[0-9a-f]{2})*)")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def spell_value(text: str) -> list[str]:
    """List the encoded ids of all documents whose id a column shows as a text: the column does not tell their type."""
    others = (encode_document_id(value) for value in (text, *_read_as_other_types(text)))
    return list(dict.fromkeys([encode_plain_value(text), *others]))


def respell(document_id: str) -> list[str]:
    """List an encoded id, and what else it may be where an earlier version made it from a column value."""
    if not document_id.startswith('"') or "\\" in document_id:
        return [document_id]
    return list(dict.fromkeys([document_id, *spell_value(document_id[1:-1])]))


def _read_as_other_types(text: str) -> Iterator[object]:
    if ObjectId.is_valid(text):
        yield ObjectId(text)
    if text in ("true", "false"):
        yield text == "true"
    if _NUMBER.fullmatch(text):
        # Mongo finds a number by its value, whatever its type: an integer, a double, or a decimal that is neither.
        yield int(text) if _INTEGER.fullmatch(text) and -(1 << 63) <= int(text) < 1 << 63 else float(text)
        with suppress(ArithmeticError):
            yield Decimal128(text)
    if _UUID.fullmatch(text):
        yield Binary.from_uuid(UUID(text))
        yield Binary(UUID(text).bytes, OLD_UUID_SUBTYPE)
    if binary := _BINARY.fullmatch(text):
        content = bytes.fromhex(binary[1])
        yield from (Binary(content, subtype) for subtype in range(256))
    with suppress(ValueError):
        yield datetime.fromisoformat(text)
    if text.startswith("{"):
        with suppress(ValueError):
            yield decode_document_id(text)
