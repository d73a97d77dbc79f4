"""One Dagster asset per declared table; its dependencies are the tables its foreign keys point at.

Here: the asset, its run configuration, and which errors Dagster retries. Not here: what a run does (`mirror.table_run`)
or what it reports (`assets.metadata`). No postponed annotations in this module: Dagster reads the annotation of
`context` at definition time.
"""

import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from smartdiet_assets.assets.failures import StepFailure
from smartdiet_assets.assets.interruption import begin_step, build_interrupted_failure, expect_retry, was_interrupted
from smartdiet_assets.assets.marks import mark_covered
from smartdiet_assets.assets.metadata import build_rejects_metadata, build_run_metadata
from smartdiet_assets.assets.naming import MirrorNames
from smartdiet_assets.assets.outages import (
    SERVER,
    await_server,
    compose_vain,
    find_given_up,
    note_answer,
    note_outage,
)
from smartdiet_assets.assets.partitions import build_window_request
from smartdiet_assets.assets.progress import forward_progress
from smartdiet_assets.errors import (
    ConfigurationError,
    ForwardingFailedError,
    ServerUnreachableError,
    TooManyRejectsError,
    TransientError,
)
from smartdiet_assets.extract.window import WindowRequest
from smartdiet_assets.load.limits import LOCK_TIMEOUT
from smartdiet_assets.mirror.failures import describe_error, translate_error
from smartdiet_assets.resources.environment import build_field
from smartdiet_assets.resources.matomo import MatomoResource
from smartdiet_assets.resources.mongo import MongoResource
from smartdiet_assets.resources.patience import RETRIES, RETRY_DELAY
from smartdiet_assets.resources.postgres import PostgresResource
from smartdiet_assets.schema.model import Schema, Table

# What a run needs, it imports: the drivers and the stages take as long as half of Dagster.
if TYPE_CHECKING:
    from psycopg import Connection

    from smartdiet_assets.mirror.table_run import MirrorResult
    from smartdiet_assets.resources.mongo_reading import MongoDatabase

# Single-run backfills are a beta parameter of 1.13, and what makes a range of partitions one run.
warnings.filterwarnings("ignore", category=dg.BetaWarning, message=".*backfill_policy.*")

#: Seconds for which one reading of MongoDB's clock serves the tables of a run.
_CLOCK_AGE = 5.0
#: By run and mirror, when it was read (monotonic) and what it said; of one run.
_clocks: dict[tuple[str, str], tuple[float, datetime]] = {}
_MATOMO_UNSET = "neither MATOMO_HOST nor MATOMO_DATABASE is set"
_TARGET = "PostgreSQL"
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


class MirrorConfig(dg.Config):
    """What is asked of one table instead; without defaults, which Dagit would write out for each table of a job."""

    full: bool | None = Field(default=None, description="As `full` of the resource `all_tables`, for this table.")
    since: str | None = Field(default=None, description="As `since` of the resource `all_tables`, for this table.")


StepEvents = Iterator[dg.MaterializeResult[Any] | dg.AssetObservation]
#: Brings one table up to date: takes the PostgreSQL connection, the window request, and the earliest date.
Mirror = Callable[["Connection", WindowRequest, date | None], "MirrorResult"]


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
    step, source = _Step(schema, table, names, partitions, retry_delay), names.name_source(table.source_kind)

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
        retry_policy=RETRY_POLICY and RETRY_POLICY._replace(delay=retry_delay),
        pool=names.pool,
        output_required=not optional,
        required_resource_keys={names.all_tables, names.settings, names.postgres, source},
    )
    def mirror(context: dg.AssetExecutionContext, config: MirrorConfig) -> StepEvents:
        asked: MongoResource | MatomoResource = getattr(context.resources, source)
        settings: MirrorSettings = getattr(context.resources, names.settings)
        if isinstance(asked, MongoResource):
            mirror = _build_mongo_mirror(step, asked, settings, context.run.run_id)
        elif optional and not (check := asked.check([table.source_table])).ok:
            context.log.warning("%s is left out: %s. %s", table.name, _MATOMO_UNSET, check.sentence)
            return
        else:
            mirror = _build_matomo_mirror(step, asked, settings, context.run.run_id)
        yield from _run_mirror(context, config, step, mirror)

    return mirror


@dataclass(frozen=True, slots=True)
class _Step:
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
    def servers(self) -> tuple[str, str]:
        """How the target and the source are called, for which all tables of a run wait together."""
        return self.names.spell_server(_TARGET), self.names.spell_server(self.table.source_kind.server)


def _build_mongo_mirror(step: _Step, mongo: MongoResource, settings: MirrorSettings, run_id: str) -> Mirror:
    from smartdiet_assets.mirror.table_run import mirror_table

    def mirror(connection: "Connection", request: WindowRequest, global_date_threshold: date | None) -> "MirrorResult":
        def mirror_from(database: "MongoDatabase") -> "MirrorResult":
            return mirror_table(
                step.schema,
                step.table,
                database,
                connection,
                run_id=run_id,
                request=request,
                global_date_threshold=global_date_threshold,
                batch_size=settings.batch_size,
                lock_timeout=settings.lock_timeout,
                retry_limit=settings.retry_limit,
                source_clock=_fetch_clock(database, (run_id, step.names.name)),
            )

        # What may pass, Dagster tries again.
        return mongo.read(mirror_from, patiently=False)

    return mirror


