"""Two mirrors in two schemas of one database: each is what its own source says, whatever the other one does.

The second one's search path leads on to the first one's schema, where every table is there too.
"""

from concurrent.futures import ThreadPoolExecutor
from itertools import zip_longest
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings

from smartdiet_assets.extract.window import WindowRequest
from smartdiet_assets.load.records.inspection import fetch_status
from smartdiet_assets_tests.integration.mirror.pausing import PausingRun, open_pool
from smartdiet_assets_tests.integration.mirror.schema_sides import Side, fill, leftovers, rejects
from smartdiet_assets_tests.integration.mirror.test_random_edits import EXAMPLES, randomly, take
from smartdiet_assets_tests.support import compact
from smartdiet_assets_tests.support.application import Application, reference

Connection = psycopg.Connection[Any]


@settings(randomly, max_examples=max(2, EXAMPLES // 5))
@given(history=compact.days(), other=compact.days())
def test_every_table_of_both_equals_its_oracle_whatever_happens_to_the_other(
    sides: tuple[Side, Side], history: list[compact.Step], other: list[compact.Step]
) -> None:
    for side in sides:
        side.mirrored.forget()
        side.application = Application(side.mirrored.mongo)
    for number, steps in enumerate(zip_longest(history, other)):
        for side, step in zip(sides, steps, strict=True):
            differences = take(side.mirrored, side.application, step) if step is not None else []
            assert not differences, f"after step {number}:\n" + "\n".join(differences)
    for side in sides:
        assert not side.mirrored.sync()
    before = [side.mirrored.versions() for side in sides]
    for request in (WindowRequest("newest"), WindowRequest("full")):
        for side in sides:
            assert not side.mirrored.sync(request)
    assert [side.mirrored.versions() for side in sides] == before


def test_a_later_position_of_one_keeps_no_document_from_the_other(sides: tuple[Side, Side]) -> None:
    fill(sides)
    first, second = sides
    assert not first.mirrored.sync()
    first.save("events", 9)
    second.save("events", 9)
    assert not second.mirrored.sync()
    assert not first.mirrored.sync()


def test_what_people_are_told_is_of_the_schema_alone(sides: tuple[Side, Side]) -> None:
    fill(sides)
    first, second = sides
    assert not first.mirrored.sync()
    rejected = rejects(first)
    assert {"teams", "person_menus"} & {reject.table_name for reject in rejected}
    assert [status.rows for status in fetch_status(second.connection, ["teams", "people"])] == [None, None]
    assert (rejects(second), leftovers(second)) == ([], [])
    for _ in range(2):
        assert not second.mirrored.sync()
    assert rejects(first) == rejected
    assert not first.mirrored.sync()
    assert [side.failures() for side in sides] == [[], []]
    # What one does not declare any more is no leftover of the other.
    rename = "UPDATE smartdiet.sync_state SET table_name = 'old' WHERE schema_name = 'b' AND table_name = 'meals'"
    second.connection.execute(rename)
    own = "DELETE FROM \"smartdiet\".\"sync_state\" WHERE schema_name = 'b' AND table_name = 'old';"
    assert (leftovers(first), leftovers(second)) == ([], [own])


def test_the_rows_of_one_go_without_those_of_the_other(sides: tuple[Side, Side]) -> None:
    """Its children of another schema, found by the search path alone, are none."""
    fill(sides)
    first, second = sides
    assert not first.mirrored.sync()
    before = first.mirrored.versions()
    second.mirrored.run(tables=["events", "menus"])
    second.save("events", 0, __t="webinar")
    second.mirrored.run(tables=["menus"])
    second.mirrored.run(WindowRequest("full"), tables=["menus"])
    assert first.mirrored.versions() == before
    assert not first.mirrored.sync()
    assert first.mirrored.versions() == before
    assert not second.mirrored.sync()


@pytest.mark.parametrize(
    ("table", "stage"),
    [("menus", "merged"), ("meals", "merged"), ("person_menus", "merged"), ("teams", "merged"), ("menus", "begun"),
     ("meals", "settled"), ("teams", "stored")],
)  # fmt: skip
def test_a_run_of_one_waits_for_none_of_the_other(sides: tuple[Side, Side], table: str, stage: str) -> None:
    fill(sides)
    for side in sides:
        assert not side.mirrored.sync()
        side.save("events", 1, __t="webinar")
        side.save("events", 9)
        side.save("people", 0, liked=[reference("events", n) for n in (2, 9)])
        side.save("meals", 1, menu=reference("events", 9), plates=8)
        side.save("teams", 5, parent=reference("teams", 6))
    first, second = sides
    halted = PausingRun(first.mirrored, table, stage)
    with open_pool(halted) as pool:
        halted.start(pool, first.url).wait_for_halt()
        assert not second.mirrored.sync()
        halted.resume()
        halted.result()
    assert not first.mirrored.sync()
    assert not second.mirrored.sync()


def test_both_sync_at_once(sides: tuple[Side, Side]) -> None:
    for day in range(4):
        for side in sides:
            for number in range(day * 3):
                side.save("events", number, extra={"city": f"{day}"})
                side.save("meals", number, menu=reference("events", number + 1), plates=day)
                side.save("people", number, liked=[reference("events", number), reference("events", 40 + number)])
        with ThreadPoolExecutor(max_workers=len(sides)) as pool:
            assert list(pool.map(lambda side: side.mirrored.sync(), sides)) == [[], []]
    for side in sides:
        assert not side.mirrored.sync()
        assert not side.failures()
