"""The jobs of the graph, and the executor they run with."""

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from smartdiet_assets.errors import ConfigurationError

#: The job `smartdiet sync` runs: every table, parents first.
MIRROR_JOB = "mirror"


def build_mirror_job(assets: list[dg.AssetsDefinition]) -> UnresolvedAssetJobDefinition:
    """Build the job that mirrors every table."""
    return dg.define_asset_job(
        MIRROR_JOB,
        selection=dg.AssetSelection.assets(*assets),
        description="Mirror every table: the newest partition reads what changed since the last run.",
    )


def choose_executor(name: str) -> dg.ExecutorDefinition:
    """Choose the executor by its name in SMARTDIET_EXECUTOR.

    In one process by default: starting a process per table costs seconds, an incremental run of a table
    milliseconds.

    Raises:
        ConfigurationError: no executor has that name.
    """
    executors = {"in_process": dg.in_process_executor, "multiprocess": dg.multiprocess_executor}
    if name not in executors:
        raise ConfigurationError(f"SMARTDIET_EXECUTOR must be one of {', '.join(executors)}")
    return executors[name]
