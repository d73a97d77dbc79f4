"""Column defaults: composing the declared constant, and recognising it in the live expression.

Here: both directions for every type. Not here: defaults the row function gives (`transform`).
"""

import json
import re
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

from psycopg import sql

from smartdiet_assets.schema.model import Scalar
from smartdiet_assets.schema.types import ColumnType

#: A constant as `pg_get_expr` prints one: a number, a word, or a quoted text, with or without a cast.
_CONSTANT = re.compile(
    r"(?:\(?(?P<number>-?\d+(?:\.\d+)?)\)?|(?P<word>true|false)|(?P<escaped>E?)'(?P<text>(?:[^']|'')*)')(?:::.+)?"
)


def compose_default(type: ColumnType, value: Scalar) -> sql.Composable:
    """Compose a DEFAULT literal: a bare word for booleans and numbers, quoted text for everything else."""
    if isinstance(value, bool):
        word = "true" if value else "false"
        return sql.SQL(word) if type.name == "boolean" else sql.Literal(word)
    if isinstance(value, int) and type.name in ("smallint", "integer", "bigint", "numeric"):
        return sql.SQL(str(value))
    return sql.Literal(str(value))


def is_same_default(type: ColumnType, declared: Scalar, live: str | None) -> bool:
    """Tell whether a live default expression is the declared constant."""
    if live is None or live == "NULL" or live.startswith("NULL::"):
        return declared is None
    match = _CONSTANT.fullmatch(live)
    if declared is None or match is None:
        return False
    text = match["number"] or match["word"]
    if text is None:
        text = match["text"].replace("''", "'")
        if match["escaped"]:
            text = text.replace("\\\\", "\\")
    expected = str(declared).lower() if isinstance(declared, bool) else str(declared)
    if text == expected:
        return True
    try:
        return bool(_parse_constant(type, text) == _parse_constant(type, expected))
    except (ValueError, ArithmeticError, TypeError):
        return False


def _parse_constant(type: ColumnType, text: str) -> Any:
    match type.name:
        case "smallint" | "integer" | "bigint" | "numeric" | "real" | "double precision":
            return Decimal(text)
        case "boolean":
            return text.lower() in ("true", "t", "yes", "y", "on", "1")
        case "date":
            return date.fromisoformat(text)
        case "timestamp":
            return datetime.fromisoformat(text)
        case "timestamptz":
            moment = datetime.fromisoformat(text)
            return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        case "time":
            return time.fromisoformat(text)
        case "jsonb":
            return json.loads(text)
        case "uuid":
            return UUID(text)
        case "char":
            return text.rstrip(" ")
        case _:
            return text
