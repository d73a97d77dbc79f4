"""Rows whose values are too long for an index of their table.

PostgreSQL refuses an index entry beyond a third of a page, after compression, and with it the statement: a whole run
would fail for one document. The rule is PostgreSQL's limit without compression, so that it depends on nothing but the
lengths.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from json.encoder import encode_basestring
from typing import Any

from smartdiet_assets.schema.model import Table
from smartdiet_assets.schema.reasons import Reason
from smartdiet_assets.transform.rejection import Rejection

#: What an entry of a B-tree may have: bytes, in the pages of 8 kB that PostgreSQL is built with.
_ENTRY = 2_704
#: An entry's header, and the most that a column takes beside the bytes of text: its own header, padding, a number.
_HEADER, _PER_COLUMN = 16, 24
#: Ids are also named by rejects and by rows that wait for their parent, two in one entry, and there as JSON.
_ID = 1_000
#: Bytes of one character: in UTF-8, and in JSON as an escape.
_UTF_8, _ESCAPED = 4, 6


@dataclass(frozen=True, slots=True)
class EntryCheck:
    """One test of a row.

    Attributes:
        columns: places among `Table.stored_columns` of the values that count; the others are short.
        characters: up to that many characters in all of them together, the test need not be made; None where the
            lengths do not tell.
        check: takes the values; raises `Rejection` where they are too long.
    """

    columns: tuple[int, ...]
    characters: int | None
    check: Callable[[tuple[object, ...]], None]


def plan_entry_checks(table: Table) -> list[EntryCheck]:
    """Plan the tests of a table's rows: one for each id, each reference, and each index with columns of any length."""
    places = {column.name: place for place, column in enumerate(table.stored_columns)}
    checks = []
    for column in table.stored_columns:
        is_id = column.name == table.document_column or column.foreign_key is not None
        if is_id and column.type.is_text and (column.type.length or _ID) * _ESCAPED > _ID:
            checks.append(_build_check((places[column.name],), (column.name,), _ID, _ESCAPED, [_measure_json]))
    indexes = dict.fromkeys((table.key, table.primary_key, *table.unique_constraints, *table.indexes))
    bounded = {table.stored_columns[check.columns[0]].name for check in checks}
    seen = set()
    for columns in indexes:
        varying = tuple(name for name in columns if name in places and table.column(name).type.base.measure)
        longest = 0
        for name in varying:
            longest += _ID if name in bounded else _longest(table, name)
        limit = _ENTRY - _HEADER - _PER_COLUMN * len(columns)
        if longest > limit and (frozenset(varying), limit) not in seen:
            seen.add((frozenset(varying), limit))
            types = [table.column(name).type.base for name in varying]
            tells = all(base.bounded for base in types)
            measures = [base.measure for base in types if base.measure]
            check = _build_check(tuple(places[name] for name in varying), varying, limit, _UTF_8, measures)
            checks.append(check if tells else EntryCheck(check.columns, None, check.check))
    return checks


def _longest(table: Table, name: str) -> int:
    """The most bytes a column's values have; beyond any limit where its type sets none."""
    column_type = table.column(name).type
    if column_type.precision is not None:
        return column_type.precision // 2
    return column_type.limit * _UTF_8 if column_type.limit else _ENTRY


def _build_check(
    places: tuple[int, ...],
    names: tuple[str, ...],
    limit: int,
    widest: int,
    measures: Sequence[Callable[[object], int]],
) -> EntryCheck:
    expected = f"at most {limit} bytes in an index"

    def check(values: tuple[object, ...]) -> None:
        sizes = [0 if value is None else measure(value) for measure, value in zip(measures, values, strict=True)]
        if sum(sizes) > limit:
            at_fault = sizes.index(max(sizes))
            rejection = Rejection(Reason.TOO_LONG, expected, values[at_fault])
            rejection.column = names[at_fault]
            raise rejection

    return EntryCheck(places, limit // widest, check)


def _measure_json(value: Any) -> int:
    return len(encode_basestring(value).encode())
