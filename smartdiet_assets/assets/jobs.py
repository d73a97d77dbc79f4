"""The jobs of the graph, the tags of their runs, and the executor they run with.

Here: which tables a job runs, and finding a run of them that is not finished. Not here: what starts them by itself
(`assets.sensors`, `assets.schedules`).
"""

import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta

import dagster as dg

from smartdiet_assets.assets.location import Mirror
from smartdiet_assets.assets.threads import THREADS, threads_executor
from smartdiet_assets.errors import ConfigurationError
from smartdiet_assets.resources.dagster_private import UnresolvedAssetJobDefinition
from smartdiet_assets.schema.model import Schema

#: The job `smartdiet sync` runs: every table, parents first. A domain's job has its name behind this one.
MIRROR_JOB = "mirror"
#: The job of the tables of Matomo.
MATOMO_JOB = f"{MIRROR_JOB}_matomo"
#: What a run is (`mirror`), and which source it reads (`mongodb`, `matomo` or `all`); an asset has the latter as well.
#: `config/dagster.yaml` limits runs by `SOURCE_TAG`. Two: Dagit gives each a line of its list of runs.
KIND_TAG = "smartdiet/kind"
SOURCE_TAG = "smartdiet/source"
_UNFINISHED = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.SUSPENDED,
    dg.DagsterRunStatus.CANCELING,
]
#: The job of the runs that are started by picking assets in Dagit.
_PICKED_ASSETS_JOB = "__ASSET_JOB"
#: A run whose process was killed may stay "started" for ever where no daemon watches it.
_LONGEST_RUN = timedelta(days=1)
#: What the process has loaded that those of tables are forked from.
_PRELOADED = "smartdiet_assets.preloaded"
#: Tables side by side in a run of several processes; each has a connection to both databases.
_PROCESSES = 4


def build_mirror_job(
    assets: list[dg.AssetsDefinition], tags: Mapping[str, str] | None = None
) -> UnresolvedAssetJobDefinition:
    """Build the job that mirrors every table."""
    return dg.define_asset_job(
        MIRROR_JOB,
        selection=dg.AssetSelection.assets(*assets).without_checks(),
        description="Mirror every table: the newest partition reads what changed since the last run.",
        tags=tags,
    )


def build_domain_jobs(schema: Schema) -> list[UnresolvedAssetJobDefinition]:
    """Build a job for each domain (`group`) of tables, and the one of Matomo's tables.

    A domain's job runs its own tables only: rows whose parent is in another domain wait for that one as rejects.
    """
    domains: dict[str, list[str]] = {}
    for table in schema.tables.values():
        domain = "matomo" if table.source == "matomo" else re.sub(r"\W", "_", table.group)
        domains.setdefault(f"{MIRROR_JOB}_{domain}", []).append(table.name)
    return [
        dg.define_asset_job(
            name,
            selection=dg.AssetSelection.assets(*tables).without_checks(),
            description=f"Mirror {', '.join(tables)}: the newest partition reads what changed since the last run.",
            tags=build_tags(schema, tables),
        )
        for name, tables in domains.items()
    ]


def build_tags(schema: Schema, tables: Collection[str], kind: str = "mirror") -> dict[str, str]:
    """Build the tags of a run of some tables: what it does, and which source it reads."""
    return {KIND_TAG: kind, SOURCE_TAG: merge_sources({schema.tables[name].source for name in tables})}


def merge_sources(sources: Collection[str]) -> str:
    """Say in one word which of the sources a run reads."""
    return next(iter(sources)) if len(sources) == 1 else "all"


def find_overlapping_run(
    instance: dg.DagsterInstance, schema: Schema, tables: Collection[str], location: str | None = None
) -> dg.DagsterRun | None:
    """Find a run, queued or in progress, that mirrors one of some tables.

    Args:
        location: the name of the code location that asks; the runs of another are of another mirror, whose tables have
            the same names elsewhere.
    """
    mirror = Mirror(tables, location)
    sources = {schema.tables[name].source for name in tables} | {"all"}
    filters = dg.RunsFilter(statuses=_UNFINISHED, created_after=datetime.now(UTC) - _LONGEST_RUN)
    for run in instance.get_runs(filters):
        if not mirror.may_own(run):
            continue
        if run.tags.get(KIND_TAG) != "mirror" and run.job_name != _PICKED_ASSETS_JOB:
            continue
        if run.asset_selection is None:
            if run.tags.get(SOURCE_TAG) in sources:
                return run
        elif mirror.names(run.asset_selection):
            return run
    return None


def choose_executor(name: str) -> dg.ExecutorDefinition:
    """Choose the executor by its name in SMARTDIET_EXECUTOR.

    One table after another in one process by default: starting a process per table costs seconds, an incremental run of
    a table milliseconds. Threads cost nothing to start, and wait for the servers side by side.

    Raises:
        ConfigurationError: no executor has that name.
    """
    executors = {
        "in_process": dg.in_process_executor,
        THREADS: threads_executor,
        "multiprocess": dg.multiprocess_executor.configured(
            {
                "max_concurrent": _PROCESSES,
                # Forked from a process that has loaded all they need, they begin at once.
                "start_method": {"forkserver": {"preload_modules": [_PRELOADED]}},
            }
        ),
    }
    if name not in executors:
        raise ConfigurationError(f"SMARTDIET_EXECUTOR must be one of {', '.join(executors)}")
    return executors[name]
