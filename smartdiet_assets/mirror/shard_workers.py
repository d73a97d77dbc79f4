"""The shards of a first load copied by several processes, each with connections of its own.

Python runs in one thread of a process at a time, and turning documents into rows is most of the work.
"""

import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
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
    from smartdiet_assets.mirror.shared_reading import Member

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


#: How many documents of a shard were read, and by table what those failed with that did.
_CameTo = tuple[int, dict[str, _Failed]]


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

    beside = _plan_beside(run, servers, together, plan, **options) if together is not None else {}
    if beside and source.ranges is not None:
        tables = [run.schema.tables[name] for name in beside]
        plan = replace(plan, whole=source.ranges.is_better_whole(tables))
    copying = _Copying(run, {run.table.name: plan, **beside})
    if servers.recipe is not None and len(copying.shards) >= _FEWEST:
        _copy_in_processes(run, servers, copying)
    elif not beside:
        copy_one_by_one(source, connection, plan, **options)
    else:
        for number in copying.shards:
            if names := copying.list_fed(number):
                report = partial(copying.note, number, names)
                came_to = _copy(servers, run, names, copying.plan, copying.shards[number], report)
                copying.take(number, names, came_to)
    if (error := copying.failed.get(run.table.name)) is not None:
        # Where PostgreSQL is away, this says so.
        connection.execute("SELECT 1")
        raise error


def _plan_beside(
    run: "TableRun", servers: "Servers", together: "Member", plan: "ShardPlan", **options: Unpack["RunOptions"]
) -> "dict[str, ShardPlan]":
    """Plan the first loads of tables that wait for this one in the same ranges; give the plans that are in these."""
    from psycopg import Error as PostgresError
    from pymongo.errors import PyMongoError

    from smartdiet_assets.load.beside import ReadsAloneError
    from smartdiet_assets.mirror.attempt import with_source
    from smartdiet_assets.mirror.shards import plan_in_shards

    plans: dict[str, ShardPlan | None] = {}
    for member in together.list_waiting():
        other = replace(run, table=run.schema.tables[member.name])
        # What keeps it from being planned, its own run will say.
        with (
            suppress(SmartdietError, ReadsAloneError, PostgresError, PyMongoError),
            servers.postgres.borrow() as connection,
        ):
            act = partial(plan_in_shards, connection=connection, like=plan, beside=member, **options)
            plans[member.name] = with_source(other, servers, act)
    return {name: found for name, found in plans.items() if found is not None and found.plan_id == plan.plan_id}


class _Copying:
    """How far the tables are whose shards are copied, and which are still fed.

    Attributes:
        plan: without its shards, as it is sent with each.
        shards: those that any table misses.
        failed: by table, the first error. No more is read for it; for no table, where this run's is tried again.
    """

    def __init__(self, run: "TableRun", plans: "Mapping[str, ShardPlan]") -> None:
        from smartdiet_assets.mirror.shard_copy import ShardProgress

        self._leader = run.table.name
        self._missing = {name: {shard.number for shard in plan.missing} for name, plan in plans.items()}
        self._progress = {name: ShardProgress(name, plan) for name, plan in plans.items()}
        plan = plans[self._leader]
        self.plan = replace(plan, shards=())
        missing = set[int]().union(*self._missing.values())
        self.shards = {shard.number: shard for shard in plan.shards if shard.number in missing}
        self.failed: dict[str, Exception] = {}

    def list_fed(self, number: int) -> list[str]:
        """List the tables that a shard is to be read for."""
        if isinstance(self.failed.get(self._leader), TransientError):
            # It is tried again, with the others.
            return []
        return [name for name, missing in self._missing.items() if number in missing and name not in self.failed]

    def note(self, number: int, names: Sequence[str], read: int) -> None:
        """Note how many documents of a shard were read."""
        for name in names:
            self._progress[name].note(number, read)

    def take(self, number: int, names: Sequence[str], came_to: "_CameTo | Exception") -> None:
        """Take what a shard came to."""
        failed: Mapping[str, _Failed | Exception]
        read, failed = (0, dict.fromkeys(names, came_to)) if isinstance(came_to, Exception) else came_to
        for name in names:
            if (error := failed.get(name)) is not None:
                self.failed.setdefault(name, error.build() if isinstance(error, _Failed) else error)
            else:
                self._progress[name].note(number, read)
                self._progress[name].end()


def _copy_in_processes(run: "TableRun", servers: "Servers", copying: _Copying) -> None:
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
    most = min(_MOST, max(_FEWEST, len(os.sched_getaffinity(0))), len(numbers))
    with closing(Processes(most, _prepare_process, servers.recipe, run.schema, hear=hear)) as workers:
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
) -> "_CameTo":
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
    return _copy(servers, run, names, plan, shard, report)


def _copy(
    servers: "Servers",
    run: "TableRun",
    names: Sequence[str],
    plan: "ShardPlan",
    shard: "Shard",
    report: Callable[[int], None],
) -> "_CameTo":
    """Copy a shard for some tables, each with a connection and a source of its own."""
    from smartdiet_assets.mirror.attempt import build_options, with_source
    from smartdiet_assets.mirror.shard_copy import copy_together

    takers: list[tuple[Source, Connection]] = []
    documents = 0

    def count(read: int) -> None:
        nonlocal documents
        documents = max(documents, read)
        report(read)

    with ExitStack() as stack:

        def take(source: Source) -> dict[str, Exception]:
            takers.append((source, stack.enter_context(servers.postgres.borrow())))
            if len(takers) < len(names):
                return with_source(replace(run, table=run.schema.tables[names[len(takers)]]), servers, take)
            return copy_together(takers, plan, shard, report=count, **build_options(run))

        try:
            failed = with_source(replace(run, table=run.schema.tables[names[0]]), servers, take)
        except Exception as error:  # noqa: BLE001 - the process that asked decides what becomes of it
            failed = dict.fromkeys(names, error)
    return documents, {name: _Failed.of(error, run.schema.tables[name]) for name, error in failed.items()}
