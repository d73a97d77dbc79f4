"""What the oracle sees in a document by itself: whether a filter lets it through, and how its id is spelled."""

from typing import Any

import pytest
from bson import ObjectId

from smartdiet_assets.schema.model import Condition
from smartdiet_assets_tests.oracle.conditions import matches
from smartdiet_assets_tests.oracle.documents import encode_id, normal_id


@pytest.mark.parametrize(
    ("operator", "operand", "document", "expected"),
    [
        ("$eq", "menu", {"t": "menu"}, True),
        ("$eq", "menu", {"t": ["x", "menu"]}, True),
        ("$eq", "menu", {}, False),
        ("$eq", None, {}, True),
        ("$ne", None, {}, False),
        ("$ne", "menu", {}, True),
        ("$eq", 1, {"t": 1.0}, True),
        ("$eq", 1, {"t": True}, False),
        ("$in", ("a", None), {"t": None}, True),
        ("$nin", ("a", "b"), {"t": "b"}, False),
        ("$exists", True, {"t": None}, True),
        ("$exists", False, {"t": None}, False),
        ("$exists", True, {}, False),
    ],
)
def test_a_filter_means_what_mongo_means(operator: Any, operand: Any, document: Any, expected: bool) -> None:
    assert matches(document, Condition(path="t", operator=operator, value=operand)) is expected


def test_ids_that_are_not_object_ids_are_encoded_with_their_type() -> None:
    assert encode_id(ObjectId("650000000000000000000001")) == "650000000000000000000001"
    assert encode_id("abc") == '"abc"'
    assert encode_id(12) == normal_id('{"$numberInt":"12"}')
