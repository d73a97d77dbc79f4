"""Names of Dagster's private modules, each with why it is needed: nobody else imports from one.

They may change with any minor version; pyproject.toml lets in those alone with which they were tried, and
`unit/resources/test_dagster_private.py` says which. Here: what `import dagster` loads anyway, or is as small. In
`resources`, as the doctor reads Dagster's folder.
"""

from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition
from dagster._core.events import (
    ASSET_CHECK_EVENTS,
    ASSET_EVENTS,
    EVENT_TYPE_TO_PIPELINE_RUN_STATUS,
    EngineEventData,
    StepMaterializationData,
)
from dagster._core.execution.api import ExecuteRunWithPlanIterable
from dagster._core.execution.context.system import PlanExecutionContext, PlanOrchestrationContext, StepExecutionContext
from dagster._core.execution.context_creation_job import PlanExecutionContextManager
from dagster._core.execution.execute_in_process import core_execute_in_process, merge_run_tags
from dagster._core.execution.plan.execute_plan import _trigger_hook as trigger_hook
from dagster._core.execution.plan.execute_plan import dagster_event_sequence_for_step
from dagster._core.execution.plan.instance_concurrency_context import InstanceConcurrencyContext
from dagster._core.execution.plan.plan import ExecutionPlan
from dagster._core.execution.retries import RetryMode
from dagster._core.executor.in_process import InProcessExecutor
from dagster._core.instance.ref import InstanceRef
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._serdes import ConfigurableClass, ConfigurableClassData

__all__ = [  # noqa: RUF022 - by what they are for
    # What `dagster.define_asset_job` gives, for annotations.
    "UnresolvedAssetJobDefinition",
    # Which code location a run is of: Dagit's timeline shows the runs that say so, and no public call takes it.
    "RegisteredCodeLocationOrigin",
    "RemoteJobOrigin",
    "RemoteRepositoryOrigin",
    # What the event of a mark holds: no public call stores many events at once.
    "StepMaterializationData",
    # Which events Dagster looks for across runs, and which belong to an asset: what stores many at once must know.
    "ASSET_CHECK_EVENTS",
    "ASSET_EVENTS",
    "EVENT_TYPE_TO_PIPELINE_RUN_STATUS",
    # How a dagster.yaml names a class of ours, and what Dagster gives to it.
    "ConfigurableClass",
    "ConfigurableClassData",
    # Reads a dagster.yaml as Dagster does, and opens nothing, unlike `DagsterInstance.from_config`.
    "InstanceRef",
    # The executor `threads` (`assets.threads`), for which Dagster's executors are no base that is public:
    # a job of one step,
    "InProcessExecutor",
    # setting the resources of a run up and tearing them down,
    "ExecuteRunWithPlanIterable",
    "PlanExecutionContextManager",
    # order, retries, skips and pools,
    "ExecutionPlan",
    "InstanceConcurrencyContext",
    "RetryMode",
    # one step and the hooks behind it, both of which store each event before they hand it on,
    "dagster_event_sequence_for_step",
    "trigger_hook",
    # `JobDefinition.execute_in_process`, but with the job's own executor,
    "InMemoryJob",
    "core_execute_in_process",
    "merge_run_tags",
    # and what an executor is given and gives, for annotations and its events.
    "EngineEventData",
    "PlanExecutionContext",
    "PlanOrchestrationContext",
    "StepExecutionContext",
]
