"""A document's `_id` as text, and back: how rejects name documents and how they are found again.

Here: the one spelling, which every stage shares.
Not here: the id as a column value (`transform.text`), which cannot always be turned back.
"""

import hashlib

from bson import json_util
from bson.binary import UuidRepresentation
from bson.codec_options import DatetimeConversion
from bson.objectid import ObjectId

#: Stands for an `_id` that could not be read from a damaged document.
UNREADABLE = ""
#: In bytes. The text is part of an index of PostgreSQL, whose entries end at 2,704.
_LONGEST = 2_000
_DIGEST = "sha256:"

_OPTIONS = json_util.CANONICAL_JSON_OPTIONS.with_options(
    tz_aware=False,
    # `datetime` wherever Python can hold it, so that a decoded id equals the id that was read.
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
    uuid_representation=UuidRepresentation.UNSPECIFIED,
)


def encode_document_id(value: object) -> str:
    """Write an `_id` as text: 24 hex digits for an ObjectId, canonical extended JSON for anything else.

    PostgreSQL can hold the text whatever the value: it is valid Unicode without NUL. `decode_document_id`
    gives an equal value back, except where the id itself is not valid Unicode, which no driver can ask for, and for
    an id whose text would have more than 2,000 bytes: it is named by the SHA-256 of the text. One that is nested
    deeper than Python can follow, far beyond MongoDB's 100 levels, is `UNREADABLE`.
    """
    if isinstance(value, ObjectId):
        return str(value)
    try:
        text = json_util.dumps(value, json_options=_OPTIONS, ensure_ascii=False)
    except RecursionError:
        return UNREADABLE
    encoded = text.encode("utf-8", "replace")
    if len(encoded) > _LONGEST:
        return _DIGEST + hashlib.sha256(encoded).hexdigest()
    return encoded.decode("utf-8")


def decode_document_id(text: str) -> object:
    """Read back what `encode_document_id` wrote; None for `UNREADABLE` and for a digest.

    Raises:
        ValueError: the text was not written by `encode_document_id`.
    """
    if text == UNREADABLE or text.startswith(_DIGEST):
        return None
    if ObjectId.is_valid(text):
        return ObjectId(text)
    return json_util.loads(text, json_options=_OPTIONS)
