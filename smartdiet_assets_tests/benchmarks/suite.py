"""The benchmarks there are, by name, in the order they run. A new one is a module and a line here."""

from collections.abc import Callable, Iterator

from smartdiet_assets_tests.benchmarks.company import run_company
from smartdiet_assets_tests.benchmarks.cores import run_cores
from smartdiet_assets_tests.benchmarks.dagster_floor import run_idle
from smartdiet_assets_tests.benchmarks.drift import run_drift
from smartdiet_assets_tests.benchmarks.full_load import run_full_load
from smartdiet_assets_tests.benchmarks.growth import run_growth
from smartdiet_assets_tests.benchmarks.incremental import run_incremental
from smartdiet_assets_tests.benchmarks.matomo import run_matomo
from smartdiet_assets_tests.benchmarks.memory import run_memory
from smartdiet_assets_tests.benchmarks.operations import run_operations
from smartdiet_assets_tests.benchmarks.protection import run_protection
from smartdiet_assets_tests.benchmarks.real_size import run_real_size
from smartdiet_assets_tests.benchmarks.refresh_postgres import run_refresh_postgres
from smartdiet_assets_tests.benchmarks.results import Result
from smartdiet_assets_tests.benchmarks.servers import Servers
from smartdiet_assets_tests.benchmarks.settings import Settings
from smartdiet_assets_tests.benchmarks.shards import run_shards
from smartdiet_assets_tests.benchmarks.smart_diff import run_smart_diff
from smartdiet_assets_tests.benchmarks.unchanged import run_unchanged
from smartdiet_assets_tests.benchmarks.whole import run_whole
from smartdiet_assets_tests.benchmarks.wide import run_wide

BENCHMARKS: dict[str, Callable[[Servers, Settings], Iterator[Result]]] = {
    "whole": run_whole,
    "wide": run_wide,
    "full_load": run_full_load,
    "real_size": run_real_size,
    "company": run_company,
    "incremental": run_incremental,
    "unchanged": run_unchanged,
    "drift": run_drift,
    "protection": run_protection,
    "smart_diff": run_smart_diff,
    "operations": run_operations,
    "idle": run_idle,
    "cores": run_cores,
    "memory": run_memory,
    "growth": run_growth,
    "matomo": run_matomo,
    "refresh_postgres": run_refresh_postgres,
    "shards": run_shards,
}
