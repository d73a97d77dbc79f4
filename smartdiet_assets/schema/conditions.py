"""The `filter` of a table read into conditions, and what a path of a document may look like."""

import yaml
from pydantic_core import PydanticCustomError

from smartdiet_assets.schema.model import Condition, Scalar
from smartdiet_assets.schema.reading import describe, quote, say_received
from smartdiet_assets.schema.section import Items, Section, is_constant

_SCALAR = {"type": ["string", "number", "boolean", "null"]}
_LIST = {"type": "array", "items": _SCALAR}
_OPERANDS = {"$eq": _SCALAR, "$ne": _SCALAR, "$in": _LIST, "$nin": _LIST, "$exists": {"type": "boolean"}}
#: What editors are told of a filter.
FILTER_SCHEMA = {
    "type": "object",
    "additionalProperties": {
        "type": [*_SCALAR["type"], "object"],
        "properties": _OPERANDS,
        "additionalProperties": False,
        "minProperties": 1,
    },
}


def fault_of_path(path: str) -> str:
    """Say what is wrong with a dotted path of a document; empty when it can be asked for."""
    if "" in path.split("."):
        return "has an empty part"
    if any(part.startswith("$") for part in path.split(".")):
        return "has a part that begins with $"
    return ""


def read_conditions(section: object) -> tuple[Condition, ...]:
    """Read a table's `filter`, in the order of the file."""
    if not isinstance(section, Section):
        raise PydanticCustomError("mapping", "a mapping")
    found: list[Condition] = []
    for path, given in section.read().items():
        place = section.at(path)
        if fault := fault_of_path(path):
            section.findings.problem(place, f"the filter's path {quote(path)} {fault}")
            continue
        if not isinstance(given, Section):
            operands = {"$eq": (place, given, section.nodes[path])}
        else:
            operands = {key: (given.at(key), value, given.nodes[key]) for key, value in given.read(_OPERANDS).items()}
            if given.is_empty:
                section.findings.problem(place, f"the filter on {quote(path)} says nothing")
        for operator, (line, value, node) in operands.items():
            try:
                operand = _read_operand(operator, value, node)
            except ValueError as error:
                section.findings.problem(line, f"the filter on {quote(path)}: {operator} must be {error}")
            else:
                found.append(Condition.model_validate({"path": path, "operator": operator, "value": operand}))
    return tuple(found)


def _read_operand(operator: str, value: object, node: yaml.Node) -> Scalar | tuple[Scalar, ...]:
    if operator in ("$in", "$nin"):
        if not isinstance(value, Items):
            raise ValueError(f"a list, not {describe(node)}")
        wanted = "a list of texts, numbers, true, false or null"
        return tuple(_read_scalar(item, node, wanted) for item, node in zip(value, value.nodes, strict=True))
    scalar = _read_scalar(value, node, "a text, a number, true, false or null")
    if operator == "$exists" and not isinstance(scalar, bool):
        raise ValueError(f"true or false, not {describe(node)}")
    return scalar


def _read_scalar(value: object, node: yaml.Node, wanted: str) -> Scalar:
    if not is_constant(value):
        raise ValueError(f"{wanted}, not {say_received(node)}")
    return value
