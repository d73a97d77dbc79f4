"""Matomo's tables as assets: what a picked partition reads, what a run tells, and which servers it needs."""

from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from smartdiet_assets.definitions import build_definitions
from smartdiet_assets.resources.environment import read_environment
from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets_tests.support.matomo_mirror import ACTION, CONFIG, VIEW, VISIT, Matomo
from smartdiet_assets_tests.support.partitions import with_few_partitions

NOW = datetime.now(UTC).replace(tzinfo=None, microsecond=0)
OTHERS = CONFIG.with_name("schemas.yaml")


@pytest.fixture
def configured(matomo: Matomo, configured_servers: None, monkeypatch: pytest.MonkeyPatch) -> Matomo:
    """The Matomo of the test in the environment, and a MongoDB that nobody can reach."""
    for name in ("host", "port", "database", "user", "password"):
        monkeypatch.setenv(f"MATOMO_{name.upper()}", str(getattr(matomo.resource, name)))
    monkeypatch.setenv("MONGODB_URL", "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=100")
    return matomo


def run(*tables: str, **picked: Any) -> dict[str, dict[str, Any]]:
    """Run tables of the whole graph for the newest partition, one partition or a range; metadata values by table."""
    definitions = build_definitions(with_few_partitions(load_schema(OTHERS, CONFIG)), read_environment())
    job = definitions.resolve_job_def("mirror")
    assert job.partitions_def is not None
    newest = job.partitions_def.get_last_partition_key()
    if "first" in picked:
        ends = {"start": picked["first"], "end": picked.get("last") or newest}
        options: dict[str, Any] = {"tags": {f"dagster/asset_partition_range_{name}": key for name, key in ends.items()}}
    else:
        options = {"partition_key": newest}
    with dg.DagsterInstance.ephemeral() as instance:
        result = job.execute_in_process(
            instance=instance, asset_selection=[dg.AssetKey(name) for name in tables], **options
        )
        assert result.success
        return {
            event.step_key or "": {
                name: getattr(value, "value", value)
                for name, value in event.step_materialization_data.materialization.metadata.items()
            }
            for event in result.get_asset_materialization_events()
        }


def test_the_tables_need_no_mongodb_and_tell_what_every_table_tells(configured: Matomo) -> None:
    configured.add(ACTION, idaction=1, name="marked-value")
    configured.add_visit(1, NOW, visit_entry_idaction_url=1, user_id="marked-value")
    configured.add_view(1, 1, NOW, idaction_url=1)
    configured.execute(f"ALTER TABLE {VISIT} ADD COLUMN plugin_score INT")
    metadata = run(ACTION, VISIT, VIEW)
    assert list(metadata) == [ACTION, VISIT, VIEW]
    for table in metadata.values():
        assert {
            "dagster/row_count", "dagster/partition_row_count", "inserted", "updated", "deleted", "unchanged",
            "rejected", "documents_read", "missing_parents_null", "mode", "watermark", "window", "seconds",
            "seconds_read", "seconds_transform",
        } <= set(table)  # fmt: skip
    assert metadata[VISIT]["unmirrored_columns"] == "plugin_score"
    assert "marked" not in str(metadata)


def test_the_other_tables_need_no_matomo(
    configured: Matomo, mongo_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MATOMO_PORT", "1")
    monkeypatch.setenv("MONGODB_URL", mongo_server.uri)
    assert list(run("companies")) == ["companies"]


def test_the_newest_partition_reads_from_the_watermark_and_others_what_they_name(configured: Matomo) -> None:
    march, april = datetime(2026, 3, 10), datetime(2026, 4, 10)
    for number, time in enumerate((march, april, NOW - timedelta(hours=9), NOW), start=1):
        configured.add_visit(number, time)
    first = run(ACTION, VISIT)[VISIT]
    assert (first["documents_read"], first["window"]) == (4, "full")
    assert run(VISIT)[VISIT]["documents_read"] == 1
    old = run(VISIT, first="2026-03-01", last="2026-03-01")[VISIT]
    assert (old["documents_read"], old["window"], old["watermark"]) == (1, "partition", first["watermark"])
    rerun = run(VISIT, first="2026-04-01")[VISIT]
    assert (rerun["documents_read"], rerun["window"]) == (3, "rerun")


def test_a_re_run_from_a_date_reads_the_table_without_dates_whole(configured: Matomo) -> None:
    for number in (1, 50_000):
        configured.add(ACTION, idaction=number)
    run(ACTION)
    assert run(ACTION)[ACTION]["documents_read"] == 1
    assert run(ACTION, first="2026-04-01")[ACTION]["documents_read"] == 2
    assert run(ACTION, first="2026-03-01", last="2026-04-01")[ACTION]["documents_read"] == 1


def test_the_threshold_limits_a_first_load_and_older_visits_come_with_their_page_views(
    configured: Matomo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLOBAL_DATE_THRESHOLD", "2026-01-01")
    old = datetime(2024, 6, 1)
    configured.add(ACTION, idaction=1)
    for number, time in enumerate((old, old, NOW), start=1):
        configured.add_visit(number, time)
    # The clocks of two tables differ: the page view is later than its visit.
    configured.add_view(1, 1, NOW)
    metadata = run(ACTION, VISIT, VIEW)
    assert [metadata[table]["inserted"] for table in (ACTION, VISIT, VIEW)] == [1, 1, 0]
    metadata = run(ACTION, VISIT, VIEW)
    assert [metadata[table]["inserted"] for table in (ACTION, VISIT, VIEW)] == [0, 1, 1]
