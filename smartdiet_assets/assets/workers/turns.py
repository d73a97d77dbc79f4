"""Whose word on a step counts where several workers had it: one that was cut off goes on with what another was given.

The one that took it last says what came of it; what the others would still say is not stored. A step that is over in
Dagster's records is not carried out again. Not here: what each does to the table, where PostgreSQL has them take turns.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import dagster as dg

from smartdiet_assets.assets.location import replaced
from smartdiet_assets.assets.workers.dagster_celery_names import DELEGATE_MARKER, EngineEventData
from smartdiet_assets.errors import SmartdietError

_KIND = dg.DagsterEventType
_ENDS = {_KIND.STEP_SUCCESS, _KIND.STEP_FAILURE}
#: What tells of a step's end, each worth a question whose it is.
_WORDS = {
    *_ENDS,
    _KIND.STEP_UP_FOR_RETRY,
    _KIND.STEP_OUTPUT,
    _KIND.ASSET_MATERIALIZATION,
    _KIND.ASSET_OBSERVATION,
}
_LOUD = {logging.WARNING, logging.ERROR, logging.CRITICAL}
#: Tells the times apart that a step was taken, in the event that says so.
_TURN = "turn"


def find_end(instance: dg.DagsterInstance, run_id: str, step_key: str) -> list[dg.DagsterEvent]:
    """Find what a step came to that is over by now, in its last try; nothing where it is not."""
    entries = instance.all_logs(run_id, of_type={*_ENDS, _KIND.STEP_OUTPUT, _KIND.STEP_START})
    events = [entry.get_dagster_event() for entry in entries if entry.step_key == step_key]
    begun = max((at for at, event in enumerate(events, 1) if event.event_type == _KIND.STEP_START), default=0)
    return events[begun:] if any(event.event_type in _ENDS for event in events[begun:]) else []


class TurnOverError(SmartdietError):
    """A worker is to go on with a step that another one has taken since; whoever handed it out listens to that one."""


class Turn:
    """A worker's turn at a step, for all of its tries where Dagster's records were away."""

    def __init__(self, worker: str, step_key: str) -> None:
        self.worker = worker
        self.step_key = step_key
        self._id = uuid4().hex
        self._before: str | None = None

    @contextmanager
    def take(self, instance: dg.DagsterInstance, run: dg.DagsterRun) -> Iterator[dg.DagsterEvent]:
        """Take the step, for the block: what is said of its end is stored unless another worker has taken it since.

        Gives the event that says who carries it out.

        Raises:
            TurnOverError: another worker has taken it since this one did.
        """
        if self._before is None:
            self._before = instance.get_records_for_run(run.run_id, of_type=_KIND.ENGINE_EVENT).cursor
        elif self._is_over(instance, run.run_id):
            raise TurnOverError(f"{self.step_key} is another worker's by now")
        begun: dg.DagsterEvent = instance.report_engine_event(
            f"{self.worker} carries out {self.step_key}",
            run,
            EngineEventData({"worker": self.worker, _TURN: self._id}, marker_end=DELEGATE_MARKER),
            step_key=self.step_key,
        )
        store, over, kind_before = instance.handle_new_event, False, None

        def store_own(event: dg.EventLogEntry, **options: Any) -> None:
            nonlocal over, kind_before
            kind = event.dagster_event.event_type if event.dagster_event is not None else None
            # Once for those of a kind that come together, as of many partitions.
            asks = kind != kind_before if kind in _WORDS else event.level in _LOUD
            over = over or (asks and self._is_over(instance, run.run_id))
            kind_before = kind
            if not over:
                store(event, **options)

        with replaced(instance, "handle_new_event", store_own):
            yield begun

    def _is_over(self, instance: dg.DagsterInstance, run_id: str) -> bool:
        found = instance.get_records_for_run(run_id, self._before, of_type=_KIND.ENGINE_EVENT).records
        said = [
            entry.event_log_entry.get_dagster_event()
            for entry in found
            if entry.event_log_entry.step_key == self.step_key
        ]
        turns = [event.engine_event_data.metadata.get(_TURN) for event in said]
        last = [known for known in turns if known is not None][-1:]
        return last not in ([], [dg.MetadataValue.text(self._id)])
