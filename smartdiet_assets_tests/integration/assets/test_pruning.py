"""Old runs go by themselves, on both storages, and what Dagit shows stays as it was."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.test_utils import create_run_for_test
from psycopg import sql

from smartdiet_assets.assets.instance.opening import open_instance
from smartdiet_assets.assets.jobs import MIRROR_JOB
from smartdiet_assets.assets.location import LOCATION, REPOSITORY_TAG, Mirror
from smartdiet_assets.assets.naming import KIND_TAG, MirrorNames
from smartdiet_assets.assets.prune import PRUNE_SCHEDULE
from smartdiet_assets.assets.pruning import Retention, is_due, prune_runs
from smartdiet_assets.checks.outcome import KINDS
from smartdiet_assets.definitions import build_definitions
from smartdiet_assets.resources.environment import read_environment
from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets_tests.integration.assets.past_runs import PastRuns
from smartdiet_assets_tests.integration.assets.sensing import NOW, TABLES

ROOT = Path(__file__).parents[3]
KEPT = Retention(days=7, failed_days=30)
NAMES = MirrorNames("", {name: dg.AssetKey(name) for name in ("companies", "users", "user_events", "notes")})
MIRROR = Mirror(NAMES, LOCATION)
DAYS = 365  # odd, so that the last of every other day is today
DAYS_BETWEEN = 28


@pytest.fixture(params=["files", "postgres"])
def url(request: pytest.FixtureRequest, postgres: psycopg.Connection, postgres_database: str) -> Iterator[str]:
    """Where Dagster keeps its records: "" for files."""
    if request.param == "files":
        yield ""
        return
    name = f"dagster_{os.getpid()}"
    postgres.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    parts = psycopg.conninfo.conninfo_to_dict(postgres_database)
    yield f"postgresql://{parts['user']}:{parts['password']}@{parts['host']}:{parts['port']}/{name}"
    postgres.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def instance(
    url: str, configured_servers: None, mongo_database: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dg.DagsterInstance]:
    """The instance of a mirror of four tables, with a document in each collection."""
    (tmp_path / "schemas.yaml").write_text(TABLES)
    for collection in ("companies", "users", "notes"):
        mongo_database[collection].insert_one({"creation_date": NOW, "update_date": NOW, "name": "x"})
    monkeypatch.setenv("SMARTDIET_SCHEMAS", str(tmp_path / "schemas.yaml"))
    monkeypatch.setenv("SMARTDIET_MARK_PARTITIONS", "true")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    monkeypatch.setenv("SMARTDIET_DAGSTER_POSTGRES_URL", url)
    with open_instance(ROOT / "config") as opened:
        yield opened


class Shown:
    """What the pages of Dagit show of the tables, their partitions and their checks."""

    def __init__(self, instance: dg.DagsterInstance, partitions: dg.PartitionsDefinition) -> None:
        keys = sorted(NAMES.keys.values())
        checks = [dg.AssetCheckKey(key, kind) for key in keys for kind in KINDS]
        # Counted from what is there, not remembered.
        instance.wipe_asset_cached_status(keys)
        latest = {key: instance.get_latest_materialization_event(key) for key in keys}
        self.latest = {key: (event.run_id, event.timestamp) for key, event in latest.items() if event}
        self.partitions = {
            key: instance.get_status_by_partition(key, partitions.get_partition_keys(), partitions) for key in keys
        }
        found = instance.event_log_storage.get_latest_asset_check_execution_by_key(checks)
        self.checks = {key: (record.run_id, record.status.name) for key, record in found.items()}
        shown = {run_id for run_id, _ in [*self.latest.values(), *self.checks.values()]}
        self.gone = {run_id for run_id in shown if not instance.has_run(run_id)}


def test_a_year_of_runs_is_no_larger_than_a_season_and_dagit_shows_what_it_showed(
    instance: dg.DagsterInstance, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema = load_schema(tmp_path / "schemas.yaml")
    definitions = build_definitions(schema, read_environment())
    job = definitions.resolve_job_def(MIRROR_JOB)
    partitions = job.partitions_def
    assert partitions is not None
    newest = partitions.get_last_partition_key()
    assert newest is not None

    def run(name: str, **options: Any) -> str:
        picked = definitions.resolve_job_def(name)
        ended = picked.execute_in_process(instance=instance, raise_on_error=False, **options)
        return ended.run_id

    run(MIRROR_JOB, partition_key=newest)
    usual = run(MIRROR_JOB, partition_key=newest)
    checks = run("checks")
    monkeypatch.setenv("RETRY_DELAY", "0")
    monkeypatch.setenv("POSTGRES_PORT", "1")
    failing = build_definitions(schema, read_environment()).resolve_job_def(MIRROR_JOB)
    failed = failing.execute_in_process(instance=instance, partition_key=newest, raise_on_error=False).run_id
    statuses = [record.status.name for run_id in (usual, checks, failed) if (record := instance.get_run_by_id(run_id))]
    assert statuses == ["SUCCESS", "SUCCESS", "FAILURE"]

    begin = datetime.now(UTC) - timedelta(days=DAYS)
    last: dict[str, tuple[str, bool]] = {}
    failures: list[tuple[int, str]] = []
    young: set[str] = set()
    sizes: list[int] = []
    past = PastRuns(tmp_path / "dagster", url)
    for day in range(0, DAYS, 2):
        now = begin + timedelta(days=day)
        month = now.strftime("%Y-%m-01")
        if day % DAYS_BETWEEN == 0:
            past.begin()
        if day % 14 == 0:
            past.copy(checks, now, (newest, month))
        # Now and then, and the last attempt at one month, of which Dagit then shows that it failed.
        fails = day % 10 == 0 or (now.month == 3 and (now + timedelta(days=2)).month == 4)
        copied = past.copy(failed if fails else usual, now, (newest, month))
        last[month] = (copied, fails)
        if fails:
            failures.append((day, copied))
        if day >= DAYS - KEPT.days:
            young.add(copied)
        if day % DAYS_BETWEEN == DAYS_BETWEEN - 2 or day == DAYS - 1:
            past.commit()
            before = Shown(instance, partitions) if len(sizes) % 4 == 0 else None
            prune_runs(instance, MIRROR, KEPT, now=now + timedelta(minutes=1))
            if before is not None:
                after = Shown(instance, partitions)
                assert vars(after) == vars(before)
                assert not after.gone
            sizes.append(past.measure())
    past.close()

    runs = set(instance.get_run_ids())
    assert young <= runs
    assert {run_id for day, run_id in failures if day >= DAYS - KEPT.failed_days} <= runs
    assert {run_id for run_id, _ in last.values()} <= runs
    # A month has its last run, and its last successful one where that failed; then there are the first load, the
    # checks, a piece of the year that is whole, and failures.
    assert len(runs) <= 2 * len(last) + 10 + DAYS_BETWEEN + KEPT.days + KEPT.failed_days // 10
    # A season in is as large as it gets, but for the runs of the months.
    assert sizes[-1] < 1.3 * max(sizes[:4]), sizes
    (march,) = (month for month, (_, fails) in last.items() if month[5:7] == "03")
    for status in Shown(instance, partitions).partitions.values():
        assert status is not None
        assert [status[march].name, status[newest].name] == ["FAILED", "MATERIALIZED"]


def test_what_is_not_over_or_not_this_mirrors_stays_and_the_rest_goes_with_its_files(
    instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = dg.DagsterRunStatus
    later = datetime.now(UTC) + timedelta(days=20)
    much_later = later + timedelta(days=20)

    def add(status: dg.DagsterRunStatus, tags: dict[str, str], *tables: str) -> str:
        repository = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin(LOCATION), "__repository__")
        return create_run_for_test(
            instance,
            job_name="some",
            status=status,
            tags=tags,
            asset_selection=frozenset(dg.AssetKey(name) for name in tables) or None,
            # Dagster wants to know it of such a run.
            remote_job_origin=RemoteJobOrigin(repository, "some") if status == states.QUEUED else None,
        ).run_id

    here, elsewhere = ({REPOSITORY_TAG: f"__repository__@{name}"} for name in (LOCATION, "other"))
    mirror = {KIND_TAG: "mirror"}
    going = {
        add(states.SUCCESS, here, "users"),
        add(states.SUCCESS, here, "users", "a_report_below"),
        add(states.SUCCESS, {**here, KIND_TAG: "doctor"}),
        # As the command line of before left them.
        add(states.SUCCESS, mirror, "users"),
        add(states.CANCELED, {**here, **mirror}),
    }
    failed = add(states.FAILURE, {**here, **mirror})
    staying = {
        *(
            add(status, {**here, **mirror})
            for status in states
            if status not in (states.SUCCESS, states.FAILURE, states.CANCELED)
        ),
        add(states.SUCCESS, {**elsewhere, **mirror}, "users"),
        add(states.SUCCESS, elsewhere, "users"),
        # Of the same location, and nothing of the mirror.
        add(states.SUCCESS, here, "a_report_below"),
        add(states.SUCCESS, here),
        add(states.SUCCESS, {}),
    }
    for run_id in going:
        log = tmp_path / "dagster" / "storage" / run_id / "compute_logs" / "step.err"
        log.parent.mkdir(parents=True)
        log.touch()

    def remaining() -> set[str]:
        return set(instance.get_run_ids())

    everything = remaining()
    assert prune_runs(instance, MIRROR, Retention(0, 0), now=much_later).deleted == 0
    assert prune_runs(instance, MIRROR, KEPT).deleted == 0
    assert prune_runs(instance, MIRROR, KEPT, now=later, dry_run=True).deleted == len(going)
    late = prune_runs(instance, MIRROR, KEPT, now=later, seconds=-1)
    assert (late.deleted, late.complete) == (0, False)
    assert remaining() == everything

    assert prune_runs(instance, MIRROR, KEPT, now=later).deleted == len(going)
    assert remaining() == staying | {failed}
    assert not is_due(instance, MIRROR, later)
    assert is_due(instance, Mirror(NAMES, "other"), later)
    prune_runs(instance, MIRROR, Retention(7, 0), now=much_later)
    assert failed in remaining()
    prune_runs(instance, MIRROR, KEPT, now=much_later)
    assert remaining() == staying
    left = [
        path for path in (tmp_path / "dagster").rglob("*") if any(run_id in path.name for run_id in {*going, failed})
    ]
    assert not left
    tagged = {run_id for run_id in everything if instance.run_storage.get_run_tags([KIND_TAG]) and run_id in going}
    assert tagged == going


def test_a_run_of_a_backfill_stays_until_that_is_over(instance: dg.DagsterInstance) -> None:
    backfill = PartitionBackfill(
        backfill_id="backfill",
        status=BulkActionStatus.REQUESTED,
        from_failure=False,
        tags={},
        backfill_timestamp=0.0,
        asset_selection=[dg.AssetKey("users")],
    )
    instance.add_backfill(backfill)
    tags = {KIND_TAG: "mirror", REPOSITORY_TAG: f"__repository__@{LOCATION}", "dagster/backfill": "backfill"}
    run_id = create_run_for_test(instance, status=dg.DagsterRunStatus.SUCCESS, tags=tags).run_id
    later = datetime.now(UTC) + timedelta(days=20)
    assert prune_runs(instance, MIRROR, KEPT, now=later).deleted == 0
    instance.update_backfill(backfill.with_status(BulkActionStatus.COMPLETED_SUCCESS))
    assert prune_runs(instance, MIRROR, KEPT, now=later).deleted == 1
    assert not instance.has_run(run_id)


def test_it_is_a_job_whose_schedule_is_on_from_the_start(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    definitions = build_definitions(load_schema(tmp_path / "schemas.yaml"), read_environment())
    schedule = definitions.get_repository_def().get_schedule_def(PRUNE_SCHEDULE)
    assert schedule.default_status == dg.DefaultScheduleStatus.RUNNING
    ended = definitions.resolve_job_def("prune").execute_in_process(instance=instance)
    assert ended.success
    assert not is_due(instance, MIRROR)
