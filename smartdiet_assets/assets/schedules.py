"""The schedule of the mirror: the simple alternative to the sensor, every few minutes whatever changed.

Here: when it runs and which partition it asks for. Not here: asking for a run when enough changed (`assets.sensors`).
"""

import dagster as dg

from smartdiet_assets.assets.jobs import build_tags, find_overlapping_run
from smartdiet_assets.assets.location import read_location
from smartdiet_assets.resources.dagster_private import UnresolvedAssetJobDefinition
from smartdiet_assets.resources.environment import Environment
from smartdiet_assets.schema.model import Schema

MIRROR_SCHEDULE = "mirror_schedule"


def build_mirror_schedule(
    schema: Schema,
    environment: Environment,
    job: UnresolvedAssetJobDefinition,
    partitions: dg.TimeWindowPartitionsDefinition,
) -> dg.ScheduleDefinition:
    """Build the schedule: the newest partition of every table, unless a run of them is not finished.

    Without a configured Matomo its tables are left out, as in `smartdiet sync`.
    """
    tables = [
        name for name, table in schema.tables.items() if environment.matomo_configured or table.source != "matomo"
    ]

    def ask(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        if not tables:
            return dg.SkipReason("There is no table to mirror.")
        running = find_overlapping_run(context.instance, schema, tables, read_location(context.repository_def))
        if running is not None:
            return dg.SkipReason(f"The run {running.run_id[:8]} is {running.status.value.lower()}.")
        return dg.RunRequest(
            partition_key=partitions.get_last_partition_key(),
            asset_selection=[dg.AssetKey(name) for name in tables],
            asset_check_keys=[],
            tags=build_tags(schema, tables),
        )

    return dg.ScheduleDefinition(
        name=MIRROR_SCHEDULE,
        job=job,
        cron_schedule=environment.schedule,
        execution_timezone="UTC",
        execution_fn=ask,
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description=(
            "Mirror every table at fixed times (SMARTDIET_SCHEDULE). The sensor is the other way: start one of the two."
        ),
    )
