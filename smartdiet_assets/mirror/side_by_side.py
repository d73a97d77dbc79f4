"""Tables of a run side by side, parents before their children: in threads of this process, or in processes.

Here: which table may start, and ending those at work on an interrupt. Not here: what a table's run does.
"""

import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, ProcessPoolExecutor, wait
from contextlib import suppress
from functools import partial
from graphlib import TopologicalSorter
from logging.handlers import QueueHandler
from typing import Any, Protocol

from smartdiet_assets.mirror.progress import progress_log
from smartdiet_assets.resources.thread_interrupts import forget_thread, interrupt_thread, raise_if_interrupted

#: How long nothing may happen until the run looks for an interrupt.
_SECONDS_BETWEEN_LOOKS = 0.1
#: A table that goes on, because it was about to try again, is interrupted again.
_SECONDS_BETWEEN_INTERRUPTS = 10.0
#: How long interrupted tables are waited for. One that waits for anything else hears nothing; it ends with the process.
_SECONDS_TO_END = 60.0
#: Loaded once for all processes: what each of them needs.
_PRELOADED = (
    "smartdiet_assets.mirror.sync",
    "smartdiet_assets.mirror.table_run",
    "smartdiet_assets.mirror.shard_workers",
    "smartdiet_assets.mirror.sources.matomo",
    "smartdiet_assets.resources.mongo_hello",
    "smartdiet_assets.resources.postgres_watch",
)


