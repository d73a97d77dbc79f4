"""A small set-up whose PostgreSQL is not as we would have made it: parents, kids that point at them, and their tags."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from bson import ObjectId
from pymongo.database import Database

from smartdiet_assets.resources.postgres import PostgresResource
from smartdiet_assets_tests.support.running import Result, smartdiet_here

TABLES = """
tables:
  parents:
    on_delete: delete
    include_base: true
    additional_columns:
      - {name: name, sql_type: VARCHAR}
      - {name: born, sql_type: DATE}
      - {name: seen, sql_type: TIMESTAMPTZ}
      - {name: weight, sql_type: DOUBLE PRECISION}
      - {name: extra, sql_type: JSONB}
  kids:
    on_delete: delete
    include_base: true
    additional_columns:
      - {name: parent_id, sql_type: VARCHAR, foreign_key: parents(id), mongo_field: parent}
  tags:
    on_delete: delete
    mongo_collection: kids
    import_strategy: smart_diff
    arrays: [{field: tags}]
    columns:
      - {name: kid_id, sql_type: VARCHAR, nullable: false, mongo_field: _id, foreign_key: kids(id)}
      - {name: tag, sql_type: VARCHAR, nullable: false, item_field: tag}
      - {name: weight, sql_type: INTEGER, item_field: weight}
    unique_constraints: [[kid_id, tag]]
"""
NOW = datetime.now(UTC).replace(tzinfo=None, microsecond=123000)


class Target:
    """The documents, and the commands on their mirror."""

    def __init__(self, mongo: Database[Any], postgres: psycopg.Connection[Any], resource: PostgresResource) -> None:
        self.mongo = mongo
        self.postgres = postgres
        self.resource = resource
        self.parents = [ObjectId() for _ in range(3)]
        self.kids = [ObjectId() for _ in range(5)]
        dates = {"creation_date": NOW, "update_date": NOW}
        mongo.parents.insert_many(
            {
                "_id": _id, "name": f"\\O'Brien “{number}” é", "born": datetime(1999, 2, 3), "seen": NOW,
                "weight": 0.1 + 0.2, "extra": {"a": [1, "\\"]}, **dates,
            }
            for number, _id in enumerate(self.parents)
        )  # fmt: skip
        mongo.kids.insert_many(
            {"_id": _id, "parent": self.parents[number % 3], "tags": [{"tag": f"t{n}", "weight": n} for n in range(3)]}
            | dates
            for number, _id in enumerate(self.kids)
        )

    def run(self, *arguments: str) -> Result:
        """Run a command; nothing of it may be a traceback."""
        result = smartdiet_here(*arguments)
        assert "Traceback" not in result.stdout + result.stderr
        return result

    def expect(self, *arguments: str) -> str:
        """Run a command that has to end well; give what it printed."""
        result = self.run(*arguments)
        assert result.returncode == 0, f"{arguments}: {result.stdout}\n{result.stderr}"
        return result.stdout

    def edit(self) -> None:
        """Change a parent, take a tag out, and remove a kid."""
        later = datetime.now(UTC).replace(tzinfo=None)
        self.mongo.parents.update_one({"_id": self.parents[0]}, {"$set": {"name": "Ana", "update_date": later}})
        self.mongo.kids.update_one(
            {"_id": self.kids[0]}, {"$set": {"tags": [{"tag": "t0", "weight": 9}], "update_date": later}}
        )
        self.mongo.kids.delete_one({"_id": self.kids.pop()})

    def use_all_commands(self) -> None:
        """Sync, edit, sync, and look at the outcome in every way there is."""
        self.expect("sync")
        self.edit()
        self.expect("sync")
        self.expect("reconcile", "--force")
        self.expect("check", "--all")
        self.expect("compare", "schema", "local")
        self.expect("compare", "mongo", "local", "--data")
        self.expect("status")
        self.expect("rejects")
        self.expect("doctor")
        assert self.count("parents") == 3
        assert self.count("kids") == len(self.kids)
        assert self.count("tags") == 3 * len(self.kids) - 2

    def count(self, table: str) -> int:
        row = self.postgres.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()
        assert row is not None
        return int(row[0])


@pytest.fixture
def target(
    configured_servers: None,
    mongo_database: Database[Any],
    postgres: psycopg.Connection[Any],
    postgres_resource: PostgresResource,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Target:
    (tmp_path / "tables.yaml").write_text(TABLES)
    monkeypatch.setenv("SMARTDIET_SCHEMAS", str(tmp_path / "tables.yaml"))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    for collection in ("parents", "kids"):
        for field in ("creation_date", "update_date"):
            mongo_database[collection].create_index(field)
    return Target(mongo_database, postgres, postgres_resource)


@pytest.fixture
def connect_as(target: Target, postgres: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make a role with a password, and let the commands log in as it."""
    made = []

    def connect(name: str) -> str:
        role = f"{name}_{target.resource.database}"
        postgres.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'of-the-test'".encode())
        made.append(role)
        monkeypatch.setenv("POSTGRES_USER", role)
        monkeypatch.setenv("POSTGRES_PASSWORD", "of-the-test")
        return role

    return connect
