"""Ending a run on Ctrl-C or SIGTERM at once.

Dagster answers an interrupt inside a step that has a retry policy by running the step again, and then goes on with the
others. Here: remembering that a run was interrupted, so that its steps end instead.
"""

import dagster as dg

_interrupted_runs: set[str] = set()


def build_interrupted_failure(run_id: str) -> dg.Failure:
    """Build the failure a step of an interrupted run ends with, and remember the run."""
    _interrupted_runs.add(run_id)
    return dg.Failure(description="interrupted; nothing was written", allow_retries=False)


def was_interrupted(run_id: str) -> bool:
    """Whether a run of this process was interrupted."""
    return run_id in _interrupted_runs
