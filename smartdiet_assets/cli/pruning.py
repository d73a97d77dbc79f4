"""Deleting Dagster's old runs because somebody asks for it."""

import dagster as dg
from rich.console import Console

from smartdiet_assets.assets.location import LOCATION, Mirror
from smartdiet_assets.assets.naming import build_plain_names
from smartdiet_assets.assets.prune import build_retention
from smartdiet_assets.assets.pruning import give_back_space, prune_runs
from smartdiet_assets.resources.environment import Environment
from smartdiet_assets.schema.model import Schema


def prune_by_command(
    instance: dg.DagsterInstance, schema: Schema, environment: Environment, console: Console, *, dry_run: bool
) -> str:
    """Delete all runs that may go; say what was done.

    Args:
        console: where the progress is shown.
    """
    retention = build_retention(environment)
    if not retention.days:
        return "No run is deleted: SMARTDIET_PRUNE_AFTER_DAYS is 0."
    with console.status("Looking for old runs") as status:
        pruned = prune_runs(
            instance,
            _build_mirror(schema),
            retention,
            dry_run=dry_run,
            report=lambda so_far: status.update(f"{so_far.deleted:,} runs"),
        )
        if not dry_run:
            status.update("Giving back space")
            give_back_space(instance)
    done = "would be deleted" if dry_run else "deleted"
    return f"{pruned.deleted:,} runs {done}; {pruned.kept:,} older than {retention.days} days are kept."


def _build_mirror(schema: Schema) -> Mirror:
    return Mirror(build_plain_names(schema), LOCATION)
