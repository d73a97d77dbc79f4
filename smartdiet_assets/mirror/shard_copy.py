"""Copying the shards of a first load: one of them, or those that are missing one after another, and how far that is.

Not here: processes that do so side by side (`shard_workers`).
"""

import time
from collections import Counter
from collections.abc import Callable, Container, Generator, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Unpack

from psycopg import Connection

from smartdiet_assets.load.limits import LOCK_TIMEOUT
from smartdiet_assets.load.records.forgotten import add_forgotten, fetch_forgotten
from smartdiet_assets.load.records.shards import Copied, Shard, ShardPlan, note_copied
from smartdiet_assets.load.shards.copying import open_shard
from smartdiet_assets.mirror.progress import progress_log
from smartdiet_assets.mirror.read_ahead import read_ahead
from smartdiet_assets.mirror.run_options import RunOptions
from smartdiet_assets.mirror.sources.interface import Source

#: Told how many documents of a shard were read, after each batch.
Report = Callable[[int], None]


@dataclass(slots=True)
class _Tally:
    """What was read of one shard."""

    documents_read: int = 0
    newest: datetime | None = None
    collapsed: int = 0
    nulled: Counter[str] = field(default_factory=Counter)
    clamped: Counter[str] = field(default_factory=Counter)

    def add(self, batch: Any) -> None:
        self.documents_read += batch.documents_read
        self.collapsed += batch.collapsed
        self.nulled += batch.nulled
        self.clamped += batch.clamped
        self.newest = max(filter(None, (self.newest, batch.newest)), default=None)


def copy_shard(
    source: Source,
    connection: Connection,
    plan: ShardPlan,
    shard: Shard,
    *,
    report: Report = lambda read: None,
    **options: Unpack[RunOptions],
) -> None:
    """Copy one shard, and note that it is there; nothing where that is so, or the plan was given up.

    Args:
        connection: outside of a transaction; it is used for one.

    Raises:
        LoadConflictError: another run copies it, for longer than the lock timeout; nothing was written.
        psycopg.Error, pymongo.errors.PyMongoError: a server refused or was lost; nothing was written.
    """
    for error in copy_together([(source, connection)], plan, shard, report=report, **options).values():
        raise error


def copy_together(
    takers: Sequence[tuple[Source, Connection]],
    plan: ShardPlan,
    shard: Shard,
    *,
    report: Report = lambda read: None,
    **options: Unpack[RunOptions],
) -> dict[str, Exception]:
    """Read a shard once for the tables of a collection whose plans are alike, and copy it for those that miss it.

    Each has a transaction of its own: where one fails, the others go on.

    Returns:
        By table, what those ended with that failed, of which nothing was written.

    Raises:
        pymongo.errors.PyMongoError: the server refused or was lost; nothing was written.
    """
    failed: dict[str, Exception] = {}
    with ExitStack() as stack:
        taking = {
            source.table.name: _take_in(source, connection, plan, shard, **options) for source, connection in takers
        }
        for one in taking.values():
            stack.enter_context(closing(one))

        def go_on(batch: Any) -> int:
            read = 0
            for name, one in list(taking.items()):
                try:
                    read = max(read, one.send(batch))
                except StopIteration:
                    del taking[name]
                except Exception as error:  # noqa: BLE001 - it is for whoever runs the table
                    del taking[name]
                    failed[name] = error
            return read

        go_on(None)
        fed = [source for source, _ in takers if source.table.name in taking]
        if not fed:
            return failed
        ranges = fed[0].ranges
        assert ranges is not None, "it was planned in ranges"
        with closing(read_ahead(ranges.fetch_range(shard.bounds, whole=plan.whole, beside=fed[1:]))) as batches:
            for raw in batches:
                report(go_on(ranges.decode(raw) if len(taking) > 1 else raw))
                if not taking:
                    break
        go_on(None)
    return failed


def _take_in(
    source: Source, connection: Connection, plan: ShardPlan, shard: Shard, **options: Unpack[RunOptions]
) -> Generator[int, Any, None]:
    """Take the batches of a shard in, as they are sent, and commit at the None after the last.

    Gives how many documents there were so far; ends before the first where the shard is there.
    """
    table = source.table
    with open_shard(connection, table, plan, shard.number, options.get("lock_timeout", LOCK_TIMEOUT)) as writer:
        if writer is None:
            return
        forgotten = fetch_forgotten(connection, table)
        source.leave_out(forgotten)
        source.look_at_fields(options["request"].kind == "full", False)
        tally = _Tally()
        while (raw := (yield tally.documents_read)) is not None:
            batch = source.transform(raw)
            writer.write(batch)
            tally.add(batch)
        writer.flush()
        seen = source.list_fields()
        copied = Copied(
            documents_read=tally.documents_read,
            rows=writer.rows_written,
            rejects=writer.rejects_written,
            typed=writer.typed_written,
            newest=tally.newest,
            found={
                "collapsed": tally.collapsed,
                "nulled": tally.nulled,
                "clamped": tally.clamped,
                "seen": asdict(seen) if seen is not None else None,
            },
        )
        note_copied(connection, table, shard.number, copied, options["run_id"])
        if forgotten is not None and forgotten.spread:
            add_forgotten(connection, table.name, forgotten.salt, forgotten.spread)


def copy_one_by_one(
    source: Source,
    connection: Connection,
    plan: ShardPlan,
    *,
    among: Container[int] | None = None,
    **options: Unpack[RunOptions],
) -> None:
    """Copy the missing shards of a plan one after another, all or those among some numbers."""
    progress = ShardProgress(source.table.name, plan)
    for shard in plan.missing:
        if among is not None and shard.number not in among:
            continue
        copy_shard(source, connection, plan, shard, report=partial(progress.note, shard.number), **options)
        progress.end()


class ShardProgress:
    """How far a first load is, told as the reports of one table."""

    def __init__(self, table: str, plan: ShardPlan) -> None:
        self._table = table
        self._plan = plan
        self._before = sum(copied.documents_read for copied in plan.copied)
        self._read: dict[int, int] = {}
        self._done = len(plan.copied)
        self._told_at = 0.0

    def note(self, number: int, read: int) -> None:
        """Note how many documents of a shard were read."""
        self._read[number] = read
        if time.monotonic() - self._told_at >= 1.0:
            self.report()

    def end(self) -> None:
        """Note that one more shard is there."""
        self._done += 1
        self.report(reading=self._done < len(self._plan.shards))

    def report(self, *, reading: bool = True) -> None:
        """Tell whoever listens."""
        self._told_at = time.monotonic()
        shards = f"{self._done} of {len(self._plan.shards)} shards"
        read = self._before + sum(self._read.values())
        extra = {
            "table": self._table,
            "documents_read": read,
            "documents_expected": self._plan.documents_expected,
            "documents_before": self._before,
            "shards": shards,
            "reading": reading,
            "finished": False,
        }
        progress_log.info("%s: %d documents read, %s", self._table, read, shards, extra=extra)
