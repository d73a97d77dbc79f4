"""Values of JSONB columns."""

import base64
import json
import uuid
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from json.encoder import encode_basestring
from math import isfinite
from typing import Any

from bson import json_util
from bson.binary import UUID_SUBTYPE, Binary
from bson.dbref import DBRef
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.objectid import ObjectId
from psycopg.types.json import Jsonb

from smartdiet_assets.schema.documents import Document
from smartdiet_assets.schema.model import Column
from smartdiet_assets.schema.reasons import Reason
from smartdiet_assets.transform.conversion import Build, Conversion
from smartdiet_assets.transform.rejection import Rejection
from smartdiet_assets.transform.text import is_valid_unicode

_UUID_BYTES = 16


class JsonText(Jsonb):
    """JSON that is text already: psycopg dumps it as it is, also in a binary COPY with its types set."""

    __slots__ = ()

    def __init__(self, text: str) -> None:
        super().__init__(text, str.encode)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, JsonText) and self.obj == other.obj

    def __hash__(self) -> int:
        return hash(self.obj)


class _NulCharacterError(Exception):
    """A string or a field name holds a NUL, which jsonb cannot."""


def build_jsonb(column: Column) -> Conversion:
    """Build the conversion to JSONB. Refused are only a NUL character, text that is not Unicode, and more levels than
    Python's stack has room for: some 300, where MongoDB allows 100.
    """
    expected = column.type.sql

    def convert(value: object) -> JsonText:
        try:
            text = _write(value)
        except _NulCharacterError:
            raise Rejection(Reason.NUL_CHARACTER, expected, value) from None
        except RecursionError:
            raise Rejection(Reason.OUT_OF_RANGE, expected, value) from None
        if not is_valid_unicode(text):
            raise Rejection(Reason.INVALID_TEXT, expected, value)
        return JsonText(text)

    return Conversion(convert, constant=_check_text, parse=json.loads)


def _check_text(text: str) -> JsonText:
    json.loads(text)
    return JsonText(text)


def _write(value: object) -> str:
    """Write a value. The standard encoder is not used: it cannot write Decimal128, NaN or Code faithfully."""
    return _WRITERS.get(type(value), _write_extended)(value)


def _write_text(value: str) -> str:
    if "\0" in value:
        raise _NulCharacterError
    return encode_basestring(value)


def _write_document(value: Document) -> str:
    return "{" + ",".join([f"{_write_text(key)}:{_write(item)}" for key, item in value.items()]) + "}"


def _write_list(value: list[object]) -> str:
    return "[" + ",".join([_write(item) for item in value]) + "]"


def _write_number(exact: Decimal, spelling: str) -> str:
    """Write a number exactly; JSON has no NaN and no infinity, they become strings."""
    if exact.is_nan():
        return '"NaN"'
    if exact.is_infinite():
        return '"-Infinity"' if exact < 0 else '"Infinity"'
    return spelling


def _write_decimal(value: Decimal128) -> str:
    exact = value.to_decimal()
    return _write_number(exact, str(exact))


def _write_binary(value: bytes) -> str:
    return f'"{base64.b64encode(value).decode("ascii")}"'


def _write_binary_subtype(value: Binary) -> str:
    if value.subtype in (3, UUID_SUBTYPE) and len(value) == _UUID_BYTES:
        return f'"{uuid.UUID(bytes=bytes(value))}"'
    return _write_binary(value)


def _write_extended(value: object) -> str:
    """Write a value of a type that JSON lacks as relaxed extended JSON."""
    return _write(dict(json_util.default(value, json_util.RELAXED_JSON_OPTIONS)))


_WRITERS: dict[type, Callable[[Any], str]] = {
    str: _write_text,
    dict: _write_document,
    list: _write_list,
    type(None): lambda value: "null",
    bool: lambda value: "true" if value else "false",
    int: str,
    Int64: str,
    float: lambda value: repr(value) if isfinite(value) else _write_number(Decimal(value), ""),
    Decimal128: _write_decimal,
    # A document to the server; the driver makes it an object.
    DBRef: lambda value: _write_document(value.as_doc()),
    ObjectId: lambda value: f'"{value}"',
    datetime: lambda value: f'"{value.isoformat(timespec="milliseconds")}Z"',
    bytes: _write_binary,
    Binary: _write_binary_subtype,
}

CONVERSIONS: Mapping[str, Build] = {"jsonb": build_jsonb}
