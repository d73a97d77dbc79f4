"""Moving over from the replaced tool with its database in place, step by step as config/README.md says.

The database is laid out by that tool's statements and filled with what it would have loaded, its faults included:
links of arrays that were emptied, rows of deleted documents, documents it dropped without a word.
"""

import json
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from psycopg.rows import tuple_row

from smartdiet_assets.demo.company import write_company
from smartdiet_assets.errors import SchemaMismatchError
from smartdiet_assets.resources.environment import VARIABLES
from smartdiet_assets_tests.integration.conftest import Smartdiet
from smartdiet_assets_tests.integration.replaced_tool.old_mirror import FULL, OldMirror
from smartdiet_assets_tests.integration.replaced_tool.test_old_file import leave_database, write_menus
from smartdiet_assets_tests.oracle import MirrorOracle, compare, read_collections
from smartdiet_assets_tests.support.old_file import TABLES

SEED, SCALE = 5, 0.0005
OURS = Path(__file__).parents[3] / "config" / "schemas.yaml"
#: After everything the generator dates.
LATER = datetime(2025, 12, 1)
ITS_VARIABLES = (
    "TRANSFER_SOURCE", "TRANSFER_DESTINATION", "MONGODB_URL", "MONGODB_DATABASE", "POSTGRES_HOST", "POSTGRES_PORT",
    "POSTGRES_DATABASE", "POSTGRES_USER", "POSTGRES_PASSWORD", "REMOTE_SERVER_URL", "REMOTE_SERVER_USER",
    "REMOTE_SERVER_PASSWORD", "REMOTE_MONGODB_URL", "REMOTE_MONGODB_DATABASE", "REMOTE_MONGODB_PATH",
    "REMOTE_POSTGRES_DATABASE", "REMOTE_POSTGRES_USER", "REMOTE_POSTGRES_PASSWORD", "REMOTE_POSTGRES_PORT",
    "REMOTE_POSTGRES_PATH", "GLOBAL_DATE_THRESHOLD", "BATCH_SIZE", "MATOMO_SOURCE", "MATOMO_HOST", "MATOMO_PORT",
    "MATOMO_DATABASE", "MATOMO_USER", "MATOMO_PASSWORD", "MAX_DUMP_SIZE_MB", "POSTGRES_DATA_SAMPLE_PERCENT",
    "POSTGRES_INCLUDE_TABLES", "POSTGRES_EXCLUDE_TABLES", "POSTGRES_INCLUDE_SCHEMAS", "POSTGRES_EXCLUDE_SCHEMAS",
    "POSTGRES_EXCLUDE_DATA_TABLES",
)  # fmt: skip
#: Tables that get a column for the document's id, which only a read of all documents can fill.
READ_WHOLE = {"menu_recipes", "coaching_reasons"}
_STATEMENT = re.compile(r"; run (ALTER TABLE .*?) or declare")


@dataclass
class Left:
    """What that tool left wrong: its user whose registrations are links still, and the message that is gone."""

    user: ObjectId
    links: int
    message: ObjectId


