"""What the tests of privacy plant: a mark in every value and every secret, and where it is looked for.

Here: marked documents of every fault, what damages them, and a Dagster instance on disk to search. Not here: fixtures
(`conftest`), or tests. The `_id` of a rejected document is the one thing shown, so ids hold no mark.
"""

import os
import re
import traceback
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from bson import ObjectId
from pymongo.database import Database

from smartdiet_assets.definitions import build_definitions
from smartdiet_assets.demo.company import write_company
from smartdiet_assets.demo.mongo_server import EmbeddedMongo
from smartdiet_assets.resources.environment import read_environment
from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets_tests.integration.replaced_tool.leaky_strategies import MARK
from smartdiet_assets_tests.support.fault_proxy import FaultProxy
from smartdiet_assets_tests.support.running import smartdiet

TABLES = """
partitions: {start: 2026-01-01}
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
DAY = datetime(2024, 3, 10)
#: A value used as a key: names of fields that no table declares are told, and such are no names.
KEY = f"{MARK}@home"
#: What can be wrong with a user: each a document of its own. All of it is marked.
FAULTS: list[dict[str, Any]] = [
    {"email": f"{MARK}@example.org" * 10},
    {"email": f"{MARK}\0"},
    {"email": {KEY: [MARK]}},
    {"email": None, "answers": {"free": MARK}},
    {"height": MARK},
    {"birthdate": MARK},
    {"active": MARK},
    {"answers": {KEY: f"{MARK}\0"}},
    {"company": MARK},
    {"registered_events": [MARK * 20, {"event": MARK, "at": MARK}, {KEY: MARK}]},
    {"registered_events": MARK},
    {"update_date": MARK},
]


def write_faulty_users(database: Database[Any]) -> None:
    """Write two companies of one name, two good users and one with each fault."""
    dates = {"creation_date": DAY, "update_date": DAY}
    company = ObjectId()
    database.companies.insert_many([
        {"_id": company, "name": MARK, **dates},
        {"_id": ObjectId(), "name": MARK, **dates},
    ])  # fmt: skip
    good = {"email": f"{MARK}@example.org", "answers": {"free": MARK}, "company": company, **dates}
    database.users.insert_many([{**good, **fault} for fault in [{}, {}, *FAULTS]])


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

    def run_job(self, name: str, ops: Any = None) -> str:
        """Run a job without partitions in this process; all that its events say."""
        job = build_definitions(load_schema(self.schemas), read_environment()).resolve_job_def(name)
        with dg.DagsterInstance.get() as instance:
            run = job.execute_in_process(instance=instance, run_config={"ops": ops or {}}, raise_on_error=False)
            return "\n".join(str(record) for record in instance.all_logs(run.run_id))

    def command(self, *arguments: str) -> tuple[int, str]:
        """Run `smartdiet`; its exit code, and all it printed."""
        done = smartdiet(*arguments)
        return done.returncode, done.stdout + done.stderr

    def find(self, text: str) -> list[str]:
        """Where a secret shows: in the text given, or in a file of the instance (events, compute logs)."""
        said = text.lower()
        found = [f"…{said[max(0, said.find(s) - 200) : said.find(s) + 80]}…" for s in self.secrets if s in said]
        files = [path for path in self.home.rglob("*") if path.is_file()]
        return found + [
            str(path) for path in files if any(s.encode() in path.read_bytes().lower() for s in self.secrets)
        ]


#: Of every type and fault a field may meet.
MARKED_VALUES: tuple[Any, ...] = (MARK, {KEY: MARK}, [MARK, {KEY: MARK}], f"{MARK}\0", MARK * 200)


def mark_texts(value: Any) -> Any:
    """Put the mark into every text of a document, however deep."""
    if isinstance(value, dict):
        return {key: mark_texts(item) for key, item in value.items()}
    if isinstance(value, list):
        return [mark_texts(item) for item in value]
    return f"{MARK}{value}" if isinstance(value, str) else value


def write_marked_company(database: Database[Any], values: Sequence[Any] = MARKED_VALUES) -> None:
    """Write a small company, and of each collection documents with the mark in one field after the other."""
    write_company(database, 1, 0.0005)
    for name in database.list_collection_names():
        marked = []
        for document in database[name].find().limit(3):
            marked.append({**mark_texts(document), "_id": ObjectId()})
            for field in document.keys() - {"_id"}:
                marked += [{**document, "_id": ObjectId(), field: value} for value in values]
        if marked:
            database[name].insert_many(marked)


def write_damaged_documents(database: Database[Any]) -> None:
    """Write documents that `DamagingProxy` damages: in a text, a name of a field, and the structure."""
    for name in ("companies", "users"):
        database[name].insert_many([
            {"name": f"{MARK}{DamagingProxy.UNREADABLE}"},
            {"name": MARK, "email": f"{MARK}{DamagingProxy.UNREADABLE}"},
            {"name": MARK, DamagingProxy.UNREADABLE: MARK},
            {"name": "broken", "email": MARK, "answers": MARK},
            {"name": MARK, "height": "broken", "answers": MARK},
        ])  # fmt: skip


class DamagingProxy(FaultProxy):
    """Damages documents on their way from MongoDB, as no stand-in stores them.

    Text is no Unicode any more where `UNREADABLE` is in it, and a field whose text is "broken" gets a type that is none
    of BSON's.
    """

    UNREADABLE = "#unreadable#"
    _BROKEN = re.compile(rb"\x02(?=\w+\0\x07\0\0\0broken\0)")

    def _filter(self, link: Any, direction: Any, data: bytes) -> bytes:
        if direction == "down":
            name = self.UNREADABLE.encode()
            data = self._BROKEN.sub(b"\x20", data.replace(name, b"\xff" * len(name)))
        return super()._filter(link, direction, data)
