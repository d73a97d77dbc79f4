"""What becomes of values when a column's type changes, by the types' names as `format_type` spells them.

Pure. In doubt values are lost. Not here: the statement of a change (`alteration`).
"""

import re

_NUMBERS = ("smallint", "integer", "bigint", "numeric", "real", "double precision")
_INTEGERS = _NUMBERS[:3]
_TEXTS = ("text", "character varying", "character")
_TIMES = ("timestamp without time zone", "timestamp with time zone")
_TYPE = re.compile(r"(?P<base>[^(]+?)(?:\((?P<first>\d+)(?:,(?P<second>-?\d+))?\))?(?P<rest> with.*)?")
#: Beside text, and numbers of the same or a wider kind: every value stays what it is, or the statement fails.
_KEPT = frozenset(
    {
        ("smallint", "real"), ("smallint", "double precision"), ("integer", "double precision"),
        ("real", "double precision"), ("date", _TIMES[0]), ("date", _TIMES[1]), _TIMES, _TIMES[::-1],
        ("text", "boolean"), ("text", "uuid"), ("character varying", "boolean"), ("character varying", "uuid"),
        *((text, number) for text in _TEXTS[:2] for number in _INTEGERS),
    }
)  # fmt: skip


def keeps_values(old: str, new: str) -> bool:
    """Tell whether values of one type survive the change to another, where it succeeds. In doubt they do not."""
    if new.startswith(_TEXTS[:2]):
        return True
    (old_base, _, old_scale), (new_base, new_precision, new_scale) = _parse(old), _parse(new)
    if old_base == new_base and old_base != "numeric":
        return _parse(old)[1:] == _parse(new)[1:] or old_base == "character"
    if new_base in _INTEGERS:
        return old_base in _INTEGERS or (old_base, new_base) in _KEPT
    if new_base == "numeric":
        if new_precision is None:
            return old_base in ("numeric", *_INTEGERS, "text", "character varying")
        return old_base in _INTEGERS or (old_base == "numeric" and old_scale is not None and old_scale <= new_scale)
    return (old_base, new_base) in _KEPT


def is_assignable(old: str, new: str) -> bool:
    """Tell whether PostgreSQL turns one type into the other by itself."""
    old_base, new_base = _parse(old)[0], _parse(new)[0]
    if new_base in _TEXTS or old_base == new_base:
        return True
    moments = ("date", *_TIMES)
    return any(old_base in kinds and new_base in kinds for kinds in (_NUMBERS, moments))


def _parse(type: str) -> tuple[str, int | None, int]:
    """Take a type apart: name, precision or length, scale; a numeric of any scale has the largest."""
    match = _TYPE.fullmatch(type)
    if match is None:
        return type, None, 0
    first = int(match["first"]) if match["first"] else None
    unlimited = match["base"] == "numeric" and first is None
    return f"{match['base']}{match['rest'] or ''}", first, 16_383 if unlimited else int(match["second"] or 0)
