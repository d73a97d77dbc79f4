"""A run that is over, or goes on elsewhere, shown as if its steps did it: they take what its tables came to.

Here: what a step takes, and when its events were. Not here: which runs are recorded (`assets.recorder`).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import dagster as dg

from smartdiet_assets.assets.failures import build_step_failure
from smartdiet_assets.assets.interruption import build_interrupted_failure
from smartdiet_assets.assets.location import replaced
from smartdiet_assets.assets.naming import read_step
from smartdiet_assets.assets.progress import show_line

if TYPE_CHECKING:
    from smartdiet_assets.mirror.run_file import RunFile
    from smartdiet_assets.mirror.table_run import MirrorResult

_replays: "dict[str, Replay]" = {}


def find_replay(run_id: str) -> "Replay | None":
    """Find the replay that a run is; None of a run whose steps do the work."""
    return _replays.get(run_id)


class Replay:
    """A run of Dagster that shows what the file of a sync's run says."""

    def __init__(self, file: "RunFile") -> None:
        self._file = file
        #: When what is stored now was, in seconds since 1970.
        self._now = file.head.at

    def take(self, context: dg.AssetExecutionContext, table: str) -> "MirrorResult":
        """Take what a table came to, as soon as that is known; show what it says until then.

        Raises:
            dagster.Failure: it failed, or was interrupted.
        """
        for said in self._file.follow(table):
            self._now = said.at
            if said.warning:
                context.log.warning(said.line)
            else:
                seconds = said.at - self._file.begun[table]
                show_line(context, said.line, seconds, said.documents_read, said.documents_expected)
        ended = self._file.ended.get(table)
        if ended is None:
            self._now = self._file.over_at or self._now
            raise build_interrupted_failure(context.run.run_id)
        self._now = ended.at
        if ended.result is None:
            assert ended.failure is not None, "one of the two"
            raise build_step_failure(ended.failure)
        return ended.result

    def date(self, event: dg.EventLogEntry) -> dg.EventLogEntry:
        """Date an event as what it tells of."""
        kind = event.dagster_event.event_type if event.dagster_event is not None else None
        step = read_step(event.step_key or "")[0]
        if kind == dg.DagsterEventType.STEP_START and step in self._file.begun:
            self._now = self._file.begun[step]
        elif kind in (dg.DagsterEventType.RUN_SUCCESS, dg.DagsterEventType.RUN_FAILURE):
            self._now = self._file.over_at or max((end.at for end in self._file.ended.values()), default=self._now)
        return event._replace(timestamp=self._now)

    @contextmanager
    def running(self, instance: dg.DagsterInstance) -> Iterator[None]:
        """Have the run's steps take what they came to, and its events be dated, until the end of the block."""
        run_id, handle = self._file.head.run_id, instance.handle_new_event

        def handle_dated(event: dg.EventLogEntry, **options: Any) -> None:
            handle(self.date(event), **options)

        _replays[run_id] = self
        try:
            with replaced(instance, "handle_new_event", handle_dated):
                yield
        finally:
            del _replays[run_id]
