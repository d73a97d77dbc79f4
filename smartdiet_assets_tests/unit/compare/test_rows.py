"""Merging two streams of hashed rows, and which columns identify and may be shown."""

from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartdiet_assets.compare.checksums import choose_buckets
from smartdiet_assets.compare.identities import identify_rows
from smartdiet_assets.compare.row_differences import HashedRow, RowComparison, merge_rows
from smartdiet_assets.load.structure.live import LiveColumn, LiveForeignKey, LiveIndex, LiveTable


def merge(left: Sequence[tuple[str, str]], right: Sequence[tuple[str, str]]) -> RowComparison:
    def hashed(rows: Sequence[tuple[str, str]]) -> list[HashedRow]:
        return [(key, value, [value], [key]) for key, value in sorted(rows)]

    comparison = RowComparison("t", key_columns=("k",))
    merge_rows(comparison, ["v"], ["k"], hashed(left), hashed(right), None)
    return comparison


_rows = st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from("xyz")), max_size=12)


@given(left=_rows, right=_rows)
def test_whatever_is_on_both_sides_is_counted_once(left: list[tuple[str, str]], right: list[tuple[str, str]]) -> None:
    found = merge(left, right)
    common = (Counter(left) & Counter(right)).total()
    assert found.missing + found.different + common == len(left)
    assert found.extra + found.different + common == len(right)
    assert found.equal == (Counter(left) == Counter(right))
    assert len(found.keys) == found.missing + found.extra + found.different
    assert found.columns.total() == found.different
    one, other = Counter(key for key, _ in left), Counter(key for key, _ in right)
    assert found.missing == (one - other).total()
    assert found.extra == (other - one).total()


@pytest.mark.parametrize("size", [0, 1, 8_192, 10**6, 10**9, 10**13])
def test_buckets_are_a_power_of_two_and_not_too_many(size: int) -> None:
    buckets = choose_buckets(size)
    assert buckets & (buckets - 1) == 0
    assert 1 <= buckets <= 1 << 14


def table(
    types: dict[str, str],
    primary: Sequence[str] = (),
    uniques: Sequence[Sequence[str]] = (),
    references: Sequence[str] = (),
    nullable: Sequence[str] = (),
    numbered: Sequence[str] = (),
) -> LiveTable:
    def index(columns: Sequence[str]) -> LiveIndex:
        return LiveIndex("i", tuple(columns), True, False, True, False, True, True, True, "")

    columns = {
        name: LiveColumn(
            name, type_, name in nullable, None, "d" if name in numbered else "", None, False, (), False, ""
        )
        for name, type_ in types.items()
    }
    return LiveTable(
        "public", "t", "table", True, "", columns, index(primary) if primary else None,
        tuple(map(index, uniques)),
        tuple(LiveForeignKey("f", (name,), "p", ("id",), True, True, "") for name in references), (),
    )  # fmt: skip


KEYS = {"id": "character varying", "user": "character varying", "day": "date"}


@pytest.mark.parametrize(
    ("side", "key", "shown"),
    [
        (table(KEYS), (), ()),
        (table(KEYS, primary=["id"]), ("id",), ("id",)),
        (table(KEYS, uniques=[["user", "day"]], references=["user"]), ("user", "day"), ("user",)),
        (table(KEYS, uniques=[["day"]]), ("day",), ()),
        (table(KEYS, uniques=[["user", "day"]], nullable=["day"]), (), ()),
        (table({**KEYS, "id": "integer"}, ["id"], [["user", "day"]], ["user"], numbered=["id"]),
         ("user", "day"), ("user",)),
        (table({**KEYS, "id": "integer"}, ["id"], numbered=["id"]), ("id",), ("id",)),
    ],
)  # fmt: skip
def test_what_identifies_a_row_and_what_of_it_is_shown(side: LiveTable, key: object, shown: object) -> None:
    identity = identify_rows(side, side)
    assert (identity.key, identity.shown) == (key, shown)
