"""Whether a document passes a table's `filter`.

Here: MongoDB's meaning of the five operators on scalar operands, with arrays matched by their elements too.
Not here: where filters are declared and checked (`schema`), or pushing them to the server: a document that
stops matching must be seen, so that its rows go.
"""

from collections.abc import Callable, Mapping
from typing import Any

from bson.decimal128 import Decimal128

from smartdiet_assets.schema.model import Condition, Scalar
from smartdiet_assets.transform.rejection import MISSING


def build_condition(condition: Condition) -> Callable[[Mapping[str, Any]], bool]:
    """Build the test of one condition; takes a decoded document."""
    segments = tuple(condition.path.split("."))
    operator, operand = condition.operator, condition.value
    if operator == "$exists":
        wanted = bool(operand)
        return lambda document: any(v is not MISSING for v in _find_values(document, segments)) is wanted
    operands = operand if isinstance(operand, tuple) else (operand,)
    negated = operator in ("$ne", "$nin")

    def test(document: Mapping[str, Any]) -> bool:
        values = _find_values(document, segments)
        return any(_matches(value, one) for value in values for one in operands) is not negated

    return test


def _find_values(value: Any, segments: tuple[str, ...]) -> list[Any]:
    """Find what a path leads to: one value or MISSING, or several where it passes through an array."""
    for position, segment in enumerate(segments):
        if type(value) is list:
            rest = segments[position:]
            return [found for item in value if type(item) is dict for found in _find_values(item, rest)]
        value = value.get(segment, MISSING) if isinstance(value, Mapping) else MISSING
    return [value]


def _matches(value: Any, operand: Scalar) -> bool:
    if type(value) is list:
        return any(_equals(item, operand) for item in value)
    return _equals(value, operand)


def _equals(value: Any, operand: Scalar) -> bool:
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
