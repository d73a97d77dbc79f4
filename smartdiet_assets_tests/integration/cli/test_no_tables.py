"""A file that declares no table yet is one to begin with: every command takes it, and so does Dagit's code location."""

from pathlib import Path

import dagster as dg
import pytest

from smartdiet_assets.definitions import load_definitions
from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets_tests.integration.conftest import Smartdiet

NOTE = "declares no table yet; smartdiet infer --all-collections --append adds one"
COMMANDS = [
    "sync", "sync --json", "status", "status --json", "rejects", "check", "check --json", "reconcile",
    "reconcile --dry-run", "compare schema local", "compare mongo local --data", "prune --dry-run", "home", "doctor",
]  # fmt: skip


@pytest.fixture(params=["", "# Nothing yet.\n", "tables:\n", "tables: {}\n", "tables: {}\npartitions: {every: week}\n"])
def file(
    request: pytest.FixtureRequest, configured_servers: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    path = tmp_path / "schemas.yaml"
    path.write_text(request.param)
    monkeypatch.setenv("SMARTDIET_SCHEMAS", str(path))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    return path


def test_it_loads_with_a_sentence_that_says_how_to_go_on(file: Path) -> None:
    schema = load_schema(file)
    assert not schema.tables
    assert NOTE in schema.warnings[0]
    repository = load_definitions().get_repository_def()
    assert {"mirror", "checks", "reconcile"} <= {job.name for job in repository.get_all_jobs()}


@pytest.mark.parametrize("file", ["tables:\n"], indirect=True)
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_takes_it(file: Path, smartdiet: Smartdiet, command: str) -> None:
    result = smartdiet(*command.split())
    assert result.code == 0, result.err
    assert NOTE in result.out + result.err or command == "home"


@pytest.mark.parametrize("file", ["tables:\n"], indirect=True)
def test_a_table_that_is_named_all_the_same_is_unknown(file: Path, smartdiet: Smartdiet) -> None:
    result = smartdiet("sync", "users")
    assert result.code == 2
    assert "no table users is declared" in result.err


@pytest.mark.parametrize("file", ["tables:\n"], indirect=True)
def test_what_starts_runs_by_itself_asks_for_none(file: Path) -> None:
    definitions = load_definitions()
    repository = definitions.get_repository_def()
    with dg.DagsterInstance.ephemeral() as instance:
        scheduled = repository.get_schedule_def("mirror_schedule").evaluate_tick(dg.build_schedule_context(instance))
        assert (scheduled.run_requests, scheduled.skip_message) == ([], "There is no table to mirror.")
        with dg.build_sensor_context(instance, resources=definitions.resources) as context:
            sensed = repository.get_sensor_def("change_sensor").evaluate_tick(context)
        assert (sensed.run_requests, sensed.skip_message) == ([], "Nothing is due.")
        for job in ("mirror", "checks"):
            assert definitions.resolve_job_def(job).execute_in_process(instance=instance).success
