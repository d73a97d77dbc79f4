"""A run of one table on a connection and thread of its own, which can be halted when a stage is over.

Here: starting, halting and judging such runs. Not here: which runs meet (`test_two_runs`).
"""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg

from smartdiet_assets.extract.window import WindowRequest
from smartdiet_assets.mirror.table_run import MirrorResult, mirror_table
from smartdiet_assets.schema.model import Schema
from smartdiet_assets_tests.support.mirrored import Mirrored

#: Seconds after which a test gives up; nothing here takes a second by itself.
PATIENCE = 50.0


class PausingRun:
    """A run that halts once, when a stage is over, until it is told to go on."""

    def __init__(self, mirrored: Mirrored, table: str, stage: str = "", schema: Schema | None = None) -> None:
        self.table = table
        self.stage = stage
        self.schema = schema or mirrored.schema
        self.halted = threading.Event()
        self.pid = 0
        self._mirrored = mirrored
        self._resumed = threading.Event()
        self._future: Future[MirrorResult] | None = None

    def start(self, pool: ThreadPoolExecutor, database: str, **options: Any) -> "PausingRun":
        self._future = pool.submit(self._run, database, options)
        return self

    def _run(self, database: str, options: dict[str, Any]) -> MirrorResult:
        with psycopg.connect(database) as connection:
            self.pid = connection.info.backend_pid
            return mirror_table(
                self.schema,
                self.schema.tables[self.table],
                self._mirrored.mongo,
                connection,
                run_id=f"concurrent-{self.pid}",
                on_stage=self._listen,
                bulk=self._mirrored.bulk,
                **{"request": WindowRequest("newest"), "batch_size": self._mirrored.batch_size, **options},
            )

    def _listen(self, stage: str) -> None:
        if stage == self.stage and not self.halted.is_set():
            self.halted.set()
            assert self._resumed.wait(PATIENCE)

    @property
    def done(self) -> bool:
        return self._future is not None and self._future.done()

    def wait_for_halt(self) -> None:
        """Wait until the run is at its stage, or over because it never came there."""
        wait_until(lambda: self.halted.is_set() or self.done)

    def wait_for_lock(self, connection: psycopg.Connection[Any]) -> bool:
        """Wait until the run is over or waits for somebody's lock; tell whether it waits."""

        def waits() -> bool:
            query = "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = %s"
            row = connection.execute(query, [self.pid]).fetchone()
            return bool(row and row[0])

        wait_until(lambda: self.done or waits())
        return not self.done

    def resume(self) -> None:
        self._resumed.set()

    def result(self) -> MirrorResult:
        """The result of the run; raises what it raised."""
        assert self._future is not None
        return self._future.result(PATIENCE)


def wait_until(holds: Callable[[], bool]) -> None:
    """Wait for something another thread or server does."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, "gave up waiting"
        time.sleep(0.005)


@contextmanager
def open_pool(*runs: PausingRun) -> Iterator[ThreadPoolExecutor]:
    """Open the threads of runs; none is left halted when the block fails."""
    with ThreadPoolExecutor(max_workers=max(2, len(runs))) as pool:
        try:
            yield pool
        finally:
            for run in runs:
                run.resume()