@pytest.fixture
def left(mirror: OldMirror, configured_servers: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Left:
    """The database it left, its file where ours would be, and a source that has moved on meanwhile."""
    mirror.declare()
    monkeypatch.setenv("SMARTDIET_SCHEMAS", str(mirror.path))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    write_company(mirror.source, SEED, SCALE)
    write_menus(mirror)
    leave_database(mirror)
    user, links = mirror.rows("user_events", "user_id")[0], 0
    links = mirror.rows("user_events", "user_id").count(user)
    # Their dates stay: that tool read them after, and saw nothing to do.
    mirror.source.users.update_one({"_id": ObjectId(user)}, {"$set": {"registered_events": []}})
    message = ObjectId(mirror.rows("messages", "id")[0])
    mirror.source.messages.delete_one({"_id": message})
    return Left(ObjectId(user), links, message)


def test_its_env_file_is_read_whole(
    configured_servers: None, smartdiet: Smartdiet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """No variable it had is unknown here, though three have nothing left to say."""
    assert set(ITS_VARIABLES) <= set(VARIABLES)
    env = dict.fromkeys(ITS_VARIABLES, "") | {"MAX_DUMP_SIZE_MB": "100", "REMOTE_MONGODB_PATH": "/tmp"}
    (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in env.items()))
    (tmp_path / "schemas.yaml").write_text("tables: {users: {include_base: true}}\n")
    monkeypatch.setenv("SMARTDIET_SCHEMAS", str(tmp_path / "schemas.yaml"))
    assert "that nothing reads" not in smartdiet("doctor").out
    assert smartdiet("status").code == 0


def fetch_versions(mirror: OldMirror) -> dict[str, set[tuple[Any, ...]]]:
    """Which row is where, and by which transaction, of every table."""
    return {name: set(mirror.rows(name, "ctid", "xmin")) for name in TABLES}


def count_written(before: dict[str, set[tuple[Any, ...]]], after: dict[str, set[tuple[Any, ...]]]) -> dict[str, int]:
    """Rows written between two looks, where there are any."""
    return {name: len(after[name] - before[name]) for name in before if after[name] - before[name]}


def test_the_checklist(mirror: OldMirror, left: Left, smartdiet: Smartdiet) -> None:
    """Every step of config/README.md in order, on all 31 tables."""
    before = fetch_versions(mirror)
    newest = {name: max(max(dates) for dates in mirror.rows(name, "created_at", "updated_at")) for name in TABLES}
    look_before_the_first_run(smartdiet)
    assert fetch_versions(mirror) == before
    after_first = run_first(mirror, left, smartdiet, before)
    watermarks = dict(
        mirror.target.cursor(row_factory=tuple_row).execute("SELECT table_name, watermark FROM smartdiet.sync_state")
    )
    assert all(watermarks[name] >= newest[name] for name in TABLES)
    repair(mirror, left, smartdiet)
    assert not count_written(after_first, fetch_versions(mirror))
    remove_deleted(mirror, left, smartdiet)
    untouched = fetch_versions(mirror)
    assert smartdiet("sync").code == 0
    assert fetch_versions(mirror) == untouched


def look_before_the_first_run(smartdiet: Smartdiet) -> None:
    """Nothing is written by looking."""
    assert smartdiet("doctor").code == 0
    status = smartdiet("status")
    assert status.code == 0
    assert all(name in status.out for name in TABLES)
    compared = smartdiet("compare", "schema", "local")
    differences = [line.strip() for line in compared.out.splitlines() if line.startswith("  ")]
    assert compared.code == 1
    assert {line.split()[1] for line in differences} == {"index", "comment", "column"}
    assert all(line.startswith("+ ") for line in differences), "what the first run adds, and nothing that stops it"
    assert [line for line in differences if "column" in line.split()[:2]] == [
        "+ column document_id: only in schema: character varying"
    ]


def run_first(
    mirror: OldMirror, left: Left, smartdiet: Smartdiet, before: dict[str, set[tuple[Any, ...]]]
) -> dict[str, set[tuple[Any, ...]]]:
    """The first run writes what changed since that tool's last run, and what the id of the document adds."""
    edited = ObjectId(next(user for user in mirror.rows("users", "id") if user != str(left.user)))
    mirror.source.users.update_one({"_id": edited}, {"$set": {"phone": "+33600000000", "update_date": LATER}})
    mirror.source.messages.insert_one(
        {"content": "Bonjour", "sender": edited, "creation_date": LATER, "update_date": LATER}
    )
    first = smartdiet("sync", "--json")
    assert first.code == 0, first.err
    tables = json.loads(first.out)["tables"]
    assert {name for name, table in tables.items() if table["mode"] == "bulk"} == set()
    assert (tables["users"]["updated"], tables["messages"]["inserted"]) == (1, 1)
    after = fetch_versions(mirror)
    menu_recipes = len(before["menu_recipes"])
    assert count_written(before, after) == {"users": 1, "messages": 1, "menu_recipes": menu_recipes}
    assert {name for name, table in tables.items() if table["documents_read"] > 700} <= READ_WHOLE
    return after


def repair(mirror: OldMirror, left: Left, smartdiet: Smartdiet) -> None:
    """The checks see what that tool left wrong; one full read repairs it."""
    checked = json.loads(smartdiet("check", "user_events", "--json").out)["tables"]
    assert not checked["user_events"]["rows_match_source"]["passed"]
    assert mirror.rows("user_events", "user_id").count(str(left.user)) == left.links
    full = smartdiet("sync", "--full", "--json")
    assert full.code == 0, full.err
    tables = json.loads(full.out)["tables"]
    assert tables["user_events"]["deleted"] == left.links
    assert sum(table["deleted"] for table in tables.values()) == left.links
    assert sum(table["rejected"] for table in tables.values()) > 20, "what that tool dropped is listed"
    assert "missing_parent" in smartdiet("rejects", "--limit", "0").out


def remove_deleted(mirror: OldMirror, left: Left, smartdiet: Smartdiet) -> None:
    """Deleted documents are a decision of their own."""
    (found,) = [
        (name, table["gone"])
        for name, table in json.loads(smartdiet("reconcile", "--dry-run", "--json").out)["tables"].items()
        if table["gone"]
    ]
    assert found == ("messages", 1)
    mirror.path.write_text("defaults: {on_delete: delete}\n" + mirror.path.read_text())
    assert smartdiet("reconcile", "messages").code == 0
    assert str(left.message) not in mirror.rows("messages", "id")
    checked = json.loads(smartdiet("check", "--all", "--json").out)
    assert checked["errors"] == 0, [
        (name, check["sentence"])
        for name, kinds in checked["tables"].items()
        for check in kinds.values()
        if not check["passed"] and check["severity"] == "ERROR"
    ]
    assert smartdiet("compare", "schema", "local").code == 0


def test_that_tool_can_go_on_in_between(mirror: OldMirror) -> None:
    """Rolling back: its statements work on the tables as our runs leave them, and ours go on after."""
    mirror.declare("user_events", "menu_recipes")
    event = mirror.save("events", 1)
    user = mirror.save("users", 1, registered_events=[event])
    menu, recipe, other = mirror.save("menus", 1), mirror.save("recipes", 1), mirror.save("recipes", 2)
    mirror.save("menu_recipes", 1, menu=menu, recipe=recipe)
    leave_database(mirror)
    mirror.sync()
    dates = (datetime(2024, 6, 1), datetime(2024, 6, 1))

    mirror.target.execute(
        "INSERT INTO events (id, created_at, updated_at, name, type, start_date, end_date)"
        " VALUES (%s, %s, %s, 'n', 't', now(), now()) ON CONFLICT (id) DO UPDATE SET name = EXCLUDED.name",
        [str(event), *dates],
    )
    mirror.target.execute("DELETE FROM user_events WHERE user_id = %s", [str(user)])
    mirror.target.execute(
        "INSERT INTO user_events (user_id, event_id, created_at, updated_at) VALUES (%s, %s, %s, %s)"
        " ON CONFLICT (user_id, event_id) DO UPDATE SET updated_at = EXCLUDED.updated_at",
        [str(user), str(event), *dates],
    )
    mirror.target.execute(
        "INSERT INTO menu_recipes (menu_id, recipe_id, created_at, updated_at) VALUES (%s, %s, %s, %s)"
        " ON CONFLICT (menu_id, recipe_id) DO UPDATE SET updated_at = EXCLUDED.updated_at",
        [str(menu), str(other), *dates],
    )
    mirror.save("menu_recipes", 2, dates[0], menu=menu, recipe=other)

    mirror.sync(FULL)
    oracle = MirrorOracle(mirror.schema)
    oracle.observe(read_collections(mirror.source, mirror.schema))
    assert [line for line in compare(mirror.target, oracle) if not line.startswith("user_events")] == []
    assert mirror.rows("user_events", "user_id", "event_id") == [(str(user), str(event))]


def test_constraints_of_other_names_are_taken_over_as_they_are(mirror: OldMirror) -> None:
    mirror.declare("user_events")
    event = mirror.save("events", 1)
    mirror.save("users", 1, registered_events=[event])
    leave_database(mirror)
    query = "SELECT conname FROM pg_constraint WHERE conrelid = 'user_events'::regclass AND contype IN ('p', 'u', 'f')"
    for number, (name,) in enumerate(mirror.target.execute(query).fetchall()):
        mirror.target.execute(f'ALTER TABLE user_events RENAME CONSTRAINT "{name}" TO "theirs {number}"')
    mirror.target.execute('ALTER TABLE users RENAME CONSTRAINT users_pkey TO "their key"')
    names = mirror.target.execute(query).fetchall()
    before = mirror.rows("user_events", "ctid", "xmin")
    mirror.sync()
    assert mirror.target.execute(query).fetchall() == names
    assert mirror.rows("user_events", "ctid", "xmin") == before


def find_statements(mirror: OldMirror, table: str) -> list[str]:
    """The statements that the error of a table's run gives, one for each difference; none where it runs."""
    try:
        mirror.sync(tables=[table])
    except SchemaMismatchError as error:
        return [match[1] for difference in error.differences if (match := _STATEMENT.search(f"; {difference}"))]
    return []


@pytest.fixture
def ours(mirror: OldMirror, configured_servers: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OldMirror:
    """Its database, in good order, and our file; `days.completed` holds a text that is no boolean."""
    mirror.declare()
    monkeypatch.setenv("SMARTDIET_SCHEMAS", str(mirror.path))
    write_company(mirror.source, SEED, SCALE, defects=False)
    leave_database(mirror)
    # It held whatever text the application wrote.
    mirror.target.execute("UPDATE days SET completed = 'oui' WHERE id = (SELECT min(id) FROM days)")
    mirror.declare(text=OURS.read_text())
    return mirror


def prepare_days(mirror: OldMirror) -> None:
    """What config/README.md has before the statements of `days`."""
    mirror.target.execute("ALTER TABLE days ALTER COLUMN completed DROP NOT NULL")
    mirror.target.execute("UPDATE days SET completed = NULL WHERE completed NOT IN ('true', 'false')")


def check_all(mirror: OldMirror) -> None:
    """One full read, and every table is as our file says."""
    mirror.sync(FULL)
    oracle = MirrorOracle(mirror.schema)
    oracle.observe(read_collections(mirror.source, mirror.schema))
    assert compare(mirror.target, oracle) == []
    assert mirror.rows("users_logbook", "id"), "its users_logbooks has another name here, and is filled anew"


def test_our_file_on_its_database_takes_the_statements_that_the_errors_give(ours: OldMirror) -> None:
    """From its YAML to ours, in place: four tables differ, new columns fill themselves, one table has a new name."""
    needed: dict[str, int] = {}
    for name in ours.schema.tables:
        if statements := find_statements(ours, name):
            needed[name] = len(statements)
            if name == "days":
                prepare_days(ours)
            for statement in statements:
                ours.target.execute(statement)  # type: ignore[call-overload]
            assert not find_statements(ours, name)
    assert needed == {"categories": 1, "events": 2, "appointments": 3, "days": 2}
    check_all(ours)


def test_our_file_on_its_database_takes_the_statements_of_compare(ours: OldMirror, smartdiet: Smartdiet) -> None:
    """The same from one script, which also makes what the first run would make."""
    prepare_days(ours)
    script = smartdiet("compare", "schema", "local", "--sql")
    assert script.code == 1, script.err
    ours.target.execute(script.out)  # type: ignore[call-overload]
    assert smartdiet("compare", "schema", "local").code == 0
    check_all(ours)
