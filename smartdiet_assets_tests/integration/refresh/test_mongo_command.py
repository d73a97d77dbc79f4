"""`smartdiet refresh mongo` as an operator meets it, and the job in Dagster: through a real SSH server."""

import json
import os
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._serdes import serialize_value

from smartdiet_assets.assets.refresh import REFRESH_MONGO_JOB, REFRESH_POSTGRES_JOB
from smartdiet_assets.definitions import build_definitions
from smartdiet_assets.refresh.mongo.lock import hold_lock
from smartdiet_assets.resources.environment import read_environment
from smartdiet_assets_tests.support import running
from smartdiet_assets_tests.support.refreshed import Pair, read_bytes


def refresh(*arguments: str) -> running.Result:
    return running.smartdiet("refresh", "mongo", *arguments)


def test_the_remote_database_is_copied_into_the_local_one(configured: Pair) -> None:
    configured.source["users"].insert_one({})
    result = refresh()
    assert result.returncode == 0, result.stderr
    assert read_bytes(configured.target) == read_bytes(configured.source)
    first, second = result.stdout.splitlines()[:2]
    assert first.startswith(f"Target: database {configured.target.name} of MongoDB at 127.0.0.1")
    assert first.endswith("(local); there now: 4 collections, 91 documents")
    assert second.startswith(f"Source: database {configured.source.name} of MongoDB at 127.0.0.1")
    assert "through SSH server" in second
    assert "Will be REMOVED from the target, as the source has no such collection: own" in result.stdout
    # Without a terminal progress is a line for each collection.
    assert "first: 300 copied" in result.stderr
    assert "smartdiet reconcile" in result.stdout, "the local database is the one that is mirrored"


def test_json_is_one_object_and_the_plan_goes_to_stderr(configured: Pair) -> None:
    result = refresh("--json", "--include", "first,second")
    assert result.returncode == 0, result.stderr
    printed = json.loads(result.stdout)
    assert set(printed) == {"dry_run", "source", "target", "consistent", "collections", "notes", "seconds"}
    assert printed["target"]["database"] == configured.target.name
    first = printed["collections"]["first"]
    assert (first["action"], first["documents"], first["indexes"]) == ("replace", 300, 2)
    assert first["bytes"] == len(read_bytes(configured.source)["first"])
    assert printed["collections"]["third"]["action"] == "keep"
    assert result.stderr.startswith("Target: database")


