"""A sync: several tables, parents first, tried again where that may help, until none waits for a parent to be fetched.

Here: the order of a sync. Not here: one try of a table (`attempt`), who works side by side (`side_by_side`), what is
printed (`cli.reports`), and Dagster, which is told of the runs behind it (`spool`).
"""

import random
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from smartdiet_assets.errors import SmartdietError, TransientError
from smartdiet_assets.extract.window import WindowRequest, read_instant
from smartdiet_assets.mirror.attempt import RunSettings, Servers, TableRun, is_outage, mirror, try_table
from smartdiet_assets.mirror.failures import KeptBackError, TableFailedError, TableFailure, describe_origin
from smartdiet_assets.mirror.grouping import plan_groups
from smartdiet_assets.mirror.outages import SECONDS_REMEMBERED, sleep_until
from smartdiet_assets.mirror.outcome import SyncOutcome, TableOutcome
from smartdiet_assets.mirror.progress import progress_log
from smartdiet_assets.mirror.run_events import RunHead
from smartdiet_assets.mirror.side_by_side import Processes, Threads, Workers, divide, run_in_order
from smartdiet_assets.mirror.sources import find_opener
from smartdiet_assets.mirror.spool import NoSpool, Records
from smartdiet_assets.resources.environment import Environment
from smartdiet_assets.resources.postgres_server import PostgresServer
from smartdiet_assets.schema.drift import Drift
from smartdiet_assets.schema.model import Schema
from smartdiet_assets.schema.sources import SourceKind

if TYPE_CHECKING:
    from concurrent.futures import Future

    from smartdiet_assets.mirror.shared_reading import Member
    from smartdiet_assets.mirror.table_run import MirrorResult

_NOT_RUN = "not run: a table it depends on failed, or the run was stopped"
#: Groups of tables side by side in threads. Each has its batches in memory, and Python runs in one thread at a time.
_THREADS = 2
#: In processes; each has a connection to both databases.
_PROCESSES = 4
#: Waits before another try differ by as much, so that tables that met do not meet again.
_JITTER = 0.3


def read_run_settings(environment: Environment) -> RunSettings:
    """Read what holds for every table of a run."""
    return RunSettings(
        batch_size=environment.batch_size,
        global_date_threshold=environment.global_date_threshold,
        retry_limit=environment.retry_limit,
        retry_delay=environment.retry_delay,
    )


def run_sync(
    schema: Schema,
    environment: Environment,
    *,
    tables: Sequence[str],
    since: str | None = None,
    full: bool = False,
    rekey: bool = False,
    settings: RunSettings | None = None,
    records: Records | None = None,
) -> SyncOutcome:
    """Mirror tables, parents first, until no table waits for a parent that was not asked for yet.

    A first load limited by a date leaves children whose parents are older; each run of a parent fetches those by
    id, so the tables concerned are run again, at most as often as the graph is deep.

    Args:
        schema: the declared tables.
        environment: where the servers are.
        tables: the tables to mirror.
        since: ISO date; also read the documents dated from here on.
        full: read every document.
        rekey: read the tables again that hold the pseudonyms of another key.
        settings: what holds for every table; by default as the environment says.
        records: keeps what each run came to; nobody by default.

    Raises:
        ConfigurationError: a server is not named, or the date has a form that cannot be used.
        KeyboardInterrupt: the sync was interrupted; the tables it finished stay as they are.
    """
    started = time.perf_counter()
    selection = [name for name in schema.tables if name in tables]
    outcome = SyncOutcome({name: TableOutcome() for name in selection})
    if not selection:
        return outcome
    with ExitStack() as stack:
        postgres = stack.enter_context(closing(PostgresServer(environment)))
        kinds = {schema.tables[name].source_kind for name in selection}
        sources = {kind.name: stack.enter_context(find_opener(kind).open_server(environment)) for kind in kinds}
        recipe = partial(open_servers, environment, frozenset(kinds))
        sync = _Sync(
            schema,
            environment,
            Servers(postgres, sources, recipe=recipe),
            replace(settings or read_run_settings(environment), rekey=rekey),
            outcome,
            records or NoSpool(),
        )
        run_id = sync.run(selection, since, full)
        # A chain of missing parents is at most as long as the list of tables.
        for _ in selection:
            again = sync.find_waiting(selection, run_id)
            if not again:
                break
            run_id = sync.run(again)
        outcome.drift = sync.find_drift(selection)
    outcome.seconds = time.perf_counter() - started
    return outcome


