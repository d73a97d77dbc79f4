"""A file written for the replaced tool mirrors, into an empty database and into the one that tool left."""

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg import sql

from smartdiet_assets.demo.company import apply_day_of_changes, write_company
from smartdiet_assets.errors import SchemaFileError
from smartdiet_assets.schema.model import Table
from smartdiet_assets_tests.integration.replaced_tool.old_mirror import FULL, MARCH, MAY, OldMirror, identify
from smartdiet_assets_tests.oracle import MirrorOracle, compare, read_collections
from smartdiet_assets_tests.support.mirrored import Mirrored
from smartdiet_assets_tests.support.old_file import TABLES, compose_old_database

SEED, SCALE = 5, 0.0005
DAYS = (datetime(2025, 10, 1), datetime(2025, 10, 2))
#: As its notes show a new table; the strategy is a class of the tool's own package.
NOTIFICATIONS = """
  notifications:
    include_base: true
    additional_columns:
      - name: user_id
        sql_type: VARCHAR
        nullable: false
        foreign_key: users(id)
        mongo_field: user
      - name: title
        sql_type: VARCHAR(255)
      - name: read
        sql_type: BOOLEAN
        default: false
    export_order: 3
"""


def test_the_whole_file_loads_parents_first_with_one_thing_to_look_at(mirror: OldMirror) -> None:
    mirror.declare()
    assert set(mirror.schema.tables) == set(TABLES)
    assert len(TABLES) == 31
    seen: set[str] = set()
    for table in mirror.schema.tables.values():
        assert seen.issuperset(table.parents)
        seen.add(table.name)
    (warning,) = mirror.schema.warnings
    assert "users_logbooks: has the export_order 3 of coachings, its parent: coachings goes first" in warning


def test_the_rarer_keys_of_the_format_load_too(mirror: OldMirror) -> None:
    serial = {
        "include_base": None,
        "additional_columns": None,
        "columns": [
            {"name": "id", "sql_type": "SERIAL", "nullable": False, "primary_key": True, "foreign_key": None},
            {"name": "day", "sql_type": "DATE", "nullable": False, "primary_key": False},
        ],
        "explicit_mappings": {},
        "unique_constraints": [["day"]],
    }
    mirror.declare(
        "ingredients",
        "offers",
        "days_contents_links",
        offers={"name": "offers", "force_reimport": False, "truncate_before_import": False},
        ingredients=serial,
        days_contents_links={"force_reimport": True, "truncate_before_import": True, "date_threshold": "2024-01-01"},
    )
    links = mirror.schema.tables["days_contents_links"]
    assert (links.force_reimport, links.truncate_before_import, str(links.date_threshold)) == (True, True, "2024-01-01")
    numbered = mirror.schema.tables["ingredients"]
    assert (numbered.shape, numbered.key, numbered.column("id").generated) == ("one_per_key", ("day",), True)


@pytest.mark.slow
def test_a_company_mirrored_through_the_old_file_equals_the_oracle_day_after_day(mirror: OldMirror) -> None:
    mirror.declare()
    mirrored = Mirrored(mirror.schema, mirror.source, mirror.target, batch_size=200)
    write_company(mirror.source, SEED, SCALE)
    write_menus(mirror)
    assert not mirrored.sync()
    assert all(expected.rows for expected in mirrored.oracle.expected.values())
    for day in DAYS:
        apply_day_of_changes(mirror.source, seed=SEED, day=day)
        assert not mirrored.sync(), f"{day:%d %B}"
    before = mirrored.versions()
    assert not mirrored.sync()
    assert not mirrored.sync(FULL)
    assert mirrored.versions() == before, "what did not change is not written, however often it is read"


def write_menus(mirror: OldMirror) -> None:
    """Fill the two collections that only the old file reads."""
    for number, recipe in enumerate(mirror.source.recipes.find()):
        menu = mirror.save("menus", number % 3)
        mirror.save("menu_recipes", number, menu=menu, recipe=recipe["_id"])


# --- a database the replaced tool filled


