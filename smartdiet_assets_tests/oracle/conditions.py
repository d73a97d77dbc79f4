"""Which documents a table's filter lets through, as MongoDB itself would say."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from bson import Code, Decimal128

from smartdiet_assets.schema.model import Condition
from smartdiet_assets_tests.oracle.documents import Document


def _values_for_filter(value: Any, names: list[str]) -> list[Any]:
    """All values a Mongo path may mean: it goes into arrays of documents too. Empty: the field is absent."""
    if not names:
        return [value]
    if isinstance(value, list):
        inside = [found for item in value if isinstance(item, Mapping) for found in _values_for_filter(item, names)]
        named = [item for place, item in enumerate(value) if str(place) == names[0]]
        return inside + [found for item in named for found in _values_for_filter(item, names[1:])]
    if isinstance(value, Mapping) and names[0] in value:
        return _values_for_filter(value[names[0]], names[1:])
    return []


def _same(value: Any, operand: Any) -> bool:
    if isinstance(value, bool) or isinstance(operand, bool):
        return value is operand
    if isinstance(value, Decimal128) and isinstance(operand, int | float):
        return value.to_decimal() == Decimal(repr(operand) if isinstance(operand, float) else operand)
    if isinstance(value, Code):
        return False
    if type(operand) in (int, float):
        return isinstance(value, int | float) and value == operand
    return type(value) is type(operand) and bool(value == operand)


def matches(document: Document, condition: Condition) -> bool:
    """Whether a document fulfils one condition, as Mongo itself would say."""
    values = _values_for_filter(document, condition.path.split("."))
    if condition.operator == "$exists":
        return bool(values) == bool(condition.value)
    operands = condition.value if isinstance(condition.value, tuple) else (condition.value,)
    seen = values + [item for value in values if isinstance(value, list) for item in value]
    equal = any(
        any(_same(value, operand) for value in seen) or (operand is None and not values) for operand in operands
    )
    return equal if condition.operator in ("$eq", "$in") else not equal
