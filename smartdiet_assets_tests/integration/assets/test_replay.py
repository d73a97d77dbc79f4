"""A sync that is recorded shows in Dagster as the same job does that Dagster runs by itself."""

import logging
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import dagster as dg
import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymongo.database import Database

from smartdiet_assets.assets.location import REPOSITORY_TAGS, locate_runs
from smartdiet_assets.assets.recorder import record_runs
from smartdiet_assets.definitions import build_definitions
from smartdiet_assets.extract.window import Window
from smartdiet_assets.load.result import LoadResult
from smartdiet_assets.mirror.capture import Capture
from smartdiet_assets.mirror.failures import TableFailure
from smartdiet_assets.mirror.progress import progress_log
from smartdiet_assets.mirror.run_events import RunHead
from smartdiet_assets.mirror.spool import RunRecord, Spool
from smartdiet_assets.mirror.sync import run_sync
from smartdiet_assets.mirror.table_run import MirrorResult
from smartdiet_assets.resources.environment import read_environment
from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets_tests.support.mirrored import Mirrored

SCHEMA = """
partitions: {start: 2026-01-01}
tables:
  companies:
    include_base: true
    max_rejects: 1
    additional_columns:
      - {name: name, sql_type: VARCHAR(10), nullable: false}
  users:
    include_base: true
    additional_columns:
      - {name: company_id, sql_type: VARCHAR, mongo_field: company, foreign_key: companies(id)}
  letters:
    include_base: true
    additional_columns:
      - {name: user_id, sql_type: VARCHAR, mongo_field: user, foreign_key: users(id)}
  recipes:
    include_base: true
    additional_columns:
      - {name: title, sql_type: VARCHAR(10)}
"""
TABLES = ("companies", "users", "letters", "recipes")
DAY = datetime(2026, 3, 10)
DATES = {"creation_date": DAY, "update_date": DAY}
#: What may differ from one run to the next.
_TIMES = re.compile(r"in \d+\.\d s\.")


class Recorded:
    """Documents, and a target; what Dagster's own run shows of it, and what a recorded sync does."""

    def __init__(self, folder: Path, mongo: Database[Any], postgres: psycopg.Connection[Any]) -> None:
        self.folder, self.mongo, self.postgres = folder, mongo, postgres
        self.schema = load_schema(folder / "tables.yaml")

    def begin(self, faults: set[str]) -> None:
        """Have documents and an empty target, with some things wrong."""
        for name in reversed(TABLES):
            self.mongo.drop_collection(name)
            self.postgres.execute(f"DROP TABLE IF EXISTS {name} CASCADE")
        self.postgres.execute("DROP SCHEMA IF EXISTS smartdiet CASCADE")
        self.mongo.companies.insert_many([{"_id": f"c{n}", "name": "Acme", **DATES} for n in range(3)])
        self.mongo.users.insert_many([{"_id": f"u{n}", "company": f"c{n}", **DATES} for n in range(3)])
        self.mongo.letters.insert_many([{"_id": f"l{n}", "user": f"u{n}", **DATES} for n in range(3)])
        self.mongo.recipes.insert_one({"_id": "r", "title": "Soup", **DATES})
        if "a reject" in faults:
            self.mongo.recipes.insert_one({"title": "Marked-Value-Too-Long", **DATES})
        if "too many rejects" in faults:
            self.mongo.companies.insert_many([{"name": "Marked-Value-Too-Long", **DATES} for _ in range(2)])
        if "a missing parent" in faults:
            self.mongo.letters.insert_one({"user": "nobody", **DATES})
        if "another table" in faults:
            self.postgres.execute("CREATE TABLE users (id integer PRIMARY KEY)")
        if "mirrored before" in faults:
            Mirrored(self.schema, self.mongo, self.postgres).run(tables={"recipes"})

    def run_in_dagster(self, full: bool) -> list[str]:
        """Have Dagster run the job as `smartdiet sync` did when it ran in Dagster."""
        job = build_definitions(self.schema, read_environment()).resolve_job_def("mirror")
        assert job.partitions_def is not None
        picked = job.get_subset(asset_selection=set(map(dg.AssetKey, TABLES)), asset_check_selection=frozenset())
        with dg.DagsterInstance.ephemeral() as instance, locate_runs(instance):
            picked.execute_in_process(
                instance=instance,
                run_config={
                    "resources": {"all_tables": {"config": {"full": full}}},
                    "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
                },
                partition_key=job.partitions_def.get_last_partition_key(),
                tags=REPOSITORY_TAGS,
                raise_on_error=False,
            )
            return describe_runs(instance)

    def sync(self, full: bool) -> list[str]:
        """Sync, and record it."""
        spool = Spool(self.folder / "dagster")
        run_sync(self.schema, read_environment(), tables=TABLES, full=full, records=spool)
        (kept,) = [file.path.read_text() for file in spool.list_files()[:1]]
        assert "Marked-Value" not in kept
        with dg.DagsterInstance.ephemeral() as instance:
            record_runs(spool, instance, read_environment(), build_definitions, follow=False)
            assert not spool.list_files()
            return describe_runs(instance)


