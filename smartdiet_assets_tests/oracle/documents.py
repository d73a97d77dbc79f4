"""The documents as the oracle sees them: read from MongoDB, a field of one, the spelling of its id.

Not here: what a field means in a filter (`conditions`) or in a column (`values`).
"""

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

from bson import Decimal128, Int64, ObjectId, json_util
from bson.codec_options import CodecOptions, DatetimeConversion

from smartdiet_assets.schema.model import Schema

Document = Mapping[str, Any]


class _Missing:
    """The value of a path that leads to nothing, unlike null."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING = _Missing()


class AmbiguousPathError(Exception):
    """A path leads into an array without saying which item."""


def follow(document: Any, path: str) -> Any:
    """The value at a dotted path, or MISSING; a number is a place in an array."""
    value = document
    for name in path.split("."):
        if isinstance(value, list):
            if not re.fullmatch("0|[1-9][0-9]*", name):
                raise AmbiguousPathError
            value = dict(enumerate(value)).get(int(name), MISSING)
        elif isinstance(value, Mapping) and name in value:
            value = value[name]
        else:
            return MISSING
    return value


def encode_id(value: Any) -> str:
    """A document id as the reject table spells it, up to blanks in the JSON."""
    if isinstance(value, ObjectId):
        return str(value)
    return normal_id(json_util.dumps(one_form(value), json_options=json_util.CANONICAL_JSON_OPTIONS))


def one_form(value: Any) -> Any:
    """An id with the one form of its numbers: to MongoDB 5, 5.0 and Decimal128("5.00") are one id."""
    if isinstance(value, dict):
        return {name: one_form(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [one_form(inner) for inner in value]
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal128):
        return value
    text = str(value).lower()
    if "n" in text:
        return float(text.replace("snan", "nan").replace("-nan", "nan"))
    exact = Fraction(text)
    if exact.denominator == 1 and abs(exact) < 2**31:
        return int(exact)
    if exact.denominator == 1 and -(2**63) <= exact < 2**63:
        return Int64(int(exact))
    if abs(exact) < 10**300 and Fraction(float(exact)) == exact:
        return float(exact)
    return Decimal128(Decimal(text).normalize())


def normal_id(text: str) -> str:
    """An encoded id without the freedom JSON leaves in its blanks."""
    if re.fullmatch(r"[0-9a-f]{24}", text):
        return text
    return json.dumps(json.loads(text), sort_keys=True)


def read_collections(database: Any, schema: Schema) -> dict[str, list[Document]]:
    """All documents the schema reads, decoded so that nothing is too odd to be seen."""
    options: CodecOptions[dict[str, Any]] = CodecOptions(
        datetime_conversion=DatetimeConversion.DATETIME_AUTO, unicode_decode_error_handler="surrogateescape"
    )
    names = {table.mongo_collection for table in schema.tables.values()}
    return {name: list(database.get_collection(name, codec_options=options).find()) for name in names}
