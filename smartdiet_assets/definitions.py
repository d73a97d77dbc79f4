"""This project's own code location: the mirror that the environment and the schema files describe, and nothing else."""

from typing import Any

import dagster as dg

from smartdiet_assets.assets.alerts.sensor import Alerts, build_email_sensor
from smartdiet_assets.assets.build import build_mirror
from smartdiet_assets.assets.jobs import MIRROR_JOB, choose_executor
from smartdiet_assets.assets.prune import build_retention
from smartdiet_assets.assets.refresh import build_refresh_jobs
from smartdiet_assets.assets.tables import MirrorSettings
from smartdiet_assets.resources.declarations import load_declared
from smartdiet_assets.resources.environment import Environment, read_environment
from smartdiet_assets.resources.matomo import build_matomo_resource
from smartdiet_assets.resources.mongo import build_mongo_resource
from smartdiet_assets.resources.postgres import build_postgres_resource
from smartdiet_assets.schema.model import Schema


def load_definitions(automation_condition: dg.AutomationCondition[Any] | None = None) -> dg.Definitions:
    """Load the definitions as the environment and the schema files say, for a code location of one's own.

    Args:
        automation_condition: when Dagster's own automation sensor, once started, asks for a run of each table.
    """
    environment = read_environment()
    return build_definitions(load_declared(environment), environment, automation_condition)


def build_definitions(
    schema: Schema, environment: Environment, automation_condition: dg.AutomationCondition[Any] | None = None
) -> dg.Definitions:
    """Build the mirror with its plain names, e-mail and jobs that write over whole databases where they are wanted, and
    the executor.

    The resources take their values from variables when a run starts: Dagit then shows a variable's name and never its
    value.
    """
    threshold = environment.global_date_threshold
    mirror = build_mirror(
        schema,
        name="",
        mongo=build_mongo_resource(environment),
        matomo=build_matomo_resource(environment),
        postgres=build_postgres_resource(environment),
        schedule=environment.schedule,
        automation_condition=automation_condition,
        settings=MirrorSettings(
            global_date_threshold=threshold.isoformat() if threshold else None,
            batch_size=environment.batch_size,
            retry_limit=environment.retry_limit,
        ),
        retention=build_retention(environment),
        alerts=Alerts(environment.alert_url, environment.alert_form),
    )
    return dg.Definitions.merge(
        mirror,
        dg.Definitions(
            jobs=build_refresh_jobs(schema, environment) if environment.refresh_jobs else [],
            sensors=[build_email_sensor(environment)] if environment.alert_email_to else [],
            executor=choose_executor(environment.executor),
        ),
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
