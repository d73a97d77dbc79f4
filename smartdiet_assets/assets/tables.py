"""One Dagster asset per declared table; its dependencies are the tables its foreign keys point at.

Here: the asset, its run configuration, and which errors Dagster retries. Not here: what a run does (`mirror.table_run`)
or what it reports (`assets.metadata`). No postponed annotations in this module: Dagster reads the annotation of
`context` at definition time.
"""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import dagster as dg
from pydantic import Field

from smartdiet_assets.assets.declared import check_declarations
from smartdiet_assets.assets.failures import StepFailure, build_step_failure, find_given_up
from smartdiet_assets.assets.interruption import begin_step, build_interrupted_failure, expect_retry, was_interrupted
from smartdiet_assets.assets.marks import mark_covered
from smartdiet_assets.assets.metadata import build_run_metadata
from smartdiet_assets.assets.naming import MirrorNames
from smartdiet_assets.assets.partitions import build_window_request
from smartdiet_assets.assets.progress import forward_progress
from smartdiet_assets.assets.recipes import find_recipe
from smartdiet_assets.assets.replay import find_replay
from smartdiet_assets.errors import ConfigurationError, TransientError
from smartdiet_assets.extract.window import read_instant
from smartdiet_assets.load.limits import LOCK_TIMEOUT
from smartdiet_assets.mirror.attempt import RunSettings, Servers, TableRun, mirror, try_table
from smartdiet_assets.mirror.failures import TableFailedError
from smartdiet_assets.resources.environment import build_field
from smartdiet_assets.resources.patience import RETRIES, RETRY_DELAY
from smartdiet_assets.schema.model import Schema, Table

if TYPE_CHECKING:
    from psycopg import Connection

# Single-run backfills are a beta parameter of 1.13, and what makes a range of partitions one run.
warnings.filterwarnings("ignore", category=dg.BetaWarning, message=".*backfill_policy.*")

_MATOMO_UNSET = "neither MATOMO_HOST nor MATOMO_DATABASE is set"
#: Transient errors only: everything else, and the last of them, is raised as a Failure that does not allow retries.
RETRY_POLICY = dg.RetryPolicy(
    max_retries=RETRIES, delay=RETRY_DELAY, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS
)


class MirrorSettings(dg.ConfigurableResource[Any]):
    """What holds for every table of a run; from the environment, overridable in the run configuration."""

    global_date_threshold: str | None = Field(
        default=None,
        description="ISO date (GLOBAL_DATE_THRESHOLD): moves the start of every window back, limits a first load.",
    )
    batch_size: int = build_field("BATCH_SIZE", gt=0)
    lock_timeout: float = Field(
        default=LOCK_TIMEOUT,
        gt=0,
        description="Seconds to wait for another run of a table, or for a reader's lock, before the table is retried.",
    )
    retry_limit: int = build_field("RETRY_LIMIT", gt=0)


class AllTables(dg.ConfigurableResource[Any]):
    """What is asked of every table of a run; its name has it come first where Dagit writes a run's configuration."""

    full: bool = Field(default=False, description="Read the collections whole, whatever the partition.")
    since: str | None = Field(
        default=None,
        description="ISO date or time, UTC: also read documents dated from here on. Never moves a window forward.",
    )
    rekey: bool = Field(default=False, description="Make pseudonyms of another key anew: read those tables again.")


class MirrorConfig(dg.Config):
    """What is asked of one table instead; without defaults, which Dagit would write out for each table of a job."""

    full: bool | None = Field(default=None, description="As `full` of the resource `all_tables`, for this table.")
    since: str | None = Field(default=None, description="As `since` of the resource `all_tables`, for this table.")


Result = TypeVar("Result")
StepEvents = Iterator[dg.MaterializeResult[Any] | dg.AssetObservation]


def build_table_asset(
    schema: Schema,
    table: Table,
    spec: dg.AssetSpec,
    names: MirrorNames,
    partitions: dg.TimeWindowPartitionsDefinition,
    *,
    optional: bool = False,
    retry_delay: float = RETRY_DELAY,
    automation_condition: dg.AutomationCondition[Any] | None = None,
) -> dg.AssetsDefinition:
    """Build the asset of one table; it needs the server its rows come from, and no other source.

    Args:
        spec: how it looks (`assets.translator`).
        optional: a run leaves the table out where its source is not there, instead of failing. It stays in the graph,
            which must not differ from one process to another by a variable.
        retry_delay: in seconds, before what failed for a passing reason is tried again.
        automation_condition: where the spec has none of its own.
    """
    step = TableStep(schema, table, names, partitions, retry_delay)

    @dg.asset(
        key=spec.key,
        deps=spec.deps,
        description=spec.description,
        group_name=spec.group_name,
        owners=spec.owners,
        tags=spec.tags,
        code_version=spec.code_version,
        metadata=spec.metadata,
        freshness_policy=spec.freshness_policy,
        automation_condition=spec.automation_condition or automation_condition,
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.single_run(),
        retry_policy=RETRY_POLICY._replace(delay=retry_delay),
        pool=names.pool,
        output_required=not optional,
        required_resource_keys=step.needed,
    )
    def mirror_table(context: dg.AssetExecutionContext, config: MirrorConfig) -> StepEvents:
        from smartdiet_assets.mirror.sources import find_opener

        servers = step.find_servers(context)
        asks = optional and find_replay(context.run.run_id) is None
        if asks and not (check := find_opener(table.source_kind).check(servers.sources[table.source], [table])).ok:
            context.log.warning("%s is left out: %s. %s", table.name, _MATOMO_UNSET, check.sentence)
            return
        yield from run_mirror(context, config, servers, step)

    return mirror_table


