"""Names and ids in what is printed: they are shown as they are, and quoted in statements for the servers' shells."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import smartdiet_assets
from smartdiet_assets.cli.reports import build_rejects_grid, open_console, print_failures
from smartdiet_assets.doctor.mongo import MongoFacts, compose_grant
from smartdiet_assets.extract.mongodb.change_volume import compose_create_index
from smartdiet_assets.load.records.inspection import RejectedRow

MARKUP = ["[red]", "[/]", "[/red]", "[link=x]y[/link]", ":x:", "\\[", "[bold", "a\\"]
NOW = datetime(2024, 3, 6, tzinfo=UTC)
#: What a shell of JavaScript reads as one text.
TEXT = r'("(?:[^"\\\x00-\x1f]|\\.)*")'


@pytest.mark.parametrize("name", MARKUP)
def test_a_name_is_no_markup(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    reject = RejectedRow("t", name, name, "too_long", "text", "string", 1, 1, NOW, NOW, "")
    open_console().print(build_rejects_grid([reject]))
    print_failures(open_console(), {name: f"{name} {name}"})
    printed = capsys.readouterr().out
    assert printed.count(name) >= 5


def test_every_console_takes_names_as_they_are() -> None:
    package = Path(smartdiet_assets.__file__).parent
    opened = [call for path in package.rglob("*.py") for call in re.findall(r"\bConsole\([^)]*\)", path.read_text())]
    assert opened
    assert all("markup=False, emoji=False" in call for call in opened), opened


@given(st.text(), st.text())
def test_names_stay_texts_in_mongos_shell(collection: str, field: str) -> None:
    statement = compose_create_index(collection, field)
    found = re.fullmatch(rf"db\.getCollection\({TEXT}\)\.createIndex\({{{TEXT}: 1}}\)", statement)
    assert found, statement
    assert [json.loads(text) for text in found.groups()] == [collection, field]


@given(st.text(min_size=1), st.text(), st.text())
def test_users_stay_texts_in_mongos_shell(user: str, place: str, database: str) -> None:
    facts = MongoFacts(version=(), has_streams=True, user=user, user_database=place, clock=NOW, asked=NOW, answered=NOW)
    [statement] = compose_grant(facts, database)
    form = rf'db\.getSiblingDB\({TEXT}\)\.grantRolesToUser\({TEXT}, \[{{role: "read", db: {TEXT}}}\]\)'
    found = re.fullmatch(form, statement)
    assert found, statement
    assert [json.loads(text) for text in found.groups()] == [place, user, database]
