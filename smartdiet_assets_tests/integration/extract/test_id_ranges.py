"""Ranges of ids hold each document of a collection once, whatever its id is, and a real server's order of them."""

import os
from contextlib import suppress
from datetime import datetime
from random import Random
from typing import Any

import bson
from bson import Binary, Code, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.binary import UUID_SUBTYPE
from hypothesis import given, settings
from hypothesis import strategies as st
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from smartdiet_assets.extract.mongodb.id_ranges import (
    compose_ranges,
    decode_range,
    encode_range,
    fetch_boundaries,
    fetch_range,
)
from smartdiet_assets_tests.support.declared import declare

EXAMPLES = int(os.environ.get("SMARTDIET_VALUES_EXAMPLES", "12"))
[TABLE] = declare("tables:\n  things:\n    include_base: true\n").tables.values()


def build_id(random: Random) -> Any:
    """An id of any type there is, most of them of few."""
    number = random.choice([random.randint(-9, 9), random.randint(-9, 9) / 4, 2**62, float("nan"), float("inf"), -0.0])
    text = "".join(random.choices("aB\u00e9$.\U0001f600", k=random.randint(0, 3)))
    return random.choice(
        [
            *[number, number, Int64(random.randint(-9, 9)), Decimal128(str(random.randint(-9, 9) / 4))],
            *[text, text, ObjectId(f"{random.getrandbits(96):024x}"), ObjectId(f"{random.getrandbits(96):024x}")],
            *[datetime(random.randint(1, 9999), 1, 2), text.encode(), Binary(text.encode(), random.choice([5, 128]))],
            *[Binary(random.randbytes(16), UUID_SUBTYPE)] * 2,
            *[{random.choice("ab"): number}, {}, {"a": {"b": text}}],
            random.choice([None, True, False, MinKey(), MaxKey(), Timestamp(1, 2), Regex("a"), Code("a")]),
            random.choice([Decimal128("NaN"), Decimal128("-Infinity"), float("-inf")]),
        ]
    )


def numbered(documents: list[dict[str, Any]]) -> list[int]:
    return sorted(document["number"] for document in documents)


@settings(max_examples=EXAMPLES)
@given(seed=st.integers(0, 2**32), size=st.integers(1, 40), ranges=st.integers(2, 12))
def test_each_document_is_in_one_range(mongo_database: Database[Any], seed: int, size: int, ranges: int) -> None:
    random = Random(seed)
    ids, others = [build_id(random) for _ in range(size)], [build_id(random) for _ in range(5)]
    collection = mongo_database["things"]
    collection.drop()
    for number, id_ in enumerate(ids):
        # Which of two ids are the same, the server knows.
        with suppress(DuplicateKeyError):
            collection.insert_one({"_id": id_, "number": number})
    boundaries = fetch_boundaries(mongo_database, "things", ranges)
    # Documents may have been deleted since the sample was taken, and their ids cut all the same.
    for cut in (boundaries, sort(mongo_database, [*boundaries, *others])):
        planned = [decode_range(encode_range(queries)) for queries in compose_ranges(cut)]
        found = [
            document
            for queries in planned
            for batch in fetch_range(mongo_database, [TABLE], queries, 100, whole=True)
            for document in bson.decode_all(batch)
        ]
        assert numbered(found) == numbered(list(collection.find()))


def sort(database: Database[Any], ids: list[Any]) -> list[Any]:
    """Put ids into the server's order."""
    scratch = database["scratch"]
    scratch.drop()
    for id_ in ids:
        with suppress(DuplicateKeyError):
            scratch.insert_one({"_id": id_})
    return [document["_id"] for document in scratch.find().sort("_id", 1)]
