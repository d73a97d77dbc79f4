"""What an operator sees and does in Dagit, clicked through in a browser on one day of the generated company.

One test, as the servers, Dagit and the browser take longer to start than all clicks; each step names its promise.
"""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import psycopg
from playwright.sync_api import Browser, Page, expect

from smartdiet_assets.assets.location import LOCATION
from smartdiet_assets.checks.outcome import KINDS
from smartdiet_assets.demo.company import write_company
from smartdiet_assets_tests.ui.graph_page import (
    keep,
    see_how_far_it_was,
    see_the_whole_graph,
    see_what_a_run_did,
    sync_as_if_it_took_long,
)

#: Milliseconds: a run starts a process of its own, and the machine may be busy.
PATIENCE = 120_000
NOW = datetime.now(UTC).replace(tzinfo=None)
SMARTDIET = [sys.executable, "-m", "smartdiet_assets.cli"]
TAGS = {"smartdiet/kind": "mirror", "smartdiet/source": "mongodb"}
RUN_ONE_DOMAIN = """
import dagster
from smartdiet_assets.definitions import defs

job = defs().resolve_job_def("mirror_reference")
with dagster.DagsterInstance.get() as instance:
    job.execute_in_process(
        instance=instance, partition_key=job.partitions_def.get_last_partition_key(), raise_on_error=False
    )
"""