@dataclass(frozen=True, slots=True)
class _Sync:
    """What all passes of a sync share."""

    schema: Schema
    environment: Environment
    servers: Servers
    settings: RunSettings
    outcome: SyncOutcome
    records: Records

    def run(self, names: Sequence[str], since: str | None = None, full: bool = False) -> str:
        """Run tables once, and give the run's id."""
        request = WindowRequest("full") if full else WindowRequest("newest", since=read_instant("--since", since))
        run_id = str(uuid4())
        given_up: dict[str, tuple[float, str]] = {}
        files = tuple(str(Path(name).resolve()) for name in self.schema.files)
        head = RunHead(run_id, time.time(), tuple(names), files, since, full)
        done: set[str] = set()

        with self.records.open(head) as spool, closing(self._choose_workers(len(names))) as workers:

            def begin(group: Sequence[str]) -> "dict[str, Future[Any]]":
                for name in group:
                    spool.begin(name)
                if isinstance(workers, Processes):
                    # The schema is there already.
                    work = _mirror_in_process, group, run_id, request, self.settings, dict(given_up)
                    return divide(workers.submit(*work), group)
                runs = [
                    TableRun(self.schema, self.schema.tables[name], run_id, request, self.settings) for name in group
                ]
                return begin_together(runs, self.servers, workers)

            def end(name: str, future: "Future[Any]") -> bool:
                came_to = _take(name, future)
                if came_to is None:
                    return False
                done.add(name)
                spool.end(name, came_to)
                if isinstance(came_to, TableFailure):
                    self.outcome.tables[name].error = came_to.sentence
                    if came_to.server:
                        given_up[came_to.server] = (time.time(), came_to.sentence)
                    return False
                self.outcome.tables[name].add(came_to)
                return True

            parents = {name: [p for p in self.schema.tables[name].parents if p in names] for name in names}
            run_in_order(plan_groups(self.schema, names), parents, workers, begin, end)
        for name in names:
            if name not in done:
                self.outcome.tables[name].error = _NOT_RUN
        self.outcome.passes += 1
        return run_id

    def find_waiting(self, names: Sequence[str], run_id: str) -> list[str]:
        """Find the tables that a run left waiting for parents; none where that is not known."""
        from psycopg import Error as PostgresError

        from smartdiet_assets.load.records.inspection import fetch_awaited_tables
        from smartdiet_assets.resources.postgres_errors import translate_postgres_error

        tables = self.outcome.tables
        # Where every table read what it had read before, none began to wait for a parent.
        if len(self.outcome.failed) == len(tables) or all(table.mode == "none" for table in tables.values()):
            return []
        try:
            with self.servers.postgres.borrow() as connection:
                waiting = fetch_awaited_tables(connection, run_id)
        except (PostgresError, SmartdietError) as error:
            action = "looking for parents that were not asked for yet"
            ours = translate_postgres_error(error, action) if isinstance(error, PostgresError) else error
            # The runs are over, and what they did is worth telling.
            for name in names:
                tables[name].error = tables[name].error or f"{name}: {ours}"
            return []
        return [name for name in names if name in waiting and not tables[name].error]

    def find_drift(self, names: Sequence[str]) -> dict[str, Drift]:
        """Find what nobody declared in the collections of tables; nothing where PostgreSQL does not answer."""
        from psycopg import Error as PostgresError

        from smartdiet_assets.load.records.fields import fetch_drift

        if len(self.outcome.failed) == len(self.outcome.tables):
            return {}
        collections = {self.schema.tables[name].mongo_collection for name in names}
        heard = [name for name in self.schema.collections if name in collections]
        heard = [name for name in heard if self.schema.rules_of(name).undeclared != "ignore"]
        # What the sync did is worth telling without it.
        with suppress(SmartdietError, PostgresError), self.servers.postgres.borrow() as connection:
            found = fetch_drift(connection, self.schema, heard)
            return {name: drift for name, drift in found.items() if drift.undeclared or drift.changed}
        return {}

    def _choose_workers(self, tables: int) -> Workers:
        if self.environment.executor == "multiprocess" and tables > 1:
            return Processes(min(_PROCESSES, tables), _prepare_process, self.schema, self.environment)
        return Threads(_THREADS)


