"""Filter operators mean what they mean in MongoDB."""

from typing import Any

import pytest
from bson import DBRef, Decimal128, Int64, ObjectId

from smartdiet_assets.transform.filters import build_condition
from smartdiet_assets_tests.support.tables import condition, entity, transform

CASES: list[tuple[str, Any, dict[str, Any], bool]] = [
    ("$eq", "menu", {"f": "menu"}, True),
    ("$eq", "menu", {"f": "Menu"}, False),
    ("$eq", "menu", {"f": ["webinar", "menu"]}, True),
    ("$eq", "menu", {"f": [["menu"]]}, False),
    ("$eq", "menu", {}, False),
    ("$eq", "65e8f3a0c2a4b1d2e3f4a5b6", {"f": ObjectId("65e8f3a0c2a4b1d2e3f4a5b6")}, False),
    ("$eq", 1, {"f": 1}, True),
    ("$eq", 1, {"f": 1.0}, True),
    ("$eq", 1, {"f": Int64(1)}, True),
    ("$eq", 1, {"f": Decimal128("1.0")}, True),
    ("$eq", 1, {"f": Decimal128("sNaN")}, False),
    ("$eq", 1, {"f": True}, False),
    ("$eq", 1, {"f": "1"}, False),
    ("$eq", True, {"f": True}, True),
    ("$eq", True, {"f": 1}, False),
    ("$eq", False, {"f": 0}, False),
    ("$eq", None, {"f": None}, True),
    ("$eq", None, {}, True),
    ("$eq", None, {"f": [None]}, True),
    ("$eq", None, {"f": 0}, False),
    ("$ne", "menu", {"f": "menu"}, False),
    ("$ne", "menu", {"f": ["menu"]}, False),
    ("$ne", "menu", {"f": "webinar"}, True),
    ("$ne", "menu", {}, True),
    ("$ne", None, {}, False),
    ("$ne", None, {"f": 0}, True),
    ("$ne", None, {"f": None}, False),
    ("$ne", None, {"f": [None]}, False),
    ("$ne", None, {"f": ObjectId()}, True),
    ("$ne", None, {"f": [ObjectId()]}, True),
    ("$in", ("a", None), {"f": "a"}, True),
    ("$in", ("a", None), {}, True),
    ("$in", ("a", None), {"f": "b"}, False),
    ("$in", ("a", 1), {"f": [2, 1]}, True),
    ("$in", (), {"f": "a"}, False),
    ("$nin", ("a", "b"), {"f": "c"}, True),
    ("$nin", ("a", "b"), {"f": ["c", "b"]}, False),
    ("$nin", ("a", "b"), {}, True),
    ("$exists", True, {"f": None}, True),
    ("$exists", True, {}, False),
    ("$exists", False, {}, True),
    ("$exists", False, {"f": None}, False),
]


@pytest.mark.parametrize(("operator", "operand", "document", "expected"), CASES)
def test_condition_matches_as_in_mongodb(operator: str, operand: Any, document: dict[str, Any], expected: bool) -> None:
    declared = condition("f", operator, operand)
    assert build_condition(declared)(document) is expected
    nested = {"a": document}
    assert build_condition(condition("a.f", operator, operand))(nested) is expected
    # The generated function has a short form for the usual conditions: it must agree.
    table = entity(filter=(declared,))
    assert len(transform(table, {"_id": 1, **document}).rows) == expected


def test_path_through_an_array_looks_into_its_documents() -> None:
    document = {"a": [1, {"f": "x"}, {"f": ["y"]}, [{"f": "z"}]]}
    assert build_condition(condition("a.f", "$eq", "x"))(document)
    assert build_condition(condition("a.f", "$eq", "y"))(document)
    assert not build_condition(condition("a.f", "$eq", "z"))(document)
    assert build_condition(condition("a.f", "$exists", True))(document)
    assert build_condition(condition("a.g", "$exists", False))(document)


@pytest.mark.parametrize(
    ("path", "operator", "operand", "document", "expected"),
    [
        ("a.0", "$eq", "x", {"a": ["x", "y"]}, True),
        ("a.1", "$eq", "x", {"a": ["x", "y"]}, False),
        ("a.0.f", "$eq", "x", {"a": [{"f": "x"}]}, True),
        ("a.1.f", "$eq", "x", {"a": [{"f": "x"}]}, False),
        ("a.0", "$exists", True, {"a": [None]}, True),
        ("a.1", "$exists", True, {"a": ["x"]}, False),
        ("a.0", "$eq", "x", {"a": [{"0": "x"}]}, True),
        ("a.0.0", "$eq", "x", {"a": [["x"]]}, True),
        ("a.0", "$eq", "x", {"a": [["x"]]}, False),
        ("a.0.f", "$exists", False, {"a": ["x"]}, True),
        ("a.0", "$eq", "x", {"a": {"0": "x"}}, True),
        ("a.login", "$eq", "x", {"a": DBRef("users", 1, login="x")}, True),
        # An item that is a document has no field of that name, which is null.
        ("a.0.f", "$ne", None, {"a": [{"f": "x"}]}, False),
    ],
)
def test_number_is_the_place_of_an_item_or_a_name(
    path: str, operator: str, operand: Any, document: dict[str, Any], expected: bool
) -> None:
    assert build_condition(condition(path, operator, operand))(document) is expected
