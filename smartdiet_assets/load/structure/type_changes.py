"""What becomes of values when a column's type changes, by the types' names as `format_type` spells them.

Pure. In doubt values are lost.
"""

import re

from smartdiet_assets.schema.types import SqlType, find_type

_TYPE = re.compile(r"(?P<base>[^(]+?)(?:\((?P<first>\d+)(?:,(?P<second>-?\d+))?\))?(?P<rest> with.*)?")
#: The decimals of a numeric of any scale.
_MOST_DECIMALS = 16_383


def keeps_values(old: str, new: str) -> bool:
    """Tell whether values of one type survive the change to another, where it succeeds. In doubt they do not."""
    (old_name, *old_parameters), (new_name, *new_parameters) = _parse(old), _parse(new)
    before, after = find_type(old_name), find_type(new_name)
    if after is not None and after.is_text and after.tells_apart:
        return True
    if old_name == new_name and (after is None or after.parameters != "precision"):
        # Without the blanks that fill it up, a value is what it was.
        return old_parameters == new_parameters or (after is not None and after.is_text)
    if before is None or after is None:
        return False
    if after.parameters == "precision":
        return _fits_decimals(before, after, old_parameters, new_parameters)
    return before.name in after.keeps


def _fits_decimals(before: SqlType, after: SqlType, old: list[int | None], new: list[int | None]) -> bool:
    (_, old_scale), (precision, new_scale) = old, new
    if before.name in after.keeps:
        return True
    if before is after:
        return precision is None or (old_scale or 0) <= (new_scale or 0)
    return precision is None and before.is_text and before.tells_apart


def is_assignable(old: str, new: str) -> bool:
    """Tell whether PostgreSQL turns one type into the other by itself."""
    old_name, new_name = _parse(old)[0], _parse(new)[0]
    before, after = find_type(old_name), find_type(new_name)
    if old_name == new_name or (after is not None and after.is_text):
        return True
    return before is not None and after is not None and before.family == after.family != ""


def _parse(type: str) -> tuple[str, int | None, int | None]:
    """Take a type apart: name, precision or length, scale."""
    match = _TYPE.fullmatch(type)
    if match is None:
        return type, None, None
    first = int(match["first"]) if match["first"] else None
    unlimited = match["base"] == "numeric" and first is None
    return f"{match['base']}{match['rest'] or ''}", first, _MOST_DECIMALS if unlimited else int(match["second"] or 0)
