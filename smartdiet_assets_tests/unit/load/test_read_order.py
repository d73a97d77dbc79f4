"""What the order of ids proves: never that a repeated id came once, and mostly that others did."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartdiet_assets.load.conflicts.read_order import ReadOrder
from smartdiet_assets_tests.support.declared import declare

SCHEMA = """
tables:
  notes:
    columns:
      - {name: id, sql_type: VARCHAR, primary_key: true, mongo_field: _id}
"""


def prove(*batches: list[Any], sql_type: str = "VARCHAR") -> bool:
    order = ReadOrder(declare(SCHEMA, ("VARCHAR", sql_type)).tables["notes"])
    for batch in batches:
        order.note(batch)
    return order.proves


@given(st.lists(st.lists(st.text("ab", max_size=3) | st.none(), max_size=4), max_size=6))
def test_what_came_twice_is_never_proved_to_have_come_once(batches: list[list[str | None]]) -> None:
    ids = [each for batch in batches for each in batch]
    assert not prove(*batches) or len(set(ids)) == len(ids)


@given(st.lists(st.integers(), unique=True), st.integers(1, 5))
def test_ascending_ids_are_proved(numbers: list[int], size: int) -> None:
    ids = [f"{number:+030d}" for number in numbers]
    ids.sort()
    assert prove(*(ids[at : at + size] for at in range(0, len(ids), size)))


def test_neighbours_may_be_exchanged_within_a_batch_and_with_the_one_before() -> None:
    assert prove(["b", "a", "d"], [], ["c", "f"], ["e", "g"])


@pytest.mark.parametrize(
    "batches",
    [
        pytest.param([["a", "b", "b"]], id="within a batch"),
        pytest.param([["a", "c"], ["b", "c"]], id="in the next batch"),
        pytest.param([["a", "b"], ["c", "d"], ["b", "e"]], id="later"),
        pytest.param([[None], [None]], id="null"),
        pytest.param([["b"], ["c"], ["d"], ["a"]], id="too late to be looked for"),
    ],
)
def test_what_may_have_come_twice_is_not_proved(batches: list[list[Any]]) -> None:
    assert not prove(*batches)
    assert not prove(*batches, ["x"])


def test_padded_text_proves_nothing() -> None:
    assert not prove(["a", "b"], sql_type="CHAR(24)")
