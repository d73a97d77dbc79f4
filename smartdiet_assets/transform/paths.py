"""Dotted paths where they do not lead from a document to one of its fields: into arrays and references.

Here: MongoDB's meaning of a step into an array, and what stands for a path that meets one otherwise. The usual step
is written into the row function (`row_function`).
"""

from collections.abc import Iterable
from typing import Any, Final

from bson.dbref import DBRef

from smartdiet_assets.schema.reasons import Reason
from smartdiet_assets.transform.rejection import Rejection

#: Stands for the value of a path that meets an array it does not index: there may be any number, and no column says
#: which. Every column refuses it.
IN_ARRAY: Final = type("InArray", (), {"__repr__": lambda self: "IN_ARRAY"})()
_EXPECTED = "a path without arrays"


def take_step(value: Any, segment: str, absent: object) -> object:
    """Take one step of a path: a number indexes an array, anything else is the name of a field.

    Returns `absent` where it leads to nothing, and `IN_ARRAY` where it leads into an array.
    """
    kind = type(value)
    if kind is dict:
        return value.get(segment, absent)
    if kind is list:
        index = read_index(segment)
        if index is None:
            return IN_ARRAY
        return value[index] if index < len(value) else absent
    if kind is DBRef:
        return value.as_doc().get(segment, absent)
    return value if value is IN_ARRAY else absent


def read_index(segment: str) -> int | None:
    """Read a segment as the place of an item, 0-based; None where it is a name: MongoDB knows no `01` and no `-1`."""
    if segment.isascii() and segment.isdecimal() and (segment == "0" or segment[0] != "0"):
        return int(segment)
    return None


def follow(value: object, segments: Iterable[str], absent: object = None) -> object:
    """Follow a path from a value, step by step."""
    for segment in segments:
        value = take_step(value, segment, absent)
    return value


def follow_first(value: object, paths: Iterable[Iterable[str]], absent: object) -> object:
    """Follow paths in order of preference: the first that leads to a value other than null; null as a last resort."""
    found = absent
    for path in paths:
        other = follow(value, path, absent)
        if other is not absent:
            found = other
        if found is not None and found is not absent:
            break
    return found


def refuse_array(value: object) -> None:
    """Refuse what stands for a path into an array.

    Raises:
        Rejection: it is that; the column is not said.
    """
    if value is IN_ARRAY:
        raise Rejection(Reason.INVALID_TYPE, _EXPECTED, [])


def list_single(value: object) -> tuple[object, ...]:
    """List the items of what is no array: it is an array of one, and null is empty.

    Raises:
        Rejection: the path to the array leads through another one.
    """
    refuse_array(value)
    return () if value is None else (value,)
