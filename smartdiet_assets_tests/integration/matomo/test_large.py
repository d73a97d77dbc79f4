"""A Matomo of 40,000 visits and 120,000 page views: every row arrives, and memory does not grow with them."""

import sys
from pathlib import Path

import psycopg
import pytest

from smartdiet_assets_tests.support.large_matomo import fill_large
from smartdiet_assets_tests.support.matomo_mirror import ACTION, VIEW, VISIT, Matomo

VISITS, VIEWS = 40_000, 120_000


def read_peak() -> int:
    """Read the largest memory of this process since `reset_peak`, kB; 0 where the system does not tell."""
    if sys.platform != "linux":
        return 0
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1])


def reset_peak() -> int:
    """Forget the largest memory so far; return what is used now, kB."""
    if sys.platform == "linux":
        Path("/proc/self/clear_refs").write_text("5")
    return read_peak()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_large_matomo_is_mirrored_whole_then_incrementally(matomo: Matomo, postgres: psycopg.Connection) -> None:
    fill_large(matomo, VISITS, VIEWS)
    before = reset_peak()
    results = matomo.run()
    grown = read_peak() - before
    assert {name: result.load.inserted for name, result in results.items()} == {
        ACTION: 2_000, VISIT: VISITS, VIEW: VIEWS,
    }  # fmt: skip
    assert all(result.load.rejected == 0 for result in results.values())
    # A page of 5,000 rows of 60 columns, as bytes, as columns and as rows; all rows would be a quarter of a gigabyte.
    assert grown < 150_000, f"{grown} kB"
    for table, column in ((VISIT, "visit_total_time"), (VIEW, "time_spent_ref_action")):
        with matomo.source.cursor() as cursor:
            cursor.execute(f"SELECT sum({column}), count(custom_dimension_1), max(idvisit), sum(idvisit) FROM {table}")
            expected = cursor.fetchone()
        found = postgres.execute(
            f"SELECT sum({column}), count(custom_dimension_1), max(idvisit), sum(idvisit) FROM {table}"
        ).fetchone()
        assert found == expected
    # One in a thousand goes on, in pages that the index on site and time leads to.
    matomo.execute(
        f"UPDATE {VISIT} SET visit_total_actions = 99, visit_last_action_time = '2025-06-01' WHERE idvisit % 1000 = 0"
    )
    result = matomo.run(VISIT)[VISIT]
    assert result.load.updated == VISITS // 1000
    assert result.documents_read < VISITS // 10
    assert matomo.run(VIEW)[VIEW].load.updated == 0