class Operator:
    """Somebody in front of Dagit, and what can be seen in the databases meanwhile."""

    def __init__(self, page: Page, dagit: str, source: Any, target: psycopg.Connection[Any]) -> None:
        self.page = page
        self.dagit = dagit
        self.source = source
        self.target = target
        page.set_default_timeout(30_000)
        expect.set_options(timeout=30_000)

    def visit(self, path: str) -> None:
        self.page.goto(f"{self.dagit}{path}")

    def await_value(self, read: Callable[[], Any], wanted: Any) -> None:
        """Wait until something outside of the page has a value."""
        for _ in range(PATIENCE // 500):
            if read() == wanted:
                return
            self.page.wait_for_timeout(500)
        assert read() == wanted

    def fetch(self, statement: str) -> Any:
        row = self.target.execute(statement).fetchone()  # type: ignore[call-overload]
        return row and row[0]

    def open_dialog(self, table: str) -> None:
        self.visit(f"/assets/{table}")
        self.page.get_by_role("button", name="Materialize").first.click()
        expect(self.page.get_by_text("Partition selection").first).to_be_visible()

    def materialise_newest(self, table: str) -> None:
        self.open_dialog(table)
        self.page.get_by_role("button", name="Latest", exact=True).click()
        self.launch()

    def launch(self) -> None:
        button = self.page.get_by_role("button", name="Launch").last
        expect(button).to_be_enabled(timeout=PATIENCE)
        button.click()

    def see_all_checks_succeeded(self, table: str) -> None:
        self.visit(f"/assets/{table}?view=checks")
        expect(self.page.get_by_text("Succeeded", exact=True)).to_have_count(len(KINDS), timeout=PATIENCE)

    def await_run(self, job: str, status: str) -> dg.DagsterRun:
        """Wait for the newest run of a job to end as expected."""
        with dg.DagsterInstance.get() as instance:

            def newest() -> dg.DagsterRun | None:
                return next((run for run in instance.get_runs(limit=10) if run.job_name == job), None)

            self.await_value(lambda: (run := newest()) and run.status.value, status)
            run = newest()
        assert run is not None
        return run


def test_what_an_operator_does_in_dagit(
    dagit: str, browser: Browser, mongo_database: Any, postgres: psycopg.Connection[Any]
) -> None:
    write_company(mongo_database, seed=1, scale=0.0005)
    sync_as_if_it_took_long()
    with browser.new_page(viewport={"width": 1500, "height": 1450}) as page:
        see_the_whole_graph(page, dagit)
        see_what_a_run_did(page, dagit)
        see_how_far_it_was(page, dagit)
    subprocess.run([*SMARTDIET, "check", "--wait"], check=True, capture_output=True, timeout=300)
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    operator = Operator(page, dagit, mongo_database, postgres)
    find_the_declaration(operator)
    find_what_the_command_line_did(operator)
    look_at_the_launchpad(operator)
    materialise_the_newest_partition(operator)
    run_again_from_a_date_on(operator)
    see_what_the_sensor_would_do(operator)
    see_the_checks_find_a_fault(operator)
    read_why_a_run_failed(operator)
    read_why_runs_failed_that_tried_again(operator)


def find_the_declaration(operator: Operator) -> None:
    operator.visit("/assets/companies")
    for text in ("MongoDB", "Postgres", "data", "reference", "change_sensor", "Client companies"):
        expect(operator.page.get_by_text(text).first).to_be_visible()
    expect(operator.page.get_by_text("Open schemas.yaml, line").first).to_be_visible()
    expect(operator.page.get_by_text(f"{os.environ['POSTGRES_DATABASE']}.public.companies").first).to_be_visible()


def find_what_the_command_line_did(operator: Operator) -> None:
    """Its runs are where those of Dagit are, and what `check` found is on the pages of the checks."""
    operator.visit("/overview/timeline")
    for job in ("mirror", "checks"):
        expect(operator.page.locator(f"a[href='/locations/{LOCATION}/jobs/{job}']").first).to_be_visible()
    keep(operator.page, "timeline")
    operator.visit("/runs")
    for tag in ("smartdiet/kind: mirror", "smartdiet/source: all"):
        expect(operator.page.get_by_text(tag).first).to_be_visible()
    operator.see_all_checks_succeeded("companies")


def look_at_the_launchpad(operator: Operator) -> None:
    """Whether everything is read is asked once for the run, first of all."""
    operator.visit(f"/locations/{LOCATION}/jobs/mirror/playground")
    lines = operator.page.locator(".CodeMirror-line")
    expect(lines.filter(has_text="all_tables").first).to_be_visible()
    expect(lines.filter(has_text="full:")).to_have_count(1)
    keep(operator.page, "launchpad")


def materialise_the_newest_partition(operator: Operator) -> None:
    rows = operator.fetch("SELECT count(*) FROM companies")
    operator.source.companies.insert_one({"name": "New company", "creation_date": NOW, "update_date": NOW})
    operator.materialise_newest("companies")
    operator.await_value(lambda: operator.fetch("SELECT count(*) FROM companies"), rows + 1)
    run = operator.await_run("__ASSET_JOB", "SUCCESS")
    assert TAGS.items() <= run.tags.items(), "the limits of the queue hold for it"
    operator.see_all_checks_succeeded("companies")
    operator.visit("/assets/companies?view=events")
    expect(operator.page.get_by_text("inserted").first).to_be_visible(timeout=PATIENCE)


def run_again_from_a_date_on(operator: Operator) -> None:
    """An edit that moved no date arrives by one run of the range, and of no other."""
    operator.source.companies.update_many({"name": {"$ne": "New company"}}, {"$set": {"size": 4242}})
    newest = f"{NOW:%Y-%m}-01"
    operator.open_dialog("companies")
    # Without it Dagit offers the last 90 days only.
    operator.page.get_by_text("Show all partitions").click()
    box = operator.page.locator("[class*=dialog] input[type=text]").first
    box.fill(f"[2020-01-01...{newest}]")
    box.press("Tab")
    expect(operator.page.get_by_text("Backfills all partitions in a single run.")).to_be_visible()
    keep(operator.page, "rerun")
    operator.launch()
    operator.await_value(lambda: operator.fetch("SELECT count(*) > 0 FROM companies WHERE size = 4242"), True)
    run = operator.await_run("__ASSET_JOB", "SUCCESS")
    assert TAGS.items() <= run.tags.items()
    assert run.tags["dagster/asset_partition_range_start"] == "2020-01-01"
    assert run.tags["dagster/asset_partition_range_end"] == newest


def see_what_the_sensor_would_do(operator: Operator) -> None:
    operator.visit(f"/locations/{LOCATION}/sensors/change_sensor")
    operator.page.get_by_role("button", name="Preview tick result").click()
    operator.page.get_by_role("button", name="Continue").click()
    told = operator.page.get_by_text(re.compile(r"Nothing is due\. .*collections have no change\."))
    expect(told.or_(operator.page.get_by_text("mirror")).last).to_be_visible(timeout=PATIENCE)
    keep(operator.page, "tick")
    operator.page.keyboard.press("Escape")


def see_the_checks_find_a_fault(operator: Operator) -> None:
    operator.target.execute("DELETE FROM companies WHERE name = 'New company'")
    operator.visit(f"/locations/{LOCATION}/jobs/checks/playground")
    operator.page.get_by_role("button", name="Launch run").click()
    operator.await_run("checks", "SUCCESS")
    operator.visit("/assets/companies?view=checks&checkDetail=rows_match_source")
    expect(operator.page.get_by_text("Failed").first).to_be_visible(timeout=PATIENCE)
    expect(operator.page.get_by_text("smartdiet sync companies --full").first).to_be_visible()
    keep(operator.page, "checks")


def read_why_a_run_failed(operator: Operator) -> None:
    operator.target.execute("ALTER TABLE companies ALTER COLUMN name TYPE text")
    operator.materialise_newest("companies")
    run = operator.await_run("__ASSET_JOB", "FAILURE")
    operator.visit(f"/runs/{run.run_id}")
    sentence = "companies differs from its declaration"
    expect(operator.page.get_by_text(f"StepFailure: table {sentence}").first).to_be_visible(timeout=PATIENCE)
    operator.visit("/assets/companies?view=events")
    expect(operator.page.get_by_text(sentence).first).to_be_visible(timeout=PATIENCE)


def read_why_runs_failed_that_tried_again(operator: Operator) -> None:
    """The sentence is the error itself, not the cause of one about too many tries."""
    away = {"MONGODB_URL": "mongodb://127.0.0.1:1/?directConnection=true", "CONNECT_TIMEOUT": "2", "RETRY_DELAY": "0.1"}
    # `smartdiet sync` looks for the server first, and would start no run.
    subprocess.run([sys.executable, "-c", RUN_ONE_DOMAIN], check=True, timeout=300, env={**os.environ, **away})
    run = operator.await_run("mirror_reference", "FAILURE")
    operator.visit(f"/runs/{run.run_id}")
    expect(operator.page.get_by_text("StepFailure: ").first).to_be_visible(timeout=PATIENCE)
    expect(operator.page.get_by_text("no server answers; check it and MONGODB_URL").first).to_be_visible()
    expect(operator.page.get_by_text("Exceeded max_retries")).to_have_count(0)
