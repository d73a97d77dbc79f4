"""What the replaced tool got wrong in its file and in the structure of its tables, and this mirror must not."""

import ast
import tomllib
from datetime import date, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from bson import ObjectId

from smartdiet_assets.errors import SchemaMismatchError
from smartdiet_assets_tests.integration.replaced_tool.old_mirror import JANUARY, MARCH, MAY, OldMirror, identify

CHECKOUT = Path(__file__).parents[3]
DIFFERENCES = {
    "type": ("ALTER TABLE users ALTER firstname TYPE VARCHAR(100)", "column firstname", "character varying(100)"),
    "nullability": ("ALTER TABLE users ALTER email DROP NOT NULL", "column email", "live nullable"),
    "foreign key": ("ALTER TABLE users DROP CONSTRAINT users_company_id_fkey", "foreign key company_id", "live none"),
    "unique constraint": ("ALTER TABLE users ADD UNIQUE (email)", "unique index users_email_key", "declared none"),
    "extra column": ("ALTER TABLE users ADD nickname TEXT", "column nickname", "declared no such column"),
    "primary key": ("ALTER TABLE users DROP CONSTRAINT users_pkey CASCADE", "primary key", "live none"),
}


@pytest.mark.parametrize("kind", DIFFERENCES)
def test_every_kind_of_difference_stops_the_run_and_says_what_to_do(mirror: OldMirror, kind: str) -> None:
    mirror.declare("users")
    mirror.save("users", 1)
    mirror.sync()
    change, column, found = DIFFERENCES[kind]
    mirror.target.execute(change)
    mirror.save("users", 2, MAY)
    with pytest.raises(SchemaMismatchError) as stopped:
        mirror.sync()
    assert column in str(stopped.value)
    assert found in str(stopped.value)
    assert "ALTER TABLE" in str(stopped.value)
    assert mirror.rows("users", "id") == [str(identify("users", 1))], "it does not go on regardless"


def test_a_table_of_the_same_name_in_another_schema_is_another_table(mirror: OldMirror) -> None:
    mirror.target.execute("CREATE SCHEMA archive; CREATE TABLE archive.users (id INTEGER, legacy TEXT)")
    mirror.declare("users")
    mirror.save("users", 1)
    mirror.sync()
    mirror.sync()
    assert len(mirror.rows("users", "id")) == 1
    assert mirror.target.execute("SELECT count(*) FROM archive.users").fetchone() == (0,)


def test_nothing_the_mirror_does_waits_for_an_answer_on_the_keyboard() -> None:
    for stage in ("assets", "extract", "load", "resources", "schema", "transform"):
        for path in (CHECKOUT / "smartdiet_assets" / stage).rglob("*.py"):
            if path.name == "scaffold.py":
                # What somebody at a terminal has `dg` write, who is asked where the source is.
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                name = getattr(node.func, "id", getattr(node.func, "attr", "")) if isinstance(node, ast.Call) else ""
                assert name not in {"input", "confirm", "prompt", "getpass"}, path


def test_a_required_column_added_to_a_filled_table_is_filled_and_then_required(mirror: OldMirror) -> None:
    """So is an optional one, for the documents that did not change since, too."""
    mirror.declare("offers")
    for number in range(3):
        mirror.save("offers", number, label=f"L{number}", price=number)
    mirror.sync()
    text = mirror.path.read_text()
    added = "    - name: label\n      sql_type: VARCHAR(10)\n      nullable: false\n"
    added += "    - name: price\n      sql_type: SMALLINT\n"
    mirror.declare(text=text.replace("    additional_columns:\n", "    additional_columns:\n" + added))
    mirror.sync()
    assert mirror.rows("offers", "label", "price") == [("L0", 0), ("L1", 1), ("L2", 2)]
    with pytest.raises(psycopg.errors.NotNullViolation):
        mirror.target.execute("UPDATE offers SET label = NULL")
    assert mirror.sync()["offers"].window.kind == "incremental"


def test_an_unquoted_date_threshold_means_what_a_quoted_one_means(mirror: OldMirror) -> None:
    for written in (date(2024, 4, 1), "2024-04-01"):
        mirror.declare("companies", companies={"date_threshold": written})
        assert mirror.schema.tables["companies"].date_threshold == date(2024, 4, 1)


