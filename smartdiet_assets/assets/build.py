"""A mirror as definitions of Dagster, for this project and for any other.

Here: which parts there are, and what each is given. Not here: the parts, and the environment, which nothing here reads.
"""

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg

from smartdiet_assets.assets.alerts.sensor import Alerts, build_alert_sensor
from smartdiet_assets.assets.checks import build_check_job, build_check_schedule, build_checks
from smartdiet_assets.assets.doctor import build_doctor_job
from smartdiet_assets.assets.jobs import build_domain_jobs, build_mirror_job
from smartdiet_assets.assets.naming import MirrorNames
from smartdiet_assets.assets.partitions import build_partitions
from smartdiet_assets.assets.prune import build_prune_job, build_prune_schedule
from smartdiet_assets.assets.pruning import Retention
from smartdiet_assets.assets.reconcile import build_reconcile_job, build_reconcile_schedule
from smartdiet_assets.assets.schedules import build_mirror_schedule
from smartdiet_assets.assets.sensors import build_change_sensor
from smartdiet_assets.assets.sharded import build_sharded_asset
from smartdiet_assets.assets.tables import AllTables, MirrorSettings, build_table_asset
from smartdiet_assets.assets.translator import MirrorTranslator, translate_tables
from smartdiet_assets.errors import ConfigurationError
from smartdiet_assets.resources.configured import ServerResource
from smartdiet_assets.resources.matomo import MatomoResource
from smartdiet_assets.resources.mongo import MongoResource
from smartdiet_assets.resources.patience import RETRY_DELAY
from smartdiet_assets.resources.postgres import PostgresResource
from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets.schema.model import Schema
from smartdiet_assets.schema.sources import MATOMO, MONGODB

_NAME = re.compile(r"[A-Za-z]\w*", re.ASCII)


def build_mirror(
    schema: Schema | str | Path,
    *,
    name: str,
    postgres: PostgresResource,
    mongo: MongoResource | None = None,
    matomo: MatomoResource | None = None,
    key_prefix: str | Sequence[str] = (),
    target_schema: str | None = None,
    translator: MirrorTranslator | None = None,
    partitions: dg.TimeWindowPartitionsDefinition | None = None,
    checks: bool = True,
    sensor: bool = True,
    schedule: str | None = None,
    automation_condition: dg.AutomationCondition[Any] | None = None,
    settings: MirrorSettings | None = None,
    retention: Retention | None = None,
    alerts: Alerts | None = None,
) -> dg.Definitions:
    """Build all that Dagster shows of a mirror: an asset a table, checks, jobs and what starts them, resources.

    It has no executor and reads no environment variable: `dg.Definitions.merge` puts it beside anything else.

    Args:
        schema: what `load_schema` gave, or the path of the YAML file that declares the tables.
        name: what all names begin with that it defines: `shop` for `shop_mirror`, `shop_checks`; "" leaves them plain.
        postgres: the database of the tables.
        mongo: the source of the tables of collections.
        matomo: the source of the tables of Matomo.
        key_prefix: of the assets' keys, before what the translator says.
        target_schema: PostgreSQL's schema of the tables, made by the first run; None leaves it to `postgres`.
        translator: says how each table looks in Dagster.
        partitions: None takes those of the schema file; the newest has to be one that is not over (`end_offset=1`).
        checks: whether there are asset checks, their job and its schedule.
        sensor: whether there is the sensor on changes, stopped until somebody starts it.
        schedule: when all tables are mirrored, as cron expression in UTC, once somebody starts it; None for never.
        automation_condition: of the tables of which the translator says none.
        settings: of every run.
        retention: how long runs of the mirror are kept; where given, a schedule deletes older ones, on from the start.
        alerts: where somebody is told of what is wrong; where given, there is a sensor for it, stopped at first.

    Raises:
        SchemaFileError: the schema file cannot be used.
        ConfigurationError: another argument cannot, or they do not go together.
    """
    schema = schema if isinstance(schema, Schema) else load_schema(schema)
    sources: dict[str, ServerResource | None] = {MONGODB.resource: mongo, MATOMO.resource: matomo}
    _check_arguments(schema, name, {**sources, "postgres": postgres}, partitions)
    postgres = postgres if target_schema is None else postgres.in_schema(target_schema)
    specs = translate_tables(schema, translator or MirrorTranslator(), postgres, name=name, key_prefix=key_prefix)
    names = MirrorNames(name, {table: spec.key for table, spec in specs.items()})
    known, retry_delay = _list_known(schema, sources), RETRY_DELAY if mongo is None else mongo.retry_delay
    mirror = _Mirror(schema, names, specs, partitions or build_partitions(schema.partitions), known, retry_delay)
    return dg.Definitions.merge(
        _define_tables(mirror, automation_condition),
        _define_resources(mirror, {**sources, "postgres": postgres, "settings": settings or MirrorSettings()}),
        _define_runs(mirror, sensor=sensor and mongo is not None, schedule=schedule),
        _define_checks(mirror) if checks else dg.Definitions(),
        _define_upkeep(mirror, retention, alerts),
    )


