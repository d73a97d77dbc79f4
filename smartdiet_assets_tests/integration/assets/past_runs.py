"""Runs of the past: copies of real ones with other times, as a year of real ones would take hours.

Here: copying a run's records in Dagster's own tables, on both kinds of storage. Not here: any run.
"""

import shutil
import sqlite3
import uuid
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg

_RUNS = """
INSERT INTO runs (run_id, snapshot_id, pipeline_name, status, run_body, partition, create_timestamp, update_timestamp,
  start_time, end_time)
SELECT {new}, snapshot_id, pipeline_name, status, replace(replace(run_body, {old}, {new}), {from_month}, {to_month}),
  partition, {at}, {at}, {seconds}, {seconds}
FROM runs WHERE run_id = {old}
"""
_TAGS = """
INSERT INTO run_tags (run_id, key, value)
SELECT {new}, key, replace(value, {from_month}, {to_month}) FROM run_tags WHERE run_id = {old}
"""
_EVENTS = """
INSERT INTO event_logs (run_id, event, dagster_event_type, timestamp, step_key, asset_key, partition)
SELECT {new}, replace(replace(event, {old}, {new}), {from_month}, {to_month}), dagster_event_type, {at}, step_key,
  asset_key, CASE WHEN partition = {from_month} THEN {to_month} ELSE partition END
FROM event_logs WHERE run_id = {old} ORDER BY id
"""
_CHECKS = """
INSERT INTO asset_check_executions (asset_key, check_name, partition, run_id, execution_status, evaluation_event,
  evaluation_event_timestamp, evaluation_event_storage_id, materialization_event_storage_id, create_timestamp)
SELECT asset_key, check_name, partition, {new}, execution_status, replace(evaluation_event, {old}, {new}), {at},
  evaluation_event_storage_id, materialization_event_storage_id, {at}
FROM asset_check_executions WHERE run_id = {old} ORDER BY id
"""
_MEASURE = """
SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
"""
_STATEMENTS = (_RUNS, _TAGS, _EVENTS, _CHECKS)


class PastRuns:
    """Copies runs of an instance within its storage."""

    def __init__(self, home: Path, url: str) -> None:
        self._home = home
        self._url = url
        self._connection: Any
        if url:
            self._connection = psycopg.connect(url, autocommit=True)
        else:
            self._connection = sqlite3.connect(home / "history" / "runs.db", isolation_level=None)
            self._connection.execute("ATTACH ? AS events", [str(home / "history" / "runs" / "index.db")])

    def close(self) -> None:
        self._connection.close()

    def begin(self) -> None:
        self._connection.execute("BEGIN")

    def commit(self) -> None:
        self._connection.execute("COMMIT")

    def copy(self, old: str, at: datetime, months: tuple[str, str]) -> str:
        """Copy a run as one that began and ended at a time, its partition replaced by another; gives its id."""
        new = str(uuid.uuid4())
        values = {
            "old": old,
            "new": new,
            "at": at.replace(tzinfo=None).isoformat(" ", "microseconds"),
            "seconds": at.timestamp(),
            "from_month": months[0],
            "to_month": months[1],
        }
        for statement in _STATEMENTS:
            self._execute(statement, values)
        if not self._url:
            folder = self._home / "history" / "runs"
            shutil.copyfile(folder / f"{old}.db", folder / f"{new}.db")
        shutil.copytree(self._home / "storage" / old, self._home / "storage" / new)
        return new

    def _execute(self, statement: str, values: Mapping[str, Any]) -> None:
        if self._url:
            casts = {"at": "timestamp", "seconds": "float8"}
            spelled = {name: f"%({name})s::{casts.get(name, 'text')}" for name in values}
        else:
            spelled = {name: f":{name}" for name in values}
        self._connection.execute(statement.format(**spelled), values)

    def measure(self) -> int:
        """Measure the bytes of all records, as they are after the database's own upkeep."""
        files = sum(path.stat().st_size for path in self._home.rglob("*") if path.is_file())
        if not self._url:
            return files
        self._connection.execute("VACUUM")
        (tables,) = self._connection.execute(_MEASURE).fetchone()
        return files + int(tables)
