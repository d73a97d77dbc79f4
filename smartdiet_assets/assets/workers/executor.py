"""The executor `celery`: hands each step of a run to the workers, and to another one where a worker is gone.

Here: what a run's own process does. Not here: what a worker does (`assets.workers.worker`). The order of the steps,
retries and events are Dagster's (`dagster-celery`).
"""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import dagster as dg
from celery import Celery
from celery.exceptions import WorkerLostError
from celery.result import AsyncResult
from celery.states import FAILURE, PENDING, STARTED

from smartdiet_assets.assets.workers.broker import EXECUTE_STEP, compose_app_arguments, find_outages
from smartdiet_assets.assets.workers.dagster_celery_names import RetryMode, core_celery_execution_loop, pack_value
from smartdiet_assets.errors import SmartdietError
from smartdiet_assets.resources.environment import read_environment

#: Between two questions who is there, and after how long without an answer a worker counts as gone.
_SECONDS_TO_ASK = 10.0
_SECONDS_TO_ANSWER = 1.0
_SECONDS_GONE = 60.0
#: After how long without a word of a step it is asked where it is: Redis gives one to a worker that is cut off, and
#: forgets it. One that a worker took and did not begin is there again by then.
_SECONDS_SILENT = 120.0
#: How many workers a step is lost with, at most: what ended so many would end the next one.
_MOST_LOST = 3


class WorkerGoneError(SmartdietError):
    """A step's worker ended over it, and so did those it was given to afterwards."""


@dg.executor(name="celery", config_schema={}, requirements=dg.multiple_process_executor_requirements())
def celery_executor(_: dg.InitExecutorContext) -> dg.Executor:
    """Steps are carried out by workers (`smartdiet worker`), through the broker of SMARTDIET_BROKER_URL."""
    return WorkersExecutor(read_environment().broker_url)


