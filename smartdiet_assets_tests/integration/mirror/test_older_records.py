"""Records made before they told schemas apart: read as they are, and given their schemas by the first run."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any, LiteralString

import psycopg
import pytest

from smartdiet_assets.load.records.migrations import KEYS
from smartdiet_assets_tests.integration.mirror.schema_sides import Side, fill, leftovers, rejects
from smartdiet_assets_tests.support.application import reference
from smartdiet_assets_tests.support.older_records import LAYOUTS, age

Connection = psycopg.Connection[Any]
Sides = tuple[Side, Side]


@pytest.fixture(params=list(LAYOUTS))
def layout(request: pytest.FixtureRequest) -> LiteralString:
    return LAYOUTS[request.param]


def keys_of(connection: Connection) -> dict[str, tuple[str, ...]]:
    """The primary keys of the records."""
    rows = connection.execute(
        "SELECT c.relname, array_agg(a.attname::text ORDER BY array_position(k.conkey, a.attnum))"
        " FROM pg_constraint AS k JOIN pg_class AS c ON c.oid = k.conrelid JOIN pg_attribute AS a ON a.attrelid = c.oid"
        " AND a.attnum = ANY (k.conkey) WHERE k.contype = 'p' AND c.relnamespace = 'smartdiet'::regnamespace"
        " AND c.relname = ANY (%s) GROUP BY c.relname",
        [list(KEYS)],
    ).fetchall()
    return {name: tuple(columns) for name, columns in rows}


def indexes_of(connection: Connection) -> list[str]:
    """The definitions of the records' indexes."""
    query = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'smartdiet' AND tablename = ANY (%s)"
    rows = connection.execute(query, [list(KEYS)])
    return sorted(definition for (definition,) in rows)


def companion_of(connection: Connection, name: str) -> object:
    row = connection.execute("SELECT to_regclass(%s)::oid", [f'smartdiet."{name}"']).fetchone()
    return row and row[0]


def test_a_mirror_goes_on_where_it_was(sides: Sides, layout: LiteralString) -> None:
    fill(sides)
    side, _ = sides
    assert not side.mirrored.sync()
    side.save("meals", 11, menu=reference("events", 1), plates=5)
    side.save("meals", 12, menu=reference("events", 1), plates=4)
    assert not side.mirrored.sync()
    made, before = indexes_of(side.connection), rejects(side)
    assert before
    age(side.connection, layout, "a")
    companion = companion_of(side.connection, "meals_candidates")
    assert companion
    assert rejects(side) == before
    assert leftovers(side) == []

    assert not side.mirrored.sync()

    assert keys_of(side.connection) == KEYS
    assert indexes_of(side.connection) == made
    assert companion_of(side.connection, "a.meals_candidates") == companion
    assert companion_of(side.connection, "meals_candidates") is None
    assert rejects(side) == before
    reread = "SELECT count(*) FROM smartdiet.sync_state WHERE schema_name <> 'a' OR reimport IS NOT NULL"
    assert side.connection.execute(reread).fetchone() == (0,)
    side.save("teams", 2)
    assert not side.mirrored.sync()
    assert not side.failures()
    assert leftovers(side) == []


def test_it_can_be_looked_at_before(sides: Sides, layout: LiteralString) -> None:
    fill(sides)
    side, _ = sides
    assert not side.mirrored.sync()
    assert not side.failures()
    age(side.connection, layout, "a")
    assert not side.failures()


def test_a_record_belongs_to_the_schema_where_its_table_is_found(sides: Sides, layout: LiteralString) -> None:
    """The second one's search path leads on to the first one's tables: its own are new all the same."""
    fill(sides)
    first, second = sides
    assert not first.mirrored.sync()
    before = rejects(first)
    age(first.connection, layout, "a")
    assert not second.mirrored.sync()
    assert rejects(first) == before
    assert not first.mirrored.sync()
    for side in sides:
        assert not side.failures()
        assert leftovers(side) == []


@pytest.mark.parametrize("keep", ["a", "b"])
def test_two_mirrors_that_shared_their_records_are_right_again(sides: Sides, layout: LiteralString, keep: str) -> None:
    fill(sides)
    for side in sides:
        assert not side.mirrored.sync()
        side.save("meals", 11, menu=reference("events", 1), plates=5)
        side.save("meals", 12, menu=reference("events", 1), plates=4)
        assert not side.mirrored.sync()
    age(sides[0].connection, layout, keep)
    # Each hid from the other what came between their positions.
    for side in sides:
        side.save("events", 9)
        side.save("teams", 7, parent=reference("teams", 8))
    for side in sides:
        assert not side.mirrored.sync()
    for side in sides:
        side.save("meals", 13, menu=reference("events", 1), plates=6)
        assert not side.mirrored.sync()
        assert not side.failures()
        assert leftovers(side) == []


def test_runs_that_start_at_once_migrate_once(sides: Sides, layout: LiteralString) -> None:
    fill(sides)
    for side in sides:
        assert not side.mirrored.sync()
    age(sides[0].connection, layout, "a")
    with ThreadPoolExecutor(max_workers=len(sides)) as pool:
        assert list(pool.map(lambda side: side.mirrored.sync(), sides)) == [[], []]
    for side in sides:
        assert not side.failures()


def test_a_mirror_is_reconciled_first(sides: Sides, layout: LiteralString) -> None:
    fill(sides)
    side, _ = sides
    assert not side.mirrored.sync()
    age(side.connection, layout, "a")
    side.mirrored.reconcile()
    assert not side.mirrored.sync()
    assert not side.failures()
