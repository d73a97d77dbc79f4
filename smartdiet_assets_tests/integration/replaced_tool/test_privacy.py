"""No value of a document and no secret leaves the databases: not in an event, a log, metadata, output or an error.

Every value and every secret here holds one mark; whatever happens, whoever looks may not find it. The `_id` of a
rejected document is the one thing shown, so ids hold none.
"""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pymongo import MongoClient

from smartdiet_assets.demo.mongo_server import EmbeddedMongo
from smartdiet_assets.demo.postgres_server import EmbeddedPostgres
from smartdiet_assets.demo.server_folder import find_free_port
from smartdiet_assets.load.advisory import LOCK_CLASS, build_lock_number
from smartdiet_assets.schema.types import TYPES
from smartdiet_assets.transform.conversion import Conversion
from smartdiet_assets.transform.convert import CONVERSIONS
from smartdiet_assets_tests.integration.replaced_tool.leaky_strategies import MARK
from smartdiet_assets_tests.integration.replaced_tool.planted import Plant, write_marked_company

CONFIG = Path(__file__).parents[3] / "config"
BUGS = "smartdiet_assets_tests.integration.replaced_tool.leaky_strategies"


def stay_healthy(plant: Plant, postgres: psycopg.Connection[Any]) -> str:
    return ""


def change_the_structure(plant: Plant, postgres: psycopg.Connection[Any]) -> str:
    plant.run()
    postgres.execute("ALTER TABLE users ALTER email TYPE TEXT")
    return "differs from its declaration"


def add_a_check_of_the_operators(plant: Plant, postgres: psycopg.Connection[Any]) -> str:
    plant.run()
    postgres.execute("TRUNCATE users CASCADE; ALTER TABLE users ADD CHECK (length(email) < 5)")
    postgres.execute("UPDATE smartdiet.sync_state SET watermark = NULL")
    # Its documents are rejected.
    return ""


def lose_the_source(plant: Plant, postgres: psycopg.Connection[Any]) -> str:
    plant.set("MONGODB_URL", f"mongodb://{MARK}:{MARK}@127.0.0.1:{find_free_port()}/")
    plant.run_config = {"resources": {"mongo": {"config": {"server_selection_timeout": 0.2}}}}
    return "no server answers"


def change_the_password_of_the_source(plant: Plant, postgres: psycopg.Connection[Any]) -> str:
    plant.set("MONGODB_URL", os.environ["MONGODB_URL"].replace(f":{MARK}@", f":{MARK}wrong@"))
    return "refuses the user or the password"


def misspell_the_url(plant: Plant, postgres: psycopg.Connection[Any]) -> str:
    # A password that should have been percent-encoded: the driver takes a part of it for an option.
    plant.set("MONGODB_URL", f"mongodb://reader:x?{MARK}=y/{MARK}@127.0.0.1/")
    return "cannot be used as written"


def lose_the_target(plant: Plant, postgres: psycopg.Connection[Any]) -> str:
    plant.set("POSTGRES_PASSWORD", MARK)
    plant.set("POSTGRES_PORT", str(find_free_port()))
    return "no server answers"


def change_the_password_of_the_target(plant: Plant, postgres: psycopg.Connection[Any]) -> str:
    plant.set("POSTGRES_PASSWORD", MARK)
    return "refuses the user or the password"


def merge_with_a_bug(plant: Plant, postgres: psycopg.Connection[Any]) -> str:
    plant.run()
    plant.declare(f"{BUGS}:RaisingStrategy")
    return "unexpected ValueError"


def merge_with_a_failing_statement(plant: Plant, postgres: psycopg.Connection[Any]) -> str:
    plant.run()
    postgres.execute("DELETE FROM users WHERE id = (SELECT min(id) FROM users)")
    postgres.execute("UPDATE smartdiet.sync_state SET watermark = NULL")
    plant.declare(f"{BUGS}:FailingStatementStrategy")
    return "SQLSTATE 22P02"


def reject_too_many(plant: Plant, postgres: psycopg.Connection[Any]) -> str:
    plant.schemas.write_text(plant.schemas.read_text().replace("  users:\n", "  users:\n    max_rejects: 1\n"))
    return "max_rejects"


def wait_for_another_run(plant: Plant, postgres: psycopg.Connection[Any]) -> str:
    number = build_lock_number("users")
    postgres.execute("SELECT pg_advisory_lock(%s, %s::integer # hashtext(current_schema()))", [LOCK_CLASS, number])
    plant.run_config = {"resources": {"settings": {"config": {"lock_timeout": 0.2}}}}
    return "another run has the table"


MISHAPS = [
    stay_healthy, change_the_structure, add_a_check_of_the_operators, lose_the_source, misspell_the_url,
    change_the_password_of_the_source, lose_the_target, change_the_password_of_the_target, merge_with_a_bug,
    merge_with_a_failing_statement, reject_too_many, wait_for_another_run,
]  # fmt: skip


