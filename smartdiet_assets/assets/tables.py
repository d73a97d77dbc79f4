"""One Dagster asset per declared table; its dependencies are the tables its foreign keys point at.

Here: the asset, its run configuration, and which errors Dagster retries. Not here: what a run does (`assets.mirror`)
or what it reports (`assets.metadata`). No postponed annotations in this module: Dagster reads the annotation of
`context` at definition time.
"""

import time
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from typing import Any

import dagster as dg
from psycopg import Connection
from pydantic import Field
from pymongo.database import Database

from smartdiet_assets.assets.failures import describe_error, translate_error
from smartdiet_assets.assets.interruption import begin_step, build_interrupted_failure, expect_retry
from smartdiet_assets.assets.metadata import build_definition_metadata, build_rejects_metadata, build_run_metadata
from smartdiet_assets.assets.mirror import MirrorResult, mirror_source, mirror_table
from smartdiet_assets.assets.partitions import build_window_request, list_covered
from smartdiet_assets.assets.progress import forward_progress
from smartdiet_assets.assets.sources import MatomoSource
from smartdiet_assets.errors import ConfigurationError, TooManyRejectsError, TransientError
from smartdiet_assets.extract.documents import fetch_server_clock
from smartdiet_assets.extract.window import Window, WindowRequest
from smartdiet_assets.load.retries import RETRY_LIMIT
from smartdiet_assets.load.session import LOCK_TIMEOUT
from smartdiet_assets.resources.matomo import MatomoResource
from smartdiet_assets.resources.mongo import MongoResource
from smartdiet_assets.resources.postgres import PostgresResource
from smartdiet_assets.schema.model import Schema, Table

# Single-run backfills are a beta parameter of 1.13, and what makes a range of partitions one run.
warnings.filterwarnings("ignore", category=dg.BetaWarning, message=".*backfill_policy.*")

#: One pool per database: `config/dagster.yaml` limits how many runs write to PostgreSQL at once.
POSTGRES_POOL = "smartdiet_postgres"
#: Seconds for which one reading of MongoDB's clock serves the tables of a run.
_CLOCK_AGE = 5.0
#: By run, when it was read (monotonic) and what it said; of one run.
_clocks: dict[str, tuple[float, datetime]] = {}
_MATOMO_UNSET = "neither MATOMO_HOST nor MATOMO_DATABASE is set"
#: What Dagit shows beside PostgreSQL, by the source of a table.
_KINDS = {"mongodb": "mongodb", "matomo": "mariadb"}
#: Transient errors only: everything else is raised as a Failure that does not allow retries.
RETRY_POLICY = dg.RetryPolicy(max_retries=3, delay=2, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)


class MirrorSettings(dg.ConfigurableResource[Any]):
    """What holds for every table of a run; from the environment, overridable in the run configuration."""

    global_date_threshold: str | None = Field(
        default=None,
        description="ISO date (GLOBAL_DATE_THRESHOLD): moves the start of every window back, limits a first load.",
    )
    batch_size: int = Field(default=5000, gt=0, description="Documents read at a time (BATCH_SIZE).")
    lock_timeout: float = Field(
        default=LOCK_TIMEOUT,
        gt=0,
        description="Seconds to wait for another run of a table, or for a reader's lock, before the table is retried.",
    )
    retry_limit: int = Field(
        default=RETRY_LIMIT,
        gt=0,
        description="Documents that could not be loaded and are tried again, by one run of a table (RETRY_LIMIT).",
    )
    mark_partitions: bool = Field(
        default=True,
        description="Mark all partitions a full read covers, an event for each (SMARTDIET_MARK_PARTITIONS).",
    )


class MirrorConfig(dg.Config):
    """What can be asked of one table's run."""

    full: bool = Field(default=False, description="Read the whole collection, whatever the partition.")
    since: str | None = Field(
        default=None,
        description="ISO date or time, UTC: also read documents dated from here on. Never moves a window forward.",
    )


#: Brings one table up to date: takes the PostgreSQL connection, the window request, and the earliest date.
Mirror = Callable[[Connection[Any], WindowRequest, date | None], MirrorResult]


