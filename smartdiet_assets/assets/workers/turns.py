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
    """Find what a step came to that is over by now; nothing where it is not."""
    entries = instance.all_logs(run_id, of_type={*_ENDS, _KIND.STEP_OUTPUT})
    events = [entry.get_dagster_event() for entry in entries if entry.step_key == step_key]
    return events if any(event.event_type in _ENDS for event in events) else []


@contextmanager
def take_step(
    instance: dg.DagsterInstance, run: dg.DagsterRun, step_key: str, worker: str
) -> Iterator[dg.DagsterEvent]:
    """Take a step, for the block: what it says of its end is stored unless another worker has taken it since.

    Gives the event that says who carries it out.
    """
    run_id, turn, store = run.run_id, uuid4().hex, instance.handle_new_event
    before = instance.get_records_for_run(run_id, of_type=_KIND.ENGINE_EVENT).cursor
    begun: dg.DagsterEvent = instance.report_engine_event(
        f"{worker} carries out {step_key}",
        run,
        EngineEventData({"worker": worker, _TURN: turn}, marker_end=DELEGATE_MARKER),
        step_key=step_key,
    )
    taken, kind_before = False, None

    def is_taken() -> bool:
        found = instance.get_records_for_run(run_id, before, of_type=_KIND.ENGINE_EVENT).records
        said = [
            entry.event_log_entry.get_dagster_event() for entry in found if entry.event_log_entry.step_key == step_key
        ]
        turns = [event.engine_event_data.metadata.get(_TURN) for event in said]
        last = [known for known in turns if known is not None][-1:]
        return last not in ([], [dg.MetadataValue.text(turn)])

    def store_own(event: dg.EventLogEntry, **options: Any) -> None:
        nonlocal taken, kind_before
        kind = event.dagster_event.event_type if event.dagster_event is not None else None
        # Once for those of a kind that come together, as of many partitions.
        asks = kind != kind_before if kind in _WORDS else event.level in _LOUD
        taken = taken or (asks and is_taken())
        kind_before = kind
        if not taken:
            store(event, **options)

    with replaced(instance, "handle_new_event", store_own):
        yield begun
