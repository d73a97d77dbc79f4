"""What differs between the rows of two tables, and finding it in two streams of hashed rows. Pure."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Literal

Kind = Literal["missing", "extra", "different"]
KINDS: tuple[Kind, ...] = ("missing", "extra", "different")
#: (hash of the key, hash of the row, hashes of its columns, texts of the key)
HashedRow = tuple[str, str, Sequence[str | None], Sequence[str | None]]


@dataclass(frozen=True, slots=True)
class DifferingKey:
    """The key of a row that is missing on the right (`missing`), only there (`extra`), or `different`.

    `values` has the columns of the key that may be shown; one is None where its value is no identifier.
    """

    kind: Kind
    values: tuple[tuple[str, str | None], ...]


@dataclass(slots=True)
class RowComparison:
    """How the rows of a table compare. Counts are rows; no value but identifiers.

    Attributes:
        left, right: rows on each side; for MongoDB, documents or items that should be rows.
        columns: the rows that differ in each column.
        keys: the keys of rows that differ, as many as were asked for; `key_columns` are all columns of the key.
        left_out: columns that are not compared.
        notes: other counts, by what they are called, for rows and documents that are no difference.
        fault: why the table could not be compared; empty where it was.
    """

    table: str
    left: int = 0
    right: int = 0
    missing: int = 0
    extra: int = 0
    different: int = 0
    columns: Counter[str] = field(default_factory=Counter)
    key_columns: tuple[str, ...] = ()
    keys: list[DifferingKey] = field(default_factory=list)
    left_out: tuple[str, ...] = ()
    notes: Counter[str] = field(default_factory=Counter)
    fault: str = ""

    @property
    def equal(self) -> bool:
        return not (self.missing or self.extra or self.different)

    def add(self, kind: Kind, number: int = 1) -> None:
        setattr(self, kind, getattr(self, kind) + number)

    def list_key(self, key: DifferingKey, limit: int | None) -> None:
        """Add a key to those that are listed, `limit` of each kind at most, unless nothing of it may be shown."""
        shown = any(value is not None for _, value in key.values)
        if shown and (limit is None or sum(known.kind == key.kind for known in self.keys) < limit):
            self.keys.append(key)


def merge_rows(
    comparison: RowComparison,
    columns: Sequence[str],
    shown: Sequence[str],
    left: Iterable[HashedRow],
    right: Iterable[HashedRow],
    limit: int | None,
) -> None:
    """Find what differs in two streams that are ordered by the hash of the key; holds the rows of one key at a time.

    Where rows share a key, which nothing may forbid on one side, as many as have no equal are paired off as different.
    """
    for ours, theirs in _pair(left, right):
        common = Counter(row[1] for row in ours) & Counter(row[1] for row in theirs)
        ours, theirs = _without(ours, common), _without(theirs, common)
        for mine, other in zip(ours, theirs, strict=False):
            comparison.add("different")
            pairs = zip(columns, mine[2], other[2], strict=False)
            comparison.columns.update(column for column, one, two in pairs if one != two)
            comparison.list_key(_build_key("different", shown, mine), limit)
        rest: list[tuple[Kind, HashedRow]] = [("missing", row) for row in ours[len(theirs) :]]
        rest += [("extra", row) for row in theirs[len(ours) :]]
        for kind, row in rest:
            comparison.add(kind)
            comparison.list_key(_build_key(kind, shown, row), limit)


def _pair(left: Iterable[HashedRow], right: Iterable[HashedRow]) -> Iterator[tuple[list[HashedRow], list[HashedRow]]]:
    """Pair the rows of both streams by the hash of their key."""
    ours, theirs = (groupby(rows, key=lambda row: row[0]) for rows in (left, right))
    one, two = next(ours, None), next(theirs, None)
    while one is not None or two is not None:
        if two is None or (one is not None and one[0] < two[0]):
            assert one is not None
            yield list(one[1]), []
            one = next(ours, None)
        elif one is None or two[0] < one[0]:
            yield [], list(two[1])
            two = next(theirs, None)
        else:
            yield list(one[1]), list(two[1])
            one, two = next(ours, None), next(theirs, None)


def _without(rows: Sequence[HashedRow], common: Counter[str]) -> list[HashedRow]:
    left = common.copy()
    kept = []
    for row in rows:
        if left[row[1]]:
            left[row[1]] -= 1
        else:
            kept.append(row)
    return kept


def _build_key(kind: Kind, shown: Sequence[str], row: HashedRow) -> DifferingKey:
    return DifferingKey(kind, tuple(zip(shown, row[3], strict=True)))