@dataclass(frozen=True, slots=True)
class _Mirror:
    """What the parts of a mirror are built from.

    Attributes:
        specs: how each table looks.
        known: the tables whose source is there. The others stay in the graph, which must not differ from one process
            to another by a variable, and a run leaves them out.
        retry_delay: in seconds.
    """

    schema: Schema
    names: MirrorNames
    specs: Mapping[str, dg.AssetSpec]
    partitions: dg.TimeWindowPartitionsDefinition
    known: Sequence[str]
    retry_delay: float


def _define_tables(mirror: _Mirror, automation_condition: dg.AutomationCondition[Any] | None) -> dg.Definitions:
    assets = [
        (build_sharded_asset if table.shard_steps else build_table_asset)(
            mirror.schema,
            table,
            mirror.specs[table.name],
            mirror.names,
            mirror.partitions,
            optional=table.name not in mirror.known,
            retry_delay=mirror.retry_delay,
            automation_condition=automation_condition,
        )
        for table in mirror.schema.tables.values()
    ]
    return dg.Definitions(assets=assets, metadata=mirror.names.sign())


def _define_resources(mirror: _Mirror, plain: Mapping[str, object]) -> dg.Definitions:
    given = {
        name: resource.keep_values() if isinstance(resource, ServerResource) else resource
        for name, resource in plain.items()
        if resource is not None
    }
    resources = {"all_tables": AllTables(), **given}
    return dg.Definitions(resources={mirror.names.derive(name): resource for name, resource in resources.items()})


def _define_runs(mirror: _Mirror, *, sensor: bool, schedule: str | None) -> dg.Definitions:
    schema, names, partitions = mirror.schema, mirror.names, mirror.partitions
    job = build_mirror_job(schema, names)
    groups = {name: spec.group_name or "default" for name, spec in mirror.specs.items()}
    return dg.Definitions(
        jobs=[job, *build_domain_jobs(schema, names, groups)],
        schedules=[build_mirror_schedule(schema, names, mirror.known, job, partitions, schedule)] if schedule else [],
        sensors=[build_change_sensor(schema, names, job, partitions)] if sensor else [],
    )


def _define_checks(mirror: _Mirror) -> dg.Definitions:
    checks = build_checks(mirror.schema, mirror.names)
    job = build_check_job(mirror.schema, mirror.names, mirror.known, checks)
    return dg.Definitions(asset_checks=checks, jobs=[job], schedules=[build_check_schedule(mirror.names, job)])


def _define_upkeep(mirror: _Mirror, retention: Retention | None, alerts: Alerts | None) -> dg.Definitions:
    schema, names, known = mirror.schema, mirror.names, mirror.known
    reconcile = build_reconcile_job(schema, names, known, retry_delay=mirror.retry_delay)
    jobs, schedules = [reconcile, build_doctor_job(schema, names, known)], [build_reconcile_schedule(names, reconcile)]
    if retention is not None:
        jobs.append(prune := build_prune_job(names, retention))
        schedules.append(build_prune_schedule(names, prune))
    sensors = [build_alert_sensor(schema, names, known, alerts)] if alerts is not None else []
    return dg.Definitions(jobs=jobs, schedules=schedules, sensors=sensors)


def _list_known(schema: Schema, sources: Mapping[str, ServerResource | None]) -> list[str]:
    given = {key for key, resource in sources.items() if resource is not None and resource.is_configured}
    return [name for name, table in schema.tables.items() if table.source_kind.resource in given]


def _warn_of_shown_secrets(servers: Mapping[str, ServerResource | None]) -> None:
    for name, server in servers.items():
        for field in server.list_shown_secrets() if server is not None else ():
            advice = f"give it as dg.EnvVar, whose name is shown instead: {field}=dg.EnvVar('NAME')"
            warnings.warn(f"{field} of {name}= is a secret that Dagit shows; {advice}", UserWarning, stacklevel=4)


def _check_arguments(
    schema: Schema,
    name: str,
    servers: Mapping[str, ServerResource | None],
    partitions: dg.TimeWindowPartitionsDefinition | None,
) -> None:
    if name and not _NAME.fullmatch(name):
        raise ConfigurationError("name= of a mirror takes letters, digits and underscores, and begins with a letter")
    for kind in schema.sources:
        if servers.get(kind.resource) is None:
            tables = ", ".join(table.name for table in schema.list_tables(kind))
            raise ConfigurationError(f"build_mirror needs {kind.resource}=, which {tables} are read from")
    if partitions is not None and partitions.end_offset < 1:
        raise ConfigurationError("the newest of the partitions= has to be one that is not over: give them end_offset=1")
    _warn_of_shown_secrets(servers)
