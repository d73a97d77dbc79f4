"""Dagster's declarative automation on these assets, by its own daemon: what the README of assets says of it works."""

import re
from pathlib import Path
from typing import Any

import pytest

from smartdiet_assets_tests.integration.assets.test_instances import SELECTOR, START, home  # noqa: F401
from smartdiet_assets_tests.support.dagit import ROOT, Dagit

README = ROOT / "smartdiet_assets" / "assets" / "README.md"
AUTOMATION_SENSOR = "default_automation_condition_sensor"
RUNS = """
query { runsOrError { ... on Runs { results { status assetSelection { path } } } } }
"""
WORKSPACE = """
load_from:
  - python_file: {relative_path: automated.py, location_name: smartdiet}
"""


@pytest.mark.usefixtures("home")
def test_tables_run_by_their_conditions_and_what_is_below_them_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The README's own example: the tables at fixed times, an unpartitioned asset below a monthly one after it."""
    (code,) = re.findall("```python\n(.*?load_definitions.*?)```", README.read_text(), re.DOTALL)
    (tmp_path / "automated.py").write_text(code.replace("*/10 * * * *", "* * * * *"))
    (tmp_path / "workspace.yaml").write_text(WORKSPACE)
    # Starting a run's process is given 60 seconds, which a busy machine may need.
    monkeypatch.setenv("DAGSTER_GRPC_TIMEOUT_SECONDS", "240")
    dagit = Dagit(tmp_path / "dagster.log", workspace=tmp_path / "workspace.yaml")
    try:
        selector = {**SELECTOR, "sensorName": AUTOMATION_SENSOR}
        started = dagit.wait_for("page", lambda: dagit.ask(START, selector=selector)["startSensor"])
        assert started.get("sensorState") == {"status": "RUNNING"}, (started, dagit.log.read_text()[-3000:])

        def find_run_of(asset: str) -> dict[str, Any] | None:
            for run in dagit.ask(RUNS)["runsOrError"]["results"]:
                picked = {key["path"][0] for key in run["assetSelection"] or []}
                if asset in picked and run["status"] in ("SUCCESS", "FAILURE"):
                    return {"status": run["status"], "picked": picked}
            return None

        mirrored = dagit.wait_for("run of the tables", lambda: find_run_of("users"))
        assert mirrored == {"status": "SUCCESS", "picked": {"companies", "users", "user_events", "notes"}}, (
            dagit.log.read_text()[-3000:]
        )
        below = dagit.wait_for("run below them", lambda: find_run_of("report"))
        assert below == {"status": "SUCCESS", "picked": {"report"}}, dagit.log.read_text()[-3000:]
    finally:
        dagit.close()
