"""Size: no bad plan whatever PostgreSQL knows about the tables, and cost that grows with the change alone.

The shared server runs without autovacuum, so no table here is ever analysed unless a test does it.
"""

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql

from smartdiet_assets.load.diff import compose_delta, compose_read_scope
from smartdiet_assets.load.fragments import DELTA, STAGING
from smartdiet_assets.load.parents import compose_count_orphans
from smartdiet_assets.load.session import open_load
from smartdiet_assets.load.strategies import compose_delete, compose_insert, compose_replace, compose_update
from smartdiet_assets_tests.integration.load.loads import EARLY, Batch, club, described, load, oid, read

Connection = psycopg.Connection[Any]
PARENTS, ITEMS, CHUNK = 60_000, 15, 5_000
CREATE_DELTA = f"CREATE TEMPORARY TABLE {DELTA.as_string()} ON COMMIT DROP AS\n"


def batches(parents: int, tag: Callable[[int, int], str]) -> Iterator[Batch]:
    for start in range(0, parents, CHUNK):
        yield described(
            *[
                (oid(n), [(oid(n), tag(n, item), None, EARLY, EARLY) for item in range(ITEMS)])
                for n in range(start, min(start + CHUNK, parents))
            ]
        )


def fill(connection: Connection, parents: int) -> None:
    load(
        connection,
        club(),
        "members",
        *[
            read(*[(oid(n), None, None, None, None, EARLY, EARLY) for n in range(start, min(start + CHUNK, parents))])
            for start in range(0, parents, CHUNK)
        ],
    )
    load(connection, club(), "tags", *batches(parents, lambda n, item: f"t{item}"))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_change_in_every_one_of_60_000_parents_ends(postgres: Connection) -> None:
    """A nested loop over 60,000 parents would not: it was cancelled after 270 seconds in one statement of several."""
    fill(postgres, PARENTS)
    one = load(postgres, club(), "tags", *batches(PARENTS, lambda n, item: f"t{item or 'x'}"))
    half = load(postgres, club(), "tags", *batches(PARENTS, lambda n, item: f"t{item}" if item < 8 else f"u{item}"))

    assert (one.mode, one.inserted, one.deleted) == ("delta", PARENTS, PARENTS)
    assert (half.mode, half.inserted, half.deleted) == ("replace", 8 * PARENTS, 8 * PARENTS)


@pytest.mark.parametrize("analysed", [False, True], ids=["never analysed", "analysed"])
def test_one_changed_document_is_found_by_index(postgres: Connection, analysed: bool) -> None:
    fill(postgres, 2 * CHUNK)
    if analysed:
        postgres.execute("ANALYZE")
    table = club().tables["tags"]
    with open_load(postgres, club(), table, "run") as run:
        run.begin()
        run.write(described((oid(7), [(oid(7), "new", None, EARLY, EARLY)])))
        run.flush()
        postgres.execute("ANALYZE pg_temp.mirror_documents, pg_temp.mirror_staging")
        delta = compose_delta(table, scope=compose_read_scope(table))
        plans = [explain(postgres, delta.as_string(postgres).split(" AS\n", 1)[1])]
        postgres.execute(delta)
        postgres.execute("ANALYZE pg_temp.mirror_delta")
        steps = (compose_insert(table), compose_update(table), compose_delete(table))
        plans.extend(explain(postgres, step.as_string(postgres)) for step in steps)
        postgres.execute(f"DROP TABLE {DELTA.as_string(postgres)}")
        run.finish(watermark=None)

    for plan in plans:
        assert "Seq Scan on tags" not in plan, plan


@pytest.mark.parametrize("rows_then", [ITEMS, 0])
def test_statistics_of_another_time_bring_no_loop_over_all_rows(postgres: Connection, rows_then: int) -> None:
    """Analysed when it held one parent, or nothing any more, the table has 5,000 by now, and all of them change."""
    fill(postgres, 1)
    if not rows_then:
        postgres.execute("DELETE FROM tags")
        postgres.execute("DELETE FROM members")
    postgres.execute("ANALYZE members, tags")
    fill(postgres, CHUNK)
    table, plans = club().tables["tags"], list[dict[str, Any]]()

    def look(stage: str) -> None:
        statements: list[sql.Composed] = []
        if stage == "settled":
            orphans = compose_count_orphans(table, STAGING, [table.column("member_id")])
            statements = [orphans, compose_delta(table, scope=compose_read_scope(table))]
        elif stage == "compared":
            statements = [
                compose_insert(table), compose_update(table), compose_delete(table), compose_replace(table),
            ]  # fmt: skip
        for statement in statements:
            text = statement.as_string(postgres).removeprefix(CREATE_DELTA)
            (plan,) = postgres.execute(f"EXPLAIN (FORMAT JSON) {text}").fetchone() or ()  # type: ignore[arg-type]
            plans.extend(step["Plan"] for step in plan)

    load(postgres, club(), "tags", *batches(CHUNK, lambda n, item: f"t{item or 'x'}"), on_stage=look)

    assert len(plans) == 6
    for plan in plans:
        for loop in find_nodes(plan, "Nested Loop"):
            assert loop["Plans"][1]["Node Type"].startswith("Index"), loop


def find_nodes(plan: dict[str, Any], kind: str) -> Iterator[dict[str, Any]]:
    if plan["Node Type"] == kind:
        yield plan
    for child in plan.get("Plans", ()):
        yield from find_nodes(child, kind)


def explain(connection: Connection, statement: str) -> str:
    return "\n".join(line for (line,) in connection.execute("EXPLAIN " + statement))  # type: ignore[arg-type]


def test_an_unchanged_re_import_writes_no_wal_of_its_size(postgres: Connection) -> None:
    fill(postgres, CHUNK)
    before = postgres.execute("SELECT pg_current_wal_insert_lsn()").fetchone()

    result = load(postgres, club(), "tags", *batches(CHUNK, lambda n, item: f"t{item}"), retry=False)

    assert result.unchanged == CHUNK * ITEMS
    written = postgres.execute("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), %s)", before).fetchone()
    # The catalogue entries of the temporary tables and the line of the state; 75,000 rows would be megabytes.
    assert written is not None
    assert written[0] < 200_000
