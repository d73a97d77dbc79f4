"""Column defaults: spelling the declared constant, and recognising it in the live expression."""

import re

from psycopg import sql

from smartdiet_assets.schema.model import Scalar
from smartdiet_assets.schema.types import ColumnType, parse_sql_type

#: A constant as `pg_get_expr` prints one: a number, a word, or a quoted text, with or without a cast.
_CONSTANT = re.compile(
    r"(?:\(?(?P<number>-?\d+(?:\.\d+)?)\)?|(?P<word>true|false)|(?P<escaped>E?)'(?P<text>(?:[^']|'')*)')(?:::.+)?"
)


def spell_default(type: ColumnType, value: Scalar) -> str | None:
    """Spell a constant as a DEFAULT: a bare word for booleans and numbers, quoted text for everything else."""
    if value is None:
        return None
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return text if value.__class__ in type.base.bare else sql.Literal(text).as_string(None).strip()


def is_same_expression(type: str, first: str | None, second: str | None) -> bool:
    """Tell whether two default expressions of a type, spelled as `format_type` does, give the same value.

    They are the same text, or constants of one value in two spellings; a default of NULL is none.
    """
    first, second = _drop_null(first), _drop_null(second)
    if first is None or second is None or first == second:
        return first == second
    one, other = _read_constant(first), _read_constant(second)
    if one is None or other is None:
        return False
    if one == other:
        return True
    try:
        read = parse_sql_type(type).base.read_constant
        return bool(read(one) == read(other))
    except (ValueError, ArithmeticError, TypeError):
        return False


def _drop_null(expression: str | None) -> str | None:
    return None if expression is None or expression == "NULL" or expression.startswith("NULL::") else expression


def _read_constant(expression: str) -> str | None:
    """Read the text of a constant; None where the expression is none."""
    match = _CONSTANT.fullmatch(expression)
    if match is None:
        return None
    text = match["number"] or match["word"]
    if text is None:
        text = str(match["text"]).replace("''", "'")
        if match["escaped"]:
            text = text.replace("\\\\", "\\")
    return str(text)