def _build_matomo_mirror(step: _Step, matomo: MatomoResource, settings: MirrorSettings, run_id: str) -> Mirror:
    from smartdiet_assets.mirror.sources.matomo import MatomoSource
    from smartdiet_assets.mirror.table_run import mirror_source

    def mirror(connection: "Connection", request: WindowRequest, global_date_threshold: date | None) -> "MirrorResult":
        with matomo.connect() as rows:
            return mirror_source(
                MatomoSource(step.schema, step.table, rows, settings.batch_size, table_prefix=matomo.table_prefix),
                connection,
                run_id=run_id,
                request=request,
                global_date_threshold=global_date_threshold,
                lock_timeout=settings.lock_timeout,
                retry_limit=settings.retry_limit,
            )

    return mirror


def _run_mirror(context: dg.AssetExecutionContext, config: MirrorConfig, step: _Step, mirror: Mirror) -> StepEvents:
    run_id, table = context.run.run_id, step.table
    if not begin_step(run_id, step.label):
        raise build_interrupted_failure(run_id)
    all_tables: AllTables = getattr(context.resources, step.names.all_tables)
    asked = MirrorConfig(
        full=all_tables.full if config.full is None else config.full, since=config.since or all_tables.since
    )
    try:
        with forward_progress(context, table.name):
            result = _try_mirror(context, asked, step, mirror)
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


def _try_mirror(context: dg.AssetExecutionContext, asked: MirrorConfig, step: _Step, mirror: Mirror) -> "MirrorResult":
    """Mirror a table; what goes wrong is raised as what Dagster tries again, or as the sentence the step ends with."""
    from psycopg import Error as PostgresError

    run_id, table = context.run.run_id, step.table
    postgres: PostgresResource = getattr(context.resources, step.names.postgres)
    settings: MirrorSettings = getattr(context.resources, step.names.settings)
    target, source = step.servers
    # Whatever goes wrong before there is a connection is PostgreSQL's.
    server = target
    try:
        request = build_window_request(
            step.partitions,
            context.partition_key_range,
            full=bool(asked.full),
            since=_read_instant("since", asked.since),
        )
        threshold = _read_instant("global_date_threshold", settings.global_date_threshold)
        for needed in step.servers:
            await_server(run_id, needed, table.name)
        with postgres.borrow(making_schema=True) as connection:
            server = source
            result = mirror(connection, request, threshold.date() if threshold else None)
    except (KeyboardInterrupt, dg.DagsterExecutionInterruptedError):
        raise build_interrupted_failure(run_id) from None
    except StepFailure:
        raise
    except Exception as error:  # noqa: BLE001 - the one place that decides what Dagster retries
        run_error = _as_run_error(error, table, step.names.spell)
        if not isinstance(run_error, TransientError):
            raise run_error from None
        if isinstance(run_error, ServerUnreachableError | ForwardingFailedError):
            away = target if isinstance(error, PostgresError) else server
            if given_up := find_given_up(context.instance, run_id, away):
                raise StepFailure(f"{table.name}: not tried again, as {away} is away: {given_up}") from None
            if vain := note_outage(
                run_id,
                away,
                table.name,
                run_error,
                tried=context.retry_number,
                retries=RETRY_POLICY.max_retries,
                delay=step.retry_delay,
            ):
                raise StepFailure(vain, {SERVER: away}) from None
        if context.retry_number >= RETRY_POLICY.max_retries:
            raise StepFailure(compose_vain(run_error, context.retry_number + 1)) from None
        expect_retry(run_id, step.label)
        raise run_error from None
    for needed in step.servers:
        note_answer(run_id, needed)
    return result


def _fetch_clock(database: "MongoDatabase", asked: tuple[str, str]) -> datetime:
    """Fetch the server's clock, as it was `_CLOCK_AGE` ago at most: what a run sees is what came before it anyway."""
    from smartdiet_assets.resources.mongo_hello import fetch_server_clock

    now = time.monotonic()
    # Another thread may forget it meanwhile.
    known = _clocks.get(asked)
    if known is None or now - known[0] >= _CLOCK_AGE:
        known = (now, fetch_server_clock(database))
        if not any(run_id == asked[0] for run_id, _ in tuple(_clocks)):
            _clocks.clear()
        _clocks[asked] = known
    return known[1]


def _as_run_error(error: Exception, table: Table, spell: Callable[[str], str] = str) -> Exception:
    """Turn any error into one that Dagster retries only when that can help, without a driver's text.

    An error that is nobody's (a bug) keeps its type only: its text may hold a value from a document.
    """
    error = translate_error(error, table)
    if isinstance(error, TransientError):
        error.args = tuple(spell(part) if isinstance(part, str) else part for part in error.args)
        return error
    metadata = build_rejects_metadata(error) if isinstance(error, TooManyRejectsError) else None
    return StepFailure(spell(describe_error(error, table)), metadata)


def _read_instant(name: str, text: str | None) -> datetime | None:
    if not text:
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(f"{name} must be an ISO date such as {date(2024, 1, 1)}") from None
    return instant.astimezone(UTC).replace(tzinfo=None) if instant.tzinfo else instant
