"""Assembles the Dagster definitions from the schema files and the environment, and nothing else."""

from typing import Any

import dagster as dg

from smartdiet_assets.assets.checks import build_check_job, build_check_schedule, build_checks
from smartdiet_assets.assets.doctor import build_doctor_job
from smartdiet_assets.assets.jobs import MIRROR_JOB, build_domain_jobs, build_mirror_job, build_tags, choose_executor
from smartdiet_assets.assets.partitions import build_partitions
from smartdiet_assets.assets.prune import build_prune_job, build_prune_schedule
from smartdiet_assets.assets.reconcile import build_reconcile_job, build_reconcile_schedule
from smartdiet_assets.assets.refresh import build_refresh_jobs
from smartdiet_assets.assets.schedules import build_mirror_schedule
from smartdiet_assets.assets.sensors import build_change_sensor
from smartdiet_assets.assets.tables import AllTables, MirrorSettings, build_table_asset
from smartdiet_assets.resources.environment import Environment, read_environment
from smartdiet_assets.resources.matomo import build_matomo_resource
from smartdiet_assets.resources.mongo import build_mongo_resource
from smartdiet_assets.resources.postgres import build_postgres_resource
from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets.schema.model import Schema


def load_definitions(automation_condition: dg.AutomationCondition[Any] | None = None) -> dg.Definitions:
    """Load the definitions as the environment and the schema files say, for a code location of one's own.

    Args:
        automation_condition: when Dagster's own automation sensor, once started, asks for a run of each table.
    """
    environment = read_environment()
    return build_definitions(load_schema(*environment.schema_files), environment, automation_condition)


def build_definitions(
    schema: Schema, environment: Environment, automation_condition: dg.AutomationCondition[Any] | None = None
) -> dg.Definitions:
    """Build everything Dagster shows: one asset per table, the jobs and what starts them, the resources.

    The resources take their values from variables when a run starts: Dagit then shows a variable's name and never its
    value.
    """
    partitions = build_partitions(schema.partitions)
    assets = [
        build_table_asset(
            schema,
            table,
            partitions,
            database=environment.target_database,
            matomo_configured=environment.matomo_configured,
            retry_delay=environment.retry_delay,
            automation_condition=automation_condition,
        )
        for table in schema.tables.values()
    ]
    mirror_job = build_mirror_job(assets, build_tags(schema, list(schema.tables)))
    reconcile_job = build_reconcile_job(schema, environment)
    prune_job = build_prune_job(schema, environment)
    checks = build_checks(schema)
    check_job = build_check_job(schema, environment, checks)
    return dg.Definitions(
        assets=assets,
        asset_checks=checks,
        jobs=[
            mirror_job,
            *build_domain_jobs(schema),
            reconcile_job,
            check_job,
            build_doctor_job(schema, environment),
            prune_job,
            *(build_refresh_jobs(schema, environment) if environment.refresh_jobs else []),
        ],
        schedules=[
            build_mirror_schedule(schema, environment, mirror_job, partitions),
            build_reconcile_schedule(reconcile_job),
            build_check_schedule(check_job),
            build_prune_schedule(prune_job),
        ],
        sensors=[build_change_sensor(schema, mirror_job, partitions)],
        resources={
            "all_tables": AllTables(),
            "mongo": build_mongo_resource(environment),
            "matomo": build_matomo_resource(environment),
            "postgres": build_postgres_resource(environment),
            "settings": MirrorSettings(
                global_date_threshold=environment.global_date_threshold.isoformat()
                if environment.global_date_threshold
                else None,
                batch_size=environment.batch_size,
                retry_limit=environment.retry_limit,
            ),
        },
        executor=choose_executor(environment.executor),
    )


@dg.definitions
def defs() -> dg.Definitions:
    """Load the code location."""
    return _preloaded[0] if _preloaded else load_definitions()


#: What this process and those forked from it have instead of loading the code location again.
_preloaded: list[dg.Definitions] = []


def preload() -> None:
    """Load the code location for the processes that are forked from this one, and what each would compose of it."""
    _preloaded.append(load_definitions())
    job = _preloaded[0].get_repository_def().get_job(MIRROR_JOB)
    assert job.run_config_schema
