"""The job that deletes old runs, and its schedule, which alone of all is on from the start: nobody thinks of it.

Here: what Dagster shows of it. Not here: which runs go (`assets.pruning`). No postponed annotations in this module:
Dagster reads the annotation of `context`.
"""

import dagster as dg

from smartdiet_assets.assets.location import LOCATION, Mirror, find_location
from smartdiet_assets.assets.naming import KIND_TAG, MIRROR_TAG, MirrorNames
from smartdiet_assets.assets.pruning import PRUNE_JOB, Retention, prune_runs
from smartdiet_assets.resources.environment import Environment

PRUNE_SCHEDULE = "prune_schedule"
#: At night, UTC; a daemon that slept then does it when it wakes.
_DAILY = "45 3 * * *"
#: Years of runs are deleted in as many nights.
_SECONDS = 1_800.0


def build_retention(environment: Environment) -> Retention:
    """Build how long runs are kept from the settings."""
    return Retention(environment.prune_after_days, environment.prune_failed_after_days)


def build_prune_job(names: MirrorNames, retention: Retention) -> dg.JobDefinition:
    """Build the job: one step, whose output says how many runs it deleted."""

    @dg.op(
        name=names.derive("delete_old_runs"),
        description="Delete the runs that nobody looks at.",
        out=dg.Out(dg.Nothing),
    )
    def delete_old_runs(context: dg.OpExecutionContext) -> dg.Output[None]:
        mirror = Mirror(names, find_location(context.run) or LOCATION)
        pruned = prune_runs(context.instance, mirror, retention, seconds=_SECONDS)
        return dg.Output(
            None,
            metadata={
                "deleted": pruned.deleted,
                "kept": pruned.kept,
                "complete": dg.MetadataValue.bool(pruned.complete),
            },
        )

    @dg.job(
        name=names.derive(PRUNE_JOB),
        description=(
            f"Delete runs of more than {retention.days} days ago, failed ones of more than {retention.failed_days} "
            "(SMARTDIET_PRUNE_AFTER_DAYS, SMARTDIET_PRUNE_FAILED_AFTER_DAYS; 0 keeps them for ever). What the pages of "
            "the tables, their partitions and checks show stays."
        ),
        tags={KIND_TAG: PRUNE_JOB, **({MIRROR_TAG: names.name} if names.name else {})},
    )
    def job() -> None:
        delete_old_runs()

    return job


def build_prune_schedule(names: MirrorNames, job: dg.JobDefinition) -> dg.ScheduleDefinition:
    """Build the daily schedule of the job."""
    return dg.ScheduleDefinition(
        name=names.derive(PRUNE_SCHEDULE),
        job=job,
        cron_schedule=_DAILY,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Delete old runs once a day, so that Dagster's storage does not grow for ever.",
    )
