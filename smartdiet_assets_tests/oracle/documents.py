"""The documents as the oracle sees them: read from MongoDB, a field of one, the spelling of its id.

Not here: what a field means in a filter (`conditions`) or in a column (`values`).
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from bson import ObjectId, json_util
from bson.codec_options import CodecOptions, DatetimeConversion

from smartdiet_assets.schema.model import Schema

Document = Mapping[str, Any]


class _Missing:
    """The value of a path that leads to nothing, unlike null."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING = _Missing()


def follow(document: Any, path: str) -> Any:
    """The value at a dotted path through documents, or MISSING."""
    value = document
    for name in path.split("."):
        if not isinstance(value, Mapping) or name not in value:
            return MISSING
        value = value[name]
    return value


def encode_id(value: Any) -> str:
    """A document id as the reject table spells it, up to blanks in the JSON."""
    if isinstance(value, ObjectId):
        return str(value)
    return normal_id(json_util.dumps(value, json_options=json_util.CANONICAL_JSON_OPTIONS))


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
