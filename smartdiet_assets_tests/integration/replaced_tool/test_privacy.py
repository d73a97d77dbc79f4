"""No value of a document and no secret leaves the databases: not in an event, a log, metadata, output or an error.

Every value and every secret here holds one mark; whatever happens, whoever looks may not find it. The `_id` of a
rejected document is the one thing shown, so ids hold none.
"""

import os
import subprocess
import sys
import traceback
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest
from bson import ObjectId
from pymongo import MongoClient
from pymongo.database import Database

from smartdiet_assets.assets import tables as table_assets
from smartdiet_assets.definitions import build_definitions
from smartdiet_assets.demo.company import write_company
from smartdiet_assets.demo.mongo_server import EmbeddedMongo
from smartdiet_assets.demo.postgres_server import EmbeddedPostgres
from smartdiet_assets.demo.server_folder import find_free_port
from smartdiet_assets.load.advisory import LOCK_CLASS, build_lock_number
from smartdiet_assets.resources.environment import read_environment
from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets_tests.integration.replaced_tool.leaky_strategies import MARK

TABLES = """
tables:
  companies:
    include_base: true
    additional_columns:
      - {name: name, sql_type: VARCHAR(60), nullable: false}
    unique_constraints: [[name]]
  users:
    include_base: true
    import_strategy: STRATEGY
    additional_columns:
      - {name: email, sql_type: VARCHAR(60), nullable: false}
      - {name: height, sql_type: SMALLINT}
      - {name: birthdate, sql_type: DATE}
      - {name: active, sql_type: BOOLEAN}
      - {name: answers, sql_type: JSONB}
      - {name: company_id, sql_type: VARCHAR, mongo_field: company, foreign_key: companies(id)}
  user_events:
    mongo_collection: users
    import_strategy: smart_diff
    arrays: [{field: registered_events}]
    columns:
      - {name: user_id, sql_type: VARCHAR, nullable: false, mongo_field: _id, foreign_key: users(id)}
      - {name: event_id, sql_type: VARCHAR(60), nullable: false, item_field: [., event]}
      - {name: at, sql_type: TIMESTAMP, item_field: at}
    unique_constraints: [[user_id, event_id]]
"""
CONFIG = Path(__file__).parents[3] / "config"
BUGS = "smartdiet_assets_tests.integration.replaced_tool.leaky_strategies"
DAY = datetime(2024, 3, 10)
#: What can be wrong with a user: each a document of its own. All of it is marked.
FAULTS: list[dict[str, Any]] = [
    {"email": f"{MARK}@example.org" * 10},
    {"email": f"{MARK}\0"},
    {"email": {MARK: [MARK]}},
    {"email": None, "answers": {"free": MARK}},
    {"height": MARK},
    {"birthdate": MARK},
    {"active": MARK},
    {"answers": {MARK: f"{MARK}\0"}},
    {"company": MARK},
    {"registered_events": [MARK * 20, {"event": MARK, "at": MARK}, {MARK: MARK}]},
    {"registered_events": MARK},
    {"update_date": MARK},
]


