"""The executor `threads`: the tables of a run side by side in threads of one process, parents before their children.

Here: starting steps, storing their events in a valid order, and ending them on an interrupt. Not here: which step may
start (Dagster's `ActiveExecution` decides), and what a step does. The resources of the run are shared by its threads:
one client of MongoDB, one tunnel, and a PostgreSQL connection for each table at work.

Dagster has no such executor, so this one needs more than the public API (`resources.dagster_private`);
`integration/assets/test_threads.py` notices a change.
"""

import contextvars
import os
import queue
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg

from smartdiet_assets.assets.interruption import note_interrupted
from smartdiet_assets.resources.dagster_private import (
    EngineEventData,
    ExecuteRunWithPlanIterable,
    ExecutionPlan,
    InMemoryJob,
    InProcessExecutor,
    InstanceConcurrencyContext,
    PlanExecutionContext,
    PlanExecutionContextManager,
    PlanOrchestrationContext,
    RetryMode,
    StepExecutionContext,
    core_execute_in_process,
    dagster_event_sequence_for_step,
    merge_run_tags,
    trigger_hook,
)
from smartdiet_assets.resources.thread_interrupts import forget_thread, interrupt_thread

#: Its name, in SMARTDIET_EXECUTOR too.
THREADS = "threads"
#: Tables side by side. Each has its batches in memory, and Python runs in one thread at a time.
_MOST_AT_ONCE = 2
#: How long nothing may happen until the run looks for an interrupt, or for a step whose time to be retried has come.
_SECONDS_BETWEEN_LOOKS = 0.1
#: A step that goes on, because it was about to try again, is interrupted again.
_SECONDS_BETWEEN_INTERRUPTS = 10.0
#: How long interrupted steps are waited for. One that waits for anything else hears nothing, and ends with the process.
_SECONDS_TO_END = 60.0


@dg.executor(
    name=THREADS,
    config_schema={
        "max_concurrent": dg.Field(
            int, default_value=_MOST_AT_ONCE, description="Tables side by side; the memory of a run grows with them."
        )
    },
)
def threads_executor(context: dg.InitExecutorContext) -> dg.Executor:
    """Run the steps of a job in threads of one process."""
    return ThreadsExecutor(context.executor_config["max_concurrent"])  # type: ignore[arg-type]


def execute_in_threads(
    job: dg.JobDefinition,
    *,
    instance: dg.DagsterInstance,
    run_config: Mapping[str, Any] | None = None,
    partition_key: str | None = None,
    tags: Mapping[str, str] | None = None,
) -> dg.ExecuteInProcessResult:
    """Do what `JobDefinition.execute_in_process` does, which takes an executor of its own whatever the job's is."""
    return core_execute_in_process(
        run_config or {},
        InMemoryJob(job),
        instance,
        output_capturing_enabled=False,
        raise_on_error=False,
        run_tags=merge_run_tags(job, partition_key, tags, None, instance, run_config),
    )


class ThreadsExecutor(dg.Executor):
    """Runs each step of a job in a thread of its own, at most some at once."""

    def __init__(self, max_concurrent: int) -> None:
        self._max_concurrent = max(1, max_concurrent)

    @property
    def retries(self) -> RetryMode:
        return RetryMode.ENABLED

    def execute(
        self, plan_context: PlanOrchestrationContext, execution_plan: ExecutionPlan
    ) -> Iterator[dg.DagsterEvent]:
        """Execute the plan; the events come as they happen, those of each step in their order."""
        if len(execution_plan.step_keys_to_execute) < 2:
            # Nothing is beside it, and Ctrl-C reaches the main thread wherever that is.
            yield from InProcessExecutor(self.retries).execute(plan_context, execution_plan)
            return
        data = EngineEventData.in_process(os.getpid(), execution_plan.step_keys_to_execute)
        where = f"{self._max_concurrent} threads (pid: {os.getpid()})"
        yield dg.DagsterEvent.engine_event(plan_context, f"Executing steps in {where}", event_specific_data=data)
        yield from ExecuteRunWithPlanIterable(
            execution_plan=execution_plan,
            iterator=self._run_steps,
            execution_context_manager=PlanExecutionContextManager(
                job=plan_context.job,
                retry_mode=plan_context.retry_mode,
                execution_plan=execution_plan,
                run_config=plan_context.run_config,
                dagster_run=plan_context.dagster_run,
                instance=plan_context.instance,
                raise_on_error=plan_context.raise_on_error,
                output_capture=plan_context.output_capture,
                step_dependency_config=self.step_dependency_config,
            ),
        )
        yield dg.DagsterEvent.engine_event(plan_context, f"Finished steps in {where}", event_specific_data=data)

    def _run_steps(self, job_context: PlanExecutionContext, execution_plan: ExecutionPlan) -> Iterator[dg.DagsterEvent]:
        instance, run = job_context.instance, job_context.dagster_run
        step_keys = [step.key for step in execution_plan.get_steps_to_execute_in_topo_order()]
        log_key = instance.compute_log_manager.build_log_key_for_run(run.run_id, uuid.uuid4().hex[:8])
        with (
            instance.compute_log_manager.capture_logs(log_key) as log_context,
            InstanceConcurrencyContext(instance, run) as slots,
            execution_plan.start(
                retry_mode=job_context.retry_mode,
                max_concurrent=self._max_concurrent,
                instance_concurrency_context=slots,
                step_dependency_config=self.step_dependency_config,
            ) as active,
            _RunningSteps() as running,
        ):
            yield dg.DagsterEvent.capture_logs(job_context, step_keys, log_key, log_context)
            interrupted = False
            while running or not (interrupted or active.is_complete):
                if active.check_for_interrupts():
                    interrupted = True
                    active.mark_interrupted()
                    # First: a step that is interrupted must not begin again.
                    note_interrupted(run.run_id)
                    running.interrupt()
                if not interrupted:
                    for step in active.get_steps_to_execute():
                        running.start(job_context.for_step(step, active.get_known_state()))
                    yield from active.concurrency_event_iterator(job_context)
                for event in running.wait():
                    yield event
                    active.handle_event(event)
                for step_key in running.take_ended(raise_errors=not interrupted):
                    active.verify_complete(job_context, step_key)
                yield from active.plan_events_iterator(job_context)
                if interrupted and running.are_deaf():
                    break
            if interrupted:
                raise dg.DagsterExecutionInterruptedError


