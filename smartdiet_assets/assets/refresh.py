"""The refreshes as Dagster jobs: `refresh_mongo` and `refresh_postgres`, their run configuration, log and metadata.

They are in the code location where SMARTDIET_REFRESH_JOBS says so. Whoever may start a run there need not be who may
write over a database: what is refused does not tell the word that has to be typed.

Not here: the refreshes (`refresh`), which are imported by a run only. No postponed annotations in this
module: Dagster reads the annotation of `context`.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import dagster as dg
from pydantic import Field

from smartdiet_assets.assets.failures import StepFailure
from smartdiet_assets.assets.naming import KIND_TAG
from smartdiet_assets.errors import ConfigurationError, SmartdietError, TransientError, UnknownNamesError
from smartdiet_assets.resources.configured import find_references
from smartdiet_assets.resources.environment import Environment
from smartdiet_assets.resources.variable_kinds import Place
from smartdiet_assets.schema.model import Schema

if TYPE_CHECKING:
    from smartdiet_assets.refresh.plan import RefreshOutcome
    from smartdiet_assets.refresh.running import Refresh

REFRESH_MONGO_JOB = "refresh_mongo"
REFRESH_POSTGRES_JOB = "refresh_postgres"
#: The source is read from the start again, so that few tries are worth it; the delay is as many times that of a read.
_RETRIES = 2
_TIMES_RETRY_DELAY = 15


class RefreshConfig(dg.Config):
    """What both jobs take."""

    target_name: str = Field(
        description="Name of the database that is written over. Must be written out: nobody is shown the target first."
    )
    dry_run: bool = Field(default=False, description="Log what would be done; write nothing.")


class RefreshMongoConfig(RefreshConfig):
    """What a refresh of MongoDB can be asked."""

    to: Literal["local", "remote"] = Field(default="local", description="Which database is written over.")
    include: list[str] = Field(default=[], description="Names or patterns of collections; none stands for all.")
    exclude: list[str] = Field(default=[], description="Collections that stay as they are in the target.")
    sample: float | None = Field(
        default=None,
        gt=0,
        le=100,
        description="Percentage of each collection to copy, besides every document that a copied one refers to.",
    )


class RefreshPostgresConfig(RefreshConfig):
    """What a refresh of PostgreSQL can be asked."""

    to: Literal["local", "remote"] = Field(default="remote", description="Which database is written over.")
    include_tables: list[str] = Field(
        default=[], description="Only these tables, names or patterns; none stands for POSTGRES_INCLUDE_TABLES."
    )
    exclude_tables: list[str] = Field(
        default=[], description="Tables that stay as they are in the target (POSTGRES_EXCLUDE_TABLES)."
    )
    include_schemas: list[str] = Field(default=[], description="Only these schemas (POSTGRES_INCLUDE_SCHEMAS).")
    exclude_schemas: list[str] = Field(default=[], description="Not these schemas (POSTGRES_EXCLUDE_SCHEMAS).")
    exclude_data: list[str] = Field(
        default=[], description="Tables that are made and left empty (POSTGRES_EXCLUDE_DATA_TABLES)."
    )
    sample: float | None = Field(
        default=None,
        gt=0,
        le=100,
        description="Percentage of each table to copy, besides every row that a copied one refers to "
        "(POSTGRES_DATA_SAMPLE_PERCENT).",
    )
    remove_extra: bool = Field(default=False, description="Remove from the target what the source does not have.")


ConfigT = TypeVar("ConfigT", bound=RefreshConfig)


def build_refresh_jobs(schema: Schema, environment: Environment) -> list[dg.JobDefinition]:
    """Build both jobs: one step each, which is tried again after what may pass by itself."""

    def open_mongo(config: RefreshMongoConfig) -> "AbstractContextManager[Refresh]":
        from smartdiet_assets.refresh.mongo.refresh import open_mongo_refresh

        return open_mongo_refresh(
            schema, environment, to=config.to, includes=config.include, excludes=config.exclude, sample=config.sample
        )

    def open_postgres(config: RefreshPostgresConfig) -> "AbstractContextManager[Refresh]":
        from smartdiet_assets.refresh.postgres.refresh import open_postgres_refresh

        return open_postgres_refresh(environment, **config.model_dump(exclude={"target_name", "dry_run"}))

    retry_policy = dg.RetryPolicy(_RETRIES, _TIMES_RETRY_DELAY * environment.retry_delay, dg.Backoff.EXPONENTIAL)

    @dg.op(name="copy_mongo", out=dg.Out(dg.Nothing), retry_policy=retry_policy)
    def copy_mongo(context: dg.OpExecutionContext, config: RefreshMongoConfig) -> Iterator[dg.Output[None]]:
        yield from _refresh(context, config, open_mongo, environment, _name_variable("MONGODB_DATABASE", config.to))

    @dg.op(name="copy_postgres", out=dg.Out(dg.Nothing), retry_policy=retry_policy)
    def copy_postgres(context: dg.OpExecutionContext, config: RefreshPostgresConfig) -> Iterator[dg.Output[None]]:
        yield from _refresh(context, config, open_postgres, environment, _name_variable("POSTGRES_DATABASE", config.to))

    @dg.job(
        name=REFRESH_MONGO_JOB,
        description="Copy one MongoDB database over the other: remote to local unless `to` says otherwise.",
        tags={KIND_TAG: "refresh"},
    )
    def refresh_mongo() -> None:
        copy_mongo()

    @dg.job(
        name=REFRESH_POSTGRES_JOB,
        description="Copy one PostgreSQL database over the other: local to remote unless `to` says otherwise.",
        tags={KIND_TAG: "refresh"},
    )
    def refresh_postgres() -> None:
        copy_postgres()

    return [refresh_mongo, refresh_postgres]


def _refresh(
    context: dg.OpExecutionContext,
    config: ConfigT,
    open_refresh: "Callable[[ConfigT], AbstractContextManager[Refresh]]",
    environment: Environment,
    variable: str,
) -> Iterator[dg.Output[None]]:
    """Run a refresh; `variable` holds the name of the database that is written over."""
    from smartdiet_assets.refresh.description import describe_plan
    from smartdiet_assets.refresh.progress import LineProgress
    from smartdiet_assets.refresh.running import prepare_refresh, run_refresh

    try:
        _check_target(context, config, environment, variable)
        with open_refresh(config) as refresh:
            plan = prepare_refresh(
                refresh,
                lambda plan: context.log.info("\n".join(describe_plan(plan))),
                target_name=config.target_name,
                dry_run=config.dry_run,
            )
            outcome = run_refresh(refresh, plan, LineProgress(context.log.info), dry_run=config.dry_run)
    except UnknownNamesError:
        # They may be what a variable holds.
        raise StepFailure(
            "a list of names of the run configuration, or of the environment, holds one that fits nothing; "
            "nothing was written"
        ) from None
    except SmartdietError as error:
        again = isinstance(error, TransientError) and context.retry_number < _RETRIES
        raise StepFailure(str(error), allow_retries=again) from None
    for note in outcome.notes:
        context.log.warning(note)
    yield dg.Output(None, metadata=build_refresh_metadata(outcome))


def _name_variable(local: str, to: Place) -> str:
    return local if to == "local" else f"REMOTE_{local}"


def _check_target(
    context: dg.OpExecutionContext, config: RefreshConfig, environment: Environment, variable: str
) -> None:
    """Refuse a run that does not name its target, before a server is asked, and without saying what its name is.

    Raises:
        ConfigurationError: says so.
    """
    if any(find_references(context.run.run_config.get("ops"))):
        raise ConfigurationError(
            "the run configuration of a refresh takes nothing from variables of the environment; write it out; nothing "
            "was written"
        )
    if config.target_name != environment.get(variable):
        raise ConfigurationError(
            f"target_name is not the name of the database that would be written over ({variable} says it, where Dagster"
            " runs); nothing was written"
        )


def build_refresh_metadata(outcome: "RefreshOutcome") -> dict[str, dg.MetadataValue[Any]]:
    """Build what a run says: both sides, counts, and a table with a line for each collection or table."""
    plan = outcome.plan
    columns = ("name", "action", "count", "bytes", "indexes", "seconds", "note")
    records = [
        dg.TableRecord(dict(zip(columns, row, strict=True)))
        for row in (
            [(i.name, i.action, i.count, i.size, i.indexes, round(i.seconds, 3), i.note) for i in outcome.items]
            if not outcome.dry_run
            else [(i.name, i.action, i.source_count or 0, 0, 0, 0.0, i.note) for i in plan.items]
        )
    ]
    types = ("string", "string", "int", "int", "int", "float", "string")
    schema = dg.TableSchema([dg.TableColumn(name, kind) for name, kind in zip(columns, types, strict=True)])
    return {
        "source": dg.MetadataValue.text(f"{plan.source.database} of {plan.source.server}"),
        "target": dg.MetadataValue.text(f"{plan.target.database} of {plan.target.server}"),
        "dry_run": dg.MetadataValue.bool(outcome.dry_run),
        "consistent": dg.MetadataValue.bool(outcome.consistent),
        plan.record: dg.MetadataValue.int(sum(item.count for item in outcome.items)),
        "bytes": dg.MetadataValue.int(sum(item.size for item in outcome.items)),
        f"{plan.item}s": dg.MetadataValue.table(records, schema),
        "notes": dg.MetadataValue.md("\n".join(f"- {note}" for note in (*plan.notes, *outcome.notes))),
        "seconds": dg.MetadataValue.float(outcome.seconds),
    }
