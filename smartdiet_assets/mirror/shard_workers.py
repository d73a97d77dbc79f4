"""The shards of a first load copied by several processes, each with connections of its own.

Python runs in one thread of a process at a time, and turning documents into rows is most of the work.
"""

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Unpack

from smartdiet_assets.errors import TransientError
from smartdiet_assets.extract.window import WindowRequest
from smartdiet_assets.mirror.progress import progress_log
from smartdiet_assets.mirror.shards_together import CameTo, Copying, copy_for_all, plan_beside
from smartdiet_assets.mirror.side_by_side import Processes, run_in_order
from smartdiet_assets.mirror.sources.interface import Source
from smartdiet_assets.schema.model import Schema

if TYPE_CHECKING:
    from concurrent.futures import Future

    from psycopg import Connection

    from smartdiet_assets.load.records.shards import Shard, ShardPlan
    from smartdiet_assets.mirror.attempt import RunSettings, Servers, TableRun
    from smartdiet_assets.mirror.run_options import RunOptions
    from smartdiet_assets.mirror.shared_reading import Member

#: For one table, however few cores there are: each waits for the source between its shards, and for PostgreSQL.
_PROCESSES = 4
_SECONDS_BETWEEN_REPORTS = 0.5


def copy_side_by_side(
    run: "TableRun",
    servers: "Servers",
    together: "Member | None",
    source: Source,
    connection: "Connection",
    plan: "ShardPlan",
    **options: Unpack["RunOptions"],
) -> None:
    """Copy the missing shards of a plan in processes; one after another where these could not reach the servers.

    Those of other tables of the collection are copied along, where they wait for this one. What these fail with, their
    own runs meet again.

    Args:
        together: the table among those.

    Raises:
        SmartdietError: what the first shard that failed ended with; those at work then were finished.
        KeyboardInterrupt: it came; what was not finished is undone.
    """
    from smartdiet_assets.mirror.shard_copy import copy_one_by_one

    beside = plan_beside(run, servers, together, plan, **options) if together is not None else {}
    if beside and source.ranges is not None:
        tables = [run.schema.tables[name] for name in beside]
        plan = replace(plan, whole=source.ranges.is_better_whole(tables))
    copying = Copying(run, {run.table.name: plan, **beside})
    if servers.recipe is not None and len(copying.shards) > 1:
        _copy_in_processes(run, servers, copying)
    elif not beside:
        copy_one_by_one(source, connection, plan, **options)
    else:
        for number in copying.shards:
            if names := copying.list_fed(number):
                report = partial(copying.note, number, names)
                came_to = copy_for_all(servers, run, names, copying.plan, copying.shards[number], report)
                copying.take(number, names, came_to)
    if (error := copying.failed.get(run.table.name)) is not None:
        # Where PostgreSQL is away, this says so.
        connection.execute("SELECT 1")
        raise error


def _copy_in_processes(run: "TableRun", servers: "Servers", copying: Copying) -> None:
    fed: dict[str, list[str]] = {}

    def hear(record: logging.LogRecord) -> None:
        if (number := getattr(record, "shard", None)) is None:
            progress_log.handle(record)
        else:
            copying.note(number, fed[str(number)], getattr(record, "documents_read", 0))

    def begin(numbers: Sequence[str]) -> "dict[str, Future[Any]]":
        [number] = numbers
        fed[number] = copying.list_fed(int(number))
        if not fed[number]:
            return {}
        asked = (run.table.name, run.run_id, run.request, run.settings)
        shard = copying.shards[int(number)]
        return {number: workers.submit(_copy_in_process, *asked, fed[number], copying.plan, shard)}

    def end(number: str, future: "Future[Any]") -> bool:
        killed = TransientError(f"{run.table.name}: a process that copied its documents was killed")
        came_to = killed if future.exception() is not None else future.result()
        copying.take(int(number), fed[number], came_to)
        return True

    numbers = [str(number) for number in copying.shards]
    with closing(
        Processes(min(_PROCESSES, len(numbers)), _prepare_process, servers.recipe, run.schema, hear=hear)
    ) as workers:
        try:
            run_in_order([[number] for number in numbers], dict.fromkeys(numbers, ()), workers, begin, end)
        except BaseException:
            workers.interrupt()
            raise


#: Of a process that copies shards.
_place: "list[tuple[Servers, Schema]]" = []


def _prepare_process(recipe: "Callable[[], Servers]", schema: Schema) -> None:
    _place.append((recipe(), schema))


def _copy_in_process(
    name: str,
    run_id: str,
    request: WindowRequest,
    settings: "RunSettings",
    names: Sequence[str],
    plan: "ShardPlan",
    shard: "Shard",
) -> CameTo:
    """Copy a shard for some tables."""
    from smartdiet_assets.mirror.attempt import TableRun

    # The schema is there already.
    [(servers, schema)] = _place
    told_at = 0.0

    def report(read: int) -> None:
        nonlocal told_at
        if time.monotonic() - told_at >= _SECONDS_BETWEEN_REPORTS:
            told_at = time.monotonic()
            extra = {"table": name, "shard": shard.number, "documents_read": read}
            progress_log.info("%s: shard %d", name, shard.number, extra=extra)

    run = TableRun(schema, schema.tables[name], run_id, request, settings)
    return copy_for_all(servers, run, names, plan, shard, report)
