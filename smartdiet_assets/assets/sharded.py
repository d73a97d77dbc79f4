"""The asset of a table whose first load Dagster runs in shards: plan, copies side by side on any executor, publication.

Every other run of it plans nothing, and its last step is the run of a table like any other's. What a step leaves is in
PostgreSQL, so nothing is passed on but which shards are whose. No postponed annotations in this module: see `tables`.
"""

import inspect
from collections.abc import Iterator
from typing import Any

import dagster as dg

from smartdiet_assets.assets.declared import check_declarations
from smartdiet_assets.assets.interruption import begin_step, build_interrupted_failure
from smartdiet_assets.assets.naming import PUBLISH, MirrorNames
from smartdiet_assets.assets.progress import forward_progress
from smartdiet_assets.assets.replay import find_replay
from smartdiet_assets.assets.tables import (
    RETRY_POLICY,
    MirrorConfig,
    StepEvents,
    TableStep,
    run_mirror,
    try_step,
)
from smartdiet_assets.mirror.shard_steps import copy_step, plan_steps
from smartdiet_assets.resources.patience import RETRY_DELAY
from smartdiet_assets.schema.model import Schema, Table

#: The names of the others below the asset's.
PLAN, COPY = "plan", "copy"
#: Between the first and the last shard of a copy.
_TO = "_to_"


def build_sharded_asset(
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
    """Build the asset of a table as a graph; see `build_table_asset`."""
    step, name = TableStep(schema, table, names, partitions, retry_delay), spec.key.to_python_identifier()
    parents = {f"parent_{number}": dep.asset_key for number, dep in enumerate(spec.deps)}
    shared: dict[str, Any] = {
        "pool": names.pool,
        "retry_policy": RETRY_POLICY._replace(delay=retry_delay),
        "required_resource_keys": step.needed,
    }

    nothing = dict.fromkeys(parents, dg.In(dg.Nothing))

    @dg.op(name=f"{name}__{PLAN}", ins=nothing, out=dg.DynamicOut(dg.Nothing), **shared)
    def plan(context: dg.AssetExecutionContext, config: MirrorConfig) -> Iterator[dg.DynamicOutput[None]]:
        if find_replay(context.run.run_id) is not None:
            return
        _begin(context, step, PLAN)
        for first, last in try_step(context, config, step.find_servers(context), step, plan_steps):
            # Which shards are whose is in the name of the step: a value would be a file of the machine that wrote it.
            yield dg.DynamicOutput(None, mapping_key=f"{first}{_TO}{last}")

    @dg.op(name=f"{name}__{COPY}", ins={"planned": dg.In(dg.Nothing)}, out=dg.Out(dg.Nothing), **shared)
    def copy(context: dg.AssetExecutionContext, config: MirrorConfig) -> None:
        shards = context.op_execution_context.get_mapping_key() or ""
        first, last = map(int, shards.split(_TO))
        _begin(context, step, f"{COPY} {shards}")
        with forward_progress(context, table.name, spec.key):
            try_step(context, config, step.find_servers(context), step, copy_step(first, last))

    @dg.op(name=f"{name}__{PUBLISH}", ins={"copied": dg.In(dg.Nothing)}, out=dg.Out(is_required=not optional), **shared)
    def publish(context: dg.AssetExecutionContext, config: MirrorConfig) -> StepEvents:
        yield from run_mirror(context, config, step.find_servers(context), step)

    def compose(**parents: Any) -> Any:
        copied = plan.alias(PLAN)(**parents).map(lambda planned: copy.alias(COPY)(planned=planned))
        return publish.alias(PUBLISH)(copied.collect())

    # Dagster reads the inputs from the signature.
    kind = inspect.Parameter.KEYWORD_ONLY
    signature = inspect.Signature([inspect.Parameter(name, kind) for name in parents])
    vars(compose)["__signature__"] = signature
    asset = dg.graph_asset(
        name=None,
        key=spec.key,
        ins={name: dg.AssetIn(key, dagster_type=dg.Nothing) for name, key in parents.items()},
        config=_spread_config(),
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.single_run(),
    )(compose)
    return _show_as(spec, asset, spec.automation_condition or automation_condition)


def _show_as(
    spec: dg.AssetSpec, asset: dg.AssetsDefinition, condition: dg.AutomationCondition[Any] | None
) -> dg.AssetsDefinition:
    return asset.map_asset_specs(
        lambda found: spec.replace_attributes(
            deps=found.deps, partitions_def=found.partitions_def, automation_condition=condition
        )
    )


def _begin(context: dg.AssetExecutionContext, step: TableStep, part: str) -> None:
    check_declarations(context, step.schema, step.names.name)
    if not begin_step(context.run.run_id, f"{step.label} {part}"):
        raise build_interrupted_failure(context.run.run_id)


def _spread_config() -> dg.ConfigMapping:
    """Have the configuration of the asset be that of each of its steps, as if it were one."""

    @dg.config_mapping
    def spread(config: MirrorConfig) -> dict[str, Any]:
        given = {key: value for key, value in config.model_dump().items() if value is not None}
        return {part: {"config": given} for part in (PLAN, COPY, PUBLISH)}

    return spread