class _RunningSteps:
    """The steps at work, each in a thread that ends with it. A context manager: no step goes on behind it."""

    def __init__(self) -> None:
        self._threads: dict[str, threading.Thread] = {}
        self._events: queue.SimpleQueue[dg.DagsterEvent] = queue.SimpleQueue()
        self._errors: dict[str, BaseException] = {}
        self._first_interrupt = self._last_interrupt = 0.0

    def __enter__(self) -> "_RunningSteps":
        return self

    def __exit__(self, *_: object) -> None:
        if self._threads:
            self.interrupt()
        while self._threads and not self.are_deaf():
            list(self.wait())
            self.take_ended(raise_errors=False)

    def __bool__(self) -> bool:
        return bool(self._threads)

    def start(self, context: StepExecutionContext) -> None:
        """Start a step; it sees the context variables of this moment."""
        arguments = (contextvars.copy_context(), context)
        # A daemon: one that waits for a server for ever must not keep the process.
        thread = threading.Thread(target=self._run, args=arguments, name=f"smartdiet {context.step.key}", daemon=True)
        self._threads[context.step.key] = thread
        thread.start()

    def _run(self, variables: contextvars.Context, context: StepExecutionContext) -> None:
        try:
            variables.run(self._run_step, context)
        except BaseException as error:  # noqa: BLE001 - it is for the thread of the run
            self._errors[context.step.key] = error

    def _run_step(self, context: StepExecutionContext) -> None:
        events: list[dg.DagsterEvent] = []
        for event in dagster_event_sequence_for_step(context):
            events.append(event)
            self._events.put(event)
        for event in trigger_hook(context, events):
            self._events.put(event)

    def wait(self) -> Iterator[dg.DagsterEvent]:
        """Wait a moment for events, and give those that came."""
        try:
            yield self._events.get(timeout=_SECONDS_BETWEEN_LOOKS)
            while True:
                yield self._events.get_nowait()
        except queue.Empty:
            return

    def take_ended(self, *, raise_errors: bool) -> list[str]:
        """Take the steps out that ended, and whose events were all given.

        Raises:
            BaseException: what a step ended with, as it does where `raise_on_error` is asked for.
        """
        ended = [key for key, thread in self._threads.items() if not thread.is_alive()]
        if not self._events.empty():
            # They may be of a step that ended since.
            return []
        for key in ended:
            forget_thread(self._threads[key])
            self._threads.pop(key).join()
            if (error := self._errors.pop(key, None)) is not None and raise_errors:
                raise error
        return ended

    def interrupt(self) -> None:
        """Have each end with KeyboardInterrupt, as Ctrl-C does where a step has the main thread.

        It looks at each statement, while it waits for PostgreSQL, and between the batches it reads. The statement is
        cancelled then.
        """
        self._last_interrupt = time.monotonic()
        self._first_interrupt = self._first_interrupt or self._last_interrupt
        for thread in self._threads.values():
            interrupt_thread(thread)

    def are_deaf(self) -> bool:
        """Whether interrupted steps go on for too long; interrupts them again now and then."""
        now = time.monotonic()
        if self._threads and now - self._last_interrupt >= _SECONDS_BETWEEN_INTERRUPTS:
            self.interrupt()
        return now - self._first_interrupt >= _SECONDS_TO_END
