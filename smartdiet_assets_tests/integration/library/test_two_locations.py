"""The mirrors of two companies as two code locations of one instance, and the README's example."""

import os
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from smartdiet_assets.demo.company import write_company
from smartdiet_assets_tests.integration.assets.test_instances import START
from smartdiet_assets_tests.integration.library import project
from smartdiet_assets_tests.integration.library.companies import Company
from smartdiet_assets_tests.support.dagit import BIN, ROOT, Dagit
from smartdiet_assets_tests.support.shop import write_shop

WORKSPACE = f"""
load_from:
  - python_file: {{relative_path: {project.__file__}, attribute: build_shop_location, location_name: shop}}
  - python_file: {{relative_path: {project.__file__}, attribute: build_clinic_location, location_name: clinic}}
"""
RUNS = "query { runsOrError { ... on Runs { results { jobName status } } } }"
README = ROOT / "smartdiet_assets" / "assets" / "README.md"


def start_sensor(dagit: Dagit, name: str) -> Any:
    """Start the sensor of a location's mirror."""
    selector = {
        "repositoryLocationName": name,
        "repositoryName": "__repository__",
        "sensorName": f"{name}_change_sensor",
    }
    return dagit.ask(START, selector=selector)["startSensor"].get("sensorState")


def test_each_location_has_a_sensor_whose_run_mirrors_its_own_company(
    companies: Mapping[str, Company], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_shop(companies["shop"].mongo, 1, customers=20)
    write_company(companies["clinic"].mongo, 1, 0.0005)
    (tmp_path / "workspace.yaml").write_text(WORKSPACE)
    (tmp_path / "dagster").mkdir()
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    # Two processes that make its files at once would meet them half made.
    with dg.DagsterInstance.get():
        pass
    monkeypatch.setenv("PATH", f"{BIN}{os.pathsep}{os.environ['PATH']}")
    # Starting a run's process is given 60 seconds, which a busy machine may need.
    monkeypatch.setenv("DAGSTER_GRPC_TIMEOUT_SECONDS", "240")
    dagit = Dagit(tmp_path / "dagster.log", workspace=tmp_path / "workspace.yaml")
    try:
        for name in companies:
            dagit.wait_for("page", partial(start_sensor, dagit, name))

        def find_ended() -> list[dict[str, Any]] | None:
            runs = dagit.ask(RUNS)["runsOrError"]["results"]
            return runs if len(runs) == 2 and all(run["status"] in ("SUCCESS", "FAILURE") for run in runs) else None

        ended = dagit.wait_for("runs", find_ended)
        assert {run["jobName"]: run["status"] for run in ended} == {
            "shop_mirror": "SUCCESS",
            "clinic_mirror": "SUCCESS",
        }, dagit.log.read_text()[-3000:]
    finally:
        dagit.close()
    for company in companies.values():
        assert company.compare() == []


def test_the_example_of_the_readme_mirrors_a_shop(
    companies: Mapping[str, Company], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = re.findall("```python\n(.*?)```", README.read_text(), re.DOTALL)
    (code,) = [block for block in blocks if "build_mirror" in block]
    shop = companies["shop"]
    write_shop(shop.mongo, 1, customers=20)
    (tmp_path / "shop.yaml").write_text(project.SHOP_FILE.read_text().replace("2024-01-01", "2026-01-01"))
    monkeypatch.setenv("SHOP_POSTGRES_PASSWORD", os.environ["WAREHOUSE_PASSWORD"])
    # The servers of the tests, in the place of the example's.
    code = code.replace('database="shop"', f'database="{shop.mongo.name}"').replace(
        "5432", os.environ["WAREHOUSE_PORT"]
    )
    for shown, field in (("localhost", "HOST"), ("shop", "USER"), ("warehouse", "DATABASE")):
        code = re.sub(f'(host|user|database)="{shown}"', rf'\1="{os.environ["WAREHOUSE_" + field]}"', code)
    example: dict[str, Any] = {}
    exec(compile(code, str(tmp_path / "defs.py"), "exec"), example)
    assert isinstance(example["defs"], dg.Definitions)
    with dg.instance_for_test() as instance:
        shop.definitions, shop.instance = example["defs"], instance
        assert shop.sync() == []
