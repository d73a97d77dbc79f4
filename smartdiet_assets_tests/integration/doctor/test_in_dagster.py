"""The job `doctor`: the same findings in Dagit, and a run that fails where one of them does."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import psycopg
import pytest

from smartdiet_assets.definitions import build_definitions
from smartdiet_assets.doctor.run import examine_all
from smartdiet_assets.resources.environment import read_environment
from smartdiet_assets_tests.support.checked import Checked

SECRET = "Marked-s3cret"


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def run(healthy: Checked, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    job = build_definitions(healthy.mirrored.schema, read_environment()).resolve_job_def("doctor")
    return job.execute_in_process(instance=instance, raise_on_error=False)


def list_outputs(result: dg.ExecuteInProcessResult) -> dict[str, str]:
    return {
        event.step_key or "": str(event.step_output_data.metadata["findings"].value)
        for event in result.all_events
        if event.event_type_value == "STEP_OUTPUT"
    }


def test_the_steps_show_what_the_command_prints(healthy: Checked, instance: dg.DagsterInstance) -> None:
    result = run(healthy, instance)
    assert result.success
    shown = list_outputs(result)
    assert set(shown) == {"examine_postgres", "examine_mongodb"}
    for finding in examine_all():
        if finding.part in ("postgres", "mongodb") and finding.check != "clock":
            assert f"| {finding.sentence} |" in shown[f"examine_{finding.part}"]


def test_a_failure_fails_its_step_alone_with_the_sentence(
    healthy: Checked, instance: dg.DagsterInstance, postgres: psycopg.Connection[Any]
) -> None:
    postgres.execute("ALTER TABLE notes ADD COLUMN extra INTEGER; DROP INDEX people_team_id_idx")
    result = run(healthy, instance)
    assert not result.success
    assert set(list_outputs(result)) == {"examine_mongodb"}
    [failure] = [event.step_failure_data.user_failure_data for event in result.all_events if event.is_step_failure]
    assert failure is not None
    assert failure.description is not None
    assert failure.description.startswith("tables: notes: The live table differs")
    assert 'DROP COLUMN "extra"' in failure.description
    table = str(failure.metadata["findings"].value)
    assert 'CREATE INDEX "people_team_id_idx"' in table
    assert failure.metadata["warning"].value == 1


def test_a_server_that_is_away_fails_its_step_without_its_password(
    healthy: Checked, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSTGRES_PASSWORD", SECRET)
    result = run(healthy, instance)
    [failure] = [event.step_failure_data.user_failure_data for event in result.all_events if event.is_step_failure]
    assert failure is not None
    assert "refuses the user or the password" in (failure.description or "")
    logs = str([record.user_message for record in instance.all_logs(result.run_id)])
    assert "refuses the user or the password" in logs
    assert SECRET not in logs + str(result.all_events)


def test_a_url_that_cannot_be_used_fails_its_step_alone(
    healthy: Checked, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MONGODB_URL", f"mongodb://reader:{SECRET}@more@127.0.0.1/")
    result = run(healthy, instance)
    assert set(list_outputs(result)) == {"examine_postgres"}
    [failure] = [event.step_failure_data.user_failure_data for event in result.all_events if event.is_step_failure]
    assert failure is not None
    assert "cannot be used as written" in (failure.description or "")
    assert "s3cret" not in str(result.all_events)


def test_matomo_has_a_step_where_it_is_configured() -> None:
    from pathlib import Path

    from smartdiet_assets.schema.loading import load_schema

    config = Path(__file__).parents[3] / "config" / "schemas.yaml"
    schema = load_schema(config, config.with_name("matomo_schemas.yaml"))
    with_matomo = build_definitions(schema, read_environment({"MATOMO_HOST": "db"})).resolve_job_def("doctor")
    without = build_definitions(schema, read_environment({})).resolve_job_def("doctor")
    names = {node.name for node in without.nodes}
    assert names == {"examine_postgres", "examine_mongodb"}
    assert {node.name for node in with_matomo.nodes} == {*names, "examine_matomo"}
    assert with_matomo.tags["smartdiet/kind"] == "doctor"
