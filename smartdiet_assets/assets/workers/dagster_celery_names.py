"""Names of the private modules of Dagster that an executor needs, and of dagster-celery.

What `resources.dagster_private` says of names holds here too.
"""

from dagster._core.definitions.reconstruct import ReconstructableJob
from dagster._core.events import EngineEventData
from dagster._core.execution.api import create_execution_plan, execute_plan_iterator
from dagster._core.execution.plan.state import KnownExecutionState
from dagster._core.execution.retries import RetryMode
from dagster._serdes import pack_value, serialize_value, unpack_value
from dagster_celery.core_execution_loop import DELEGATE_MARKER, core_celery_execution_loop
from dagster_celery.make_app import make_app

__all__ = [  # noqa: RUF022 - by what they are for
    # How a step is named to another process, and what it gives back.
    "KnownExecutionState",
    "ReconstructableJob",
    "pack_value",
    "serialize_value",
    "unpack_value",
    # Carries out one step of a run, and says who does.
    "EngineEventData",
    "create_execution_plan",
    "execute_plan_iterator",
    # That a step is tried again is up to who handed it out.
    "RetryMode",
    # Dagster's own way to have Celery's workers carry out a run; its executor sends the settings of the instance along,
    # folders and passwords too.
    "DELEGATE_MARKER",
    "core_celery_execution_loop",
    "make_app",
]
