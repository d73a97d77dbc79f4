"""What a step of Dagster ends with where it fails."""

import time
from collections.abc import Mapping
from typing import Any

import dagster as dg

from smartdiet_assets.assets.metadata import build_rejects_metadata
from smartdiet_assets.mirror.failures import TableFailure
from smartdiet_assets.mirror.outages import SECONDS_REMEMBERED

#: Names, in the failure of a table that gave a server up, which it was.
_SERVER = "server"
#: Likewise of every table that a server was away for.
AWAY = "away"


class StepFailure(dg.Failure):
    """What a step ends with: a sentence that says what to do. Dagster repeats the step only where it is told to.

    The last try may not ask for another: Dagster would say that there were too many, and show this as the cause.
    """

    # Shown before the sentence; a class of Python itself is, without its module.
    __module__ = "builtins"

    def __init__(
        self, description: str, metadata: Mapping[str, Any] | None = None, *, allow_retries: bool = False
    ) -> None:
        super().__init__(description=description, metadata=metadata, allow_retries=allow_retries)


def build_step_failure(failure: TableFailure) -> StepFailure:
    """Build what the step of a table ends with."""
    if failure.rejects is not None:
        return StepFailure(failure.sentence, build_rejects_metadata(failure.rejects))
    named = {_SERVER: failure.server, AWAY: failure.away}
    return StepFailure(failure.sentence, {key: server for key, server in named.items() if server})


def find_given_up(instance: dg.DagsterInstance, run_id: str, server: str) -> str:
    """Find what another process of the run ended with that gave a server up a moment ago; "" where none did."""
    for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_FAILURE):
        event = entry.dagster_event
        failure = event.step_failure_data.user_failure_data if event else None
        if failure is None or time.time() - entry.timestamp >= SECONDS_REMEMBERED:
            continue
        if failure.metadata.get(_SERVER) == dg.MetadataValue.text(server):
            return failure.description or ""
    return ""