class Plant:
    """A source full of marks behind a marked password, and a Dagster instance on disk to look for them."""

    def __init__(self, folder: Path, server: EmbeddedMongo, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.home = folder / "dagster"
        self.schemas = folder / "planted.yaml"
        self.set = monkeypatch.setenv
        self.set("MONGODB_URL", server.uri.replace(f"{server.user}:{server.password}@", f"{MARK}:{MARK}@"))
        self.set("MONGODB_DATABASE", "planted")
        self.set("DAGSTER_HOME", str(self.home))
        self.set("SMARTDIET_SCHEMAS", str(self.schemas))
        self.secrets = {MARK.lower(), os.environ["POSTGRES_PASSWORD"].lower()}
        self.run_config: dict[str, Any] = {}
        self.home.mkdir()
        self.declare()

    def declare(self, strategy: str = "direct") -> None:
        self.schemas.write_text(TABLES.replace("STRATEGY", strategy))

    def run(self) -> tuple[bool, str]:
        """Run the job in this process; whether it succeeded, and all that its errors and events say."""
        said: list[str] = []
        definitions = build_definitions(load_schema(self.schemas), read_environment())
        job = definitions.resolve_job_def("mirror")
        with dg.DagsterInstance.get() as instance:
            assert job.partitions_def is not None
            try:
                result = job.execute_in_process(
                    instance=instance,
                    run_config=self.run_config,
                    partition_key=job.partitions_def.get_last_partition_key(),
                    asset_selection=[dg.AssetKey(name) for name in ("companies", "users", "user_events")],
                )
                success = result.success
            except Exception as error:  # noqa: BLE001 - whatever it is, its text is looked at
                said += traceback.format_exception(error)
                success = False
            (newest,) = instance.get_runs(limit=1)
            said += [str(record) for record in instance.all_logs(newest.run_id)]
            said += [str(newest.run_config), str(newest.tags)]
        return success, "\n".join(said)

    def command(self, *arguments: str) -> tuple[int, str]:
        """Run `smartdiet`; its exit code, and all it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "smartdiet_assets.cli", *arguments],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    def find(self, text: str) -> list[str]:
        """Where a secret shows: in the text given, or in a file of the instance (events, compute logs)."""
        said = text.lower()
        found = [f"…{said[max(0, said.find(s) - 200) : said.find(s) + 80]}…" for s in self.secrets if s in said]
        files = [path for path in self.home.rglob("*") if path.is_file()]
        return found + [
            str(path) for path in files if any(s.encode() in path.read_bytes().lower() for s in self.secrets)
        ]


@pytest.fixture(scope="module")
def planted_server(tmp_path_factory: pytest.TempPathFactory, mongo_server: EmbeddedMongo) -> Iterator[EmbeddedMongo]:
    """A source that wants a password, with one user whose name and password are marked."""
    dates = {"creation_date": DAY, "update_date": DAY}
    with EmbeddedMongo(tmp_path_factory.mktemp("planted"), require_auth=True) as server:
        with MongoClient[dict[str, Any]](server.uri) as client:
            client.admin.command("createUser", MARK, pwd=MARK, roles=["root"])
            company = ObjectId()
            client.planted.companies.insert_many([
                {"_id": company, "name": MARK, **dates},
                {"_id": ObjectId(), "name": MARK, **dates},
            ])  # fmt: skip
            good = {"email": f"{MARK}@example.org", "answers": {"free": MARK}, "company": company, **dates}
            client.planted.users.insert_many([{**good, **fault} for fault in [{}, {}, *FAULTS]])
        yield server


@pytest.fixture
def plant(
    configured_servers: None, planted_server: EmbeddedMongo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Plant:
    monkeypatch.setattr(table_assets, "RETRY_POLICY", dg.RetryPolicy(max_retries=1, delay=0))
    return Plant(tmp_path, planted_server, monkeypatch)


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
    return "SQLSTATE 23514"


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
    postgres.execute("SELECT pg_advisory_lock(%s, %s)", [LOCK_CLASS, build_lock_number("users")])
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
    assert plant.find("\n".join(said for _, said in done)) == []


#: Of every type and fault a field may meet.
MARKED_VALUES: tuple[Any, ...] = (MARK, {MARK: MARK}, [MARK, {MARK: MARK}], f"{MARK}\0", MARK * 200)


def mark_texts(value: Any) -> Any:
    """Put the mark into every text of a document, however deep."""
    if isinstance(value, dict):
        return {key: mark_texts(item) for key, item in value.items()}
    if isinstance(value, list):
        return [mark_texts(item) for item in value]
    return f"{MARK}{value}" if isinstance(value, str) else value


def write_marked_company(database: Database[Any]) -> None:
    """Write a small company, and of each collection documents with the mark in one field after the other."""
    write_company(database, 1, 0.0005)
    for name in database.list_collection_names():
        marked = []
        for document in database[name].find().limit(3):
            marked.append({**mark_texts(document), "_id": ObjectId()})
            for field in document.keys() - {"_id"}:
                marked += [{**document, "_id": ObjectId(), field: value} for value in MARKED_VALUES]
        if marked:
            database[name].insert_many(marked)


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


def test_a_bug_anywhere_in_a_run_shows_its_type_and_place_only(
    plant: Plant, monkeypatch: pytest.MonkeyPatch, capfd: Any, caplog: Any
) -> None:
    def decode_with_a_bug(raw: bytes) -> Any:
        raise LookupError(raw.decode(errors="replace"))

    monkeypatch.setattr("smartdiet_assets.transform.batch.decode_batch", decode_with_a_bug)
    success, said = plant.run()
    assert not success
    assert "unexpected LookupError at " in said
    assert "test_privacy.py:" in said
    printed = capfd.readouterr()
    assert plant.find("\n".join([said, printed.out, printed.err, caplog.text])) == []


def test_postgresql_has_nothing_to_write_to_its_own_log(
    plant: Plant, postgres: psycopg.Connection[Any], postgres_server: EmbeddedPostgres
) -> None:
    """A statement that fails is logged by the server with its values, out of our reach: so none of ours may fail.

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
