"""The jobs, what their runs are tagged with, the schedule, and that nobody needs a Matomo."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test

from smartdiet_assets.assets.alerts.sensor import ALERT_SENSOR
from smartdiet_assets.assets.jobs import build_tags, find_overlapping_run
from smartdiet_assets.assets.location import REPOSITORY_TAG, Mirror
from smartdiet_assets.assets.naming import DECLARATIONS_TAG, build_plain_names
from smartdiet_assets.assets.schedules import MIRROR_SCHEDULE
from smartdiet_assets.assets.sensors import CHANGE_SENSOR
from smartdiet_assets.definitions import build_definitions
from smartdiet_assets.mirror.run_events import RunHead
from smartdiet_assets.mirror.spool import Spool
from smartdiet_assets.mirror.turns import take_turn
from smartdiet_assets.resources.environment import read_environment
from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets_tests.integration.assets.sensing import TABLES, tables_of

CONFIG = Path(__file__).parents[3] / "config" / "schemas.yaml"
MATOMO = CONFIG.with_name("matomo_schemas.yaml")
SCHEMA = load_schema(CONFIG, MATOMO)
OURS = Mirror(build_plain_names(SCHEMA), "smartdiet")
MATOMO_TABLES = {name for name, table in SCHEMA.tables.items() if table.source == "matomo"}


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as made:
        yield made


def evaluate_schedule(instance: dg.DagsterInstance, **variables: str) -> Any:
    repository = build_definitions(SCHEMA, read_environment(variables)).get_repository_def()
    context = dg.build_schedule_context(instance=instance, repository_def=repository)
    return repository.get_schedule_def(MIRROR_SCHEDULE).evaluate_tick(context)


def test_every_table_is_in_the_job_of_its_domain_and_matomos_in_one_of_their_own() -> None:
    repository = build_definitions(SCHEMA, read_environment({})).get_repository_def()
    jobs = {
        job.name: {key.to_user_string() for key in job.asset_layer.executable_asset_keys}
        for job in repository.get_all_jobs()
        if not job.name.startswith("__")
    }
    assert jobs.pop("mirror") == set(SCHEMA.tables)
    assert jobs["mirror_matomo"] == MATOMO_TABLES
    for name, table in SCHEMA.tables.items():
        domain = "mirror_matomo" if table.source == "matomo" else f"mirror_{table.group}"
        assert [job for job, tables in jobs.items() if name in tables] == [domain]


def test_a_run_is_tagged_with_what_it_reads_and_writes_and_with_no_secret() -> None:
    secret = "s3cret"
    environment = read_environment(
        {
            "MONGODB_URL": f"mongodb://reader:{secret}@db:27017/",
            "MONGODB_DATABASE": "diet",
            "POSTGRES_PASSWORD": secret,
            "POSTGRES_DATABASE": "analytics",
            "MATOMO_PASSWORD": secret,
        }
    )
    definitions = build_definitions(SCHEMA, environment)
    assert dict(definitions.resolve_job_def("mirror_users").tags) == {
        "smartdiet/kind": "mirror",
        "smartdiet/source": "mongodb",
        # Which Dagit does not show.
        DECLARATIONS_TAG: SCHEMA.digest,
    }
    for job in definitions.get_repository_def().get_all_jobs():
        assert secret not in str(job.tags)
    for table, source in (("users", "mongodb"), ("matomo_log_visit", "matomo")):
        spec = definitions.resolve_asset_graph().get(dg.AssetKey(table))
        assert spec.tags["smartdiet/source"] == source
        assert spec.metadata["dagster/table_name"].value == f"analytics.public.{table}"
    assert definitions.resolve_job_def("mirror").tags["smartdiet/source"] == "all"
    assert definitions.resolve_job_def("mirror_matomo").tags["smartdiet/source"] == "matomo"


def test_a_table_is_named_with_the_database_that_is_written_to() -> None:
    environment = read_environment(
        {
            "TRANSFER_DESTINATION": "remote",
            "REMOTE_SERVER_URL": "gate.example.org",
            "REMOTE_SERVER_USER": "tunnel",
            "REMOTE_POSTGRES_DATABASE": "analytics",
        }
    )
    graph = build_definitions(SCHEMA, environment).resolve_asset_graph()
    assert graph.get(dg.AssetKey("users")).metadata["dagster/table_name"].value == "analytics.public.users"


def test_sensor_and_schedule_are_off_until_somebody_starts_one() -> None:
    repository = build_definitions(SCHEMA, read_environment({})).get_repository_def()
    for sensor in (CHANGE_SENSOR, ALERT_SENSOR):
        assert repository.get_sensor_def(sensor).default_status == dg.DefaultSensorStatus.STOPPED
    schedule = repository.get_schedule_def(MIRROR_SCHEDULE)
    assert schedule.default_status == dg.DefaultScheduleStatus.STOPPED
    assert schedule.cron_schedule == "*/10 * * * *"
    other = build_definitions(SCHEMA, read_environment({"SMARTDIET_SCHEDULE": "0 4 * * *"})).get_repository_def()
    assert other.get_schedule_def(MIRROR_SCHEDULE).cron_schedule == "0 4 * * *"


def test_the_schedule_asks_for_the_newest_partition_and_for_matomo_where_there_is_one(
    instance: dg.DagsterInstance,
) -> None:
    (request,) = evaluate_schedule(instance).run_requests
    assert set(tables_of(request)) == set(SCHEMA.tables) - MATOMO_TABLES
    assert request.tags["smartdiet/source"] == "mongodb"
    job = build_definitions(SCHEMA, read_environment({})).resolve_job_def("mirror")
    assert job.partitions_def is not None
    assert request.partition_key == job.partitions_def.get_last_partition_key()
    (request,) = evaluate_schedule(instance, MATOMO_HOST="db").run_requests
    assert set(tables_of(request)) == set(SCHEMA.tables)


def test_the_schedule_waits_for_a_run_of_the_same_tables_and_for_no_other(instance: dg.DagsterInstance) -> None:
    def begin(*tables: str) -> dg.DagsterRun:
        tags = build_tags(SCHEMA, tables)
        return create_run_for_test(instance, job_name="some", tags=tags, status=dg.DagsterRunStatus.STARTED)

    begin(*MATOMO_TABLES)
    assert evaluate_schedule(instance).run_requests
    running = begin("users")
    assert find_overlapping_run(instance, SCHEMA, OURS, ["users"]) is not None
    instance.add_run_tags(running.run_id, {REPOSITORY_TAG: "__repository__@other"})
    assert find_overlapping_run(instance, SCHEMA, OURS, ["users"]) is None
    assert find_overlapping_run(instance, SCHEMA, replace(OURS, location="other"), ["users"]) is not None
    assert evaluate_schedule(instance).skip_message == f"The run {running.run_id[:8]} is started."
    instance.report_run_failed(running)
    assert evaluate_schedule(instance).run_requests


def test_nothing_waits_for_a_sync_that_is_over_whose_recorder_was_killed(
    instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    run = create_run_for_test(
        instance, job_name="mirror", tags=build_tags(SCHEMA, ["users"]), status=dg.DagsterRunStatus.STARTED
    )

    def waits() -> bool:
        return find_overlapping_run(instance, SCHEMA, OURS, ["users"]) is not None

    assert waits()
    spool = Spool(tmp_path)
    with spool.open(RunHead(run.run_id, 0.0, ("users",), (), None, False)):
        assert waits(), "it goes on"
    assert not waits()
    with take_turn(spool.folder):
        assert waits(), "it is being recorded"
    assert not waits()


@pytest.mark.usefixtures("configured_servers")
def test_whoever_has_no_matomo_can_materialise_everything(
    instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its usual place, but for the port: this machine may have one there.
    monkeypatch.setenv("MATOMO_PORT", "1")
    (tmp_path / "schemas.yaml").write_text(TABLES)
    schema = load_schema(tmp_path / "schemas.yaml", MATOMO)
    job = build_definitions(schema, read_environment()).resolve_job_def("mirror")
    assert job.partitions_def is not None
    result = job.execute_in_process(instance=instance, partition_key=job.partitions_def.get_last_partition_key())
    assert result.success
    materialised = {event.step_key for event in result.get_asset_materialization_events()}
    assert materialised == set(schema.tables) - MATOMO_TABLES
    # Configured, it is missed; the tries in between would take their time.
    monkeypatch.setenv("RETRY_DELAY", "0")
    monkeypatch.setenv("MATOMO_HOST", "127.0.0.1")
    job = build_definitions(schema, read_environment()).resolve_job_def("mirror")
    result = job.execute_in_process(
        instance=instance,
        partition_key=job.partitions_def.get_last_partition_key(),
        asset_selection=[dg.AssetKey("matomo_log_action")],
        raise_on_error=False,
    )
    assert not result.success
