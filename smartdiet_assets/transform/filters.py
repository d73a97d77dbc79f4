"""Whether a document passes a table's `filter`.

Here: MongoDB's meaning of the five operators on scalar operands, with arrays matched by their elements too, and of a
path's number: the place of an item, or the name of a field of each.
"""

from collections.abc import Callable, Mapping

from bson.dbref import DBRef
from bson.decimal128 import Decimal128

from smartdiet_assets.schema.model import Condition, Scalar
from smartdiet_assets.transform.paths import read_index
from smartdiet_assets.transform.rejection import MISSING

_DOCUMENTS = (dict, DBRef)


def build_condition(condition: Condition) -> Callable[[Mapping[str, object]], bool]:
    """Build the test of one condition; takes a decoded document."""
    segments = tuple(condition.path.split("."))
    operator, operand = condition.operator, condition.value
    if operator == "$exists":
        wanted = bool(operand)
        return lambda document: any(v is not MISSING for v in _find_values(document, segments)) is wanted
    operands = operand if isinstance(operand, tuple) else (operand,)
    negated = operator in ("$ne", "$nin")

    def test(document: Mapping[str, object]) -> bool:
        values = _find_values(document, segments)
        return any(_equals(value, one) for value in values for one in operands) is not negated

    return test


def _find_values(value: object, segments: tuple[str, ...]) -> list[object]:
    """Find what a path leads to: one value or MISSING, or several where it ends in an array or passes through one."""
    for position, segment in enumerate(segments):
        if type(value) is list:
            return _find_in_items(value, segment, segments[position:])
        if type(value) is DBRef:
            value = value.as_doc()
        value = value.get(segment, MISSING) if isinstance(value, Mapping) else MISSING
    return [*value, value] if type(value) is list else [value]


def _find_in_items(items: list[object], segment: str, path: tuple[str, ...]) -> list[object]:
    """Find what a path leads to in each item that is a document, and in the one that a number names."""
    rest, index = path[1:], read_index(segment)
    found: list[object] = []
    for place, item in enumerate(items):
        if type(item) in _DOCUMENTS:
            found += _find_values(item, path)
        if place == index:
            # An array that a number leads to is not looked into.
            found += [item] if not rest else _find_values(item, rest) if type(item) in (list, *_DOCUMENTS) else []
    return found


def _equals(value: object, operand: Scalar) -> bool:
    """Compare as MongoDB does: numbers of any type with each other, everything else within its type."""
    if operand is None:
        return value is None or value is MISSING
    if isinstance(operand, bool):
        return value is operand
    if isinstance(operand, str):
        return type(value) is str and value == operand
    if isinstance(value, Decimal128):
        value = value.to_decimal()
        return not value.is_snan() and bool(value == operand)
    return isinstance(value, int | float) and not isinstance(value, bool) and value == operand
