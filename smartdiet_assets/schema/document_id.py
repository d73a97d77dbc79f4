"""A document's `_id` as text, and back: how documents are named wherever they are (rejects, waits, deletions).

Here: the one spelling, which every stage shares, and which ids the document column of a row tells by its value alone.

Two ids are one where MongoDB takes them for one (`$in`, `$lookup`, its unique index): numbers go by their value, also
inside of documents; anything else by its type and its value. See MongoDB's manual, "Comparison and sort order".
"""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from bson import json_util
from bson.binary import UuidRepresentation
from bson.codec_options import DatetimeConversion
from bson.decimal128 import Decimal128, create_decimal128_context
from bson.errors import InvalidBSON
from bson.int64 import Int64
from bson.objectid import ObjectId

from smartdiet_assets.schema.types import ColumnType

#: Stands for an `_id` that could not be read from a damaged document.
UNREADABLE = ""
#: In bytes. The text is part of an index of PostgreSQL, whose entries end at 2,704.
LONGEST = 2_000
DIGEST = "sha256:"
#: How an ObjectId is spelled.
HEX = "^[0-9a-f]{24}$"
_HEX = re.compile(HEX.removesuffix("$"))

_OPTIONS = json_util.CANONICAL_JSON_OPTIONS.with_options(
    tz_aware=False,
    # `datetime` wherever Python can hold it, so that a decoded id equals the id that was read.
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
    uuid_representation=UuidRepresentation.UNSPECIFIED,
)


@dataclass(frozen=True, slots=True)
class TypedDocument:
    """A document of a batch whose id its document column does not tell.

    Attributes:
        document_id: the encoded id.
        value: what the document column holds.
        first, last: its rows in the batch: from `first` up to, not including, `last`.
        place: its place among the batch's understood documents, where these are listed.
    """

    document_id: str
    value: object
    first: int
    last: int
    place: int


@dataclass(frozen=True, slots=True)
class IdBatch:
    """Ids of documents, as a document column holds them.

    Attributes:
        plain: column values that tell the id.
        typed: the other ones, each with the encoded id.
    """

    plain: list[object] = field(default_factory=list)
    typed: list[tuple[object, str]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.plain) + len(self.typed)


def encode_document_id(value: object) -> str:
    """Write an `_id` as text: 24 hex digits for an ObjectId, canonical extended JSON for anything else.

    Ids that are one to MongoDB are one text. PostgreSQL can hold the text whatever the value: it is valid Unicode
    without NUL. `decode_document_id` gives an equal value back, except where the id itself is not valid Unicode, which
    no driver can ask for, and for an id whose text would have more than 2,000 bytes: it is named by the SHA-256 of the
    text. One that is nested deeper than Python can follow, far beyond MongoDB's 100 levels, is `UNREADABLE`.
    """
    if isinstance(value, ObjectId):
        return str(value)
    try:
        text = json_util.dumps(normalise_id(value), json_options=_OPTIONS, ensure_ascii=False)
    except RecursionError:
        return UNREADABLE
    encoded = text.encode("utf-8", "replace")
    if len(encoded) > LONGEST:
        return DIGEST + hashlib.sha256(encoded).hexdigest()
    return encoded.decode("utf-8")


def decode_document_id(text: str) -> object:
    """Read back what `encode_document_id` wrote; None for `UNREADABLE` and for a digest.

    Raises:
        ValueError: the text was not written by `encode_document_id`.
    """
    if text == UNREADABLE or text.startswith(DIGEST):
        return None
    if ObjectId.is_valid(text):
        return ObjectId(text)
    try:
        return json_util.loads(text, json_options=_OPTIONS)
    except (TypeError, InvalidBSON, ArithmeticError) as error:
        raise ValueError("no encoded document id") from error


def tells_id(column_type: ColumnType, value: object, document_id: object) -> bool:
    """Tell whether a document column's value alone tells which `_id` it stands for.

    A character column stands for an ObjectId where it holds 24 hex digits, and for a string else; an integer column
    stands for a number. `load.fragments.encode` says the same in SQL.
    """
    if column_type.is_text:
        if type(document_id) is ObjectId:
            return value == str(document_id)
        return type(document_id) is str and value == document_id and not _HEX.fullmatch(document_id)
    if column_type.base.is_integer:
        number = document_id.to_decimal() if isinstance(document_id, Decimal128) else document_id
        return isinstance(number, int | float | Decimal) and not isinstance(number, bool) and value == number
    return False


def encode_plain_value(value: object) -> str:
    """Encode the id that a document column's value stands for by itself; see `tells_id`."""
    return value if isinstance(value, str) and _HEX.fullmatch(value) else encode_document_id(value)


def read_plain_value(document_id: str, *, numbers: bool) -> str:
    """Read the text of the document column that stands for an encoded id; empty where no value alone does.

    Args:
        numbers: whether the column's values stand for numbers; else they do for ObjectIds and strings.
    """
    if _HEX.fullmatch(document_id):
        return "" if numbers else document_id
    value = json.loads(document_id) if document_id[:1] in ('"', "{") else None
    if numbers:
        whole = value if isinstance(value, dict) and len(value) == 1 else {}
        return str(whole.get("$numberInt") or whole.get("$numberLong") or "")
    if isinstance(value, str):
        # An id that PostgreSQL cannot hold has no rows to find.
        return "" if "\0" in value or _HEX.fullmatch(value) else value.encode(errors="ignore").decode()
    return ""


def normalise_id(value: object) -> object:
    """Give numbers that MongoDB takes for one id one form: an int, an Int64, a double, or else a Decimal128."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float | Decimal128):
        return _normalise_number(value)
    if isinstance(value, Mapping):
        return {key: normalise_id(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [normalise_id(inner) for inner in value]
    return value


def _normalise_number(value: int | float | Decimal128) -> object:
    exact = value.to_decimal() if isinstance(value, Decimal128) else value
    # A signalling NaN must not be compared.
    if exact.is_nan() if isinstance(exact, Decimal) else math.isnan(exact):
        return math.nan
    if exact in (math.inf, -math.inf):
        return math.inf if exact > 0 else -math.inf
    if isinstance(exact, int) or exact == int(exact):
        whole = int(exact)
        if -(1 << 63) <= whole < 1 << 63:
            return whole if -(1 << 31) <= whole < 1 << 31 else Int64(whole)
    double = float(exact)
    if math.isfinite(double) and Decimal(double) == exact:
        return double
    return Decimal128(create_decimal128_context().normalize(Decimal(exact)))
