"""The shards of a first load copied by several processes, each with connections of its own.

Python runs in one thread of a process at a time, and turning documents into rows is most of the work.
"""

import logging
import os
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Unpack

from smartdiet_assets.errors import SmartdietError, TransientError
from smartdiet_assets.extract.window import WindowRequest
from smartdiet_assets.mirror.failures import describe_error, translate_error
from smartdiet_assets.mirror.progress import progress_log
from smartdiet_assets.mirror.side_by_side import Processes, run_in_order
from smartdiet_assets.mirror.sources.interface import Source
from smartdiet_assets.schema.model import Schema, Table

if TYPE_CHECKING:
    from concurrent.futures import Future

    from psycopg import Connection

    from smartdiet_assets.load.records.shards import Shard, ShardPlan
    from smartdiet_assets.mirror.attempt import RunSettings, Servers, TableRun
    from smartdiet_assets.mirror.run_options import RunOptions

#: Processes for one table. Where the source is far away they wait, so two are worth it on one core too.
_FEWEST, _MOST = 2, 4
_SECONDS_BETWEEN_REPORTS = 0.5


@dataclass(frozen=True, slots=True)
class _Failed:
    """What a shard ended with: one of our errors, taken apart, for not all of them can be sent as they are.

    Attributes:
        refused: PostgreSQL's code for what it did not take for its values; "" for other errors.
    """

    kind: type[Exception]
    arguments: tuple[object, ...] = ()
    refused: str = ""

    @classmethod
    def of(cls, error: Exception, table: Table) -> "_Failed":
        from psycopg import Error as PostgresError

        from smartdiet_assets.load.conflicts.refusal import is_refusal

        if isinstance(error, PostgresError) and is_refusal(error):
            return cls(SmartdietError, refused=error.sqlstate or "")
        translated = translate_error(error, table)
        kind = TransientError if isinstance(translated, TransientError) else SmartdietError
        # What takes its text as it is stays what it is: a server that is away is waited for.
        plain = isinstance(translated, SmartdietError) and type(translated).__init__ is Exception.__init__
        return cls(type(translated) if plain else kind, (describe_error(translated, table),))

    def build(self) -> Exception:
        from psycopg import errors

        return errors.lookup(self.refused)() if self.refused else self.kind(*self.arguments)


def copy_side_by_side(
    run: "TableRun",
    servers: "Servers",
    source: Source,
    connection: "Connection",
    plan: "ShardPlan",
    **options: Unpack["RunOptions"],
) -> None:
    """Copy the missing shards of a plan in processes; one after another where these could not reach the servers.

    Raises:
        SmartdietError: what the first shard that failed ended with; those at work then were finished.
        KeyboardInterrupt: it came; what was not finished is undone.
    """
    from smartdiet_assets.mirror.shard_copy import ShardProgress, copy_one_by_one

    missing = {str(shard.number): shard for shard in plan.missing}
    if servers.recipe is None or len(missing) < _FEWEST:
        copy_one_by_one(source, connection, plan, **options)
        return
    progress = ShardProgress(run.table.name, plan)
    failed: list[Exception] = []

    def hear(record: logging.LogRecord) -> None:
        if (number := getattr(record, "shard", None)) is None:
            progress_log.handle(record)
        else:
            progress.note(number, getattr(record, "documents_read", 0))

    def begin(numbers: Sequence[str]) -> "dict[str, Future[Any]]":
        # The plan without its other shards: it is sent with each.
        alone = replace(plan, shards=())
        asked = (run.table.name, run.run_id, run.request, run.settings)
        to_copy = () if failed else numbers
        return {number: workers.submit(_copy_in_process, *asked, alone, missing[number]) for number in to_copy}

    def end(number: str, future: "Future[Any]") -> bool:
        came_to = future.exception() or future.result()
        if isinstance(came_to, int):
            progress.note(int(number), came_to)
            progress.end()
            return True
        killed = TransientError(f"{run.table.name}: a process that copied its documents was killed")
        failed.append(came_to.build() if isinstance(came_to, _Failed) else killed)
        return False

    most = min(_MOST, max(_FEWEST, len(os.sched_getaffinity(0))), len(missing))
    with closing(Processes(most, _prepare_process, servers.recipe, run.schema, hear=hear)) as workers:
        try:
            run_in_order([[number] for number in missing], dict.fromkeys(missing, ()), workers, begin, end)
        except BaseException:
            workers.interrupt()
            raise
    if failed:
        # Where PostgreSQL is away, this says so.
        connection.execute("SELECT 1")
        raise failed[0]


#: Of a process that copies shards.
_place: "list[tuple[Servers, Schema]]" = []


def _prepare_process(recipe: "Callable[[], Servers]", schema: Schema) -> None:
    _place.append((recipe(), schema))


def _copy_in_process(
    name: str, run_id: str, request: WindowRequest, settings: "RunSettings", plan: "ShardPlan", shard: "Shard"
) -> "int | _Failed":
    """Copy a shard; give how many documents it has."""
    from smartdiet_assets.mirror.attempt import TableRun, build_options, with_source
    from smartdiet_assets.mirror.shard_copy import copy_shard

    # The schema is there already.
    [(servers, schema)] = _place
    run = TableRun(schema, schema.tables[name], run_id, request, settings)
    told_at, read_so_far = 0.0, 0

    def report(read: int) -> None:
        nonlocal told_at, read_so_far
        read_so_far = read
        if time.monotonic() - told_at >= _SECONDS_BETWEEN_REPORTS:
            told_at = time.monotonic()
            extra = {"table": name, "shard": shard.number, "documents_read": read}
            progress_log.info("%s: shard %d", name, shard.number, extra=extra)

    try:
        with servers.postgres.borrow() as connection:
            options = build_options(run)
            copy = partial(copy_shard, connection=connection, plan=plan, shard=shard, report=report, **options)
            with_source(run, servers, copy)
    except Exception as error:  # noqa: BLE001 - the process that asked decides what becomes of it
        return _Failed.of(error, run.table)
    return read_so_far