def leave_database(mirror: OldMirror) -> MirrorOracle:
    """Create and fill the tables as the replaced tool would have, from what is in the source."""
    oracle = MirrorOracle(mirror.schema)
    oracle.observe(read_collections(mirror.source, mirror.schema))
    for statement in compose_old_database(*mirror.schema.tables):
        mirror.target.execute(statement)
    for table in mirror.schema.tables.values():
        insert(mirror.target, table, oracle.expected[table.name].rows)
    return oracle


def insert(connection: psycopg.Connection[Any], table: Table, rows: list[Any]) -> None:
    kept = [number for number, column in enumerate(table.stored_columns) if not column.implicit]
    names = [sql.Identifier(table.stored_columns[number].name) for number in kept]
    statement = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
        sql.Identifier(table.name), sql.SQL(", ").join(names), sql.SQL(", ").join([sql.Placeholder()] * len(kept))
    )
    with connection.cursor() as cursor:
        cursor.executemany(statement, [[row[number] for number in kept] for row in rows])


@pytest.mark.slow
def test_the_database_it_left_is_taken_over_as_it_is_from_the_newest_date_in_each_table(mirror: OldMirror) -> None:
    mirror.declare()
    write_company(mirror.source, SEED, SCALE, defects=False)
    write_menus(mirror)
    oracle = leave_database(mirror)
    apply_day_of_changes(mirror.source, seed=SEED, day=DAYS[0])
    newest = {
        name: mirror.target.execute(f'SELECT max(greatest(created_at, updated_at)) FROM "{name}"').fetchone()[0]  # type: ignore[index]
        for name in TABLES
    }
    runs = mirror.sync()
    for name, run in runs.items():
        if name in ("coaching_reasons", "menu_recipes"):
            # The file forces the one; the other gets a column for the document's id, and is filled by a re-import.
            assert run.window.kind == "full"
        else:
            assert run.window.kind == "incremental"
            assert run.window.start == newest[name] - mirror.schema.tables[name].overlap
    oracle.observe(read_collections(mirror.source, mirror.schema))
    differences = [line for line in compare(mirror.target, oracle) if "not among the rejects" not in line]
    assert differences == [], "what that tool dropped without a word is not known yet, but every row is right"
    mirror.sync(FULL)
    assert compare(mirror.target, oracle) == []
    apply_day_of_changes(mirror.source, seed=SEED, day=DAYS[1])
    mirror.sync()
    oracle.observe(read_collections(mirror.source, mirror.schema))
    assert compare(mirror.target, oracle) == []


def test_an_unchanged_database_it_left_is_not_written_to(mirror: OldMirror) -> None:
    mirror.declare("user_events", "days_contents_links")
    event = mirror.save("events", 1)
    for number in range(5):
        mirror.save("users", number, registered_events=[event])
    leave_database(mirror)
    before = mirror.rows("user_events", "ctid", "xmin") + mirror.rows("users", "ctid", "xmin")
    mirror.sync()
    assert mirror.rows("user_events", "ctid", "xmin") + mirror.rows("users", "ctid", "xmin") == before


def test_links_it_dated_by_the_wall_clock_keep_those_dates_and_later_changes_are_seen(mirror: OldMirror) -> None:
    """Its clock was a local one, up to two hours ahead of the source's."""
    mirror.declare("user_events")
    now = datetime.now(UTC).replace(tzinfo=None, microsecond=0)
    ahead = now + timedelta(hours=2)
    events = [mirror.save("events", number) for number in range(3)]
    mirror.save("users", 1, registered_events=events[:2])
    leave_database(mirror)
    mirror.target.execute("UPDATE user_events SET created_at = %(at)s, updated_at = %(at)s", {"at": ahead})
    mirror.save("users", 1, now, registered_events=events[1:])
    mirror.sync()
    assert mirror.rows("user_events", "event_id", "created_at") == [
        (str(events[1]), ahead),
        (str(events[2]), min(now, datetime(2024, 1, 10))),
    ]


def test_a_date_of_the_far_future_in_the_database_it_left_does_not_stop_the_mirror(mirror: OldMirror) -> None:
    mirror.declare("companies")
    mirror.save("companies", 1, datetime(2999, 1, 1))
    mirror.save("companies", 2, MARCH)
    leave_database(mirror)
    mirror.save("companies", 3, MAY)
    mirror.sync()
    mirror.save("companies", 4, datetime.now(UTC).replace(tzinfo=None))
    mirror.sync()
    assert len(mirror.rows("companies", "id")) == 4


