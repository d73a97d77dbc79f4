"""What the project adds to Dagster itself: a run of all tables with nothing to do.

Dagster's own work is the floor: a graph of as many empty assets with the same dependencies, run by the same executor on
the same instance.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import dagster as dg
from pymongo.database import Database

from smartdiet_assets.assets.instance.opening import open_instance
from smartdiet_assets.assets.jobs import MIRROR_JOB
from smartdiet_assets.assets.partitions import build_partitions
from smartdiet_assets.definitions import build_definitions
from smartdiet_assets.demo.company import write_company
from smartdiet_assets.resources.environment import read_environment
from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets.schema.model import Schema
from smartdiet_assets_tests.benchmarks.measuring import Contestant, Work, measure
from smartdiet_assets_tests.benchmarks.results import Result
from smartdiet_assets_tests.benchmarks.sampling import compose_shares, sample
from smartdiet_assets_tests.benchmarks.servers import Connection, Servers
from smartdiet_assets_tests.benchmarks.settings import Settings

CONFIG = Path(__file__).parents[2] / "config"
EMPTY_RUN = "a run of as many empty assets"
AT_MOST = 1.3
_SCALE = 0.002
_EMPTY_JOB = "empty"
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def run_idle(servers: Servers, settings: Settings) -> Iterator[Result]:
    """Compare an incremental run over all tables with nothing to do with Dagster's own floor, and where both go."""
    with servers.open_postgres() as connection, servers.open_mongo() as mongo, TemporaryDirectory() as home:
        variables = compose_variables(servers, connection, mongo, CONFIG / "schemas.yaml", home)
        with set_environment(variables), open_instance(CONFIG) as instance:
            write_company(mongo, 1, _SCALE)
            environment = read_environment()
            schema = load_schema(*environment.schema_files)
            tables = [table.name for table in schema.tables.values() if table.source == "mongodb"]
            definitions = build_definitions(schema, environment)
            empty = build_empty_graph(schema, tables)
            newest = build_partitions(schema.partitions).get_last_partition_key()
            mirrored: list[Any] = []
            ran = 0

            def mirror() -> None:
                mirrored[:] = mirror_in_dagster(definitions, instance, tables)

            def check_mirror() -> Work:
                kinds = ("inserted", "updated", "deleted")
                assert sum(found.metadata[kind].value for found in mirrored for kind in kinds) == 0
                return {"assets": len(mirrored)}

            def run_empty() -> None:
                nonlocal ran
                result = empty.resolve_job_def(_EMPTY_JOB).execute_in_process(
                    instance=instance, partition_key=newest, run_config=_QUIET
                )
                ran = len(result.get_asset_materialization_events())

            # The first load, and a run whose window is the one of the runs that follow.
            mirror()
            mirror()
            contestants = [
                Contestant("mirror", mirror, check_mirror),
                Contestant(EMPTY_RUN, run_empty, lambda: {"assets": ran}),
            ]
            rounds = measure("idle", "nothing to do", contestants, settings.pairs, settings.on_round)
            yield rounds.compare("mirror", EMPTY_RUN, at_most=AT_MOST, obstacle="see where the time goes, below.")
            times = max(1, settings.pairs // 2)
            samples = {
                EMPTY_RUN: sample(run_empty, times),
                "a run with nothing to do": sample(mirror, times),
            }
            yield compose_shares(
                "Where a run with nothing to do spends its time, of an empty one's", samples, EMPTY_RUN
            )


def mirror_in_dagster(
    definitions: dg.Definitions, instance: dg.DagsterInstance, tables: list[str]
) -> list[dg.AssetMaterialization]:
    """Run the job of some tables in this process, and give what it materialised."""
    job = definitions.resolve_job_def(MIRROR_JOB)
    assert job.partitions_def is not None
    picked = job.get_subset(asset_selection=set(map(dg.AssetKey, tables)), asset_check_selection=frozenset())
    newest = job.partitions_def.get_last_partition_key()
    result = picked.execute_in_process(instance=instance, partition_key=newest, run_config=_QUIET)
    return [event.step_materialization_data.materialization for event in result.get_asset_materialization_events()]


def compose_variables(
    servers: Servers, connection: Connection, mongo: Database[Any], schemas: Path, home: str
) -> dict[str, str]:
    """Compose the environment of a run from one database into another, with a Dagster instance of its own."""
    return {
        "MONGODB_URL": servers.mongo.uri,
        "MONGODB_DATABASE": mongo.name,
        "POSTGRES_HOST": servers.postgres.host,
        "POSTGRES_PORT": str(servers.postgres.port),
        "POSTGRES_DATABASE": connection.info.dbname,
        "POSTGRES_USER": servers.postgres.user,
        "POSTGRES_PASSWORD": servers.postgres.password,
        "SMARTDIET_SCHEMAS": str(schemas),
        "DAGSTER_HOME": home,
    }


@contextmanager
def set_environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set variables of this process, and of those it starts, inside the block."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def build_empty_graph(schema: Schema, tables: list[str]) -> dg.Definitions:
    """Build assets that do nothing, with the names, dependencies and partitions of the tables."""
    partitions = build_partitions(schema.partitions)

    def build(name: str) -> dg.AssetsDefinition:
        @dg.asset(
            name=name,
            deps=list(schema.tables[name].parents),
            partitions_def=partitions,
            backfill_policy=dg.BackfillPolicy.single_run(),
        )
        def empty() -> dg.MaterializeResult:  # type: ignore[type-arg]
            return dg.MaterializeResult()

        return empty

    assets = [build(name) for name in tables]
    job = dg.define_asset_job(_EMPTY_JOB, selection=dg.AssetSelection.assets(*assets))
    return dg.Definitions(assets=assets, jobs=[job], executor=dg.in_process_executor)
