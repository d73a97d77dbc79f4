"""Of several workers that had a step, the word of the one counts that took it last, and what is over stays so."""

from pathlib import Path

import dagster as dg
import pytest
from dagster._core.execution.plan.objects import StepSuccessData

from smartdiet_assets.assets.workers.turns import Turn, TurnOverError, find_end


@dg.op
def step() -> None:
    """Does nothing."""


@dg.job
def steps() -> None:
    """One step."""
    step()


def test_the_worker_that_took_a_step_last_says_what_came_of_it(tmp_path: Path) -> None:
    with (
        dg.DagsterInstance.local_temp(str(tmp_path)) as first,
        dg.DagsterInstance.local_temp(str(tmp_path)) as second,
    ):
        run = first.create_run_for_job(steps)

        def succeed(instance: dg.DagsterInstance, milliseconds: float) -> None:
            data = StepSuccessData(milliseconds)
            kind = dg.DagsterEventType.STEP_SUCCESS.value
            event = dg.DagsterEvent(kind, "steps", event_specific_data=data, step_key="step")
            instance.report_dagster_event(event, run.run_id)

        one, other = Turn("one", "step"), Turn("other", "step")
        with one.take(first, run):
            with other.take(second, run):
                succeed(first, 1.0)
                assert find_end(first, run.run_id, "step") == []
                succeed(second, 2.0)
            succeed(first, 3.0)
        # Dagster's records were away for it meanwhile.
        with pytest.raises(TurnOverError), one.take(first, run):
            pass
        with other.take(second, run):
            pass
        assert [event.event_specific_data for event in find_end(first, run.run_id, "step")] == [StepSuccessData(2.0)]
        assert find_end(first, run.run_id, "another") == []
