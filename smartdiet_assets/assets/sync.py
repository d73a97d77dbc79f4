"""`smartdiet sync`: the mirror job in the configured instance, repeated while parents are still being fetched.

Here: running the job, reading its outcome per table. Not here: what is printed (`commands`, `cli.reports`).
"""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

import dagster as dg
from dagster import DagsterEvent, DagsterEventType
from psycopg import Connection
from psycopg import Error as PostgresError
from rich.console import Console

from smartdiet_assets.assets.interruption import was_interrupted
from smartdiet_assets.assets.jobs import MIRROR_JOB
from smartdiet_assets.assets.location import REPOSITORY_TAGS, locate_runs
from smartdiet_assets.assets.threads import THREADS, execute_in_threads
from smartdiet_assets.errors import SmartdietError
from smartdiet_assets.load.records.inspection import fetch_awaited_tables
from smartdiet_assets.resources.environment import Environment
from smartdiet_assets.resources.postgres_errors import translate_postgres_error
from smartdiet_assets.schema.model import Schema

_COUNTS = ("inserted", "updated", "deleted", "unchanged", "collapsed", "nulled", "clamped", "documents_read")
_NOT_RUN = "not run: a table it depends on failed, or the run was stopped"
_CLASS_PREFIX = re.compile(r"^[\w.]+: ")
Connect = Callable[[], AbstractContextManager[Connection]]


@dataclass(slots=True)
class TableOutcome:
    """What a sync did to one table, over all its passes; `rejected` is what is left rejected.

    `collapsed` counts the items read that are no rows, as another one of their document has the same key;
    `nulled` and `clamped` count values of the documents read that their columns could not hold as they were.
    `error` is empty where the table is up to date. `mode` is that of the first pass. `captured_to` is how far a change
    stream was read that did not come as far as the moment the run began; None where it did.
    """

    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    unchanged: int = 0
    rejected: int = 0
    collapsed: int = 0
    nulled: int = 0
    clamped: int = 0
    documents_read: int = 0
    mode: str = ""
    watermark: str | None = None
    captured_to: str | None = None
    seconds: float = 0.0
    error: str = ""

    def add_run(self, metadata: Mapping[str, Any]) -> None:
        """Add the metadata of one materialisation."""
        for name in _COUNTS:
            setattr(self, name, getattr(self, name) + metadata[name].value)
        self.rejected = metadata["rejected_total"].value
        self.mode = self.mode or metadata["mode"].value
        if (watermark := metadata.get("watermark")) is not None:
            self.watermark = _iso(watermark.value)
        captured_to = metadata.get("captured_to")
        self.captured_to = _iso(captured_to.value) if captured_to is not None else None
        self.seconds = round(self.seconds + metadata["seconds"].value, 4)


@dataclass(slots=True)
class SyncOutcome:
    """What a sync did: its tables in run order, how many passes it took and how long."""

    tables: dict[str, TableOutcome] = field(default_factory=dict)
    passes: int = 0
    seconds: float = 0.0

    @property
    def failed(self) -> list[str]:
        """The tables that are not up to date."""
        return [name for name, outcome in self.tables.items() if outcome.error]

    @property
    def errors(self) -> dict[str, str]:
        """What went wrong with each of them."""
        return {name: self.tables[name].error for name in self.failed}

    @property
    def behind(self) -> dict[str, str]:
        """How far the change streams were read that did not come as far as the run's beginning."""
        return {name: table.captured_to for name, table in self.tables.items() if table.captured_to}

    def as_json(self) -> dict[str, Any]:
        """The object `--json` prints; a table that failed has an `error` beside its counts."""
        tables = {}
        for name, outcome in self.tables.items():
            values = asdict(outcome)
            for rare in ("error", "captured_to"):
                if not values[rare]:
                    del values[rare]
            tables[name] = values
        return {"tables": tables, "seconds": round(self.seconds, 3)}


def leave_out_matomo(schema: Schema, environment: Environment, tables: Sequence[str], console: Console) -> list[str]:
    """Leave Matomo's tables out where nothing says where Matomo is, and say so in one line."""
    kept = [name for name in tables if environment.matomo_configured or schema.tables[name].source != "matomo"]
    if len(kept) < len(tables):
        left = ", ".join(name for name in tables if name not in kept)
        console.print(f"Matomo is left out ({left}): neither MATOMO_HOST nor MATOMO_DATABASE is set.", highlight=False)
    return kept


