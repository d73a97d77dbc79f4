"""Comparing the rows of two PostgreSQL servers: what is asked of them, in which order.

Of each table each server is asked once for the checksums of its buckets, and where some differ once more for the rows
of those; both at the same time. Memory is that of the buckets and of a few rows, whatever the size of the table.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from psycopg.rows import tuple_row

from smartdiet_assets.compare.checksums import SIZES, choose_buckets, compose_buckets, compose_rows
from smartdiet_assets.compare.identities import RowIdentity, identify_rows
from smartdiet_assets.compare.row_differences import HashedRow, RowComparison, merge_rows
from smartdiet_assets.compare.structures import SideStructure
from smartdiet_assets.load.execution import Connection, fetch_all
from smartdiet_assets.load.structure.live import LiveTable

#: Takes the table's name and how many rows of it were compared.
Report = Callable[[str, int], None]
_FETCHED = 2_000
_Buckets = dict[int, tuple[int, object, object]]


def compare_rows(
    left: Connection,
    right: Connection,
    structures: tuple[SideStructure, SideStructure],
    tables: Collection[str],
    *,
    limit: int | None,
    report: Report = lambda table, rows: None,
) -> Iterator[RowComparison]:
    """Compare the rows of the tables that both servers have, each in its snapshot.

    Args:
        limit: how many keys of a table are listed of each kind; None is all.

    Raises:
        psycopg.Error: a server refused or was lost.
    """
    ours, theirs = structures
    shared = [name for name in tables if all(_is_table(side, name) for side in structures)]
    sizes = dict(fetch_all(left, SIZES, [shared]))
    referenced = {name: _find_referenced(structures, name) for name in shared}
    with ThreadPoolExecutor(2, "compare") as pool:

        def ask(ask_one: Callable[[Connection, LiveTable], _Buckets], name: str) -> list[_Buckets]:
            return list(pool.map(ask_one, (left, right), (ours.tables[name], theirs.tables[name])))

        for name in shared:
            identity = identify_rows(ours.tables[name], theirs.tables[name], referenced[name])
            buckets = choose_buckets(sizes.get(name, 0))
            comparison = RowComparison(name, key_columns=identity.key, left_out=identity.left_out)
            one, two = ask(lambda server, table: _fetch_buckets(server, table, identity, buckets), name)  # noqa: B023
            comparison.left, comparison.right = (sum(bucket[0] for bucket in side.values()) for side in (one, two))
            differing = sorted(number for number in {*one, *two} if one.get(number) != two.get(number))
            if differing:
                merge_rows(
                    comparison,
                    identity.columns,
                    identity.shown,
                    _stream_rows(left, ours.tables[name], identity, buckets, differing),
                    _stream_rows(right, theirs.tables[name], identity, buckets, differing),
                    limit,
                )
            report(name, max(comparison.left, comparison.right))
            yield comparison


def _is_table(side: SideStructure, name: str) -> bool:
    return name in side.tables and side.tables[name].kind == "table"


def _find_referenced(structures: Sequence[SideStructure], name: str) -> frozenset[str]:
    return frozenset(
        column
        for side in structures
        for table in side.tables.values()
        for key in table.foreign_keys
        if key.parent == name
        for column in key.parent_columns
    )


def _fetch_buckets(server: Connection, table: LiveTable, identity: RowIdentity, buckets: int) -> _Buckets:
    rows = fetch_all(server, compose_buckets(table, identity, buckets))
    return {bucket: (count, high, low) for bucket, count, high, low in rows}


def _stream_rows(
    server: Connection, table: LiveTable, identity: RowIdentity, buckets: int, numbers: Sequence[int]
) -> Iterator[HashedRow]:
    with server.cursor("compared_rows", row_factory=tuple_row) as cursor:
        cursor.itersize = _FETCHED
        cursor.execute(compose_rows(table, identity, buckets, numbers))
        yield from cursor
