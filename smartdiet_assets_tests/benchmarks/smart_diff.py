"""Relationship tables after a few items changed: the project against the floor and against the tool it replaces.

The floor is a binary COPY of the changed parents' items, ready-made, into a temporary table: whoever compares has to
bring them. The replaced tool's way deletes and inserts the items of one parent after the other. Each contestant finds
the table in the edition the one before left, and brings it to the other one: the same work in both directions.

Beside them the mode that was not chosen, and the chosen one where the server's statistics of the table are missing, or
of a time when it was nearly empty.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime

import bson
from psycopg import sql

from smartdiet_assets.load.result import LoadResult
from smartdiet_assets_tests.benchmarks.baskets import COLUMNS, TABLE, Baskets
from smartdiet_assets_tests.benchmarks.floor import take_rows, write_rows
from smartdiet_assets_tests.benchmarks.loading import load_batches
from smartdiet_assets_tests.benchmarks.measuring import Comparison, Contestant, Work, measure
from smartdiet_assets_tests.benchmarks.servers import Connection, Servers, count_writes
from smartdiet_assets_tests.benchmarks.settings import Settings

ITEMS = 15
#: Of the parents, one item changed in each; and what the project may take of the replaced way's time.
SHARES = {0.0: None, 0.02: 1 / 6, 0.3: 1 / 4, 1.0: 1 / 6}
FLOOR = "binary COPY of the items"
REPLACED = "DELETE and INSERT by parent"
OTHER_MODE = "the mode not chosen"
AIM_OF_MODES = 1.1
MISSING, STALE = "with missing statistics", "with stale statistics"
#: No aim of speed: another plan would be many times slower.
AIM_OF_PLANS = 1.5
_PARENTS_PER_COMMIT = 1_000
_FLOOR_TABLE = "floor_items"
_EDITION = sql.SQL("SELECT count(*), sum(hashtextextended(concat(basket_id, product_id, rank), 0))::text FROM {}")


def run_smart_diff(servers: Servers, settings: Settings) -> Iterator[Comparison]:
    """Compare the synchronisation of one changed item in 0, 2, 30 and 100 % of the parents, and of all items."""
    with servers.open_postgres() as connection:
        fill(connection, Baskets(settings.parents, ITEMS))
        connection.execute(
            sql.SQL("CREATE TEMPORARY TABLE {} (LIKE {})").format(sql.Identifier(_FLOOR_TABLE), sql.Identifier(TABLE))
        )
        for share in SHARES:
            yield from _compare_share(connection, Baskets(settings.parents, ITEMS), share, settings)
    with servers.open_postgres() as connection:
        baskets = Baskets(settings.parents, ITEMS, replaced=ITEMS)
        fill(connection, baskets)
        yield from _compare_modes(connection, baskets, settings)


def fill(connection: Connection, baskets: Baskets) -> None:
    """Load edition 0 with what it points at."""
    schema = baskets.schema
    load_batches(connection, schema, schema.tables["products"], baskets.encode_products())
    load_batches(connection, schema, schema.tables["baskets"], baskets.encode(edition=0))
    load_batches(connection, schema, schema.tables[TABLE], baskets.encode(edition=0))
    connection.execute("VACUUM (ANALYZE)")


class Editions:
    """The table between two editions of some of its parents: whoever comes brings it to the other one."""

    def __init__(self, connection: Connection, baskets: Baskets, changed: int) -> None:
        self.connection = connection
        self.baskets = baskets
        self.changed = changed
        #: Where no parent changes, all are read again.
        self.read = changed or baskets.parents
        self.result: LoadResult | None = None
        self._batches = [baskets.encode(edition=edition if changed else 0, parents=self.read) for edition in (0, 1)]
        self._edition = 0
        self._sums = [_sum_up(connection)]
        self._writes = 0

    def prepare(self) -> None:
        # What the one before left behind is not this one's to step over.
        self.connection.execute(sql.SQL("VACUUM (ANALYZE) {}").format(sql.Identifier(TABLE)))
        self.connection.execute("CHECKPOINT")
        self._edition = 1 - self._edition
        self._writes = count_writes(self.connection, TABLE)

    def restore(self) -> None:
        """Bring the table back to the edition it was filled with."""
        if self._edition:
            self.prepare()
            self.synchronise(self.baskets)

    def prepare_without_statistics(self) -> None:
        self.prepare()
        self.connection.execute("DELETE FROM pg_statistic WHERE starelid = %s::regclass", [TABLE])
        self.connection.execute("SELECT pg_clear_relation_stats('public', %s)", [TABLE])

    def prepare_with_stale_statistics(self) -> None:
        self.prepare()
        self.connection.execute(
            "SELECT pg_restore_relation_stats("
            " 'schemaname', 'public', 'relname', %s::text, 'relpages', 1::integer, 'reltuples', 1::real)",
            [TABLE],
        )

    def synchronise(self, baskets: Baskets) -> None:
        schema = baskets.schema
        self.result = load_batches(self.connection, schema, schema.tables[TABLE], self._batches[self._edition])

    def replace_by_parent(self) -> None:
        replace_by_parent(self.connection, self._batches[self._edition])

    @property
    def touched(self) -> int:
        """Rows the server wrote since `prepare`."""
        return count_writes(self.connection, TABLE) - self._writes

    def check_edition(self) -> None:
        if len(self._sums) == 1:
            self._sums.append(_sum_up(self.connection))
        assert _sum_up(self.connection) == self._sums[self._edition]

    def enter(self, name: str, prepare: Callable[[], None] | None = None) -> Contestant:
        """Enter the synchronisation itself: it may touch the true delta and nothing else."""

        def check() -> Work:
            self.check_edition()
            assert self.result is not None
            touched, delta = self.touched, self.result.inserted + self.result.updated + self.result.deleted
            assert touched == delta == 2 * self.changed * self.baskets.replaced, (touched, delta)
            return {"parents": self.read, "items": self.read * ITEMS, "touched": touched, "mode": self.result.mode}

        return Contestant(name, lambda: self.synchronise(self.baskets), check, prepare or self.prepare)

    def enter_mode(self, name: str, threshold: float, mode: str) -> Contestant:
        """Enter the synchronisation with a threshold that makes it choose a mode."""
        baskets = replace(self.baskets, threshold=threshold)

        def check() -> Work:
            self.check_edition()
            assert self.result is not None
            assert self.result.mode == mode
            return {"parents": self.read}

        return Contestant(name, lambda: self.synchronise(baskets), check, self.prepare)


def _compare_share(connection: Connection, baskets: Baskets, share: float, settings: Settings) -> Iterator[Comparison]:
    changed = max(1, round(baskets.parents * share)) if share else 0
    editions = Editions(connection, baskets, changed)
    ids = ", ".join(f"'{parent}'" for parent in baskets.list_changed(editions.read))
    ready = take_rows(connection, TABLE, COLUMNS, f"basket_id IN ({ids})")

    def copy() -> None:
        write_rows(connection, _FLOOR_TABLE, COLUMNS, ready)

    def empty() -> None:
        connection.execute(sql.SQL("TRUNCATE {}").format(sql.Identifier(_FLOOR_TABLE)))

    def check_copied() -> Work:
        row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(_FLOOR_TABLE))).fetchone()
        assert row is not None
        return {"items": row[0]}

    def check_replaced() -> Work:
        editions.check_edition()
        return {"parents": editions.read, "touched by the replaced way": editions.touched}

    contestants = [
        editions.enter("smart_diff"),
        Contestant(FLOOR, copy, check_copied, empty),
        Contestant(REPLACED, editions.replace_by_parent, check_replaced, editions.prepare),
    ]
    plans = [MISSING, STALE] if share == 1.0 else []
    if share:
        contestants.append(editions.enter_mode(OTHER_MODE, 0, "replace"))
    if plans:
        contestants += [
            editions.enter(MISSING, editions.prepare_without_statistics),
            editions.enter(STALE, editions.prepare_with_stale_statistics),
        ]
    rounds = measure("smart_diff", f"{share:.0%} of the parents", contestants, settings.pairs, settings.on_round)
    editions.restore()
    yield rounds.compare("smart_diff", FLOOR)
    obstacle = (
        "what a run costs whatever it changes weighs most where few parents change; --parents 60000 has ten times."
    )
    yield rounds.compare("smart_diff", REPLACED, at_most=SHARES[share], obstacle=obstacle)
    if share:
        yield rounds.compare("smart_diff", OTHER_MODE, at_most=AIM_OF_MODES)
    for plan in plans:
        yield rounds.compare(
            plan, "smart_diff", case=f"{rounds.case}, {plan}", against="with good ones", at_most=AIM_OF_PLANS
        )


def _compare_modes(connection: Connection, baskets: Baskets, settings: Settings) -> Iterator[Comparison]:
    """Compare both modes where every item of every parent is another one, and replacing is chosen."""
    editions = Editions(connection, baskets, baskets.parents)
    contestants = [editions.enter("smart_diff"), editions.enter_mode(OTHER_MODE, 1, "delta")]
    rounds = measure("smart_diff", "all items of all parents", contestants, settings.pairs, settings.on_round)
    yield rounds.compare("smart_diff", OTHER_MODE, at_most=AIM_OF_MODES)


def replace_by_parent(connection: Connection, batches: list[bytes]) -> None:
    """Synchronise as the replaced tool does: all items of a parent deleted and inserted, parent by parent."""
    delete = sql.SQL("DELETE FROM {} WHERE basket_id = %s").format(sql.Identifier(TABLE))
    insert = sql.SQL("INSERT INTO {} ({}) VALUES (%s, %s, %s, %s, %s)").format(
        sql.Identifier(TABLE), sql.SQL(", ").join(map(sql.Identifier, COLUMNS))
    )
    documents = [document for batch in batches for document in bson.decode_all(batch)]
    for start in range(0, len(documents), _PARENTS_PER_COMMIT):
        with connection.transaction(), connection.cursor() as cursor:
            for document in documents[start : start + _PARENTS_PER_COMMIT]:
                parent = str(document["_id"])
                dates: tuple[datetime, datetime] = (document["creation_date"], document["update_date"])
                cursor.execute(delete, [parent])
                cursor.executemany(
                    insert, [(parent, str(item["product"]), item["rank"], *dates) for item in document["items"]]
                )


def _sum_up(connection: Connection) -> tuple[int, str]:
    row = connection.execute(_EDITION.format(sql.Identifier(TABLE))).fetchone()
    assert row is not None
    return row[0], row[1]