def build_table_asset(
    schema: Schema, table: Table, partitions: dg.TimeWindowPartitionsDefinition, *, matomo_configured: bool = True
) -> dg.AssetsDefinition:
    """Build the asset of one table; it needs the server its rows come from, and no other source.

    Where nothing says where Matomo is, and it is not in its usual place either, a run leaves its tables out instead of
    failing: whoever has none can still materialise everything. The assets stay in the graph, which says what there
    could be and must not differ from one process to another by a variable.
    """
    optional = table.source == "matomo" and not matomo_configured
    describe_asset = dg.asset(
        name=table.name,
        deps=list(table.parents),
        description=_describe(table),
        group_name=table.group,
        owners=list(table.owners) or None,
        kinds={_KINDS[table.source], "postgres"},
        code_version=table.code_version,
        metadata=build_definition_metadata(schema, table),
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.single_run(),
        retry_policy=RETRY_POLICY,
        pool=POSTGRES_POOL,
        output_required=not optional,
    )

    def mirror_from_mongo(
        context: dg.AssetExecutionContext,
        config: MirrorConfig,
        mongo: MongoResource,
        postgres: PostgresResource,
        settings: MirrorSettings,
    ) -> dg.MaterializeResult[Any]:
        def mirror(
            connection: Connection[Any], request: WindowRequest, global_date_threshold: date | None
        ) -> MirrorResult:
            return mirror_table(
                schema,
                table,
                database := mongo.open_database(),
                connection,
                run_id=context.run.run_id,
                request=request,
                global_date_threshold=global_date_threshold,
                batch_size=settings.batch_size,
                lock_timeout=settings.lock_timeout,
                retry_limit=settings.retry_limit,
                source_clock=_fetch_clock(database, context.run.run_id),
            )

        return _run_mirror(context, config, postgres, settings, table, partitions, mirror)

    def mirror_from_matomo(
        context: dg.AssetExecutionContext,
        config: MirrorConfig,
        matomo: MatomoResource,
        postgres: PostgresResource,
        settings: MirrorSettings,
    ) -> Iterator[dg.MaterializeResult[Any]]:
        if optional and not (check := matomo.check([table.source_table])).ok:
            context.log.warning("%s is left out: %s. %s", table.name, _MATOMO_UNSET, check.sentence)
            return

        def mirror(
            connection: Connection[Any], request: WindowRequest, global_date_threshold: date | None
        ) -> MirrorResult:
            with matomo.connect() as source:
                return mirror_source(
                    MatomoSource(schema, table, source, settings.batch_size, table_prefix=matomo.table_prefix),
                    connection,
                    run_id=context.run.run_id,
                    request=request,
                    global_date_threshold=global_date_threshold,
                    lock_timeout=settings.lock_timeout,
                    retry_limit=settings.retry_limit,
                )

        yield _run_mirror(context, config, postgres, settings, table, partitions, mirror)

    return describe_asset(mirror_from_matomo if table.source == "matomo" else mirror_from_mongo)


def _run_mirror(
    context: dg.AssetExecutionContext,
    config: MirrorConfig,
    postgres: PostgresResource,
    settings: MirrorSettings,
    table: Table,
    partitions: dg.TimeWindowPartitionsDefinition,
    mirror: Mirror,
) -> dg.MaterializeResult[Any]:
    run_id = context.run.run_id
    if not begin_step(run_id, table.name):
        raise build_interrupted_failure(run_id)
    try:
        request = build_window_request(
            partitions,
            context.partition_key_range,
            full=config.full,
            since=_read_instant("since", config.since),
        )
        threshold = _read_instant("global_date_threshold", settings.global_date_threshold)
        with postgres.borrow() as connection, forward_progress(context.log, table.name):
            result = mirror(connection, request, threshold.date() if threshold else None)
    except (KeyboardInterrupt, dg.DagsterExecutionInterruptedError):
        raise build_interrupted_failure(run_id) from None
    except Exception as error:  # noqa: BLE001 - the one place that decides what Dagster retries
        run_error = _as_run_error(error, table)
        if isinstance(run_error, TransientError):
            expect_retry(run_id, table.name)
        raise run_error from None
    if result.window.kind == "full" and settings.mark_partitions:
        _mark_covered(context, partitions, result.window)
    return dg.MaterializeResult(metadata=build_run_metadata(result))


def _mark_covered(
    context: dg.AssetExecutionContext, partitions: dg.TimeWindowPartitionsDefinition, window: Window
) -> None:
    """Mark the partitions that a full read covers as materialised, where they are not: Dagit shows no gap then."""
    picked = set(context.partition_keys)
    marked = context.instance.get_materialized_partitions(context.asset_key)
    for key in list_covered(partitions, window):
        if key not in picked and key not in marked:
            context.log_event(
                dg.AssetMaterialization(
                    context.asset_key,
                    description="Covered by a run that read every document.",
                    partition=key,
                    metadata={"window": "full"},
                )
            )


def _fetch_clock(database: Database[dict[str, Any]], run_id: str) -> datetime:
    """Fetch the server's clock, as it was `_CLOCK_AGE` ago at most: what a run sees is what came before it anyway."""
    now = time.monotonic()
    # Another thread may forget it meanwhile.
    known = _clocks.get(run_id)
    if known is None or now - known[0] >= _CLOCK_AGE:
        known = (now, fetch_server_clock(database))
        _clocks.clear()
        _clocks[run_id] = known
    return known[1]


def _as_run_error(error: Exception, table: Table) -> Exception:
    """Turn any error into one that Dagster retries only when that can help, without a driver's text.

    An error that is nobody's (a bug) keeps its type only: its text may hold a value from a document.
    """
    error = translate_error(error, table)
    if isinstance(error, TransientError):
        return error
    metadata = build_rejects_metadata(error) if isinstance(error, TooManyRejectsError) else None
    return dg.Failure(description=describe_error(error, table), metadata=metadata, allow_retries=False)


def _read_instant(name: str, text: str | None) -> datetime | None:
    if not text:
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(f"{name} must be an ISO date such as {date(2024, 1, 1)}") from None
    return instant.astimezone(UTC).replace(tzinfo=None) if instant.tzinfo else instant


def _describe(table: Table) -> str:
    if table.source == "matomo":
        what = table.description or f"Mirror of Matomo's table {table.source_table}."
        return f"{what}\n\nOne row per row of `{table.source_table}` in Matomo."
    what = table.description or f"Mirror of the collection {table.mongo_collection}."
    how = {
        "one_row": f"One row per document of `{table.mongo_collection}`.",
        "items": f"One row per item of {', '.join(f'`{array.field}`' for array in table.arrays)} "
        f"in `{table.mongo_collection}`.",
        "one_per_key": f"One row per {', '.join(f'`{name}`' for name in table.key)} of `{table.mongo_collection}`.",
    }[table.shape]
    return f"{what}\n\n{how}"
