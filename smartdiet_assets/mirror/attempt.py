"""One try of a run of one table over the servers of its run: what is worth another try, and what a table ends with.

Here: which connections a table needs, and which of its errors are final. Not here: trying again (`mirror.sync`; of a
step, Dagster does), and what a run does (`table_run`). The drivers and the stages are imported by the first try: they
take as long as half of Dagster, and the graph is built without them.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from smartdiet_assets.errors import ForwardingFailedError, ServerUnreachableError, TransientError
from smartdiet_assets.extract.window import WindowRequest
from smartdiet_assets.load.limits import LOCK_TIMEOUT, RETRY_LIMIT
from smartdiet_assets.mirror.failures import (
    KeptBackError,
    RejectCounts,
    TableFailedError,
    TableFailure,
    describe_error,
    translate_error,
)
from smartdiet_assets.mirror.outages import await_server, compose_vain, note_answer, note_outage
from smartdiet_assets.mirror.sources import find_opener
from smartdiet_assets.resources.patience import RETRIES, RETRY_DELAY, Patience
from smartdiet_assets.schema.model import Schema, Table

if TYPE_CHECKING:
    from psycopg import Connection

    from smartdiet_assets.mirror.run_options import RunOptions
    from smartdiet_assets.mirror.shared_reading import Member
    from smartdiet_assets.mirror.sources.interface import Source
    from smartdiet_assets.mirror.table_run import MirrorResult
    from smartdiet_assets.resources.postgres_server import PostgresConnections

Result = TypeVar("Result")

_TARGET = "PostgreSQL"
#: Seconds for which one reading of a source's clock serves the tables of a run.
_CLOCK_AGE = 5.0
#: By run and source, when it was read (monotonic) and what it said; of the last that was read.
_clocks: dict[tuple[str, str], tuple[float, datetime]] = {}


@dataclass(frozen=True, slots=True)
class RunSettings:
    """What holds for every table of a run; `retries` are the tries after the first, the first of them after a delay.

    With `rekey`, tables that hold the pseudonyms of another key are read again.
    """

    batch_size: int = 5_000
    global_date_threshold: date | None = None
    lock_timeout: float = LOCK_TIMEOUT
    retry_limit: int = RETRY_LIMIT
    retries: int = RETRIES
    retry_delay: float = RETRY_DELAY
    rekey: bool = False


@dataclass(frozen=True, slots=True)
class Servers:
    """The servers of a run; the sources that its tables need by the name of their kind.

    Attributes:
        mirror: the name of the mirror whose they are, where a run may be of the tables of several.
        recipe: opens the same in another process, to which it can be sent; None where no other one is to have them.
    """

    postgres: "PostgresConnections"
    sources: Mapping[str, Any]
    mirror: str = ""
    recipe: "Callable[[], Servers] | None" = None

    def name(self, server: str) -> str:
        """Name a server in a message, for which all tables of the mirror wait together."""
        return f"{server} of the mirror {self.mirror}" if self.mirror else server


@dataclass(frozen=True, slots=True)
class TableRun:
    """What is asked of one table."""

    schema: Schema
    table: Table
    run_id: str
    request: WindowRequest
    settings: RunSettings


def try_table(
    run: TableRun,
    servers: Servers,
    act: "Callable[[TableRun, Servers, Connection], Result]",
    *,
    tried: int,
    find_given_up: Callable[[str], str] = lambda _: "",
) -> "Result":
    """Do something for a table, once.

    Args:
        act: does it, such as `mirror`.
        tried: tries of the table before this one.
        find_given_up: finds what a server was given up with by another process of the run, a moment ago.

    Raises:
        TransientError: another try may help.
        TableFailedError, KeptBackError: none will, or this was the last; nothing was written.
    """
    from psycopg import Error as PostgresError

    table, settings = run.table, run.settings
    target, source = servers.name(_TARGET), servers.name(table.source_kind.server)
    # Whatever goes wrong before there is a connection is PostgreSQL's.
    server = target
    try:
        for needed in (target, source):
            await_server(run.run_id, needed, table.name)
        with servers.postgres.borrow(making_schema=True) as connection:
            server = source
            result = act(run, servers, connection)
    except (TableFailedError, KeptBackError):
        raise
    except Exception as error:  # noqa: BLE001 - the one place that decides what is tried again
        # One that is nobody's (a bug) keeps its type only: its text may hold a value from a document.
        translated = translate_error(error, table)
        if not isinstance(translated, TransientError):
            failure = TableFailure(describe_error(translated, table), rejects=RejectCounts.read(translated))
            raise TableFailedError(failure) from None
        if is_outage(translated):
            away = target if isinstance(error, PostgresError) else server
            if given_up := find_given_up(away):
                sentence = f"{table.name}: not tried again, as {away} is away: {given_up}"
                raise TableFailedError(TableFailure(sentence, away=away)) from None
            if vain := note_outage(
                run.run_id,
                away,
                table.name,
                translated,
                tried=tried,
                retries=settings.retries,
                delay=settings.retry_delay,
            ):
                raise TableFailedError(TableFailure(vain, server=away, away=away)) from None
        if tried >= settings.retries:
            raise TableFailedError(TableFailure(compose_vain(translated, tried + 1))) from None
        raise translated from None
    for needed in (target, source):
        note_answer(run.run_id, needed)
    return result


def is_outage(error: Exception) -> bool:
    """Whether an error says that a server is away, for whoever asks it."""
    return isinstance(error, ServerUnreachableError | ForwardingFailedError)


def mirror(
    run: TableRun, servers: Servers, connection: "Connection", *, together: "Member | None" = None
) -> "MirrorResult":
    """Bring a table up to date; `together` is its part among tables of its collection mirrored side by side."""
    from smartdiet_assets.mirror.shard_workers import copy_side_by_side
    from smartdiet_assets.mirror.table_run import mirror_source

    copy = partial(copy_side_by_side, run, servers, together)
    options = build_options(run)
    return with_source(
        run, servers, lambda source: mirror_source(source, connection, together=together, copy=copy, **options)
    )


def build_options(run: TableRun) -> "RunOptions":
    """Build what a run tells the stages."""
    return {
        "run_id": run.run_id,
        "request": run.request,
        "global_date_threshold": run.settings.global_date_threshold,
        "lock_timeout": run.settings.lock_timeout,
        "retry_limit": run.settings.retry_limit,
        "rekey": run.settings.rekey,
    }


def with_source(run: TableRun, servers: Servers, act: "Callable[[Source], Result]") -> "Result":
    """Do something with the opened source of a table."""
    kind = run.table.source_kind
    opener, server, name = find_opener(kind), servers.sources[kind.name], servers.name(kind.server)

    def open_and_act() -> "Result":
        clock = _find_clock(run.run_id, name)
        with opener.open(server, run.schema, run.table, batch_size=run.settings.batch_size, clock=clock) as source:
            if clock is None:
                _clocks.clear()
                _clocks[run.run_id, name] = (time.monotonic(), source.fetch_clock())
            return act(source)

    # What has to be asked in another way is; what may pass is tried again by whoever called.
    return Patience(retries=0).run(open_and_act, lambda _: False)


def _find_clock(run_id: str, source: str) -> datetime | None:
    """Find the source's clock as it was `_CLOCK_AGE` ago at most: what a run sees is what came before it anyway."""
    # Another thread may forget it meanwhile.
    read_at, clock = _clocks.get((run_id, source), (float("-inf"), None))
    return clock if time.monotonic() - read_at < _CLOCK_AGE else None
