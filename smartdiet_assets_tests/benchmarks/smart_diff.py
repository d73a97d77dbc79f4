"""Relationship tables after a few items changed: the project against the floor and against the tool it replaces.

The floor is a binary COPY of the changed parents' items, ready-made, into a temporary table: whoever compares has to
bring them. The replaced tool's way deletes and inserts the items of one parent after the other. Each contestant finds
the table in the edition the one before left, and brings it to the other one: the same work in both directions.
"""

from collections.abc import Iterator
from datetime import datetime

import bson
from psycopg import sql

from smartdiet_assets.load.session import LoadResult
from smartdiet_assets_tests.benchmarks.baskets import COLUMNS, TABLE, Baskets
from smartdiet_assets_tests.benchmarks.floor import take_rows, write_rows
from smartdiet_assets_tests.benchmarks.loading import load_batches
from smartdiet_assets_tests.benchmarks.measuring import Comparison, Contestant, Work, measure
from smartdiet_assets_tests.benchmarks.servers import Connection, Servers, count_writes
from smartdiet_assets_tests.benchmarks.settings import Settings

ITEMS = 15
SHARES = (0.02, 0.3, 1.0)
FLOOR = "binary COPY of the items"
REPLACED = "DELETE and INSERT by parent"
_PARENTS_PER_COMMIT = 1_000
_FLOOR_TABLE = "floor_items"
_EDITION = sql.SQL("SELECT count(*), sum(hashtextextended(concat(basket_id, product_id, rank), 0))::text FROM {}")


def run_smart_diff(servers: Servers, settings: Settings) -> Iterator[Comparison]:
    """Compare the synchronisation of one changed item in 2, 30 and 100 % of the parents."""
    baskets = Baskets(settings.parents, ITEMS)
    with servers.open_postgres() as connection:
        fill(connection, baskets)
        connection.execute(
            sql.SQL("CREATE TEMPORARY TABLE {} (LIKE {})").format(sql.Identifier(_FLOOR_TABLE), sql.Identifier(TABLE))
        )
        for share in SHARES:
            yield from _compare_share(connection, baskets, share, settings)


def fill(connection: Connection, baskets: Baskets) -> None:
    """Load edition 0 with what it points at."""
    schema = baskets.schema
    load_batches(connection, schema, schema.tables["products"], baskets.encode_products())
    load_batches(connection, schema, schema.tables["baskets"], baskets.encode(edition=0))
    load_batches(connection, schema, schema.tables[TABLE], baskets.encode(edition=0))
    connection.execute("VACUUM (ANALYZE)")


def _compare_share(connection: Connection, baskets: Baskets, share: float, settings: Settings) -> Iterator[Comparison]:
    changed = max(1, round(baskets.parents * share))
    editions = [baskets.encode(edition=edition, parents=changed) for edition in (0, 1)]
    ids = ", ".join(f"'{parent}'" for parent in baskets.list_changed(changed))
    ready = take_rows(connection, TABLE, COLUMNS, f"basket_id IN ({ids})")
    schema = baskets.schema
    sums = [_sum_up(connection)]
    edition = 0
    result: LoadResult | None = None
    writes = 0

    def prepare() -> None:
        nonlocal edition, writes
        # What the one before left behind is not this one's to step over.
        connection.execute(sql.SQL("VACUUM (ANALYZE) {}").format(sql.Identifier(TABLE)))
        connection.execute("CHECKPOINT")
        edition = 1 - edition
        writes = count_writes(connection, TABLE)

    def synchronise() -> None:
        nonlocal result
        result = load_batches(connection, schema, schema.tables[TABLE], editions[edition])

    def delete_and_insert() -> None:
        replace_by_parent(connection, editions[edition])

    def check_edition() -> None:
        if len(sums) == 1:
            sums.append(_sum_up(connection))
        assert _sum_up(connection) == sums[edition]

    def check() -> Work:
        check_edition()
        assert result is not None
        touched = count_writes(connection, TABLE) - writes
        delta = result.inserted + result.updated + result.deleted
        assert touched == delta == 2 * changed, (touched, delta)
        return {"parents": changed, "items": changed * ITEMS, "touched": touched, "mode": result.mode}

    def check_replaced() -> Work:
        check_edition()
        touched = count_writes(connection, TABLE) - writes
        return {"parents": changed, "touched by the replaced way": touched}

    def copy() -> None:
        write_rows(connection, _FLOOR_TABLE, COLUMNS, ready)

    def empty() -> None:
        connection.execute(sql.SQL("TRUNCATE {}").format(sql.Identifier(_FLOOR_TABLE)))

    def check_copied() -> Work:
        row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(_FLOOR_TABLE))).fetchone()
        assert row is not None
        return {"items": row[0]}

    contestants = [
        Contestant("smart_diff", synchronise, check, prepare),
        Contestant(FLOOR, copy, check_copied, empty),
        Contestant(REPLACED, delete_and_insert, check_replaced, prepare),
    ]
    rounds = measure("smart_diff", f"{share:.0%} of the parents", contestants, settings.pairs, settings.on_round)
    yield rounds.compare("smart_diff", FLOOR)
    yield rounds.compare("smart_diff", REPLACED)


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
