"""Batches of raw BSON decoded into documents, whole or, where one document is damaged, one by one."""

from collections.abc import Iterator

import bson
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.errors import InvalidBSON

from smartdiet_assets.schema.document_id import UNREADABLE, encode_document_id
from smartdiet_assets.schema.documents import Document
from smartdiet_assets.schema.reasons import Reason, Reject

_STRICT: CodecOptions[Document] = CodecOptions(tz_aware=False, datetime_conversion=DatetimeConversion.DATETIME_AUTO)
#: Bytes that are not UTF-8 become lone surrogates, which only the column that holds them refuses.
_LENIENT = _STRICT.with_options(unicode_decode_error_handler="surrogateescape")
_SHORTEST = 5
#: Sizes in bytes of the BSON values that have one, by type.
_SIZES = {
    0x01: 8,
    0x06: 0,
    0x07: 12,
    0x08: 1,
    0x09: 8,
    0x0A: 0,
    0x10: 4,
    0x11: 8,
    0x12: 8,
    0x13: 16,
    0x7F: 0,
    0xFF: 0,
}
#: Types that start with a length, and what they hold beyond it and the bytes it counts.
_LENGTHS = {0x02: 4, 0x03: 0, 0x04: 0, 0x05: 5, 0x0C: 16, 0x0D: 4, 0x0E: 4, 0x0F: 0}


def decode_batch(raw: bytes) -> list[Document] | None:
    """Decode concatenated documents; None where at least one of them is damaged."""
    try:
        return bson.decode_all(raw, _STRICT)
    except InvalidBSON:
        return None


def decode_damaged_batch(raw: bytes) -> tuple[list[Document], list[Reject]]:
    """Decode concatenated documents one by one.

    Returns the documents that can be decoded, in order, and a reject for each of the others. Text that is not
    UTF-8 does not make a document undecodable: it arrives with lone surrogates.
    """
    documents: list[Document] = []
    rejects: list[Reject] = []
    for document in split_batch(raw):
        try:
            documents.append(bson.decode(document, _LENIENT))
        except InvalidBSON:
            rejects.append(Reject(_recover_id(document), "", Reason.INVALID_BSON, "a BSON document", ""))
    return documents, rejects


def split_batch(raw: bytes) -> Iterator[bytes]:
    """Cut at the documents' length prefixes; where one cannot be true, the rest is one document."""
    position = 0
    while position < len(raw):
        length = int.from_bytes(raw[position : position + 4], "little")
        end = position + length if _SHORTEST <= length <= len(raw) - position else len(raw)
        yield raw[position:end]
        position = end


def _recover_id(document: bytes) -> str:
    """Find the `_id` among the top-level fields of a damaged document, while sizes can be followed."""
    position = 4
    try:
        while position < len(document) - 1:
            kind = document[position]
            name_end = document.index(0, position + 1)
            value_end = name_end + 1 + _measure(document, kind, name_end + 1)
            if document[position + 1 : name_end] == b"_id":
                element = document[position:value_end]
                alone = (len(element) + _SHORTEST).to_bytes(4, "little") + element + b"\0"
                return encode_document_id(bson.decode(alone, _LENIENT)["_id"])
            position = value_end
    except (InvalidBSON, ValueError, IndexError, KeyError):
        pass
    return UNREADABLE


def _measure(document: bytes, kind: int, start: int) -> int:
    """Measure a value in bytes; raises KeyError or ValueError where it cannot be followed."""
    if kind in _SIZES:
        return _SIZES[kind]
    if kind == 0x0B:
        # A regular expression: two strings that end with a NUL.
        return document.index(0, document.index(0, start) + 1) + 1 - start
    return int.from_bytes(document[start : start + 4], "little") + _LENGTHS[kind]
