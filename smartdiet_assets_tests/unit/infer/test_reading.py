"""What MongoDB is asked."""

from smartdiet_assets.infer.reading import compose_query
from smartdiet_assets.schema.model import Condition


def test_all_conditions_of_a_path_are_asked() -> None:
    conditions = [
        Condition(path="kind", operator="$ne", value="draft"),
        Condition(path="kind", operator="$in", value=("a", "b")),
        Condition(path="shop", operator="$exists", value=True),
    ]
    assert compose_query(conditions) == {"kind": {"$ne": "draft", "$in": ["a", "b"]}, "shop": {"$exists": True}}
