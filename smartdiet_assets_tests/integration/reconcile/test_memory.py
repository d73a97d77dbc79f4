"""The memory of a pass does not grow with the collection: ids are streamed."""

import tracemalloc

import pytest
from bson import ObjectId

from smartdiet_assets_tests.integration.reconcile.clinic import NOW, Clinic

_MEGABYTE = 1 << 20


def measure_peak(clinic: Clinic) -> int:
    """Reconcile the users; give the largest number of bytes Python held for it."""
    tracemalloc.start()
    try:
        result = clinic.reconcile("users")["users"]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert not result.error
    return peak


@pytest.mark.slow
def test_four_times_the_documents_take_the_same_memory(clinic: Clinic) -> None:
    peaks = []
    for size in (20_000, 80_000):
        present = clinic.mongo.users.count_documents({})
        for start in range(present, size, 10_000):
            clinic.mongo.users.insert_many(
                [{"_id": ObjectId(), "creation_date": NOW} for _ in range(min(10_000, size - start))]
            )
        clinic.sync("full", "users")
        clinic.mongo.users.delete_one({"email": None})
        peaks.append(measure_peak(clinic))
        print(f"{size} documents: a peak of {peaks[-1] / _MEGABYTE:.1f} MB")
    assert peaks[1] < peaks[0] + 5 * _MEGABYTE