def test_unique_constraints_beside_include_base_are_constraints_of_the_table(mirror: OldMirror) -> None:
    mirror.declare("companies", companies={"unique_constraints": [["name"]]})
    first = mirror.save("companies", 1, name="Acme")
    mirror.sync()
    second = mirror.save("companies", 2, MAY, name="Acme")
    mirror.sync()
    assert mirror.rows("companies", "id") == [str(first)]
    assert mirror.rejects("companies") == [(str(second), "name", "duplicate_key")]
    with pytest.raises(psycopg.errors.UniqueViolation):
        mirror.target.execute(
            "INSERT INTO companies SELECT 'x', created_at, updated_at, name FROM companies",
        )


def test_the_oldest_python_is_declared_and_every_module_parses_on_it() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"].startswith(">=3.11")
    for path in (CHECKOUT / "smartdiet_assets").rglob("*.py"):
        ast.parse(path.read_text(), feature_version=(3, 11))


@pytest.fixture
def ours(mirror: OldMirror) -> OldMirror:
    """A mirror of the project's own file."""
    mirror.declare(text=(CHECKOUT / "config" / "schemas.yaml").read_text())
    return mirror


def dated(**fields: Any) -> dict[str, Any]:
    return {"_id": ObjectId(), "creation_date": JANUARY, "update_date": MARCH, **fields}


def test_our_file_finds_menus_among_the_events_and_their_recipes_under_their_real_name(ours: OldMirror) -> None:
    menu = ours.save("events", 1, __t="menu", name="Semaine 12")
    ours.save("events", 2, __t="webinar")
    recipe = ours.save("recipes", 1)
    ours.source.menurecipes.insert_one(dated(menu=menu, recipe=recipe, day="0", period="1"))
    ours.sync(tables=["recipes", "events", "menus", "menu_recipes"])
    assert ours.rows("menus", "id", "name") == [(str(menu), "Semaine 12")]
    assert ours.rows("menu_recipes", "menu_id", "recipe_id") == [(str(menu), str(recipe))]


def test_our_file_keeps_the_birthday_whatever_its_field_and_every_day_is_the_local_one(ours: OldMirror) -> None:
    """Days are local midnights of Europe/Paris: in UTC, an hour or two of the day before."""
    winter, summer = datetime(1990, 1, 14, 23), datetime(1990, 7, 14, 22)
    users = [ours.save("users", 1, birthday=winter), ours.save("users", 2, birthdate=summer)]
    day = ours.save("days", 1, period=ours.save("periods", 1), date=summer)
    ours.source.coachinglogbooks.insert_many([dated(user=users[0], day=winter), dated(day=summer)])
    ours.sync(tables=["users", "periods", "days", "users_logbook"])
    assert ours.rows("users", "birthdate") == [date(1990, 1, 15), date(1990, 7, 15)]
    assert ours.rows("days", "id", "day") == [(str(day), date(1990, 7, 15))]
    assert ours.rows("users_logbook", "day") == [date(1990, 1, 15)]
    assert ours.rejects("users_logbook") == [], "a logbook without a user is left out, not rejected"


def test_our_file_keeps_times_of_appointments_and_booleans_of_days_and_requires_what_is_required(
    ours: OldMirror,
) -> None:
    start, end = datetime(2024, 3, 6, 14, 30), datetime(2024, 3, 6, 15, 15)
    ours.source.appointments.insert_one(dated(start_date=start, end_date=end))
    period = ours.save("periods", 1)
    ours.save("days", 1, period=period, is_success=True)
    ours.save("days", 2, period=period, is_success=None)
    category = ours.save("categories", 1, type=None)
    ours.save("targets", 1, category=category)
    ours.source.userquizzquestions.insert_one(dated(scale_1_10_answer=7, qcm_answers=[category]))
    tables = ["appointments", "periods", "days", "categories", "targets", "users_quizzs_questions"]
    ours.sync(tables=tables)
    assert ours.rows("appointments", "start_date", "end_date") == [(start, end)]
    assert ours.rows("days", "completed") == [None, True]
    assert ours.rows("categories", "type") == [None]
    assert ours.rows("targets", "category_id") == [str(category)]
    assert ours.rows("users_quizzs_questions", "scale_1_10_answer", "qcm_answers") == [(7, [str(category)])]
    assert [ours.rejects(table) for table in tables] == [[]] * len(tables)
