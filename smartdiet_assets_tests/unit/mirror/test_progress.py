"""Which reports of a long load become lines in Dagster: few, whatever its length, and each says how far it is."""

import pytest

from smartdiet_assets.mirror.progress import Progress, describe_seconds


def lines_of(seconds: int, expected: int | None) -> list[str]:
    """The lines of a load that reads 1,000 documents a second and reports each second."""
    progress = Progress("users", 0.0)
    made = (progress.compose_line(float(now), 1_000 * now, expected) for now in range(1, seconds))
    return [line for line in made if line]


def test_a_short_load_has_no_line() -> None:
    assert lines_of(10, 10_000) == []
    assert Progress("users", 0.0).compose_line(9.0, 9_000, 9_000, reading=False) is None


def test_a_line_says_how_far_the_load_is_how_fast_and_how_long_it_takes() -> None:
    [first, *_] = lines_of(300, 300_000)
    assert first == (
        "users: 10,000 of about 300,000 documents read (3%), 1,000 a second; time left to read them: 4 min 50 s"
    )
    last = Progress("users", 0.0).compose_line(100.0, 300_000, 300_000, reading=False)
    assert last == "users: all 300,000 documents read, 3,000 a second; their rows are compared and written"


def test_an_estimate_that_was_too_low_is_not_shown() -> None:
    assert Progress("users", 0.0).compose_line(20.0, 2_000, 1_000) == "users: 2,000 documents read, 100 a second"


def test_a_load_in_shards_says_how_many_and_is_as_fast_as_this_run() -> None:
    progress = Progress("users", 0.0)
    line = progress.compose_line(20.0, 50_000, 100_000, before=40_000, shards="24 of 48 shards")
    assert line == (
        "users: 50,000 of about 100,000 documents read in 24 of 48 shards (50%), 500 a second;"
        " time left to read them: 1 min 40 s"
    )


@pytest.mark.parametrize("hours", [1, 10])
@pytest.mark.parametrize("told", [True, False])
def test_the_lines_are_few_and_come_at_growing_intervals(hours: int, told: bool) -> None:
    seconds = 3_600 * hours
    lines = lines_of(seconds, 1_000 * seconds if told else None)
    assert 6 <= len(lines) <= 6 + 10 + 6 * hours
    if told:
        assert all(any(f"({share}%)" in line for line in lines) for share in range(10, 100, 10))


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (59, "59 s"), (200, "3 min 20 s"), (7_500, "2 h 5 min")])
def test_a_duration_has_two_units(seconds: float, text: str) -> None:
    assert describe_seconds(seconds) == text