def run_sync(
    definitions: dg.Definitions,
    schema: Schema,
    instance: dg.DagsterInstance,
    connect: Connect,
    *,
    tables: Sequence[str],
    since: str | None = None,
    full: bool = False,
) -> SyncOutcome:
    """Mirror tables, parents first, until no table waits for a parent that was not asked for yet.

    A first load limited by a date leaves children whose parents are older; each run of a parent fetches those by
    id, so the tables concerned are run again, at most as often as the graph is deep.

    Args:
        definitions: the code location's definitions.
        schema: the schema they were built from.
        instance: where the runs are recorded.
        connect: opens a PostgreSQL connection, to look for awaited parents.
        tables: the tables to mirror.
        since: ISO date; also read the documents dated from here on.
        full: read every document.

    Raises:
        KeyboardInterrupt: the run was interrupted; the tables it finished stay as they are.
    """
    started = time.perf_counter()
    selection = [name for name in schema.tables if name in tables]
    outcome = SyncOutcome({name: TableOutcome() for name in selection})
    if not selection:
        return outcome
    run_id = _run_pass(definitions, instance, selection, outcome, since=since, full=full)
    # A chain of missing parents is at most as long as the list of tables.
    for _ in selection:
        if len(outcome.failed) == len(selection):
            break
        if all(table.mode == "none" for table in outcome.tables.values()):
            # Every table read what it had read before, so none began to wait for a parent.
            break
        try:
            waiting = _find_waiting(connect, run_id)
        except SmartdietError as error:
            # The runs are over, and what they did is worth telling.
            for name in selection:
                outcome.tables[name].error = outcome.tables[name].error or f"{name}: {error}"
            break
        again = [name for name in selection if name in waiting and not outcome.tables[name].error]
        if not again:
            break
        run_id = _run_pass(definitions, instance, again, outcome)
    outcome.seconds = time.perf_counter() - started
    return outcome


def _find_waiting(connect: Connect, run_id: str) -> set[str]:
    action = "looking for parents that were not asked for yet"
    try:
        with connect() as connection:
            return fetch_awaited_tables(connection, run_id)
    except PostgresError as error:
        raise translate_postgres_error(error, action) from None


def _run_pass(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    tables: Sequence[str],
    outcome: SyncOutcome,
    *,
    since: str | None = None,
    full: bool = False,
) -> str:
    job = definitions.resolve_job_def(MIRROR_JOB)
    partitions = job.partitions_def
    assert partitions is not None, "the mirror job is partitioned"
    config = {"full": full, **({"since": since} if since else {})}
    # Picked by itself, a table would bring its checks along.
    picked = job.get_subset(asset_selection={dg.AssetKey(name) for name in tables}, asset_check_selection=frozenset())
    run_config = {
        "resources": {"all_tables": {"config": config}},
        # The command line reports by itself; Dagster's own lines would drown it.
        "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
    }
    newest = partitions.get_last_partition_key()
    assert newest is not None, "the first partition is over"
    with locate_runs(instance):
        if picked.executor_def.name == THREADS:
            result = execute_in_threads(
                picked, instance=instance, run_config=run_config, partition_key=newest, tags=REPOSITORY_TAGS
            )
        else:
            result = picked.execute_in_process(
                instance=instance,
                run_config=run_config,
                partition_key=newest,
                tags=REPOSITORY_TAGS,
                raise_on_error=False,
            )
    if was_interrupted(result.run_id) or any(map(_is_interrupt, result.all_events)):
        raise KeyboardInterrupt
    done = {name for event in result.all_events if (name := _record(event, outcome)) is not None}
    for name in tables:
        # Dagster leaves out the steps below a failed one without an event of their own.
        if name not in done:
            outcome.tables[name].error = _NOT_RUN
    outcome.passes += 1
    return result.run_id


def _record(event: DagsterEvent, outcome: SyncOutcome) -> str | None:
    """Add what an event says about a table; the table's name where the event ends its run."""
    table = outcome.tables.get(event.step_key or "")
    if table is None:
        return None
    if event.event_type == DagsterEventType.ASSET_MATERIALIZATION:
        metadata = event.step_materialization_data.materialization.metadata
        table.add_run(metadata)
        return event.step_key
    if event.event_type == DagsterEventType.STEP_FAILURE:
        table.error = _describe_failure(event)
        return event.step_key
    return None


def _is_interrupt(event: DagsterEvent) -> bool:
    """Whether an event is the end of a run that was interrupted between its steps."""
    if event.event_type != DagsterEventType.RUN_FAILURE or event.job_failure_data.error is None:
        return False
    return event.job_failure_data.error.cls_name in ("DagsterExecutionInterruptedError", "KeyboardInterrupt")


def _describe_failure(event: DagsterEvent) -> str:
    failure = event.step_failure_data
    if failure.user_failure_data is not None and failure.user_failure_data.description:
        return failure.user_failure_data.description
    error = failure.error
    while error is not None and error.cause is not None:
        error = error.cause
    # Dagster keeps "module.Class: message".
    return _CLASS_PREFIX.sub("", error.message.strip()) if error is not None else "failed"


def _iso(timestamp: float) -> str:
    return datetime.fromtimestamp(timestamp, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
