"""The steps of a first load in shards where somebody else runs them one by one: Dagster, on whatever machines.

The last step is a run like any other, which publishes what it finds copied, or copies what is missing first.
"""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from smartdiet_assets.errors import ConfigurationError
from smartdiet_assets.mirror.attempt import Servers, TableRun, build_options, with_source

if TYPE_CHECKING:
    from psycopg import Connection

    from smartdiet_assets.mirror.sources.interface import Source

#: Each of them costs Dagster events, and with its multiprocess executor a process.
_MOST_STEPS = 16


def plan_steps(run: TableRun, servers: Servers, connection: "Connection") -> list[tuple[int, int]]:
    """Plan a first load in shards, and give the first and last shard of each step; none for any other load."""
    from smartdiet_assets.mirror.shards import plan_in_shards

    plan = with_source(run, servers, lambda source: plan_in_shards(source, connection, **build_options(run)))
    numbers = [shard.number for shard in plan.missing] if plan is not None else []
    steps = min(_MOST_STEPS, len(numbers))
    parts = [numbers[len(numbers) * at // steps : len(numbers) * (at + 1) // steps] for at in range(steps)]
    return [(part[0], part[-1]) for part in parts]


def copy_step(first: int, last: int) -> "Callable[[TableRun, Servers, Connection], None]":
    """Build the step that copies the shards from one to another, as far as they are missing."""
    return partial(_copy, first, last)


def _copy(first: int, last: int, run: TableRun, servers: Servers, connection: "Connection") -> None:
    from smartdiet_assets.load.records.shards import read_plan
    from smartdiet_assets.load.structure.companion import place
    from smartdiet_assets.mirror.shard_copy import copy_one_by_one
    from smartdiet_assets.mirror.shards import digest_declaration

    plan = read_plan(connection, run.table)
    if plan is None:
        return

    def copy(source: "Source") -> None:
        # On another machine there may be another key.
        assert source.ranges is not None, "it was planned in ranges"
        if plan.digest.split()[0] != digest_declaration(place(connection, run.table), source.ranges):
            raise ConfigurationError(
                f"{run.table.name}: its shards were planned with another key of pseudonyms, or other declarations, than"
                " there are here; see that all machines have the same"
            )
        copy_one_by_one(source, connection, plan, among=range(first, last + 1), **build_options(run))

    with_source(run, servers, copy)
