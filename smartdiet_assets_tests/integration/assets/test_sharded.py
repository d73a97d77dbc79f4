"""A first load whose shards Dagster runs as steps: on its executors, and again from where it failed."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest
from pymongo.database import Database

from smartdiet_assets.assets.partitions import build_partitions
from smartdiet_assets.definitions import build_definitions
from smartdiet_assets.mirror import shard_copy, shards
from smartdiet_assets.resources.environment import read_environment
from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets_tests.support.sharded import ShardedMirror, build_person

STEPS = ("  people:\n", "  people:\n    shard_steps: true\n")


def build_job() -> dg.JobDefinition:
    """The job of all tables, in whatever process."""
    environment = read_environment()
    return build_definitions(load_schema(*environment.schema_files), environment).resolve_job_def("mirror")


@pytest.fixture
def people(
    tmp_path: Path,
    configured_servers: None,
    mongo_database: Database[Any],
    postgres: psycopg.Connection[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> ShardedMirror:
    monkeypatch.setenv("SMARTDIET_SCHEMAS", str(tmp_path / "people.yaml"))
    monkeypatch.setenv("RETRY_DELAY", "0")
    monkeypatch.setattr(shards, "_FEWEST_SHARDS", 12)
    made = ShardedMirror(tmp_path / "people.yaml", mongo_database, postgres)
    made.declare(STEPS)
    return made


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as made:
        yield made


def build_tags() -> dict[str, str]:
    """The tags of a run of the newest partition."""
    schema = load_schema(*read_environment().schema_files)
    return {"dagster/partition": str(build_partitions(schema.partitions).get_last_partition_key())}


def run(people: ShardedMirror, instance: dg.DagsterInstance, **options: Any) -> dg.JobExecutionResult:
    return dg.execute_job(dg.reconstructable(build_job), instance, tags=build_tags(), raise_on_error=False, **options)


def succeeded(result: dg.JobExecutionResult) -> set[str]:
    return {event.step_key or "" for event in result.all_events if event.is_step_success}


def test_the_steps_of_a_run_are_its_shards(people: ShardedMirror, instance: dg.DagsterInstance) -> None:
    with run(people, instance) as result:
        assert result.success, [event.message for event in result.all_events if event.is_failure]
        steps = succeeded(result)
        materialised = {event.asset_key for event in result.all_events if event.is_step_materialization}
    assert {"people.plan", "people.publish", "days"} <= steps
    assert len([step for step in steps if step.startswith("people.copy[")]) > 10
    assert materialised == {dg.AssetKey(name) for name in people.schema.tables}
    assert people.compare() == []
    assert (people.plans(), people.hidden()) == ([], [])
    event = instance.get_latest_materialization_event(dg.AssetKey("people"))
    assert event is not None
    assert event.asset_materialization is not None
    assert event.asset_materialization.metadata["dagster/row_count"].value == 392


def test_processes_run_them_too(people: ShardedMirror, tmp_path: Path) -> None:
    # In a process of its own: of those that fork, the first one's variables stay.
    program = f"""
import dagster as dg
from {__name__} import build_job, build_tags, succeeded
with dg.DagsterInstance.local_temp({str(tmp_path)!r}) as instance:
    with dg.execute_job(dg.reconstructable(build_job), instance, tags=build_tags()) as result:
        print(*succeeded(result), sep="\\n")
"""
    environment = {**os.environ, "SMARTDIET_EXECUTOR": "multiprocess"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3_000:]
    steps = done.stdout.splitlines()
    assert "people.publish" in steps
    assert len([step for step in steps if step.startswith("people.copy[")]) == 16
    assert people.compare() == []
    assert (people.plans(), people.hidden()) == ([], [])


def test_re_execution_from_failure_repeats_what_failed(
    people: ShardedMirror, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, copied = shard_copy.copy_shard, list[int]()

    def copy(source: Any, connection: Any, plan: Any, shard: Any, **options: Any) -> None:
        if 5 <= shard.number < 7:
            raise ValueError
        copied.append(shard.number)
        real(source, connection, plan, shard, **options)

    with monkeypatch.context() as patched:
        patched.setattr(shard_copy, "copy_shard", copy)
        with run(people, instance) as result:
            assert not result.success
            run_id, done = result.run_id, succeeded(result)
    assert "people.publish" not in done
    [(planned, first)] = people.plans()
    assert first == len(copied) < planned

    def count(source: Any, connection: Any, plan: Any, shard: Any, **options: Any) -> None:
        if source.table.name == "people":
            copied.append(shard.number)
        real(source, connection, plan, shard, **options)

    monkeypatch.setattr(shard_copy, "copy_shard", count)
    options = dg.ReexecutionOptions.from_failure(run_id, instance)
    with run(people, instance, reexecution_options=options) as again:
        assert again.success
        assert "people.plan" not in succeeded(again)
    assert sorted(copied) == list(range(1, planned + 1))
    assert people.compare() == []


def test_a_later_run_of_such_a_table_is_like_any_other(people: ShardedMirror, instance: dg.DagsterInstance) -> None:
    with run(people, instance) as result:
        assert result.success
    people.mongo["people"].insert_one(build_person(400, datetime.now(UTC).replace(tzinfo=None)))
    with run(people, instance) as again:
        assert again.success
        assert not [step for step in succeeded(again) if ".copy[" in step]
    assert people.compare() == []


def test_to_everybody_else_it_is_an_asset_like_any_other(people: ShardedMirror) -> None:
    environment = read_environment()
    definitions = build_definitions(people.schema, environment)
    people.declare()
    plain = build_definitions(people.schema, environment)
    for key in (dg.AssetKey("people"), dg.AssetKey("tags")):
        ours, theirs = (made.resolve_assets_def(key).get_asset_spec(key) for made in (definitions, plain))
        for name in ("deps", "kinds", "tags", "code_version", "group_name", "owners", "description", "partitions_def"):
            assert getattr(ours, name) == getattr(theirs, name)
        assert ours.metadata.keys() == theirs.metadata.keys()
    config = {"ops": {"people": {"config": {"full": True}}, "days": {"config": {"since": "2024-01-01"}}}}
    for made in (definitions, plain):
        assert dg.validate_run_config(made.resolve_job_def("mirror"), config)
