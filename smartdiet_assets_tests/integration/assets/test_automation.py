"""Dagster's declarative automation on these assets: what the README of assets says of it works."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from smartdiet_assets_tests.integration.assets.test_instances import home  # noqa: F401
from smartdiet_assets_tests.support.dagit import ROOT

README = ROOT / "smartdiet_assets" / "assets" / "README.md"
TABLES = ("companies", "users", "user_events", "notes")


@pytest.mark.usefixtures("home")
def test_tables_run_by_their_conditions_and_what_is_below_them_follows() -> None:
    """The README's own example: the tables at fixed times, an unpartitioned asset below a monthly one after it."""
    (code,) = re.findall("```python\n(.*?load_definitions.*?)```", README.read_text(), re.DOTALL)
    example: dict[str, Any] = {}
    exec(compile(code, "automated.py", "exec"), example)
    definitions: dg.Definitions = example["defs"]
    now = datetime.now(UTC)
    job = definitions.resolve_implicit_global_asset_job_def()
    with dg.DagsterInstance.ephemeral() as instance:

        def evaluate(minutes: int, cursor: Any) -> tuple[dict[str, set[str | None]], Any]:
            """What is asked for so many minutes later: partitions, None for an asset without, by asset."""
            later = now + timedelta(minutes=minutes)
            result = dg.evaluate_automation_conditions(definitions, instance, evaluation_time=later, cursor=cursor)
            asked = {name: result.get_requested_partitions(dg.AssetKey(name)) for name in (*TABLES, "report")}
            return {name: partitions for name, partitions in asked.items() if partitions}, result.cursor

        asked, cursor = evaluate(0, None)
        assert asked == {}
        asked, cursor = evaluate(10, cursor)
        newest = f"{now:%Y-%m}-01"
        assert asked == {name: {newest} for name in TABLES}
        mirrored = job.execute_in_process(
            instance=instance, partition_key=newest, asset_selection=[dg.AssetKey(name) for name in TABLES]
        )
        assert mirrored.success
        asked, cursor = evaluate(11, cursor)
        assert asked == {"report": {None}}
