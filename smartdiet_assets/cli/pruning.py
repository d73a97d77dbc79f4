"""Deleting Dagster's old runs from the command line: asked for, or by itself behind a sync where no daemon does it."""

import dagster as dg
from rich.console import Console

from smartdiet_assets.assets.location import LOCATION, Mirror
from smartdiet_assets.assets.naming import build_plain_names
from smartdiet_assets.assets.prune import build_retention
from smartdiet_assets.assets.pruning import Pruned, give_back_space, is_due, prune_runs
from smartdiet_assets.resources.environment import Environment
from smartdiet_assets.schema.model import Schema

#: Behind a sync, once a day: while somebody waits at a terminal, and else, where cron does. What is left waits for the
#: next sync.
_SECONDS_AT_TERMINAL = 1.0
_SECONDS = 30.0


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


def prune_behind_sync(
    instance: dg.DagsterInstance, schema: Schema, environment: Environment, console: Console
) -> Pruned | None:
    """Delete old runs where nobody did for a day, for as long as one can wait; None where it is not due.

    Whatever keeps it from that is one line: the sync is over, and was what was asked for.
    """
    retention = build_retention(environment)
    mirror = _build_mirror(schema)
    try:
        if not retention.days or not is_due(instance, mirror):
            return None
        seconds = _SECONDS_AT_TERMINAL if console.is_terminal else _SECONDS
        return prune_runs(instance, mirror, retention, seconds=seconds)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is not the sync's failure
        console.print(
            f"Old runs could not be deleted ({type(error).__name__}); `smartdiet prune` says why.", highlight=False
        )
        return None


def _build_mirror(schema: Schema) -> Mirror:
    return Mirror(build_plain_names(schema), LOCATION)
