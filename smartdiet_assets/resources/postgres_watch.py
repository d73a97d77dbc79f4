"""A PostgreSQL connection that notices when nothing moves on it any more.

A network device that accepts bytes and delivers none keeps TCP content for ever, and the server says nothing while it
builds an index for minutes: silence alone proves nothing. So after each `stall_timeout` of silence the server is asked
over a second connection what it does for the first. While it works, the wait goes on. Where it waits for us twice in
a row, with nothing moved in between, the bytes are lost.
"""

from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any, TypeVar

import psycopg
from psycopg import sql
from psycopg.abc import PQGen
from psycopg.pq import TransactionStatus

from smartdiet_assets.resources.postgres_session import SettledConnection
from smartdiet_assets.resources.thread_interrupts import raise_if_interrupted

ResultT = TypeVar("ResultT")
_SECONDS_TO_CANCEL = 5.0

# "Client" are the waits of a backend for its client: to send the next message, or to take the answer.
_ASK = sql.SQL("""\
SELECT
  pg_backend_pid(),
  activity.pid IS NOT NULL,
  activity.state = 'active' AND activity.wait_event_type IS DISTINCT FROM 'Client',
  jsonb_build_array(activity.state_change, {copied})::text
FROM (SELECT %(pid)s::integer AS pid) AS asked
LEFT JOIN pg_stat_activity AS activity ON activity.pid = asked.pid AND activity.usename = current_user""")
# Not one that has been given the number since.
_END = """\
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE pid = %(pid)s AND usename = current_user
  AND backend_start < clock_timestamp() - make_interval(secs => %(age)s) + interval '1 second'"""
_COPIED = sql.SQL("(SELECT bytes_processed FROM pg_stat_progress_copy AS copy WHERE copy.pid = asked.pid)")
_FIRST_WITH_COPY_PROGRESS = 140_000


class StalledConnectionError(psycopg.OperationalError):
    """Nothing moves on the connection, and the server does not work for it."""


@dataclass(frozen=True, slots=True)
class BackendReport:
    """What the server says about the backend of a connection.

    Attributes:
        works: whether it is busy for its client, rather than waiting for it or gone.
        position: changes whenever a statement begins or ends, or a COPY takes more bytes.
        found: whether the server answered, and knows the backend.
    """

    works: bool
    position: str = ""
    found: bool = False


class WatchedConnection(SettledConnection):
    """A connection whose waits end when nothing moves; use it through `PostgresResource.connect`.

    Attributes:
        stall_timeout: seconds without a byte before the server is asked; a stall is noticed after about twice that.
        opened_at: when it was opened, as `time.monotonic` tells it.
        tunnelled_backend: the backend's process, where the way leads through SSH: its two ends are then lost apart from
            each other. A connection that was lost does not tell it any more.
        open_second: opens the connection over which the server is asked, with autocommit on. None asks nobody: the
            first `stall_timeout` of silence ends the wait.
    """

    stall_timeout: float = 30.0
    opened_at: float = 0.0
    tunnelled_backend: int = 0
    open_second: "Callable[[], WatchedConnection] | None" = None

    def close(self) -> None:
        """Close it; where it was lost on its way through SSH, have the server drop our transaction, and its locks.

        The SSH server may not hear for long that we are gone, and keeps its side open until then.
        """
        backend, self.tunnelled_backend = self.tunnelled_backend, 0
        lost = self.closed
        super().close()
        if backend and lost:
            self._end_backend(backend)

    def wait(self, gen: PQGen[ResultT], *arguments: Any, **options: Any) -> ResultT:
        """Wait as psycopg does, and watch meanwhile.

        Raises:
            StalledConnectionError: nothing moves; the connection is closed.
        """
        try:
            return super().wait(self._watch(gen), *arguments, **options)
        except KeyboardInterrupt:
            # The driver has had the statement cancelled. Where this came up within `_watch`, nobody has taken the
            # server's answer, and a rollback would have to wait for it.
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                with suppress(Exception):
                    super().wait(gen, timeout=_SECONDS_TO_CANCEL)
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                # In the midst of a stream of rows, say: nothing more can be asked, and the server undoes it all.
                self.pgconn.finish()
            raise

    def _watch(self, gen: PQGen[ResultT]) -> Generator[Any, Any, ResultT]:
        """Pass on what the driver's generator wants and gets; about ten times a second it gets nothing."""
        heard = monotonic()
        suspected: BackendReport | None = None
        # What starts a generator; the type of psycopg's knows only what follows.
        ready: Any = None
        while True:
            raise_if_interrupted()
            try:
                wanted = gen.send(ready)
            except StopIteration as end:
                result: ResultT = end.value
                return result
            if ready:
                heard, suspected = monotonic(), None
            ready = yield wanted
            if not ready and monotonic() - heard >= self.stall_timeout:
                report = self._ask_server()
                if report is not None and not report.works and (report == suspected or self.open_second is None):
                    self._give_up(report)
                heard, suspected = monotonic(), report

    def _ask_server(self) -> BackendReport | None:
        """Ask what the backend does; None where that cannot be known."""
        if self.open_second is None:
            return BackendReport(works=False)
        try:
            with self.open_second() as second:
                copied = _COPIED if second.info.server_version >= _FIRST_WITH_COPY_PROGRESS else sql.SQL("NULL")
                row = second.execute(_ASK.format(copied=copied), {"pid": self.info.backend_pid}).fetchone()
                assert row is not None
                pid, found, works, position = row
                if pid != second.info.backend_pid:
                    # A connection pooler in between has numbers of its own.
                    return None
                return BackendReport(works=bool(works), position=position, found=found)
        except psycopg.OperationalError as error:
            # A server that refuses is there, and may be working for us. One that does not answer is not.
            refused = error.sqlstate is not None or "FATAL" in str(error)
            return None if refused else BackendReport(works=False)

    def _give_up(self, report: BackendReport) -> None:
        if report.found:
            self._end_backend(self.info.backend_pid)
            self.tunnelled_backend = 0
        self.pgconn.finish()
        raise StalledConnectionError(f"no byte came for {self.stall_timeout:g} s and the server waits")

    def _end_backend(self, pid: int) -> None:
        """Have the server drop our transaction, whose locks the next try needs; where it cannot be told, TCP will."""
        if self.open_second is None:
            return
        try:
            with self.open_second() as second:
                second.execute(_END, {"pid": pid, "age": monotonic() - self.opened_at})
        except psycopg.Error:
            return
