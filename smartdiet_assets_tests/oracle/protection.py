"""What a column shows in the place of a value, and how a document is named where its id is a pseudonym.

Here: the chapter "Protection of personal data" of config/README.md, written down a second time.
"""

import hashlib
import hmac
import json
import re
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from bson import ObjectId

from smartdiet_assets.schema.model import Column, Table
from smartdiet_assets_tests.oracle.documents import encode_id
from smartdiet_assets_tests.oracle.values import canonical_json

_REDACTED: dict[str, Any] = {
    "smallint": 0,
    "integer": 0,
    "bigint": 0,
    "real": 0.0,
    "double precision": 0.0,
    "numeric": Decimal(0),
    "boolean": False,
    "date": date(1970, 1, 1),
    "timestamp": datetime(1970, 1, 1),
    "timestamptz": datetime(1970, 1, 1),
    "time": time(0, 0),
    "jsonb": canonical_json({}),
    "bytea": b"",
}


def protect(column: Column, value: Any) -> Any:
    """What is shown of a value that was converted to its column."""
    if column.protect is None or value is None:
        return value
    if column.protect.how == "pseudonym":
        return pseudonym(column, value)
    if column.protect.how == "redact":
        return "redacted"[: column.type.length] if column.type.is_text else _REDACTED[column.type.name]
    if column.protect.how == "prefix":
        return value[: column.protect.characters]
    first = {"month": value.month if column.protect.how == "month" else 1, "day": 1}
    clock = {"hour": 0, "minute": 0, "second": 0, "microsecond": 0} if isinstance(value, datetime) else {}
    return value.replace(**first, **clock)


def name_document(table: Table, identity: Any) -> str:
    """The id by which the reject table names a document."""
    column = next(column for column in table.columns if column.name == table.document_column)
    if column.protect is None:
        return encode_id(identity)
    told = isinstance(identity, ObjectId) or (isinstance(identity, str) and not re.fullmatch(r"[0-9a-f]{24}", identity))
    return json.dumps(pseudonym(column, str(identity) if told else f"\0{encode_id(identity)}"))


def pseudonym(column: Column, text: str) -> str:
    """The pseudonym of a text, with the key that the column was given."""
    assert column.pseudonyms is not None
    return hmac.new(column.pseudonyms.key, text.encode(), hashlib.sha256).hexdigest()[:32]