class WorkersExecutor(dg.Executor):
    """Hands steps out through a broker."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._workers: _Workers | None = None

    @property
    def retries(self) -> RetryMode:
        """A step that asks for it is handed out again."""
        return RetryMode.ENABLED

    def app_args(self) -> dict[str, Any]:
        """What Celery is told, by the name that dagster-celery asks for."""
        return compose_app_arguments(self._url)

    def execute(self, plan_context: Any, execution_plan: Any) -> Iterator[dg.DagsterEvent]:
        """Have the steps of a run carried out."""
        events: Iterator[dg.DagsterEvent] = core_celery_execution_loop(
            plan_context, execution_plan, step_execution_fn=self._submit
        )
        return events

    def _submit(
        self, app: Celery, plan_context: Any, step: Any, queue: str, priority: int, known_state: Any
    ) -> "_Submitted":
        self._workers = self._workers or _Workers(app, plan_context.log.warning)
        # Not the settings of this process's instance: a worker has its own.
        what = {
            "run_id": plan_context.dagster_run.run_id,
            "step_key": step.key,
            "job": plan_context.reconstructable_job.to_dict(),
            "known_state": pack_value(known_state),
        }

        def send() -> AsyncResult:
            return app.send_task(
                EXECUTE_STEP, kwargs=what, queue=queue, routing_key=f"{queue}.{EXECUTE_STEP}", priority=priority
            )

        return _Submitted(step.key, queue, send, self._workers)


class _Workers:
    """Who is there: asked from time to time, as long as a step is out."""

    def __init__(self, app: Celery, warn: Callable[[str], None]) -> None:
        self._app = app
        self._outages = find_outages(app)
        self._seen: dict[str, float] = {}
        self._asked = time.monotonic()
        self._said = False
        self.warn = warn

    def look(self) -> None:
        """Ask who is there, where that was long ago."""
        if time.monotonic() - self._asked < _SECONDS_TO_ASK:
            return
        try:
            answers = self._app.control.ping(timeout=_SECONDS_TO_ANSWER)
        except self._outages:
            # Nobody can answer while the broker is away.
            self._seen.clear()
            answers = []
        self._asked = time.monotonic()
        self._seen.update({name: self._asked for answer in answers for name in answer})

    def is_gone(self, worker: str) -> bool:
        """Whether a worker has not answered for long."""
        now = time.monotonic()
        return now - self._seen.setdefault(worker, now) > _SECONDS_GONE

    def is_there(self, worker: str) -> bool:
        """Whether a worker answered when it was last asked."""
        return self._seen.get(worker) == self._asked

    def end(self, task: AsyncResult) -> None:
        """End a task, also where a worker has begun."""
        with suppress(*self._outages):
            task.revoke(terminate=True, signal="SIGTERM")

    def is_lost(self, task: AsyncResult, queue: str) -> bool:
        """Whether no worker has a task, and none waits to be taken."""
        try:
            with self._app.connection_or_acquire() as connection:
                try:
                    if connection.default_channel.queue_declare(queue=queue, passive=True).message_count:
                        return False
                except connection.channel_errors:
                    # Of Redis, a queue that nothing waits in is not there.
                    pass
            known = self._app.control.inspect(timeout=_SECONDS_TO_ANSWER).query_task(task.id)
        except self._outages:
            return False
        return not any((known or {}).values())

    def warn_if_none(self) -> None:
        """Say once where nobody takes a step."""
        if self._said or self._seen or time.monotonic() - self._asked > _SECONDS_TO_ASK:
            return
        self._said = True
        self.warn("No worker takes a step: start one with `smartdiet worker`, on any machine with the same settings")


class _Submitted:
    """A step that was handed out, as dagster-celery asks for it: sent once more where its worker is gone.

    A worker that is only cut off may go on with it: what it says of the step does not count (`assets.workers.turns`),
    and once it is back it is told to end it, for the other one may wait for its lock.
    """

    def __init__(self, step: str, queue: str, send: Callable[[], AsyncResult], workers: _Workers) -> None:
        self._step = step
        self._queue = queue
        self._send = send
        self._workers = workers
        self._lost = 0
        self._since = self._asked = time.monotonic()
        self._given_up = ""
        self._cut_off: dict[str, AsyncResult] = {}
        self._result = send()

    def ready(self) -> bool:
        """Whether it is over."""
        self._workers.look()
        for worker in list(filter(self._workers.is_there, self._cut_off)):
            self._workers.end(self._cut_off.pop(worker))
        if lost := self._find_loss():
            self._lost += 1
            if self._lost == _MOST_LOST:
                self._given_up = lost
                return True
            self._send_again(lost)
            return False
        if self._is_forgotten():
            self._send_again("no worker has it")
            return False
        return bool(self._result.ready())

    def get(self) -> object:
        """What came of it."""
        if self._given_up:
            raise WorkerGoneError(
                f"{self._step}: {self._given_up}, {_MOST_LOST} times; see that workers have the memory it takes, and"
                " re-execute the run from its failure"
            )
        return self._result.get()

    def revoke(self) -> None:
        """End it, also where a worker has begun."""
        self._workers.end(self._result)

    def _find_loss(self) -> str:
        """Say how the worker was lost that took it; "" where nothing says so."""
        state = self._result.state
        if state == PENDING and time.monotonic() - self._since > 2 * _SECONDS_TO_ASK:
            self._workers.warn_if_none()
        if state == FAILURE and isinstance(self._result.result, WorkerLostError):
            return "the process of a worker ended over it"
        taken = self._result.info if state == STARTED else None
        worker = str(taken.get("hostname", "")) if isinstance(taken, dict) else ""
        if not worker or not self._workers.is_gone(worker):
            return ""
        self._cut_off[worker] = self._result
        return f"the worker {worker} answers no more"

    def _is_forgotten(self) -> bool:
        if time.monotonic() - self._asked < _SECONDS_SILENT or self._result.state != PENDING:
            return False
        self._asked = time.monotonic()
        return self._workers.is_lost(self._result, self._queue)

    def _send_again(self, lost: str) -> None:
        self._workers.warn(f"{self._step}: {lost}; the step is given to another worker")
        self._since = self._asked = time.monotonic()
        self._result = self._send()