def describe_runs(instance: dg.DagsterInstance) -> list[str]:
    """Describe the first run of an instance and its events, table by table, without what differs from run to run."""
    run = instance.get_runs()[-1]
    of_asset = sorted(key.to_user_string() for key in run.asset_selection or ())
    lines = [f"{run.job_name} {run.status} {run.tags} {run.run_config} {of_asset} {run.remote_job_origin}"]
    for entry in instance.all_logs(run.run_id):
        event = entry.dagster_event
        if event is None:
            lines.append(f"{entry.step_key} {entry.level} {entry.user_message}")
            continue
        kind = event.event_type_value
        what: Any = ""
        if kind == "ASSET_MATERIALIZATION":
            found = event.step_materialization_data.materialization
            what = (found.partition, sorted(found.tags or ()), found.description, _describe_metadata(found.metadata))
        elif kind == "ASSET_OBSERVATION":
            seen = event.asset_observation_data.asset_observation
            what = (seen.partition, seen.description, _describe_metadata(seen.metadata))
        elif kind == "STEP_FAILURE":
            failure = event.step_failure_data.user_failure_data
            assert failure is not None
            what = (failure.description, _describe_metadata(failure.metadata))
        lines.append(f"{event.step_key} {kind} {what}".replace(run.run_id, "RUN"))
    # Dagster and the sync take tables that do not depend on each other in an order of their own.
    return sorted(lines)


def _describe_metadata(metadata: Any) -> dict[str, str]:
    kept = {name: value for name, value in metadata.items() if not name.startswith("seconds")}
    return {name: _TIMES.sub("", str(value.value)) for name, value in kept.items()}


