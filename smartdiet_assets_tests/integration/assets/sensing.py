"""The sensor under test: its ticks, and the runs it asks for, on real databases and a real instance.

Here: evaluating a tick as Dagster's daemon does, and running what it asks for. Not here: the daemon itself
(`test_instances`).
"""

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import sqlalchemy
from dagster._core.definitions.sensor_definition import SensorExecutionData
from dagster._core.storage.tags import RUN_KEY_TAG
from pymongo.database import Database

from smartdiet_assets.assets.sensors import CHANGE_SENSOR
from smartdiet_assets.definitions import build_definitions
from smartdiet_assets.resources.environment import read_environment
from smartdiet_assets.schema.loading import load_schema

NOW = datetime.now(UTC).replace(tzinfo=None, microsecond=0)
TABLES = """
partitions: {every: month, start: 2026-01-01}
defaults: {sync_after: 2, max_delay: 2h}
tables:
  companies:
    include_base: true
    additional_columns:
      - {name: name, sql_type: VARCHAR(20), nullable: false}
  users:
    include_base: true
    additional_columns:
      - {name: email, sql_type: VARCHAR(255)}
      - {name: company_id, sql_type: VARCHAR, mongo_field: company, foreign_key: companies(id)}
  user_events:
    mongo_collection: users
    columns:
      - {name: user_id, sql_type: VARCHAR, nullable: false, foreign_key: users(id), mongo_field: _id}
      - {name: event_id, sql_type: VARCHAR, nullable: false, item_field: [., event, _id]}
      - {name: created_at, sql_type: TIMESTAMP, nullable: false}
      - {name: updated_at, sql_type: TIMESTAMP, nullable: false}
    arrays: [{field: registered_events}]
    unique_constraints: [[user_id, event_id]]
  notes:
    include_base: true
    additional_columns:
      - {name: text, sql_type: TEXT}
"""
COLLECTIONS = ("companies", "users", "notes")


class Sensing:
    """The sensor of some tables, its cursor, and the instance its runs are in."""

    def __init__(
        self, path: Path, source: Database[dict[str, Any]], instance: dg.DagsterInstance, sensor: str = CHANGE_SENSOR
    ) -> None:
        self.sensor = sensor
        self.path = path
        self.source = source
        self.instance = instance
        self.cursor: str | None = None
        self.started = 1.0
        self._built: dict[tuple[str, ...], dg.Definitions] = {}

    def declare(self, text: str) -> None:
        self.path.write_text(text)

    @property
    def definitions(self) -> dg.Definitions:
        files = [self.path, *read_environment().schema_files[1:]]
        known = (*(file.read_text() for file in files), str(os.environ))
        if known not in self._built:
            self._built[known] = build_definitions(load_schema(*files), read_environment())
        return self._built[known]

    def tick(self) -> SensorExecutionData:
        """Evaluate the sensor and keep its cursor."""
        definitions = self.definitions
        repository = definitions.get_repository_def()
        with dg.build_sensor_context(
            instance=self.instance,
            cursor=self.cursor,
            repository_def=repository,
            resources=definitions.resources,
            last_sensor_start_time=self.started,
        ) as context:
            answer = repository.get_sensor_def(self.sensor).evaluate_tick(context)
        self.cursor = answer.cursor or self.cursor
        return answer

    def skip(self) -> str:
        """Evaluate a tick that asks for nothing; its reason."""
        answer = self.tick()
        assert not answer.run_requests
        return answer.skip_message or ""

    def ask(self) -> dg.RunRequest:
        """Evaluate a tick that asks for one run."""
        answer = self.tick()
        assert answer.run_requests is not None, answer.skip_message
        (request,) = answer.run_requests
        return request

    def run(self, request: dg.RunRequest) -> bool:
        """Run what was asked for, with the tags the daemon gives it; whether it succeeded."""
        assert request.run_key is not None
        job = self.definitions.resolve_job_def("mirror").get_subset(
            asset_selection=set(request.asset_selection or []),
            asset_check_selection=set(request.asset_check_keys or []),
        )
        result = job.execute_in_process(
            instance=self.instance,
            partition_key=request.partition_key,
            tags={**request.tags, RUN_KEY_TAG: request.run_key},
            raise_on_error=False,
        )
        return result.success

    def sync(self) -> dg.RunRequest:
        """Let the sensor ask for one run and run it."""
        request = self.ask()
        assert self.run(request)
        return request

    def age(self) -> None:
        """Have all that was asked for, and has run, be of an hour earlier."""
        hour = timedelta(hours=1)
        cursor = json.loads(self.cursor or "{}")
        for asked in (memory["asked"] for memory in cursor["collections"].values() if "asked" in memory):
            asked["asked_at"] = (datetime.fromisoformat(asked["asked_at"]) - hour).isoformat()
        self.cursor = json.dumps(cursor)
        with self.instance.run_storage.connect() as connection:  # type: ignore[attr-defined]
            connection.execute(sqlalchemy.text(f"UPDATE runs SET end_time = end_time - {hour.total_seconds()}"))

    def add(self, collection: str, at: datetime = NOW, **fields: Any) -> Any:
        document = {"creation_date": at, "update_date": at, **fields}
        return self.source[collection].insert_one(document).inserted_id

    def index(self, *collections: str) -> None:
        for collection in collections:
            for field in ("update_date", "creation_date"):
                self.source[collection].create_index(field)


def tables_of(request: dg.RunRequest) -> list[str]:
    """The tables a run was asked for, in order."""
    return [key.to_user_string() for key in request.asset_selection or []]
