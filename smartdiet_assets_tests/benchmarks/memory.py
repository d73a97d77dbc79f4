"""Peak memory of `smartdiet sync` in a process of its own, at 1, 2 and 8 times the documents.

What is measured is the process's own high-water mark of resident memory; a process that runs as many empty assets,
with Dagster and nothing else imported, is taken off. Ratios and megabytes; nothing here is timed.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from smartdiet_assets_tests.benchmarks.dagster_floor import compose_variables, set_environment
from smartdiet_assets_tests.benchmarks.loading import store_batches
from smartdiet_assets_tests.benchmarks.logbooks import DECLARATION, TABLE, build_logbooks
from smartdiet_assets_tests.benchmarks.measuring import Comparison
from smartdiet_assets_tests.benchmarks.servers import Servers
from smartdiet_assets_tests.benchmarks.settings import Settings

TIMES = (1, 2, 8)
FLAT, MEGABYTES = 1.1, 150
_REPORT = """
import re, pathlib
print("peak", re.search(r"VmHWM:\\s+(\\d+)", pathlib.Path("/proc/self/status").read_text())[1])
"""
_SYNC = """
import sys
from smartdiet_assets.cli import main
sys.argv = ["smartdiet", "sync", "--full", "--json"]
try:
    main()
finally:
"""
_EMPTY = """
import dagster as dg
@dg.asset
def users(): ...
@dg.asset(deps=[users])
def logbooks(): ...
job = dg.define_asset_job("empty")
definitions = dg.Definitions(assets=[users, logbooks], jobs=[job], executor=dg.in_process_executor)
with dg.DagsterInstance.get() as instance:
    config = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    assert definitions.resolve_job_def("empty").execute_in_process(instance=instance, run_config=config).success
"""


def run_memory(servers: Servers, settings: Settings) -> Iterator[Comparison]:
    """Compare the peaks of first loads of three sizes with each other and with an empty run."""
    size = max(100, settings.documents // 4)
    peaks: dict[int, int] = {}
    empty = _read_empty_peak()
    for number, times in enumerate(TIMES, 1):
        settings.on_round("memory", number, len(TIMES))
        peaks[times] = _read_sync_peak(servers, times * size)
    for times in TIMES[1:]:
        work = {"documents": times * size, "MB": peaks[times] // 1024, "MB at 1x": peaks[1] // 1024}
        yield Comparison("memory", f"first load, {times}x", "1x", (peaks[times] / peaks[1],), work, at_most=FLAT)
    above = max(peaks.values()) - empty
    work = {"MB": max(peaks.values()) // 1024, "MB of the empty run": empty // 1024}
    yield Comparison("memory", "above an empty run", f"{MEGABYTES} MB", (above / 1024 / MEGABYTES,), work, at_most=1.0)


def _read_empty_peak() -> int:
    with TemporaryDirectory() as home, set_environment({"DAGSTER_HOME": home}):
        return read_peak(_EMPTY)


def _read_sync_peak(servers: Servers, documents: int) -> int:
    with servers.open_postgres() as connection, servers.open_mongo() as mongo, TemporaryDirectory() as home:
        logbooks = build_logbooks(documents)
        store_batches(mongo, "users", logbooks.users)
        store_batches(mongo, TABLE, logbooks.batches)
        schemas = Path(home, "schemas.yaml")
        schemas.write_text(DECLARATION)
        with set_environment(compose_variables(servers, connection, mongo, schemas, home)):
            peak = read_peak(_SYNC, indent="    ")
        row = connection.execute(f"SELECT count(*) FROM {TABLE}").fetchone()
        assert row == (documents,), row
    return peak


def read_peak(program: str, indent: str = "") -> int:
    """Run a program in a process of its own; return its peak of resident memory in kilobytes."""
    report = "".join(f"{indent}{line}\n" for line in _REPORT.strip().splitlines())
    ended = subprocess.run([sys.executable, "-c", program + report], capture_output=True, text=True, check=True)
    found = re.search(r"^peak (\d+)$", ended.stdout, re.MULTILINE)
    assert found, ended.stderr
    return int(found[1])
