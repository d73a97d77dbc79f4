"""A worker: carries out steps of runs that any machine started, with the settings and declarations of its own.

Here: what is looked at before it takes a step, what it does with one, and what it answers to `smartdiet doctor
--workers`. Not here: who hands steps out (`assets.workers.executor`).
"""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any
from uuid import uuid4

import dagster as dg
from celery import Celery, Task
from celery.worker.control import inspect_command
from dagster_postgres.utils import DagsterPostgresException
from sqlalchemy.exc import InterfaceError, OperationalError

from smartdiet_assets.assets.declared import describe_difference, differs
from smartdiet_assets.assets.interruption import forget_run
from smartdiet_assets.assets.workers.broker import EXECUTE_STEP, build_app
from smartdiet_assets.assets.workers.dagster_celery_names import (
    KnownExecutionState,
    ReconstructableJob,
    RetryMode,
    create_execution_plan,
    execute_plan_iterator,
    serialize_value,
    unpack_value,
)
from smartdiet_assets.assets.workers.turns import Turn, find_end
from smartdiet_assets.doctor.dagster_instance import examine_instance
from smartdiet_assets.errors import ConfigurationError
from smartdiet_assets.resources.dagster_home import choose_dagster_home
from smartdiet_assets.resources.declarations import load_declared
from smartdiet_assets.resources.environment import Environment
from smartdiet_assets.resources.patience import Patience
from smartdiet_assets.schema.model import Schema

#: By which a worker is asked for the doctor's findings.
EXAMINE = "smartdiet_examine"
#: Meanwhile it answers nobody else; one that answers for longer than this counts as gone.
SECONDS_TO_EXAMINE = 40.0
#: How often a step that cannot be recorded is tried again, for a minute and a half; and by what it is known.
_RETRIES = 5
_AWAY = (DagsterPostgresException, InterfaceError, OperationalError)
#: Where a server is, and what has to name it there: a default would be this machine.
_NAMED = {"TRANSFER_SOURCE": "MONGODB_URL", "TRANSFER_DESTINATION": "POSTGRES_HOST"}


def run_worker(environment: Environment, load: Callable[[], None], processes: int) -> None:
    """Carry out steps until this process is ended.

    Args:
        load: loads the code location, for the processes of the steps too.
        processes: how many steps at a time.

    Raises:
        SmartdietError: this machine has not what steps need.
    """
    choose_dagster_home(environment.schemas_path.resolve().parent)
    check_ready(environment)
    schema = load_declared(environment)
    load()
    app = define_tasks(build_app(environment.broker_url), schema)
    name = f"smartdiet-{uuid4().hex[:6]}@{socket.gethostname()}"
    print(f"{name} carries out {processes} steps at a time, with the declarations of {schema.path}.", flush=True)
    # Workers need not know of each other.
    quiet = ["--without-gossip", "--without-mingle", "--loglevel=WARNING"]
    app.worker_main(["--quiet", "worker", f"--hostname={name}", f"--concurrency={processes}", *quiet])


def check_ready(environment: Environment) -> None:
    """Check that a step of another machine's run can be found from here, and its servers.

    Raises:
        ConfigurationError: what is missing, each in a sentence.
    """
    faults = [
        f"{name} is not set: on another machine than the server's its default leads nowhere"
        for place, name in _NAMED.items()
        if environment.get(place) == "local" and not environment.gives(name)
    ]
    faults += [finding.sentence.rstrip(".") for finding in examine_instance(environment) if finding.failed]
    if faults:
        raise ConfigurationError("this machine cannot carry out steps:\n" + "\n".join(faults))


def define_tasks(app: Celery, schema: Schema) -> Celery:
    """Define what a worker does.

    Args:
        schema: the declarations that this process has loaded.
    """

    def execute_step(
        task: Task, run_id: str, step_key: str, job: Mapping[str, Any], known_state: Mapping[str, Any] | None
    ) -> list[str]:
        turn = Turn(str(task.request.hostname), step_key)

        def execute() -> list[str]:
            try:
                return _execute(turn, schema, run_id, job, known_state)
            finally:
                forget_run(run_id)

        # Once more where Dagster's records were away: nothing else of the step says how far it came.
        return Patience(retries=_RETRIES).run(execute, lambda error: isinstance(error, _AWAY))

    def examine(_: Any) -> dict[str, Any]:
        return {"declarations": schema.digest, **_examine()}

    app.task(bind=True, name=EXECUTE_STEP)(execute_step)
    inspect_command(name=EXAMINE)(examine)
    return app


def _execute(
    turn: Turn, schema: Schema, run_id: str, job: Mapping[str, Any], known_state: Mapping[str, Any] | None
) -> list[str]:
    """Carry out one step; what happened is in the instance's records, and given back for who handed it out."""
    worker, step_key = turn.worker, turn.step_key
    with dg.DagsterInstance.get() as instance:
        run = instance.get_run_by_id(run_id)
        if run is None:
            raise ConfigurationError(
                f"{worker} does not find the run in its records: SMARTDIET_DAGSTER_POSTGRES_URL must name the same "
                "database on every machine"
            )
        known = unpack_value(known_state, KnownExecutionState) if known_state is not None else None
        reconstructable = ReconstructableJob.from_dict(job)
        try:
            plan = create_execution_plan(
                reconstructable, run.run_config, step_keys_to_execute=[step_key], known_state=known
            )
        except dg.DagsterError:
            # It may be of a table that is not declared here.
            if differs(run, schema):
                raise ConfigurationError(describe_difference(schema)) from None
            raise
        if over := find_end(instance, run_id, step_key):
            return [serialize_value(event) for event in over]
        with turn.take(instance, run) as begun:
            events = execute_plan_iterator(
                execution_plan=plan,
                job=reconstructable,
                dagster_run=run,
                instance=instance,
                retry_mode=RetryMode.DEFERRED,
                run_config=run.run_config,
            )
            return [serialize_value(event) for event in (begun, *events)]


def _examine() -> dict[str, Any]:
    """Have the doctor look, in a process of its own: files and variables as they are by now, and no connection kept."""
    command = [sys.executable, "-m", "smartdiet_assets.cli", "doctor", "--json"]
    try:
        ended = subprocess.run(
            command, capture_output=True, text=True, timeout=SECONDS_TO_EXAMINE, env=dict(os.environ), check=False
        )
        return {"findings": json.loads(ended.stdout)["findings"]}
    except (subprocess.TimeoutExpired, ValueError, KeyError):
        return {"findings": None}
