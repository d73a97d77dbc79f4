"""How often a run waits for PostgreSQL: far away, through a tunnel, that is what an hourly run of many tables costs."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile

import psycopg
import pytest

from smartdiet_assets_tests.integration.mirror.test_promises import Story
from smartdiet_assets_tests.support.application import reference
from smartdiet_assets_tests.support.mirrored import Mirrored


@contextmanager
def traced(connection: psycopg.Connection) -> Iterator[list[int]]:
    """Count the round trips of the block, by the messages with which the server hands the word back."""
    counts: list[int] = []
    with TemporaryFile("r+b") as file:
        connection.pgconn.trace(file.fileno())
        try:
            yield counts
        finally:
            connection.pgconn.untrace()
        lines = Path(f"/proc/self/fd/{file.fileno()}").read_text(errors="replace").splitlines()
        counts.append(sum("ReadyForQuery" in line or "CopyInResponse" in line for line in lines))


@pytest.fixture
def story(mirrored: Mirrored) -> Story:
    """A mirror whose last run read the same as the run before."""
    story = Story(mirrored)
    for number in range(4):
        story.save("events", number)
        story.save("teams", number, name=f"team {number}", code=number)
        story.save("people", number, email=f"{number}@b", team=reference("teams", number))
    for _ in range(3):
        story.sync()
    # PostgreSQL may have counted rows while there were hardly any; a run that finds this asks for new statistics.
    story.mirrored.connection.execute("ANALYZE")
    return story


def count_trips(story: Story, table: str) -> int:
    with traced(story.mirrored.connection) as counts:
        story.mirrored.run(tables=[table])
    return counts[0]


@pytest.mark.parametrize("table", ["teams", "people"])
def test_a_run_with_nothing_to_do_waits_twice(story: Story, table: str) -> None:
    assert count_trips(story, table) == 2


def test_without_autocommit_it_also_waits_for_its_transaction(story: Story) -> None:
    story.mirrored.connection.autocommit = False
    assert count_trips(story, "teams") <= 6


def test_a_changed_document_costs_few(story: Story) -> None:
    """Begin, stage, COPY (two), statistics, settle, compare, merge, count, end; with items, a COPY of documents too."""
    story.save("people", 0, email="new@b", team=reference("teams", 1), registered=[reference("events", 1)])
    assert count_trips(story, "people") == 10
    assert count_trips(story, "person_events") == 12
