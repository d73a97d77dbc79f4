"""What a run would do is known before: what it creates and adds, which documents it reads; and nothing is written."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from smartdiet_assets.extract.window import WindowRequest
from smartdiet_assets.mirror.forecast import Forecast, forecast_table
from smartdiet_assets.mirror.sources.mongodb import MongoSource
from smartdiet_assets_tests.integration.mirror.test_promises import Story
from smartdiet_assets_tests.support.application import reference
from smartdiet_assets_tests.support.declared import declare
from smartdiet_assets_tests.support.mirrored import Mirrored

NEWEST = WindowRequest("newest")
EVERYTHING = """
SELECT 'relation', c.oid::text, c.xmin::text, c.relname::text, pg_relation_size(c.oid)
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname IN ('public', 'smartdiet')
ORDER BY 2"""


@pytest.fixture
def story(mirrored: Mirrored) -> Story:
    return Story(mirrored)


def forecast(mirrored: Mirrored, name: str, request: WindowRequest = NEWEST) -> Forecast:
    """Ask, and see that the databases stay as they are."""
    table = mirrored.schema.tables[name]
    connection = mirrored.connection
    before = connection.execute(EVERYTHING).fetchall()
    found = forecast_table(connection, MongoSource(mirrored.schema, table, mirrored.mongo, 100), request)
    assert connection.execute(EVERYTHING).fetchall() == before
    assert not connection.info.transaction_status
    return found


def fill(story: Story, size: int = 5) -> None:
    for number in range(size):
        story.save("teams", number, name=f"t{number}", code=number)
        story.save("people", number, email=f"{number}@b", team=reference("teams", number))


def test_before_the_first_run_tables_are_created_and_everything_is_read(story: Story) -> None:
    fill(story)
    found = forecast(story.mirrored, "people")
    assert (found.created, found.rows, found.documents, found.rows_at_most) == (True, None, 5, 5)
    assert found.window.reads_everything
    result = story.mirrored.run()["people"]
    assert (result.window, result.documents_read) == (found.window, found.documents)


def test_after_it_what_changed_is_read_and_what_waits_asked_for_again(story: Story) -> None:
    fill(story)
    story.save("people", 8, email="far too long an address")
    story.mirrored.run()
    story.save("people", 3, email="new@b")
    story.save("people", 9, email="9@b")
    found = forecast(story.mirrored, "people")
    assert (found.created, found.added, found.differences, found.rows) == (False, (), (), 5)
    assert found.again == 1
    result = story.mirrored.run()["people"]
    assert result.window == found.window
    assert (found.documents, found.rows_at_most) == (3, 4)
    assert result.documents_read == found.rows_at_most
    assert result.load.inserted + result.load.updated == 2


@pytest.mark.parametrize(
    "request_",
    [
        WindowRequest("full"),
        replace(NEWEST, since=datetime(2020, 1, 1)),
        WindowRequest("range", datetime(2020, 1, 1), datetime(2021, 1, 1)),
    ],
)
def test_the_request_chooses_the_window(story: Story, request_: WindowRequest) -> None:
    fill(story)
    story.mirrored.run()
    found = forecast(story.mirrored, "teams", request_)
    assert found.window == story.mirrored.run(request_, ["teams"])["teams"].window


def test_a_new_column_is_added_and_all_is_read_for_it(mirrored: Mirrored) -> None:
    declared = """
tables:
  teams:
    include_base: true
    additional_columns:
      - {name: name, sql_type: VARCHAR(8)}
"""
    mirrored.schema = declare(declared)
    mirrored.mongo.teams.insert_one({"_id": 1, "name": "a", "creation_date": datetime(2026, 1, 1)})
    mirrored.run()
    more = "      - {name: code, sql_type: INTEGER}\n    indexes: [[name]]\n"
    mirrored.schema = declare(declared + more)
    found = forecast(mirrored, "teams")
    assert found.added == ("column code integer", "index (name)")
    assert found.window == mirrored.run()["teams"].window
    assert found.window.reads_everything
    mirrored.schema = declare(declared.replace("VARCHAR(8)", "INTEGER") + more)
    [difference] = forecast(mirrored, "teams").differences
    assert "ALTER TABLE" in difference


def test_an_unknown_past_is_read_from_the_newest_date(mirrored: Mirrored) -> None:
    """As of a table that another tool filled."""
    mirrored.schema = declare("tables:\n  teams: {include_base: true}")
    moment = datetime(2026, 1, 1)
    for number in range(3):
        dates: dict[str, Any] = {"creation_date": moment, "update_date": moment + timedelta(days=number)}
        mirrored.mongo.teams.insert_one({"_id": number, **dates})
    mirrored.run()
    mirrored.connection.execute("DROP SCHEMA smartdiet CASCADE")
    found = forecast(mirrored, "teams")
    assert found.window == mirrored.run()["teams"].window
    assert not found.window.reads_everything
