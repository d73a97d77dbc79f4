"""The mirrors of two companies in one project, from two MongoDB servers into two schemas of one PostgreSQL."""

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import dagster as dg
import psycopg
import pytest
from dagster._core.test_utils import create_run_for_test

from smartdiet_assets.assets.naming import KIND_TAG, MIRROR_TAG, SOURCE_TAG
from smartdiet_assets.checks.outcome import list_kinds
from smartdiet_assets.demo.company import DEMO_DAY, apply_day_of_changes, write_company
from smartdiet_assets_tests.integration.library.companies import Company
from smartdiet_assets_tests.integration.library.project import defs
from smartdiet_assets_tests.support.shop import change_shop, write_shop

SEED = 3
#: A process of its own that runs the shop's mirror.
RUN = """
from smartdiet_assets_tests.integration.library.project import defs
job = defs().resolve_job_def("shop_mirror")
job.execute_in_process(partition_key=job.partitions_def.get_last_partition_key())
"""
WAITING = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'smartdiet' AND wait_event_type = 'Lock'
"""


@pytest.fixture
def project(companies: Mapping[str, Company], instance: dg.DagsterInstance) -> Mapping[str, Company]:
    """Both companies with documents, and the project that mirrors them."""
    write_shop(companies["shop"].mongo, SEED, customers=40)
    write_company(companies["clinic"].mongo, SEED, 0.0005)
    definitions = defs()
    for company in companies.values():
        company.definitions, company.instance = definitions, instance
    return companies


def test_both_are_exact_after_days_of_changes_and_their_checks_are_green(
    project: Mapping[str, Company], postgres: psycopg.Connection
) -> None:
    shop, clinic = project["shop"], project["clinic"]
    assert shop.sync() == []
    assert clinic.sync() == []
    for _ in range(2):
        change_shop(shop.mongo, SEED)
        assert shop.sync() == []
    apply_day_of_changes(clinic.mongo, SEED, DEMO_DAY)
    assert clinic.sync() == []
    for company in project.values():
        checked = company.execute("checks").get_asset_check_evaluations()
        assert {(found.asset_key, found.check_name) for found in checked} == {
            (company.key(name), kind)
            for name, table in company.schema.tables.items()
            for kind in list_kinds(company.schema, table)
        }
        failed = [found for found in checked if not found.passed and found.severity == dg.AssetCheckSeverity.ERROR]
        assert failed == []
        company.execute("doctor")
        observed = company.execute("reconcile").get_asset_observation_events()
        assert {event.asset_key for event in observed} <= {company.key(table) for table in company.schema.tables}
    # Nothing is where nobody asked for it.
    found = postgres.execute("SELECT DISTINCT schemaname FROM pg_tables WHERE schemaname !~ '^(pg_|information)'")
    assert {name for (name,) in found} == {"shop", 'Clinic "A"', "smartdiet"}


def test_what_is_below_a_table_runs_after_it_by_itself(project: Mapping[str, Company]) -> None:
    shop = project["shop"]
    newsletter = dg.AssetKey("newsletter")

    def evaluate(cursor: Any) -> dg.EvaluateAutomationConditionsResult:
        return dg.evaluate_automation_conditions(defs=shop.definitions, instance=shop.instance, cursor=cursor)

    before = evaluate(None)
    assert before.get_num_requested(newsletter) == 0
    shop.run()
    after = evaluate(before.cursor)
    assert after.get_num_requested(newsletter) == 1
    own = dg.Definitions.merge(shop.definitions).resolve_implicit_global_asset_job_def()
    result = own.execute_in_process(instance=shop.instance, asset_selection=[newsletter])
    (made,) = result.asset_materializations_for_node("newsletter")
    assert made.metadata["greeting"].value == "hello", "the resource of the project, not one of a mirror"


def test_a_sensor_minds_the_runs_of_its_own_mirror_only(project: Mapping[str, Company]) -> None:
    shop, clinic = project["shop"], project["clinic"]
    tags = {KIND_TAG: "mirror", SOURCE_TAG: "mongodb", MIRROR_TAG: "clinic"}
    running = create_run_for_test(
        shop.instance, job_name="clinic_mirror", tags=tags, status=dg.DagsterRunStatus.STARTED
    )
    assert clinic.tick().skip_message == f"The run {running.run_id[:8]} is started; nothing was counted."
    answer = shop.tick()
    assert answer.run_requests is not None, answer.skip_message
    (request,) = answer.run_requests
    assert set(request.asset_selection or []) == {shop.key(table) for table in shop.schema.tables}
    assert request.tags[MIRROR_TAG] == "shop"
    # One that picked some of its tables counts too, whatever job it is of.
    create_run_for_test(
        shop.instance,
        job_name="of_the_project",
        asset_selection=frozenset({shop.key("orders"), dg.AssetKey("newsletter")}),
        status=dg.DagsterRunStatus.STARTED,
    )
    assert "nothing was counted" in (shop.tick().skip_message or "")


def test_a_killed_run_of_one_is_resumed_and_the_other_does_not_notice(
    project: Mapping[str, Company], postgres: psycopg.Connection, postgres_database: str
) -> None:
    shop, clinic = project["shop"], project["clinic"]
    assert shop.sync() == []
    change_shop(shop.mongo, SEED)
    with psycopg.connect(postgres_database) as reader:
        # What has the table to itself stops the run in the midst of it.
        reader.execute("LOCK TABLE shop.orders IN ACCESS EXCLUSIVE MODE")
        with killed_at_the_end(postgres):
            assert clinic.sync() == []
    assert shop.sync() == []


@contextmanager
def killed_at_the_end(postgres: psycopg.Connection) -> Iterator[None]:
    """Run the shop's mirror in a process that waits for a lock; it is killed when the block ends."""
    process = subprocess.Popen([sys.executable, "-c", RUN], stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 240
        while postgres.execute(WAITING).fetchone() == (0,):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield
    finally:
        process.kill()
        process.wait()


def test_a_server_that_is_away_is_named_by_the_fields_of_its_resource(
    project: Mapping[str, Company], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAREHOUSE_PASSWORD", "wr0ng")
    shop = project["shop"]
    job = shop.definitions.resolve_job_def("shop_doctor")
    failed = job.execute_in_process(instance=shop.instance, raise_on_error=False).filter_events(
        lambda event: event.is_step_failure
    )
    (said,) = [str(event.step_failure_data.user_failure_data) for event in failed]
    assert "check PostgresResource.user and PostgresResource.password" in said
    assert "wr0ng" not in said