@pytest.mark.parametrize("mishap", MISHAPS, ids=[mishap.__name__ for mishap in MISHAPS])
def test_a_run_through_dagster_shows_no_value_and_no_secret(
    plant: Plant, postgres: psycopg.Connection[Any], mishap: Any, capfd: Any, caplog: Any, recwarn: Any
) -> None:
    caplog.set_level("DEBUG", logger="smartdiet_assets")
    expected = mishap(plant, postgres)
    success, said = plant.run()
    assert success == (not expected)
    assert expected in said, "the run failed for another reason"
    printed = capfd.readouterr()
    warned = "\n".join(str(warning.message) for warning in recwarn)
    assert plant.find("\n".join([said, printed.out, printed.err, caplog.text, warned])) == []


@pytest.mark.parametrize(
    ("mishap", "commands"),
    [
        (stay_healthy, ("sync", "sync --json --full", "status", "rejects")),
        (add_a_check_of_the_operators, ("sync --json",)),
        (misspell_the_url, ("sync users",)),
        (change_the_password_of_the_target, ("status",)),
        (merge_with_a_bug, ("sync",)),
        (reject_too_many, ("sync", "sync --json")),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_the_command_line_shows_no_value_and_no_secret(
    plant: Plant, postgres: psycopg.Connection[Any], mishap: Any, commands: tuple[str, ...], capfd: Any
) -> None:
    failure = mishap(plant, postgres)
    capfd.readouterr()
    done = [plant.command(*line.split()) for line in commands]
    assert all(said and bool(code) == bool(failure) for code, said in done)
    assert plant.find("\n".join([*(said for _, said in done), *capfd.readouterr()])) == []


def test_marks_in_every_field_of_every_collection_show_nowhere(
    plant: Plant, planted_server: EmbeddedMongo, postgres: psycopg.Connection[Any]
) -> None:
    """The project's own tables, through every command that looks at documents."""
    with MongoClient[dict[str, Any]](planted_server.uri) as client:
        client.drop_database("company")
        write_marked_company(client.company)
    plant.set("MONGODB_DATABASE", "company")
    plant.set("SMARTDIET_SCHEMAS", str(CONFIG / "schemas.yaml"))
    for line in ("sync", "sync --json --full", "status", "rejects --limit 0", "check --json", "reconcile --dry-run"):
        code, said = plant.command(*line.split())
        assert code in (0, 1), line
        assert plant.find(said) == [], line
    rejected = postgres.execute("SELECT count(DISTINCT table_name) FROM smartdiet.rejected_rows").fetchone()
    assert rejected is not None
    assert rejected[0] > 20


@pytest.fixture
def buggy_type() -> Iterator[str]:
    """A type whose conversion fails with the value in the text of the error."""

    def convert(value: Any) -> Any:
        raise LookupError(str(value))

    TYPES["buggy"] = replace(TYPES["text"], name="buggy")
    CONVERSIONS["buggy"] = lambda column: Conversion(convert)
    yield "BUGGY"
    del TYPES["buggy"], CONVERSIONS["buggy"]


def test_a_bug_anywhere_in_a_run_shows_its_type_and_place_only(
    plant: Plant, buggy_type: str, capfd: Any, caplog: Any
) -> None:
    plant.schemas.write_text(
        plant.schemas.read_text().replace("email, sql_type: VARCHAR(60)", f"email, sql_type: {buggy_type}")
    )
    success, said = plant.run()
    assert not success
    assert "unexpected LookupError at " in said
    assert "test_privacy.py:" in said
    printed = capfd.readouterr()
    assert plant.find("\n".join([said, printed.out, printed.err, caplog.text])) == []


def test_postgresql_has_nothing_to_write_to_its_own_log(
    plant: Plant, plain_user: None, postgres: psycopg.Connection[Any], postgres_server: EmbeddedPostgres
) -> None:
    """Of one who is no superuser a statement that fails is logged with its values: so none of ours may fail.

    Not covered: constraints an operator adds to a mirrored table, whose violation PostgreSQL quotes the row for.
    """
    log = postgres_server.directory / "postgres.log"
    before = log.stat().st_size
    for _ in range(2):
        assert plant.run()[0]
    postgres.execute("UPDATE smartdiet.sync_state SET watermark = NULL")
    assert plant.run()[0]
    written = log.read_bytes()[before:].decode(errors="replace")
    assert MARK.lower() not in written.lower()
    assert os.environ["POSTGRES_PASSWORD"] not in written
    with pytest.raises(psycopg.errors.InvalidTextRepresentation):
        postgres.execute("SELECT %s::text::integer", [MARK])
    assert MARK.encode() in log.read_bytes()[before:], "this is the log a failing statement shows in"


def test_the_marks_were_there_to_be_found(plant: Plant, postgres: psycopg.Connection[Any]) -> None:
    """Each fault was met, and the mark is in the tables: so the tests above looked for something."""
    plant.run()
    emails = postgres.execute("SELECT count(*) FROM users WHERE email LIKE %s", [f"{MARK}%"]).fetchone()
    assert emails is not None
    assert emails[0] > 2
    reasons = {row[0] for row in postgres.execute("SELECT DISTINCT reason FROM smartdiet.rejected_rows").fetchall()}
    assert reasons == {
        "duplicate_key", "invalid_type", "missing_parent", "missing_value", "nul_character", "too_long",
    }  # fmt: skip
    assert plant.find(f"a {MARK} in a text") != []
    (plant.home / "leak").write_text(MARK)
    assert plant.find("nothing") == [str(plant.home / "leak")]
