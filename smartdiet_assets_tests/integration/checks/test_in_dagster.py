"""The checks in the graph: one dashboard of the same kinds, one step per database, and none in a run of tables."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest
from dagster._core.remote_representation.external_data import asset_check_node_snaps_from_repo

from smartdiet_assets.checks.outcome import KINDS, list_kinds
from smartdiet_assets.definitions import build_definitions
from smartdiet_assets.resources.environment import read_environment
from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets.schema.model import Schema

TABLES = """
partitions: {start: 2026-01-01}
tables:
  companies:
    include_base: true
    additional_columns:
      - {name: name, sql_type: VARCHAR(10), nullable: false}
  users:
    include_base: true
    additional_columns:
      - {name: company_id, sql_type: VARCHAR, mongo_field: company, foreign_key: companies(id)}
"""
CONFIG = Path(__file__).parents[3] / "config" / "schemas.yaml"
DATE = datetime.now(UTC).replace(tzinfo=None, microsecond=0) - timedelta(days=1)


@pytest.fixture
def schema(tmp_path: Path, configured_servers: None, mongo_database: Any) -> Schema:
    path = tmp_path / "tables.yaml"
    path.write_text(TABLES)
    mongo_database.companies.insert_many(
        [{"name": name, "creation_date": DATE, "update_date": DATE} for name in ("a", "b", "far too long")]
    )
    return load_schema(path)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def run(schema: Schema, instance: dg.DagsterInstance, job: str, **options: Any) -> dg.ExecuteInProcessResult:
    definitions = build_definitions(schema, read_environment())
    made = definitions.resolve_job_def(job)
    if made.partitions_def is not None:
        options["partition_key"] = made.partitions_def.get_last_partition_key()
    return made.execute_in_process(instance=instance, **options)


def steps(result: dg.ExecuteInProcessResult) -> list[str]:
    return [event.step_key or "" for event in result.all_events if event.event_type_value == "STEP_SUCCESS"]


def test_the_job_evaluates_every_check_in_one_step_per_database(schema: Schema, instance: dg.DagsterInstance) -> None:
    run(schema, instance, "mirror")
    result = run(schema, instance, "checks")
    found = {(e.asset_key.to_user_string(), e.check_name): e for e in result.get_asset_check_evaluations()}
    assert sorted(steps(result)) == ["check_mongodb", "check_postgres"]
    assert set(found) == {(table, kind) for table in ("companies", "users") for kind in KINDS}
    failed = {key: evaluation for key, evaluation in found.items() if not evaluation.passed}
    assert set(failed) == {("companies", "no_rejects")}
    rejects = failed["companies", "no_rejects"]
    assert rejects.severity == dg.AssetCheckSeverity.WARN
    assert rejects.description
    assert "smartdiet rejects companies" in rejects.description
    assert rejects.metadata["reasons"].value == {"too_long": 1}
    assert found["companies", "rows_match_source"].metadata["rows"].value == 2


def test_some_checks_can_be_run_alone(schema: Schema, instance: dg.DagsterInstance) -> None:
    run(schema, instance, "mirror")
    job = build_definitions(schema, read_environment()).resolve_job_def("checks")
    key = dg.AssetCheckKey(dg.AssetKey("users"), "content_matches")
    result = job.get_subset(asset_check_selection={key}).execute_in_process(instance=instance)
    [evaluation] = result.get_asset_check_evaluations()
    assert (evaluation.asset_check_key, evaluation.passed) == (key, True)


def test_a_run_of_the_mirror_evaluates_none(schema: Schema, instance: dg.DagsterInstance) -> None:
    assert sorted(steps(run(schema, instance, "mirror"))) == ["companies", "users"]


def test_a_run_of_picked_tables_evaluates_the_checks_that_dagster_adds_and_repeats_what_dear_ones_found(
    schema: Schema, instance: dg.DagsterInstance, postgres: psycopg.Connection[Any]
) -> None:
    """Dagit shows a check as skipped that is planned and gives no result."""

    def pick(**options: Any) -> dict[str, dg.AssetCheckEvaluation]:
        result = run(schema, instance, "mirror", asset_selection=[dg.AssetKey("companies")], **options)
        assert result.success
        found = {evaluation.check_name: evaluation for evaluation in result.get_asset_check_evaluations()}
        assert set(found) == set(KINDS)
        return found

    def repeated(found: dict[str, dg.AssetCheckEvaluation]) -> set[str]:
        return {name for name, evaluation in found.items() if "evaluated" in evaluation.metadata}

    assert repeated(pick()) == set()
    second, third = pick(), pick()
    dear = {"rows_match_source", "content_matches"}
    assert repeated(second) == repeated(third) == dear
    for name in dear:
        assert "(Evaluated 20" in (second[name].description or "")
        assert (third[name].description, third[name].metadata) == (second[name].description, second[name].metadata)
    postgres.execute("DELETE FROM companies WHERE name = 'a'")
    run(schema, instance, "checks")
    # What failed is evaluated again: this may be the run that mends it.
    mended = pick(run_config={"ops": {"companies": {"config": {"full": True}}}})
    assert repeated(mended) == set()
    assert mended["rows_match_source"].passed


def test_a_range_of_partitions_can_be_launched_with_the_checks_that_dagster_adds(schema: Schema) -> None:
    """Dagit's backfill daemon asks for the picked tables and all their checks."""
    repository = build_definitions(schema, read_environment()).get_repository_def()
    snaps = asset_check_node_snaps_from_repo(repository)
    assert len(snaps) == 2 * len(KINDS)
    picked = repository.get_implicit_job_def_for_assets([dg.AssetKey("users")])
    assert picked is not None
    users = dg.AssetKey("users")
    checks = {dg.AssetCheckKey(users, kind) for kind in KINDS}
    subset = picked.get_subset(asset_selection={users}, asset_check_selection=checks)
    assert set(subset.asset_layer.asset_graph.asset_check_keys) == checks


def test_a_server_that_is_away_fails_its_checks_with_a_sentence(
    schema: Schema, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSTGRES_PORT", "1")
    result = run(schema, instance, "checks")
    assert result.success, "the run itself did what it should"
    evaluations = result.get_asset_check_evaluations()
    assert len(evaluations) == 2 * len(KINDS)
    assert all(not e.passed and "no server answers" in (e.description or "") for e in evaluations)


def test_the_checks_of_all_tables_have_the_same_names_and_none_blocks() -> None:
    schema = load_schema(CONFIG, CONFIG.with_name("matomo_schemas.yaml"))
    definitions = build_definitions(schema, read_environment({}))
    specs = [spec for checks in definitions.asset_checks or () for spec in checks.check_specs]  # type: ignore[union-attr]
    assert {(spec.asset_key.to_user_string(), spec.name) for spec in specs} == {
        (name, kind) for name, table in schema.tables.items() for kind in list_kinds(schema, table)
    }
    assert all(spec.description and not spec.blocking for spec in specs)
    job = definitions.resolve_job_def("checks")
    tables = {key.asset_key.to_user_string() for key in job.asset_layer.asset_graph.asset_check_keys}
    assert tables == {name for name, table in schema.tables.items() if table.source == "mongodb"}, (
        "no Matomo is configured"
    )
    schedule = definitions.resolve_schedule_def("checks_schedule")
    assert schedule.default_status == dg.DefaultScheduleStatus.STOPPED