@dataclass(frozen=True, slots=True)
class TableStep:
    """What is known of a table's step before it runs; `retry_delay` is in seconds."""

    schema: Schema
    table: Table
    names: MirrorNames
    partitions: dg.TimeWindowPartitionsDefinition
    retry_delay: float

    @property
    def label(self) -> str:
        """Tells the table from others of a run: those of another mirror may have its name."""
        return self.names.keys[self.table.name].to_user_string()

    @property
    def needed(self) -> set[str]:
        """The keys of the resources it needs."""
        return {self.names.all_tables, self.names.settings, self.names.postgres, self.source}

    @property
    def source(self) -> str:
        """The key of the resource of the server its rows come from."""
        return self.names.name_source(self.table.source_kind)

    def find_servers(self, context: dg.AssetExecutionContext) -> Servers:
        """Find the servers of its run."""
        postgres = getattr(context.resources, self.names.postgres)
        source = getattr(context.resources, self.source)
        recipe = find_recipe(postgres, {self.table.source: source}, self.names.name)
        return Servers(postgres, {self.table.source: source}, mirror=self.names.name, recipe=recipe)


def run_mirror(
    context: dg.AssetExecutionContext, config: MirrorConfig, servers: Servers, step: TableStep
) -> StepEvents:
    """Mirror a table, or show what a recorded run of it came to; give its materialisation."""
    run_id, table = context.run.run_id, step.table
    replay = find_replay(run_id)
    if replay is None:
        check_declarations(context, step.schema, step.names.name)
        if not begin_step(run_id, step.label):
            raise build_interrupted_failure(run_id)
    try:
        if replay is not None:
            result = replay.take(context, table.name)
        else:
            with forward_progress(context, table.name):
                result = try_step(context, config, servers, step, mirror)
    except StepFailure as failure:
        if not was_interrupted(run_id):
            # Of a failed run the asset's page says no more than that there was one.
            yield dg.AssetObservation(context.asset_key, description=failure.description, metadata=failure.metadata)
        raise
    if result.capture is not None and result.capture.behind is not None:
        context.log.warning(
            "%s: the change stream was read up to %s UTC only, as the server showed no more; the next run goes on from"
            " there",
            table.name,
            result.capture.behind.isoformat(" "),
        )
    if result.read_from is not None:
        mark_covered(context, step.partitions, result.read_from)
    yield dg.MaterializeResult(metadata=build_run_metadata(table, result))


def try_step(
    context: dg.AssetExecutionContext,
    config: MirrorConfig,
    servers: Servers,
    step: TableStep,
    act: "Callable[[TableRun, Servers, Connection], Result]",
) -> "Result":
    """Do what a step does; what goes wrong is raised as what Dagster tries again, or as what it ends with."""
    run_id, table = context.run.run_id, step.table
    all_tables: AllTables = getattr(context.resources, step.names.all_tables)
    asked = MirrorConfig(
        full=all_tables.full if config.full is None else config.full, since=config.since or all_tables.since
    )
    settings: MirrorSettings = getattr(context.resources, step.names.settings)
    try:
        threshold = read_instant("global_date_threshold", settings.global_date_threshold)
        request = build_window_request(
            step.partitions,
            context.partition_key_range,
            full=bool(asked.full),
            since=read_instant("since", asked.since),
        )
        run_settings = RunSettings(
            batch_size=settings.batch_size,
            global_date_threshold=threshold.date() if threshold else None,
            lock_timeout=settings.lock_timeout,
            retry_limit=settings.retry_limit,
            retries=RETRY_POLICY.max_retries,
            retry_delay=step.retry_delay,
            rekey=all_tables.rekey,
        )
        return try_table(
            TableRun(step.schema, table, run_id, request, run_settings),
            servers,
            act,
            tried=context.retry_number,
            find_given_up=partial(find_given_up, context.instance, run_id),
        )
    except (KeyboardInterrupt, dg.DagsterExecutionInterruptedError):
        raise build_interrupted_failure(run_id) from None
    except TableFailedError as error:
        raise build_step_failure(replace(error.failure, sentence=step.names.spell(error.failure.sentence))) from None
    except ConfigurationError as error:
        raise StepFailure(str(error)) from None
    except TransientError as error:
        error.args = tuple(step.names.spell(part) if isinstance(part, str) else part for part in error.args)
        expect_retry(run_id, step.label)
        raise
