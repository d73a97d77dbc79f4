"""The asset checks: the same kinds for every table, evaluated for all tables at once by one step per database.

Here: their specs, the steps, the job `checks` and its schedule. Not here: what is checked (`checks`).

Dagster adds all of them to a run of picked tables, and what such a run does not evaluate it shows as skipped. So it
evaluates them, but for the dear ones that passed within a day: counting whole tables has no place in a run that reads
what changed, and their last result is shown again. Runs of a job, of the sensor and of the schedule,
and `smartdiet sync`, have no checks in them.

No postponed annotations in this module: Dagster reads those of the steps at definition time.
"""

from collections.abc import Collection, Iterator
from dataclasses import replace
from datetime import date, datetime
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from smartdiet_assets.assets.check_history import CHECK_JOB, build_check_result, fetch_last_result
from smartdiet_assets.assets.failures import StepFailure
from smartdiet_assets.assets.jobs import build_tags
from smartdiet_assets.assets.naming import MirrorNames
from smartdiet_assets.assets.tables import MirrorSettings
from smartdiet_assets.checks.outcome import DEFAULT_SAMPLE, KINDS, list_kinds
from smartdiet_assets.mirror.failures import describe_origin
from smartdiet_assets.resources.dagster_private import UnresolvedAssetJobDefinition
from smartdiet_assets.resources.postgres import PostgresResource
from smartdiet_assets.schema.model import Schema, Table
from smartdiet_assets.schema.sources import SourceKind

if TYPE_CHECKING:
    from smartdiet_assets.checks.evaluation import Servers

CHECK_SCHEDULE = "checks_schedule"
#: Every morning, when nobody reads the tables.
_CRON = "30 4 * * *"
#: Those that read whole collections and tables, or documents with their rows.
_DEAR = frozenset({"rows_match_source", "content_matches"})
CheckResults = Iterator[dg.AssetCheckResult]


class ContentCheckConfig(dg.Config):
    """How much `content_matches` compares."""

    sample: int = Field(
        default=DEFAULT_SAMPLE, gt=0, description="Documents of each collection to compare with their rows."
    )
    all: bool = Field(default=False, description="Compare every document; reads all collections whole.")


def build_checks(schema: Schema, names: MirrorNames) -> list[dg.AssetChecksDefinition]:
    """Build the checks of every table, as one step for each database they are answered by."""
    built = []
    for kind in (None, *schema.sources):
        specs = [
            build_spec(names.keys[table.name], check)
            for table in schema.tables.values()
            for check in list_kinds(schema, table)
            if choose_source(table, check) == kind
        ]
        if specs:
            built.append(
                _build_alone(schema, names, specs) if kind is None else _build_with(schema, names, kind, specs)
            )
    return built


def choose_source(table: Table, check: str) -> SourceKind | None:
    """Choose the source whose step answers a check; None where PostgreSQL alone knows."""
    # Which columns a table with all of Matomo's has to have, Matomo says.
    if KINDS[check].reads_source or (check == "structure_matches" and table.takes_all_columns):
        return table.source_kind
    return None


def build_spec(key: dg.AssetKey, kind: str) -> dg.AssetCheckSpec:
    """Build the spec of one check. No check blocks: what is downstream is as right as before."""
    return dg.AssetCheckSpec(kind, asset=key, description=KINDS[kind].description, blocking=False)


def build_check_job(
    schema: Schema, names: MirrorNames, known: Collection[str], checks: Collection[dg.AssetChecksDefinition]
) -> UnresolvedAssetJobDefinition:
    """Build the job that evaluates every check; `known` are the tables whose source is there."""
    asked = set(names.list_keys(known))
    keys = [key for definition in checks for key in definition.check_keys if key.asset_key in asked]
    return dg.define_asset_job(
        names.derive(CHECK_JOB),
        selection=dg.AssetSelection.checks(*keys),
        description="Compare every table with its source and its declaration. Changes nothing.",
        tags=build_tags(schema, known, "checks", mirror=names.name),
    )


def build_check_schedule(names: MirrorNames, job: UnresolvedAssetJobDefinition) -> dg.ScheduleDefinition:
    """Build the schedule of the job, stopped until somebody starts it."""
    return dg.ScheduleDefinition(
        name=names.derive(CHECK_SCHEDULE),
        job=job,
        cron_schedule=_CRON,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description="Evaluate every check once a day.",
    )


def _build_alone(schema: Schema, names: MirrorNames, specs: list[dg.AssetCheckSpec]) -> dg.AssetChecksDefinition:
    @dg.multi_asset_check(
        name=names.derive("check_postgres"),
        specs=specs,
        can_subset=True,
        description="What PostgreSQL alone can answer.",
        required_resource_keys={names.postgres},
    )
    def check(context: dg.AssetCheckExecutionContext) -> CheckResults:
        from smartdiet_assets.checks.evaluation import Servers

        postgres: PostgresResource = getattr(context.resources, names.postgres)
        yield from _evaluate(context, schema, names, Servers(postgres=postgres.borrow))

    return check


def _build_with(
    schema: Schema, names: MirrorNames, kind: SourceKind, specs: list[dg.AssetCheckSpec]
) -> dg.AssetChecksDefinition:
    source = names.name_source(kind)

    @dg.multi_asset_check(
        name=names.derive(f"check_{kind.name}"),
        specs=specs,
        can_subset=True,
        description=f"What {kind.server} and PostgreSQL answer together.",
        required_resource_keys={names.postgres, names.settings, source},
    )
    def check(context: dg.AssetCheckExecutionContext, config: ContentCheckConfig) -> CheckResults:
        from smartdiet_assets.checks.evaluation import Servers, build_sources

        postgres: PostgresResource = getattr(context.resources, names.postgres)
        settings: MirrorSettings = getattr(context.resources, names.settings)
        sources = build_sources({kind.name: getattr(context.resources, source)})
        servers = Servers(postgres=postgres.borrow, sources=sources)
        yield from _evaluate(context, schema, names, servers, config, _read_date(settings.global_date_threshold))

    return check


def _evaluate(
    context: dg.AssetCheckExecutionContext,
    schema: Schema,
    names: MirrorNames,
    servers: "Servers",
    config: ContentCheckConfig | None = None,
    global_date_threshold: date | None = None,
) -> CheckResults:
    from smartdiet_assets.checks.evaluation import evaluate_checks

    wanted: dict[str, set[str]] = {}
    for key in context.selected_asset_check_keys:
        last = fetch_last_result(context.instance, key) if context.run.asset_selection and key.name in _DEAR else None
        if last is not None and last.stands:
            yield last.repeat()
        else:
            wanted.setdefault(names.find_table(key.asset_key), set()).add(key.name)
    sample = None if config is None or config.all else config.sample
    try:
        outcomes = evaluate_checks(schema, wanted, servers, sample=sample, global_date_threshold=global_date_threshold)
    except Exception as error:  # noqa: BLE001 - the text of an error that is nobody's may hold a value
        raise StepFailure(f"checks: unexpected {type(error).__name__} at {describe_origin(error)}") from None
    for outcome in outcomes:
        spelled = replace(outcome, sentence=names.spell(outcome.sentence))
        yield build_check_result(spelled, names.keys[outcome.table])


def _read_date(text: str | None) -> date | None:
    return datetime.fromisoformat(text).date() if text else None
