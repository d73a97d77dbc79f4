"""The reconcile job: what its run says about each table, and how it is configured."""

from typing import Any

import dagster as dg
import pytest

from smartdiet_assets.assets.reconcile import RECONCILE_JOB, RECONCILE_SCHEDULE
from smartdiet_assets.definitions import build_definitions
from smartdiet_assets.resources.environment import read_environment
from smartdiet_assets_tests.integration.reconcile.clinic import Clinic


@pytest.fixture
def mirrored(clinic: Clinic, configured_servers: None) -> Clinic:
    """The clinic, mirrored, with one user deleted."""
    clinic.sync()
    clinic.mongo.users.delete_one({"_id": clinic.users[0]})
    return clinic


def run(clinic: Clinic, **config: Any) -> tuple[dg.ExecuteInProcessResult, dict[str, dict[str, Any]]]:
    """Run the job; give what it says about each table."""
    job = build_definitions(clinic.schema, read_environment()).resolve_job_def(RECONCILE_JOB)
    result = job.execute_in_process(
        run_config={"ops": {"reconcile_tables": {"config": config}}} if config else None, raise_on_error=False
    )
    observed = [
        event.asset_observation_data.asset_observation
        for event in result.all_events
        if event.event_type == dg.DagsterEventType.ASSET_OBSERVATION
    ]
    return result, {
        observation.asset_key.to_user_string(): {name: value.value for name, value in observation.metadata.items()}
        for observation in observed
    }


def test_a_run_without_configuration_reconciles_every_table_and_observes_it(mirrored: Clinic) -> None:
    result, said = run(mirrored)
    assert result.success
    assert list(said) == ["logs", "friends", "users"]
    assert (said["friends"]["removed"], said["users"]["removed"], said["users"]["rows"]) == (2, 1, 10)
    assert (said["users"]["cascaded"], said["users"]["cascaded_tables"]) == (1, '{"logs": 1}')
    assert len(mirrored.rows("users", "1")) == 9


def test_tables_and_a_dry_run_can_be_asked_for(mirrored: Clinic) -> None:
    result, said = run(mirrored, tables=["users"], dry_run=True)
    assert result.success
    assert (list(said), said["users"]["removed"], said["users"]["dry_run"]) == (["users"], 1, True)
    assert len(mirrored.rows("users", "1")) == 10


def test_a_refused_table_fails_the_run_once_and_after_the_others(mirrored: Clinic) -> None:
    mirrored.mongo.logs.delete_many({})
    result, said = run(mirrored)
    assert not result.success
    assert said["users"]["removed"] == 1
    assert "the source has no document at all" in said["logs"]["error"]
    assert not any(event.event_type == dg.DagsterEventType.STEP_RESTARTED for event in result.all_events)
    [failure] = [event for event in result.all_events if event.is_step_failure]
    assert "smartdiet reconcile logs --force" in str(failure.step_failure_data.user_failure_data)
    assert run(mirrored, force=True)[0].success
    assert mirrored.rows("logs", "1") == []


def test_the_schedule_is_daily_and_stopped(mirrored: Clinic) -> None:
    definitions = build_definitions(mirrored.schema, read_environment())
    schedule = definitions.resolve_schedule_def(RECONCILE_SCHEDULE)
    assert schedule.default_status == dg.DefaultScheduleStatus.STOPPED
    assert schedule.cron_schedule == "30 2 * * *"
    assert schedule.job_name == RECONCILE_JOB
