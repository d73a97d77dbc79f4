"""The schedule of the mirror: the simple alternative to the sensor, every few minutes whatever changed.

Here: when it runs and which partition it asks for. Not here: asking for a run when enough changed (`assets.sensors`).
"""

from collections.abc import Sequence

import dagster as dg

from smartdiet_assets.assets.jobs import build_tags, find_overlapping_run
from smartdiet_assets.assets.location import Mirror, read_location
from smartdiet_assets.assets.naming import MirrorNames
from smartdiet_assets.resources.dagster_private import UnresolvedAssetJobDefinition
from smartdiet_assets.schema.model import Schema

MIRROR_SCHEDULE = "mirror_schedule"


def build_mirror_schedule(
    schema: Schema,
    names: MirrorNames,
    tables: Sequence[str],
    job: UnresolvedAssetJobDefinition,
    partitions: dg.TimeWindowPartitionsDefinition,
    cron: str,
) -> dg.ScheduleDefinition:
    """Build the schedule: the newest partition of tables, unless a run of them is not finished."""

    def ask(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        if not tables:
            return dg.SkipReason("There is no table to mirror.")
        mirror = Mirror(names, read_location(context.repository_def))
        running = find_overlapping_run(context.instance, schema, mirror, tables)
        if running is not None:
            return dg.SkipReason(f"The run {running.run_id[:8]} is {running.status.value.lower()}.")
        return dg.RunRequest(
            partition_key=partitions.get_last_partition_key(),
            asset_selection=names.list_keys(tables),
            asset_check_keys=[],
            tags=build_tags(schema, tables, mirror=names.name),
        )

    return dg.ScheduleDefinition(
        name=names.derive(MIRROR_SCHEDULE),
        job=job,
        cron_schedule=cron,
        execution_timezone="UTC",
        execution_fn=ask,
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description=("Mirror every table at fixed times. The sensor is the other way: start one of the two."),
    )