class Workers(Protocol):
    """What tables are given to; `most` of them are at work at once."""

    most: int

    def submit(self, work: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        """Begin one."""

    def interrupt(self) -> None:
        """Have those at work end, with what they did undone."""

    def close(self) -> None:
        """Leave nothing behind."""


def run_in_order(
    groups: Sequence[Sequence[str]],
    parents: Mapping[str, Sequence[str]],
    workers: Workers,
    begin: Callable[[Sequence[str]], "Mapping[str, Future[Any]]"],
    end: Callable[[str, "Future[Any]"], bool],
) -> None:
    """Run tables, each after its parents; those below one that failed are left out.

    Args:
        groups: those that begin together, once all their parents elsewhere are over.
        parents: by table, those of its parents that run too.
        begin: begins tables of a group, parents first, which wait for each other; who is left out counts as failed.
        end: takes what a table's run came to; whether it went well.

    Raises:
        KeyboardInterrupt: it came; what was finished by then was taken.
    """
    order: TopologicalSorter[str] = TopologicalSorter()
    group_of = {name: tuple(group) for group in groups for name in group}
    for name, others in group_of.items():
        order.add(name, *{parent for other in others for parent in parents[other]}.difference(others))
    order.prepare()
    waiting: dict[tuple[str, ...], None] = {}
    kept_back: set[str] = set()
    running: dict[Future[Any], str] = {}

    def take(done: "set[Future[Any]]", *, interrupted: bool = False) -> None:
        # Those that ended together, parents first.
        for future in [future for future in running if future in done]:
            name = running.pop(future)
            # What was interrupted ends with an error of its own.
            if (interrupted and future.exception() is not None) or not end(name, future):
                kept_back.add(name)
            order.done(name)

    try:
        while order.is_active():
            # Those of a group have the same ones before them, and come at once.
            waiting |= dict.fromkeys(group_of[name] for name in order.get_ready())
            while waiting and len({group_of[name] for name in running.values()}) < workers.most:
                group = next(iter(waiting))
                del waiting[group]
                # One after another: who is kept back keeps those below it in the group back too.
                kept_back.update(name for name in group if not kept_back.isdisjoint(parents[name]))
                to_begin = [name for name in group if name not in kept_back]
                begun = begin(to_begin) if to_begin else {}
                running |= {future: name for name, future in begun.items()}
                kept_back.update(set(group) - begun.keys())
                order.done(*kept_back.intersection(group))
            if running:
                take(wait(running, _SECONDS_BETWEEN_LOOKS, FIRST_COMPLETED).done)
            # Where not the main thread waits, nothing else interrupts it.
            raise_if_interrupted()
    except KeyboardInterrupt:
        for _ in _interrupts(workers):
            if not running:
                break
            take(wait(running, _SECONDS_BETWEEN_LOOKS, FIRST_COMPLETED).done, interrupted=True)
        raise


def _interrupts(workers: Workers) -> Iterator[None]:
    """Interrupt the workers now and then, and look in between, for as long as they are waited for."""
    began, last = time.monotonic(), float("-inf")
    while (now := time.monotonic()) - began < _SECONDS_TO_END:
        if now - last >= _SECONDS_BETWEEN_INTERRUPTS:
            last = now
            workers.interrupt()
        yield


class Threads:
    """A thread a table, which share the connections of this process."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._at_work: set[threading.Thread] = set()

    def submit(self, work: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        future: Future[Any] = Future()

        def run() -> None:
            try:
                future.set_result(work(*arguments))
            except BaseException as error:  # noqa: BLE001 - it is for the thread of the run
                future.set_exception(error)
            finally:
                self._at_work.discard(thread)
                forget_thread(thread)

        # A daemon: one that waits for a server for ever must not keep the process.
        thread = threading.Thread(target=run, name="smartdiet table", daemon=True)
        self._at_work.add(thread)
        thread.start()
        return future

    def interrupt(self) -> None:
        """Have each end as Ctrl-C has the main thread.

        It looks at each statement, while it waits for PostgreSQL, and between the batches it reads. The statement is
        cancelled then.
        """
        for thread in list(self._at_work):
            interrupt_thread(thread)

    def close(self) -> None:
        """Nothing is left of a thread that has ended."""


class Processes:
    """Processes that take table after table, forked from one that has loaded what they need.

    Args:
        prepare: called in each before its first table, with the arguments.
        hear: is given the reports of all; by default they are passed on as they are.
    """

    def __init__(
        self,
        most: int,
        prepare: Callable[..., None],
        *arguments: Any,
        hear: Callable[[logging.LogRecord], None] = progress_log.handle,
    ) -> None:
        self.most = most
        self._hear = hear
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(list(_PRELOADED))
        self._told: Any = context.Queue()
        self._workers: set[int] = set()
        self._listener = threading.Thread(target=self._listen, name="smartdiet progress", daemon=True)
        self._listener.start()
        self._open_pool = partial(
            ProcessPoolExecutor,
            most,
            mp_context=context,
            initializer=_begin_process,
            initargs=(self._told, prepare, arguments),
        )
        self._pool = self._open_pool()

    def submit(self, work: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        try:
            return self._pool.submit(work, *arguments)
        except BrokenExecutor:
            # One was killed, which ended the others too: the tables that are left have new ones.
            self._pool.shutdown(wait=False)
            self._pool = self._open_pool()
            return self._pool.submit(work, *arguments)

    def interrupt(self) -> None:
        """End them: PostgreSQL undoes what a process that is gone had not committed."""
        for number in list(self._workers):
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGTERM)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        # One that was ended in the midst of a line holds the queue's lock for ever.
        self._told.cancel_join_thread()
        self._told.put(None)
        self._listener.join(1.0)

    def _listen(self) -> None:
        while (said := self._told.get()) is not None:
            if isinstance(said, int):
                self._workers.add(said)
            else:
                self._hear(said)


def divide(work: "Future[Any]", names: Sequence[str]) -> "dict[str, Future[Any]]":
    """Divide work that gives something for each name into one for each."""
    parts: dict[str, Future[Any]] = {name: Future() for name in names}

    def give(done: "Future[Any]") -> None:
        for name, part in parts.items():
            if done.cancelled():
                part.cancel()
            elif (error := done.exception()) is not None:
                part.set_exception(error)
            else:
                part.set_result(done.result()[name])

    work.add_done_callback(give)
    return parts


def _begin_process(told: Any, prepare: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    # A terminal sends Ctrl-C to each; which of them end, and how, is for the first one to say.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def end_with_parent() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=end_with_parent, name="smartdiet parent", daemon=True).start()
    told.put(os.getpid())
    progress_log.setLevel(logging.INFO)
    progress_log.addHandler(QueueHandler(told))
    progress_log.propagate = False
    prepare(*arguments)
