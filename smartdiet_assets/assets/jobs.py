"""The jobs of the graph, the tags of their runs, and the executor they run with.

Here: which tables a job runs, and finding a run of them that is not finished. Not here: what starts them by itself
(`assets.sensors`, `assets.schedules`).
"""

import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta

import dagster as dg

from smartdiet_assets.assets.location import Mirror
from smartdiet_assets.assets.naming import DECLARATIONS_TAG, KIND_TAG, MIRROR_TAG, SOURCE_TAG, MirrorNames
from smartdiet_assets.errors import ConfigurationError
from smartdiet_assets.resources.dagster_home import find_dagster_home
from smartdiet_assets.resources.dagster_private import UnresolvedAssetJobDefinition
from smartdiet_assets.schema.model import Schema

#: The job `smartdiet sync` runs: every table, parents first. A domain's job has its name behind this one.
MIRROR_JOB = "mirror"
_UNFINISHED = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.SUSPENDED,
    dg.DagsterRunStatus.CANCELING,
]
#: A run whose process was killed may stay "started" for ever where no daemon watches it.
_LONGEST_RUN = timedelta(days=1)
#: What the process has loaded that those of tables are forked from.
_PRELOADED = "smartdiet_assets.preloaded"
#: Tables side by side in a run of several processes; each has a connection to both databases.
_PROCESSES = 4


def build_mirror_job(schema: Schema, names: MirrorNames) -> UnresolvedAssetJobDefinition:
    """Build the job that mirrors every table."""
    return _build_job(schema, names, MIRROR_JOB, list(schema.tables), "every table")


def build_domain_jobs(
    schema: Schema, names: MirrorNames, groups: Mapping[str, str]
) -> list[UnresolvedAssetJobDefinition]:
    """Build a job for each domain of tables, and one for those of a source without documents.

    A domain's job runs its own tables only: rows whose parent is in another domain wait for that one as rejects.

    Args:
        groups: by table, the name of its domain.
    """
    domains: dict[str, list[str]] = {}
    for table in schema.tables.values():
        kind = table.source_kind
        domain = re.sub(r"\W", "_", groups[table.name]) if kind.has_documents else kind.name
        domains.setdefault(f"{MIRROR_JOB}_{domain}", []).append(table.name)
    return [_build_job(schema, names, job, tables, ", ".join(tables)) for job, tables in domains.items()]


def _build_job(
    schema: Schema, names: MirrorNames, plain: str, tables: Collection[str], what: str
) -> UnresolvedAssetJobDefinition:
    return dg.define_asset_job(
        names.derive(plain),
        selection=dg.AssetSelection.assets(*names.list_keys(tables)).without_checks(),
        description=f"Mirror {what}: the newest partition reads what changed since the last run.",
        tags=build_tags(schema, tables, mirror=names.name),
    )


def build_tags(schema: Schema, tables: Collection[str], kind: str = "mirror", *, mirror: str = "") -> dict[str, str]:
    """Build the tags of a run of some tables: what it does, which source it reads, of which mirror and declarations."""
    sources = {schema.tables[name].source for name in tables}
    named = {MIRROR_TAG: mirror} if mirror else {}
    return {KIND_TAG: kind, SOURCE_TAG: merge_sources(sources), DECLARATIONS_TAG: schema.digest, **named}


def merge_sources(sources: Collection[str]) -> str:
    """Say in one word which of the sources a run reads."""
    return next(iter(sources)) if len(sources) == 1 else "all"


def find_overlapping_run(
    instance: dg.DagsterInstance, schema: Schema, mirror: Mirror, tables: Collection[str]
) -> dg.DagsterRun | None:
    """Find a run, queued or in progress, that mirrors one of some tables.

    Args:
        mirror: whose tables they are; the runs of another code location are of another mirror, whose tables may have
            the same keys.
    """
    keys = set(mirror.names.list_keys(tables))
    sources = {schema.tables[name].source for name in tables} | {"all"}
    filters = dg.RunsFilter(statuses=_UNFINISHED, created_after=datetime.now(UTC) - _LONGEST_RUN)
    for run in instance.get_runs(filters):
        if not mirror.may_own(run):
            continue
        if run.asset_selection is not None:
            overlaps = not keys.isdisjoint(run.asset_selection)
        else:
            overlaps = mirror.tagged(run) and run.tags[KIND_TAG] == "mirror" and run.tags.get(SOURCE_TAG) in sources
        if overlaps and not _is_left(run.run_id):
            return run
    return None


def _is_left(run_id: str) -> bool:
    """Whether a run is one of `smartdiet sync` that is over, though no record says so: what wrote it was killed.

    The next one that records a run records that one first.
    """
    # With what a sync comes to; loading the code location does not need it.
    from smartdiet_assets.mirror.spool import Spool
    from smartdiet_assets.mirror.turns import is_recording

    spool = Spool(find_dagster_home())
    files = [file for file in spool.list_files() if file.path.stem.endswith(run_id)]
    return bool(files) and not any(file.is_held for file in files) and not is_recording(spool.folder)


def choose_executor(name: str) -> dg.ExecutorDefinition:
    """Choose the executor by its name in SMARTDIET_EXECUTOR.

    One table after another in one process by default: starting a process per table costs seconds, an incremental run of
    a table milliseconds.

    Raises:
        ConfigurationError: no executor has that name, or what it needs is not installed.
    """
    executors = {
        "in_process": dg.in_process_executor,
        "multiprocess": dg.multiprocess_executor.configured(
            {
                "max_concurrent": _PROCESSES,
                # Forked from a process that has loaded all they need, they begin at once.
                "start_method": {"forkserver": {"preload_modules": [_PRELOADED]}},
            }
        ),
    }
    if name == "celery":
        # Its extra is not there for everybody.
        from smartdiet_assets.assets.workers.extra import require_celery

        require_celery()
        from smartdiet_assets.assets.workers.executor import celery_executor

        return celery_executor
    if name not in executors:
        raise ConfigurationError(f"SMARTDIET_EXECUTOR must be one of {', '.join([*executors, 'celery'])}")
    return executors[name]