def test_writing_to_the_remote_one_asks_for_its_name(configured: Pair) -> None:
    before = read_bytes(configured.source)
    refused = refresh("--to", "remote")
    assert refused.returncode == 2
    assert f"type --target-name {configured.source.name}" in refused.stderr
    assert refused.stdout.startswith(f"Target: database {configured.source.name}"), "it is shown all the same"
    assert refresh("--to", "remote", "--target-name", configured.target.name).returncode == 2
    assert read_bytes(configured.source) == before
    dry = refresh("--to", "remote", "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert "Dry run: nothing was written." in dry.stdout
    assert read_bytes(configured.source) == before
    done = refresh("--to", "remote", "--target-name", configured.source.name)
    assert done.returncode == 0, done.stderr
    assert read_bytes(configured.source) == read_bytes(configured.target)


def test_a_wrong_variable_and_a_wrong_name_exit_with_2(configured: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    misspelled = refresh("--include", "frist")
    assert (misspelled.returncode, misspelled.stderr.strip()) == (2, "there is no collection frist")
    monkeypatch.setenv("REMOTE_MONGODB_DATABASE", "nothing")
    empty = refresh()
    assert empty.returncode == 2
    assert "without collections" in " ".join(empty.stderr.split())
    monkeypatch.setenv("REMOTE_SERVER_PASSWORD", "wrong")
    assert refresh().returncode == 2
    assert configured.target["own"].count_documents({}) == 1


def test_a_refresh_that_fails_exits_with_1(configured: Pair) -> None:
    with hold_lock(configured.target, lambda attempt: attempt()):
        result = refresh("--json")
    assert result.returncode == 1
    error = json.loads(result.stdout)["error"]
    assert "another refresh of this database is running" in error
    assert error.endswith("the target is as it was")


@pytest.fixture(autouse=True)
def refresh_jobs(own_environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMARTDIET_REFRESH_JOBS", "true")


def run_job(pair: Pair, instance: dg.DagsterInstance | None = None, **config: Any) -> dg.ExecuteInProcessResult:
    job = build_definitions(pair.schema, read_environment()).resolve_job_def(REFRESH_MONGO_JOB)
    run_config = {"ops": {"copy_mongo": {"config": config}}}
    return job.execute_in_process(instance=instance, run_config=run_config, raise_on_error=False)


def read_metadata(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    outputs = [event.step_output_data.metadata for event in result.all_events if event.is_successful_output]
    return {name: value.value for name, value in outputs[-1].items() if hasattr(value, "value")} | {
        name: value for name, value in outputs[-1].items() if isinstance(value, dg.TableMetadataValue)
    }


def test_the_job_refreshes_and_says_what_it_copied(configured: Pair) -> None:
    result = run_job(configured, target_name=configured.target.name, exclude=["own"])
    assert result.success
    assert {**read_bytes(configured.target), "own": b""} == {**read_bytes(configured.source), "own": b""}
    metadata = read_metadata(result)
    assert metadata["documents"] == 900
    assert metadata["dry_run"] is False
    records = {record.data["name"]: record.data for record in metadata["collections"].records}
    assert (records["first"]["count"], records["first"]["action"]) == (300, "replace")


def test_the_job_must_be_told_the_name_of_its_target(configured: Pair) -> None:
    before = read_bytes(configured.target)
    with pytest.raises(dg.DagsterInvalidConfigError, match="target_name"):
        run_job(configured)
    refused = run_job(configured, target_name="production")
    assert not refused.success
    failures = [event for event in refused.all_events if event.is_step_failure]
    assert len(failures) == 1, "what a person must mend is not tried again"
    data = failures[0].step_failure_data.user_failure_data
    assert data is not None
    assert "target_name is not the name of the database" in str(data.description)
    assert read_bytes(configured.target) == before


@pytest.mark.parametrize("config", [{"target_name": "production"}, {"target_name": {"env": "MONGODB_DATABASE"}}])
def test_a_refusal_of_the_job_does_not_tell_the_word_to_type(configured: Pair, config: dict[str, Any]) -> None:
    with dg.instance_for_test() as instance:
        for sides in ({}, {"REMOTE_MONGODB_DATABASE": os.environ["MONGODB_DATABASE"]}):
            with pytest.MonkeyPatch.context() as patch:
                for name, value in sides.items():
                    patch.setenv(name, value)
                refused = run_job(configured, instance, **config)
            assert not refused.success
            events = "\n".join(serialize_value(record) for record in instance.all_logs(refused.run_id))
            assert "nothing was written" in events
            assert configured.target.name not in events


def test_the_job_does_not_repeat_a_name_that_fits_nothing(configured: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOREIGN", "s3cret-list")
    with dg.instance_for_test() as instance:
        for names in (["s3cret-list"], [{"env": "FOREIGN"}]):
            refused = run_job(configured, instance, target_name=configured.target.name, include=names)
            assert not refused.success
            assert "s3cret-list" not in "\n".join(
                serialize_value(record) for record in instance.all_logs(refused.run_id)
            )


def test_the_jobs_are_there_only_where_the_environment_says_so(
    configured: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    for value, there in (("", False), ("false", False), ("true", True)):
        monkeypatch.setenv("SMARTDIET_REFRESH_JOBS", value)
        definitions = build_definitions(configured.schema, read_environment())
        jobs = {job.name for job in definitions.resolve_all_job_defs()}
        assert ({REFRESH_MONGO_JOB, REFRESH_POSTGRES_JOB} <= jobs) is there


def test_a_dry_run_of_the_job_writes_nothing(configured: Pair) -> None:
    before = read_bytes(configured.target)
    result = run_job(configured, target_name=configured.target.name, dry_run=True)
    assert read_metadata(result)["dry_run"] is True
    assert read_bytes(configured.target) == before


def test_both_jobs_are_there(configured: Pair) -> None:
    definitions = build_definitions(configured.schema, read_environment())
    assert {REFRESH_MONGO_JOB, REFRESH_POSTGRES_JOB} <= {job.name for job in definitions.resolve_all_job_defs()}
