"""The memory of a refresh does not grow with the database: documents are streamed."""

import tracemalloc
from typing import Any

import pytest
from bson import ObjectId

from smartdiet_assets_tests.conftest import FIGURES
from smartdiet_assets_tests.support.refreshed import Pair

_MEGABYTE = 1 << 20
_TEXT = "x" * 900


def measure_peak(pair: Pair, size: int) -> int:
    """Refresh a collection of so many documents of 1 kB; give the largest number of bytes Python held for it."""
    present = pair.source["large"].count_documents({})
    for start in range(present, size, 5_000):
        pair.source["large"].insert_many(
            [{"_id": ObjectId(), "n": n, "text": _TEXT} for n in range(start, start + 5_000)]
        )
    tracemalloc.start()
    try:
        outcome = pair.refresh()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [item.count for item in outcome.items] == [size]
    return peak


@pytest.mark.slow
def test_twice_the_documents_take_the_same_memory(pair: Pair, record_property: Any) -> None:
    small, large = measure_peak(pair, 20_000), measure_peak(pair, 40_000)
    record_property(
        FIGURES, f"20,000 documents: {small / _MEGABYTE:.1f} MB, 40,000 (40 MB): {large / _MEGABYTE:.1f} MB"
    )
    assert large < small + 5 * _MEGABYTE
