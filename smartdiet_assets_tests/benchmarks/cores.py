"""How many cores a first load of all tables keeps busy, and what other ways of running it would gain.

Here: the ways (`WAYS`; a new one is a function and a line) and the CPU time of each over its wall time, the
servers' included. Not here: how a way works. The source server counts too: where it is slow, nobody is faster.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median
from tempfile import TemporaryDirectory

import dagster as dg

from smartdiet_assets.assets.instance.opening import open_instance
from smartdiet_assets.assets.jobs import MIRROR_JOB
from smartdiet_assets.definitions import build_definitions
from smartdiet_assets.demo.company import write_company
from smartdiet_assets.mirror.sync import run_sync
from smartdiet_assets.resources.environment import Environment, read_environment
from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets_tests.benchmarks.company import SEED, CompanyLoad
from smartdiet_assets_tests.benchmarks.dagster_floor import CONFIG, compose_variables, set_environment
from smartdiet_assets_tests.benchmarks.measuring import Contestant, divide, measure
from smartdiet_assets_tests.benchmarks.results import Listing, Result
from smartdiet_assets_tests.benchmarks.servers import Servers
from smartdiet_assets_tests.benchmarks.settings import Settings

ONE_AFTER_ANOTHER = "one table after another, without Dagster"
#: A process for each table takes seconds to start: below this there is nothing to learn from it.
_SCALE_OF_PROCESSES = 0.02


@dataclass(frozen=True)
class CompanyRun:
    """What a way of running is given."""

    company: CompanyLoad
    environment: Environment
    instance: dg.DagsterInstance

    @property
    def mongo_tables(self) -> list[str]:
        return [table.name for table in self.company.tables]


def _mirror_in_turn(run: CompanyRun) -> None:
    run.company.mirror()


def _sync(run: CompanyRun, executor: str) -> None:
    environment = run.environment.model_copy(update={"executor": executor})
    outcome = run_sync(run.company.schema, environment, tables=run.mongo_tables)
    assert not outcome.failed, outcome.errors


def _mirror_in_processes(run: CompanyRun) -> None:
    job = dg.reconstructable(rebuild_job)
    partitions = job.get_definition().partitions_def
    assert partitions is not None
    result = dg.execute_job(
        job,
        run.instance,
        asset_selection=[dg.AssetKey(name) for name in run.mongo_tables],
        tags={"dagster/partition": partitions.get_last_partition_key()},
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )
    assert result.success


def rebuild_job() -> dg.JobDefinition:
    """Build the mirror job again, in the process of a table."""
    environment = read_environment()
    definitions = build_definitions(load_schema(*environment.schema_files), environment)
    return definitions.resolve_job_def(MIRROR_JOB)


#: Each loads all tables into a database without any.
WAYS: dict[str, Callable[[CompanyRun], None]] = {
    ONE_AFTER_ANOTHER: _mirror_in_turn,
    "a sync, two tables at a time in threads": lambda run: _sync(run, "in_process"),
}
LARGE_WAYS: dict[str, Callable[[CompanyRun], None]] = {
    "a sync, four tables at a time in processes": lambda run: _sync(run, "multiprocess"),
    "a run of Dagster, a process for each table": _mirror_in_processes,
}


def run_cores(servers: Servers, settings: Settings) -> Iterator[Result]:
    """Compare the ways with the plain one, and list how many cores each kept busy."""
    large = settings.scale >= _SCALE_OF_PROCESSES
    ways = {**WAYS, **(LARGE_WAYS if large else {})}
    with servers.open_postgres() as connection, servers.open_mongo() as mongo, TemporaryDirectory() as home:
        write_company(mongo, SEED, settings.scale, defects=False)
        variables = compose_variables(servers, connection, mongo, CONFIG / "schemas.yaml", home)
        if large:
            variables["SMARTDIET_EXECUTOR"] = "multiprocess"
        with set_environment(variables), open_instance(CONFIG) as instance:
            environment = read_environment()
            schema = load_schema(*environment.schema_files)
            company = CompanyLoad(servers, connection, schema, mongo)
            company.mirror()
            run = CompanyRun(company, environment, instance)
            contestants = [
                Contestant(name, lambda way=way: way(run), company.check, company.prepare)  # type: ignore[misc]
                for name, way in ways.items()
            ]
            rounds = measure("cores", "first load of all tables", contestants, settings.pairs, settings.on_round)
    for name in ways:
        if name != ONE_AFTER_ANOTHER:
            yield rounds.compare(name, ONE_AFTER_ANOTHER, case=f"first load of all tables, {name}")
    rows = []
    for name in ways:
        busy = median(cpu / wall for cpu, wall in zip(rounds.cpu_seconds[name], rounds.seconds[name], strict=True))
        speed_up = median(divide(rounds.seconds[ONE_AFTER_ANOTHER], rounds.seconds[name]))
        rows.append([name, f"{busy:.2f}", f"{speed_up:.2f}"])
    yield Listing(
        "Cores kept busy by a first load of all tables, the servers among them, and how much faster each way is",
        ["way", "cores", "times as fast"],
        rows,
    )
