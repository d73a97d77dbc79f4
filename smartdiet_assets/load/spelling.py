"""Which encoded ids a column value may stand for: a column does not tell the type of an id that is no ObjectId.

Here: reading texts back as ids of every type they may be. Not here: encoding an id (`schema.document_id`), or what is
asked for (`load.retries`).
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from uuid import UUID

from bson.binary import OLD_UUID_SUBTYPE, Binary
from bson.decimal128 import Decimal128
from bson.objectid import ObjectId

from smartdiet_assets.schema.document_id import encode_document_id

_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,18}")
_DOUBLE = re.compile(r"-?[0-9]+(\.[0-9]+)?(e[-+]?[0-9]+)?")
_BINARY = re.compile(r"\\x((?:[0-9a-f]{2})*)")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def spell_reference(text: str) -> list[str]:
    """List the encoded ids that a reference other than an ObjectId may mean: the column does not tell their type."""
    return [encode_document_id(text), *(encode_document_id(value) for value in _read_as_other_types(text))]


def spell_document(text: str) -> list[str]:
    """List the encoded ids of all documents whose id a document column shows as a text."""
    spelled = [encode_document_id(text), *(encode_document_id(value) for value in _read_as_any_type(text))]
    return list(dict.fromkeys(spelled))


def respell(document_id: str) -> list[str]:
    """List an encoded id, and what else it may be where the load made it from a column value."""
    if not document_id.startswith('"') or "\\" in document_id:
        return [document_id]
    return [document_id, *(encode_document_id(value) for value in _read_as_other_types(document_id[1:-1]))]


def _read_as_other_types(text: str) -> Iterator[object]:
    if text in ("true", "false"):
        yield text == "true"
    elif _INTEGER.fullmatch(text) and -(1 << 63) <= int(text) < 1 << 63:
        yield int(text)
    elif _DOUBLE.fullmatch(text):
        yield float(text)
    elif _UUID.fullmatch(text):
        yield Binary.from_uuid(UUID(text))


def _read_as_any_type(text: str) -> Iterator[object]:
    """Read a text back as every type that is shown as it, also those nobody refers to."""
    yield from _read_as_other_types(text)
    if ObjectId.is_valid(text):
        yield ObjectId(text)
    if binary := _BINARY.fullmatch(text):
        content = bytes.fromhex(binary[1])
        yield from (Binary(content, subtype) for subtype in range(256))
    if _UUID.fullmatch(text):
        yield Binary(UUID(text).bytes, OLD_UUID_SUBTYPE)
    with suppress(ValueError):
        yield datetime.fromisoformat(text)
    with suppress(ArithmeticError):
        yield Decimal128(text)
    if text in ("NaN", "Infinity", "-Infinity"):
        yield float(text)
