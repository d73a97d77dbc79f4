"""The reconcile pass in Dagster: its job, its daily schedule, and what its runs say about each table.

Here: the run configuration, the observations, and which failures Dagster retries. Not here: the pass itself
(`mirror.reconciliation`). No postponed annotations in this module: Dagster reads the annotation of `context`.
"""

import json
from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from smartdiet_assets.assets.declared import check_declarations
from smartdiet_assets.assets.failures import StepFailure
from smartdiet_assets.assets.jobs import build_tags
from smartdiet_assets.assets.naming import MirrorNames
from smartdiet_assets.schema.model import Schema

if TYPE_CHECKING:
    from smartdiet_assets.mirror.reconciliation import TableReconciliation

RECONCILE_JOB = "reconcile"
RECONCILE_SCHEDULE = "reconcile_schedule"
#: At night, UTC.
_DAILY = "30 2 * * *"
_COUNTS = ("documents", "rows", "gone", "removed", "flagged", "replaced", "restored")
#: Of the whole pass; the delay is as many times that of a read.
_RETRIES = 3
_TIMES_RETRY_DELAY = 5


class ReconcileConfig(dg.Config):
    """What can be asked of a pass; nothing need be."""

    tables: list[str] = Field(default=[], description="Names of tables; none stands for all.")
    dry_run: bool = Field(default=False, description="Count what would be done, and change nothing.")
    force: bool = Field(
        default=False, description="Also remove more than max_deletions, and where the source is empty."
    )


def build_reconcile_job(
    schema: Schema, names: MirrorNames, known: Collection[str], *, retry_delay: float
) -> dg.JobDefinition:
    """Build the job: one step for all tables, an observation of each, and a failure at its end if one failed.

    Args:
        known: the tables whose source is there.
        retry_delay: in seconds, before what failed for a passing reason is tried again.
    """
    sources = {schema.tables[name].source_kind for name in known}

    @dg.op(
        name=names.derive("reconcile_tables"),
        description="Remove or mark the rows whose documents are gone, by each table's on_delete.",
        required_resource_keys={names.postgres, *map(names.name_source, sources)},
        out=dg.Out(dg.Nothing),
        retry_policy=dg.RetryPolicy(_RETRIES, _TIMES_RETRY_DELAY * retry_delay, dg.Backoff.EXPONENTIAL),
    )
    def reconcile(context: dg.OpExecutionContext, config: ReconcileConfig) -> Iterator[dg.AssetObservation]:
        from smartdiet_assets.mirror.reconciliation import build_source_opener, reconcile_tables

        check_declarations(context, schema, names.name)
        if not set(config.tables) <= set(known):
            # What it names is not repeated: it may be what a variable holds.
            raise StepFailure(f"`tables` of the run configuration names one that is not there: {', '.join(known)} are")
        resources = context.resources
        servers = {kind.name: getattr(resources, names.name_source(kind)) for kind in sources}
        passing = reconcile_tables(
            schema,
            config.tables or known,
            getattr(resources, names.postgres).connect,
            build_source_opener(schema, servers),
            run_id=context.run_id,
            dry_run=config.dry_run,
            force=config.force,
            retry_delay=retry_delay,
        )
        yield from _report(context, names, passing, dry_run=config.dry_run)

    @dg.job(
        name=names.derive(RECONCILE_JOB),
        description="Remove or mark the rows of documents that were deleted at the source (on_delete).",
        tags=build_tags(schema, known, RECONCILE_JOB, mirror=names.name),
    )
    def job() -> None:
        reconcile()

    return job


def _report(
    context: dg.OpExecutionContext,
    names: MirrorNames,
    passing: "Iterable[tuple[str, TableReconciliation]]",
    *,
    dry_run: bool,
) -> Iterator[dg.AssetObservation]:
    """Report each table as soon as it is done; at the end, raise what failed."""
    failed: list[TableReconciliation] = []
    for name, result in passing:
        if result.left_out and not dry_run:
            context.log.info("%s is left out: %s", name, result.left_out)
            continue
        # Yielded, for what is only logged is lost when the step fails.
        yield dg.AssetObservation(asset_key=names.keys[name], metadata=build_metadata(result, dry_run=dry_run))
        if result.error:
            failed.append(result)
    if failed:
        raise StepFailure(
            names.spell("\n".join(result.error for result in failed)),
            allow_retries=any(result.transient for result in failed) and context.retry_number < _RETRIES,
        )


def build_reconcile_schedule(names: MirrorNames, job: dg.JobDefinition) -> dg.ScheduleDefinition:
    """Build the daily schedule, stopped until somebody starts it."""
    return dg.ScheduleDefinition(
        name=names.derive(RECONCILE_SCHEDULE),
        job=job,
        cron_schedule=_DAILY,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description="Look for deleted documents once a day; of use where a table declares on_delete: delete or flag.",
    )


def build_metadata(result: "TableReconciliation", *, dry_run: bool) -> dict[str, dg.MetadataValue]:
    """Build what a run says about one table: counts only."""
    counts = {name: dg.MetadataValue.int(getattr(result.counts, name)) for name in _COUNTS}
    metadata: dict[str, dg.MetadataValue] = {
        **counts,
        "cascaded": dg.MetadataValue.int(sum(result.counts.cascaded.values())),
        "dry_run": dg.MetadataValue.bool(dry_run),
        "seconds": dg.MetadataValue.float(result.seconds),
    }
    if result.counts.cascaded:
        metadata["cascaded_tables"] = dg.MetadataValue.text(json.dumps(result.counts.cascaded))
    if result.error:
        metadata["error"] = dg.MetadataValue.text(result.error)
    return metadata