def test_its_numbered_logbooks_of_a_user_and_day_keep_their_numbers(mirror: OldMirror) -> None:
    """Once a table of its own: numbered by PostgreSQL, a row for each user and day."""
    mirror.declare(
        "users_logbooks",
        users_logbooks={
            "include_base": None,
            "columns": [
                {"name": "id", "sql_type": "SERIAL", "nullable": False, "primary_key": True},
                {"name": "user_id", "sql_type": "VARCHAR", "nullable": False, "foreign_key": "users(id)"},
                {"name": "day", "sql_type": "DATE", "nullable": False},
                {"name": "created_at", "sql_type": "TIMESTAMP", "nullable": False},
                {"name": "updated_at", "sql_type": "TIMESTAMP", "nullable": False},
            ],
            "additional_columns": None,
            "additional_mappings": None,
            "explicit_mappings": {"user": "user_id", "creation_date": "created_at", "update_date": "updated_at"},
            "unique_constraints": [["user_id", "day"]],
        },
    )
    user = mirror.save("users", 1)
    for number, day in enumerate((MARCH, MARCH, MAY)):
        mirror.save("coachinglogbooks", number, user=user, day=day)
    for statement in compose_old_database("users"):
        mirror.target.execute(statement)
    mirror.target.execute("""
        CREATE TABLE users_logbooks (
          id SERIAL PRIMARY KEY, user_id VARCHAR NOT NULL REFERENCES users(id), day DATE NOT NULL,
          created_at TIMESTAMP NOT NULL, updated_at TIMESTAMP NOT NULL, UNIQUE (user_id, day))""")
    mirror.sync(tables=["companies", "users"])
    mirror.target.execute(
        "INSERT INTO users_logbooks (id, user_id, day, created_at, updated_at) VALUES (77, %s, %s, %s, %s)",
        [str(user), MARCH, datetime(2024, 1, 10), MARCH],
    )
    mirror.sync()
    rows = dict(mirror.rows("users_logbooks", "day", "id"))
    assert set(rows) == {MARCH.date(), MAY.date()}
    assert rows[MARCH.date()] == 77
    assert rows[MAY.date()] != 77


def test_a_row_it_left_behind_when_its_document_took_another_key_goes(mirror: OldMirror) -> None:
    """Once every document has been read, a row that none of them describes is nobody's."""
    mirror.declare("menu_recipes")
    menu = mirror.save("menus", 1)
    recipes = [mirror.save("recipes", number) for number in range(2)]
    mirror.save("menu_recipes", 1, menu=menu, recipe=recipes[0])
    leave_database(mirror)
    moved = mirror.save("menu_recipes", 1, MAY, menu=menu, recipe=recipes[1])
    assert mirror.sync()["menu_recipes"].window.kind == "full"
    assert mirror.rows("menu_recipes", "recipe_id", "document_id") == [(str(recipes[1]), str(moved))]


# --- the example of its notes


def test_the_notes_example_of_a_new_table_mirrors(mirror: OldMirror) -> None:
    mirror.declare("users")
    mirror.declare(text=mirror.path.read_text() + NOTIFICATIONS)
    user = mirror.save("users", 1)
    mirror.save("notifications", 1, user=user, title="Bonjour")
    mirror.save("notifications", 2, user=user, read=True)
    mirror.save("notifications", 3, user=identify("users", 9))
    mirror.sync()
    rows = mirror.rows("notifications", "user_id", "title", "read")
    assert rows == [(str(user), "Bonjour", False), (str(user), None, True)]
    assert [reason for _, _, reason in mirror.rejects("notifications")] == ["missing_parent"]


def test_the_notes_example_with_a_strategy_of_its_own_says_what_is_wrong_where(mirror: OldMirror) -> None:
    mirror.declare("users")
    text = mirror.path.read_text() + NOTIFICATIONS + "    import_strategy: notifications\n"
    with pytest.raises(SchemaFileError) as refused:
        mirror.declare(text=text)
    line = text.splitlines().index("    import_strategy: notifications") + 1
    assert f"line {line}: notifications: " in str(refused.value)
    assert "package.module:Class" in str(refused.value)
    assert "smart_diff" in str(refused.value)