def begin_together(
    runs: Sequence[TableRun],
    servers: Servers,
    workers: Workers,
    given_up: dict[str, tuple[float, str]] | None = None,
) -> "dict[str, Future[Any]]":
    """Begin tables of one collection, which is read once for all of them; one alone needs no company."""
    if len(runs) == 1:
        return {run.table.name: workers.submit(mirror_patiently, run, servers, given_up) for run in runs}
    from smartdiet_assets.mirror.shared_reading import SharedReading

    members = SharedReading(runs[0].schema, [run.table.name for run in runs]).members
    return {
        run.table.name: workers.submit(_mirror_together, run, servers, given_up, members[run.table.name])
        for run in runs
    }


def _mirror_together(
    run: TableRun, servers: Servers, given_up: dict[str, tuple[float, str]] | None, member: "Member"
) -> "MirrorResult | TableFailure":
    well = wrote = False
    try:
        came_to = mirror_patiently(run, servers, given_up, member)
        if not isinstance(came_to, TableFailure):
            well, wrote = True, came_to.load.mode != "none"
        return came_to
    finally:
        member.end(well=well, wrote=wrote)


def mirror_patiently(
    run: TableRun,
    servers: Servers,
    given_up: dict[str, tuple[float, str]] | None = None,
    together: "Member | None" = None,
) -> "MirrorResult | TableFailure":
    """Bring a table up to date, tried again where that may help; where it fails nothing is written.

    Args:
        given_up: by server, when and with what another process gave it up.
        together: the table among others of its collection that are mirrored side by side.
    """

    def find_given_up(server: str) -> str:
        at, sentence = (given_up or {}).get(server, (0.0, ""))
        return sentence if time.time() - at < SECONDS_REMEMBERED else ""

    tried = 0
    while True:
        try:
            act = partial(mirror, together=together)
            return try_table(run, servers, act, tried=tried, find_given_up=find_given_up)
        except TableFailedError as error:
            return error.failure
        except TransientError as error:
            wait = run.settings.retry_delay * 2**tried * random.uniform(1 - _JITTER, 1 + _JITTER)
            tried += 1
            if not is_outage(error):
                # Of those, all tables are told.
                again = f"{run.table.name}: {error}. It is tried again in {wait:.0f} s"
                progress_log.warning("%s", again, extra={"table": run.table.name, "retry_in": wait})
            sleep_until(partial(float, time.monotonic() + wait))


def _take(name: str, future: "Future[Any]") -> "MirrorResult | TableFailure | None":
    """Take what a table's run came to; None where it was interrupted, or kept back."""
    error = future.exception()
    if error is None:
        came_to: MirrorResult | TableFailure = future.result()
        return came_to
    if isinstance(error, BrokenExecutor):
        return TableFailure(
            f"{name}: a process of the run was killed, for its memory perhaps; what was not finished is rolled back"
        )
    if isinstance(error, Exception) and not isinstance(error, KeptBackError):
        return TableFailure(f"{name}: unexpected {type(error).__name__} at {describe_origin(error)}")
    return None


#: Of a process that takes tables: its schema and its servers.
_place: list[tuple[Schema, Servers]] = []
_opened = ExitStack()


def open_servers(environment: Environment, kinds: Iterable[SourceKind]) -> Servers:
    """Open the servers of a run for as long as the process lives; nothing is connected yet."""
    sources = {kind.name: _opened.enter_context(find_opener(kind).open_server(environment)) for kind in kinds}
    recipe = partial(open_servers, environment, frozenset(kinds))
    return Servers(PostgresServer(environment), sources, recipe=recipe)


def _prepare_process(schema: Schema, environment: Environment) -> None:
    _place.append((schema, open_servers(environment, set(schema.sources))))


def _mirror_in_process(
    group: Sequence[str],
    run_id: str,
    request: WindowRequest,
    settings: RunSettings,
    given_up: dict[str, tuple[float, str]],
) -> "dict[str, MirrorResult | TableFailure | None]":
    [(schema, servers)] = _place
    runs = [TableRun(schema, schema.tables[name], run_id, request, settings) for name in group]
    if len(runs) == 1:
        return {name: mirror_patiently(run, servers, given_up) for name, run in zip(group, runs, strict=True)}
    begun = begin_together(runs, servers, Threads(len(runs)), given_up)
    return {name: _take(name, future) for name, future in begun.items()}
