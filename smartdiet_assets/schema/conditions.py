"""The `filter` of a table: paths of the document, and what they must hold.

Here: reading the filter's YAML into conditions, and what a path may look like (columns use it too).
Not here: evaluating a condition (`transform`).
"""

from datetime import date
from typing import get_args

import yaml

from smartdiet_assets.schema.model import Condition, Scalar
from smartdiet_assets.schema.reading import describe, quote, read_value
from smartdiet_assets.schema.section import Section

_OPERATORS: tuple[str, ...] = get_args(Condition.model_fields["operator"].annotation)


def fault_of_path(path: str) -> str:
    """Say what is wrong with a dotted path of a document; empty when it can be asked for."""
    if "" in path.split("."):
        return "has an empty part"
    if any(part.startswith("$") for part in path.split(".")):
        return "has a part that begins with $"
    return ""


def read_conditions(section: Section) -> tuple[Condition, ...]:
    """Read a table's `filter`, in the order of the file."""
    found: list[Condition] = []
    for path in section:
        place, node = section.at(path), section.node(path)
        if fault := fault_of_path(path):
            section.findings.problem(place, f"the filter's path {quote(path)} {fault}")
            continue
        if isinstance(node, yaml.MappingNode):
            operators = Section(node, place, section.findings).expect(_OPERATORS)
            if not node.value:
                section.findings.problem(place, f"the filter on {quote(path)} says nothing")
        else:
            operators = Section.of({"$eq": node}, place, section.findings)
        read = (_read_condition(operators, path, operator) for operator in operators if operator in _OPERATORS)
        found.extend(condition for condition in read if condition)
    return tuple(found)


def _read_condition(section: Section, path: str, operator: str) -> Condition | None:
    node = section.node(operator)
    value: object
    try:
        if operator in ("$in", "$nin"):
            if not isinstance(node, yaml.SequenceNode):
                raise ValueError(f"a list, not {describe(node)}")
            value = tuple(_operand(item, "a list of texts, numbers, true, false or null") for item in node.value)
        else:
            value = _operand(node, "a text, a number, true, false or null")
            if operator == "$exists" and not isinstance(value, bool):
                raise ValueError(f"true or false, not {describe(node)}")
    except ValueError as error:
        section.findings.problem(section.at(operator), f"the filter on {quote(path)}: {operator} must be {error}")
        return None
    return Condition.model_validate({"path": path, "operator": operator, "value": value})


def _operand(node: yaml.Node, expected: str) -> Scalar:
    try:
        value = read_value(node)
    except ValueError as error:
        raise ValueError(f"{expected}, not {error}") from None
    if isinstance(value, date):
        raise ValueError(f"{expected}, not {describe(node)}")
    return value  # type: ignore[return-value]
