"""Ending a run on Ctrl-C or SIGTERM at once.

Dagster answers an interrupt inside a step that has a retry policy by running the step again, and then goes on with the
others. Here: remembering that a run was interrupted, so that its steps end instead.
"""

import dagster as dg

from smartdiet_assets.assets.failures import StepFailure

#: What each step ends with that such a run had not finished.
INTERRUPTED = "interrupted; what was not finished is rolled back"
_interrupted_runs: set[str] = set()
#: The steps this process began, by run and table, but for those that ended in an error worth a retry.
_begun: set[tuple[str, str]] = set()


def build_interrupted_failure(run_id: str) -> dg.Failure:
    """Build the failure a step of an interrupted run ends with, and remember the run."""
    _interrupted_runs.add(run_id)
    return StepFailure(INTERRUPTED)


def was_interrupted(run_id: str) -> bool:
    """Whether a run of this process was interrupted."""
    return run_id in _interrupted_runs


def begin_step(run_id: str, table: str) -> bool:
    """Note that a step begins; False where it must not, as its run was interrupted.

    An interrupt can also hit Dagster's own work around the step, which then begins a second time without an error
    that asked for it.
    """
    if run_id in _interrupted_runs or (run_id, table) in _begun:
        return False
    _begun.add((run_id, table))
    return True


def expect_retry(run_id: str, table: str) -> None:
    """Note that a step ends in an error worth a retry."""
    _begun.discard((run_id, table))


def forget_run(run_id: str) -> None:
    """Forget a run, in a process that carries out steps of many: one of them may come again."""
    _interrupted_runs.discard(run_id)
    _begun.difference_update([step for step in _begun if step[0] == run_id])
