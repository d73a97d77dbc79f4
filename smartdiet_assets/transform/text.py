"""Values of VARCHAR, CHAR and TEXT columns."""

import re
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from bson.binary import UUID_SUBTYPE, Binary
from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.objectid import ObjectId

from smartdiet_assets.schema.document_id import UNREADABLE, encode_document_id, normalise_id
from smartdiet_assets.schema.documents import Document
from smartdiet_assets.schema.model import DOCUMENT_ID, ITEM_ITSELF, Column
from smartdiet_assets.schema.reasons import Reason
from smartdiet_assets.transform.conversion import Build, Conversion, FastPath, PageConversion
from smartdiet_assets.transform.pages import split
from smartdiet_assets.transform.rejection import Rejection

#: An ObjectId's bytes, without the call of `str`: 41 ns instead of 90, on the most frequent value there is.
_HEX = "value._ObjectId__id.hex()" if hasattr(ObjectId(), "_ObjectId__id") else "str(value)"
_HEX_LENGTH = 24
_UUID_BYTES = 16
_SURROGATE = re.compile(r"[\ud800-\udfff]")
#: What makes PostgreSQL quote an element of an array's text.
_NEEDS_QUOTES = re.compile(r'[{}",\\ \t\n\r\v\f]|\A\Z|\A(?i:null)\Z')


def is_valid_unicode(text: str) -> bool:
    """Tell whether PostgreSQL can hold the characters; lone surrogates come from text that was not UTF-8."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def build_text(column: Column) -> Conversion:
    """Build the conversion to a character type; lengths count code points, as PostgreSQL does.

    Ids of documents are equal where MongoDB takes them for one: numbers of one value are one text. An id may be a
    document itself, which is its canonical extended JSON, in the document's own order; where it is another document's
    id, a copy of that one, with its `_id`, is none.
    """
    expected, limit = column.type.sql, column.type.limit
    key, is_own = column.foreign_key, DOCUMENT_ID in column.mongo_field
    is_id = key is not None or is_own
    documents = is_own or (key is not None and key.documents)

    def spell(value: object) -> str | None:
        if type(value) is dict:
            is_one = documents and (is_own or DOCUMENT_ID not in value)
            return _format_document_id(value, expected) if is_one else None
        return _format_value(normalise_id(value) if is_id and type(value) is not list else value)

    def convert(value: object) -> str:
        text = value if type(value) is str else spell(value)
        if text is None:
            raise Rejection(Reason.INVALID_TYPE, expected, value)
        if "\0" in text:
            raise Rejection(Reason.NUL_CHARACTER, expected, value)
        if not is_valid_unicode(text):
            raise Rejection(Reason.INVALID_TEXT, expected, value)
        if limit is not None and len(text) > limit:
            # PostgreSQL cuts off blanks beyond the length without a word, and nothing else.
            if text[limit:].strip(" "):
                raise Rejection(Reason.TOO_LONG, expected, value)
            text = text[:limit]
        return text

    def clamp(value: object) -> str:
        """Leave out NUL, replace what is no character by U+FFFD, and cut at the length."""
        text = value if type(value) is str else spell(value)
        if text is None:
            raise Rejection(Reason.INVALID_TYPE, expected, value)
        return _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text.replace("\0", ""))[:limit]

    length = "" if limit is None else f" and len(value) <= {limit}"
    fast = [FastPath(f"type(value) is str{length} and '\\0' not in value")]
    if limit is None or limit >= _HEX_LENGTH:
        # Which is usual is a guess; a wrong one costs time only.
        usual = is_id or ITEM_ITSELF in column.item_field
        fast.insert(0 if usual else 1, FastPath("type(value) is ObjectId", _HEX))
    return Conversion(
        convert,
        fast=tuple(fast),
        clamp=clamp,
        page=lambda data_type: None if data_type == "bit" else _build_page(limit),
    )


def _build_page(limit: int | None) -> PageConversion:
    def convert_page(values: Sequence[bytes | None]) -> Sequence[object]:
        texts = split(values)
        if limit is not None and max(map(len, texts)) > limit:
            raise ValueError
        if None not in values:
            return texts
        return [None if value is None else text for value, text in zip(values, texts, strict=True)]

    return convert_page


def _format_document_id(value: Document, expected: str) -> str:
    """Spell an id that is a document; one that is encoded as a digest is too long for an index as well."""
    text = encode_document_id(value)
    if not text.startswith("{"):
        raise Rejection(Reason.INVALID_TYPE if text == UNREADABLE else Reason.TOO_LONG, expected, value)
    return text


def _format_value(value: object) -> str | None:
    """Spell a value that is not a string; None where it has no text (or, for dates, raise)."""
    match value:
        case bool():
            return "true" if value else "false"
        case ObjectId() | Decimal128():
            return str(value)
        case int() | Int64():
            return str(int(value))
        case float():
            return _format_double(value)
        case datetime():
            return _format_datetime(value)
        case DatetimeMS():
            raise Rejection(Reason.OUT_OF_RANGE, "a year from 1 to 9999", value)
        case list() if all(type(item) is str for item in value):
            return "{" + ",".join(map(_quote_element, value)) + "}"
        case Binary() if value.subtype in (3, UUID_SUBTYPE) and len(value) == _UUID_BYTES:
            return str(uuid.UUID(bytes=bytes(value)))
        case bytes():
            return "\\x" + value.hex()
    return None


def _format_double(value: float) -> str:
    """Spell a double as PostgreSQL spelled the numeric literal the old driver sent: 12.0, never 1e+16."""
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    return format(Decimal(repr(value or 0.0)), "f")


def _format_datetime(value: datetime) -> str:
    text = value.isoformat(" ")
    return text.rstrip("0") if value.microsecond else text


def _quote_element(text: str) -> str:
    if _NEEDS_QUOTES.search(text):
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return text


CONVERSIONS: Mapping[str, Build] = dict.fromkeys(("varchar", "char", "text"), build_text)