@pytest.fixture
def recorded(
    tmp_path: Path,
    configured_servers: None,
    mongo_database: Database[Any],
    postgres: psycopg.Connection[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> Recorded:
    (tmp_path / "tables.yaml").write_text(SCHEMA)
    monkeypatch.setenv("SMARTDIET_SCHEMAS", str(tmp_path / "tables.yaml"))
    return Recorded(tmp_path, mongo_database, postgres)


FAULTS = ("a reject", "too many rejects", "a missing parent", "another table", "mirrored before")


@settings(max_examples=4)
@given(faults=st.sets(st.sampled_from(FAULTS)), full=st.booleans())
def test_a_recorded_sync_shows_what_dagsters_own_run_shows(recorded: Recorded, faults: set[str], full: bool) -> None:
    recorded.begin(faults)
    own = recorded.run_in_dagster(full)
    recorded.begin(faults)
    assert recorded.sync(full) == own


#: Dagster takes nothing else for the id of a run.
ONE, TWO, THREE = (str(UUID(int=number, version=4)) for number in (1, 2, 3))
AT = datetime(2026, 5, 17, 12, tzinfo=UTC).timestamp()


class Kept:
    """Runs that nobody did, kept as a sync keeps its own, and an instance to record them in."""

    def __init__(self, folder: Path, instance: dg.DagsterInstance) -> None:
        self.folder, self.instance = folder, instance
        self.spool = Spool(folder / "dagster")

    def keep(self, run_id: str, tell: Callable[[RunRecord], None], tables: tuple[str, ...] = TABLES) -> None:
        head = RunHead(run_id, AT, tables, (str(self.folder / "tables.yaml"),), None, False)
        with self.spool.open(head) as record:
            tell(record)

    def record(self) -> None:
        record_runs(self.spool, self.instance, read_environment(), build_definitions, follow=False)

    def failures(self, run_id: str) -> dict[str, str]:
        """The sentence of each step that failed."""
        entries = self.instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
        events = [entry.get_dagster_event() for entry in entries]
        failed = {str(event.step_key): event.step_failure_data.user_failure_data for event in events}
        return {name: failure.description or "" for name, failure in failed.items() if failure is not None}


def build_result(table: str, behind: datetime | None = None) -> MirrorResult:
    """Build what a run of a table came to that read three new documents."""
    load = LoadResult("bulk", 3, 0, 0, 0, 0, None, 0, 0, 0, 0, 0, {}, 3, 3, DAY)
    capture = Capture("Marked-Position", "resumed", events=3, behind=behind)
    return MirrorResult(table, Window("full"), load, 3, DAY, 0.5, capture=capture, database="d", schema_name="public")


def end_all(record: RunRecord) -> None:
    for name in TABLES:
        record.begin(name)
        record.end(name, build_result(name))


@pytest.fixture
def kept(own_environment: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kept]:
    (own_environment / "tables.yaml").write_text(SCHEMA)
    with dg.DagsterInstance.ephemeral() as instance:
        yield Kept(own_environment, instance)


def test_events_are_dated_as_what_they_tell_of(kept: Kept) -> None:
    kept.keep(ONE, end_all)
    (file,) = kept.spool.list_files()
    file.read_on()
    kept.record()
    (record,) = kept.instance.get_run_records()
    assert record.start_time == AT
    assert record.end_time == pytest.approx(file.over_at, abs=1e-3)
    dates = {
        entry.get_dagster_event().step_key: entry.timestamp
        for entry in kept.instance.all_logs(ONE, of_type=dg.DagsterEventType.STEP_SUCCESS)
    }
    assert dates == {name: file.ended[name].at for name in TABLES}
    assert record.dagster_run.tags["dagster/partition"] == "2026-05-01", "the newest one when the run began"


def test_a_stream_that_was_not_read_to_its_end_is_a_warning_and_its_position_is_kept_nowhere(kept: Kept) -> None:
    kept.keep(ONE, lambda record: record.end("recipes", build_result("recipes", behind=DAY)), ("recipes",))
    (file,) = kept.spool.list_files()
    assert "Marked" not in file.path.read_text()
    assert (file.path.stat().st_mode & 0o777, file.path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    kept.record()
    warnings = [entry.user_message for entry in kept.instance.all_logs(ONE) if entry.level == logging.WARNING]
    assert [text for text in warnings if "was read up to 2026-03-10 00:00:00 UTC only" in text]


def test_what_a_table_says_while_it_runs_is_in_its_log(kept: Kept) -> None:
    def tell(record: RunRecord) -> None:
        record.begin("recipes")
        progress_log.warning("MongoDB is away", extra={"table": "recipes"})
        record.end("recipes", TableFailure("in vain", server="MongoDB"))

    kept.keep(ONE, tell, ("recipes",))
    kept.record()
    assert "MongoDB is away" in [entry.user_message for entry in kept.instance.all_logs(ONE)]
    assert kept.failures(ONE) == {"recipes": "in vain"}


def test_a_sync_that_was_ended_shows_what_it_had_finished(kept: Kept) -> None:
    def tell(record: RunRecord) -> None:
        record.begin("companies")
        record.end("companies", build_result("companies"))
        record.begin("users")

    kept.keep(ONE, tell)
    kept.record()
    (run,) = kept.instance.get_runs()
    assert run.status == dg.DagsterRunStatus.FAILURE
    shown = kept.instance.get_latest_materialization_events([dg.AssetKey(name) for name in TABLES])
    assert [key.to_user_string() for key, event in shown.items() if event] == ["companies"]
    ended = "interrupted; what was not finished is rolled back"
    assert kept.failures(ONE) == {"users": ended, "recipes": ended}
    assert kept.spool.list_files() == []


def test_a_run_that_was_recorded_in_part_is_recorded_anew_and_one_that_is_there_is_not(kept: Kept) -> None:
    kept.keep(ONE, end_all)
    (file,) = kept.spool.list_files()
    text = file.path.read_text()
    kept.record()
    file.path.write_text(text)
    before = kept.instance.event_log_storage.get_maximum_record_id()
    kept.record()
    assert kept.instance.event_log_storage.get_maximum_record_id() == before
    # As a recorder leaves it that was killed.
    kept.instance.delete_run(ONE)
    job = build_definitions(load_schema(kept.folder / "tables.yaml"), read_environment()).resolve_job_def("mirror")
    kept.instance.create_run_for_job(job, run_id=ONE, status=dg.DagsterRunStatus.STARTED)
    file.path.write_text(text)
    kept.record()
    assert [run.status for run in kept.instance.get_runs()] == [dg.DagsterRunStatus.SUCCESS]


def test_a_run_of_a_table_that_is_declared_no_more_is_kept_and_keeps_no_other_back(kept: Kept) -> None:
    kept.keep(ONE, lambda record: record.end("gone", build_result("gone")), ("gone",))
    kept.keep(TWO, end_all)
    kept.record()
    (file,) = kept.spool.list_files()
    assert file.head.run_id == ONE
    assert kept.spool.describe_kept() == (
        "1 run is not in Dagit yet; the next sync tries again: gone is declared no more; delete "
        f"{file.path} to give the run up."
    )
    assert [run.run_id for run in kept.instance.get_runs()] == [TWO]


def test_runs_are_recorded_in_the_order_in_which_they_began(kept: Kept) -> None:
    for name in (ONE, TWO, THREE):
        kept.keep(name, end_all)
    kept.record()
    assert [run.run_id for run in kept.instance.get_runs()] == [THREE, TWO, ONE]


def test_a_file_that_is_none_of_ours_is_kept_and_said(kept: Kept) -> None:
    kept.keep(ONE, end_all)
    (file,) = kept.spool.list_files()
    file.path.write_text('{"kind": "other"}\n')
    kept.record()
    assert "cannot be read as a run of this version; delete it" in kept.spool.describe_kept()
