"""How a value is refused inside a batch, and what BSON calls the type it has."""

from collections.abc import Callable
from datetime import datetime
from typing import Final

from bson.binary import Binary
from bson.code import Code
from bson.datetime_ms import DatetimeMS
from bson.dbref import DBRef
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.max_key import MaxKey
from bson.min_key import MinKey
from bson.objectid import ObjectId
from bson.regex import Regex
from bson.timestamp import Timestamp

from smartdiet_assets.schema.document_id import encode_document_id
from smartdiet_assets.schema.reasons import Reason, Reject

#: Stands for a field that is not in the document, where that differs from null.
MISSING: Final = type("Missing", (), {"__repr__": lambda self: "MISSING"})()

_NAMES: dict[type, str] = {
    str: "string",
    int: "int",
    Int64: "long",
    float: "double",
    Decimal128: "decimal",
    bool: "bool",
    datetime: "date",
    DatetimeMS: "date",
    ObjectId: "objectId",
    dict: "object",
    DBRef: "object",
    list: "array",
    bytes: "binData",
    Binary: "binData",
    Regex: "regex",
    Code: "javascript",
    Timestamp: "timestamp",
    MinKey: "minKey",
    MaxKey: "maxKey",
    type(None): "null",
}


def bson_type_name(value: object) -> str:
    """Name the BSON type of a decoded value as MongoDB's `$type` does."""
    return name_bson_type(type(value))


def name_bson_type(kind: type) -> str:
    """Name the BSON type of decoded values of a class."""
    return _NAMES.get(kind, "unknown")


class Rejection(Exception):  # noqa: N818 - it is an outcome, not an error; it never leaves `transform`
    """A value that its column cannot hold. Carries types and names, never the value.

    `column` is filled in where the column is known, one level above the conversion.
    """

    def __init__(self, reason: Reason, expected: str, value: object = None) -> None:
        super().__init__(reason)
        self.column = ""
        self.reason = reason
        self.expected = expected
        self.received = "" if value is None else bson_type_name(value)

    def build_reject(self, identity: object, name: Callable[[object], str] = encode_document_id) -> Reject:
        """Make the record of this rejection for the document with the `_id` given, as it is to be named."""
        return Reject(name(identity), self.column, self.reason, self.expected, self.received)
