"""Reading one batch ahead: the source prepares the next one while this one is transformed and copied."""

import contextlib
import queue
import threading
from collections.abc import Generator
from typing import Generic, TypeVar

from smartdiet_assets.resources.thread_interrupts import raise_if_interrupted

_Batch = TypeVar("_Batch")
_SECONDS_BETWEEN_LOOKS = 0.5


def read_ahead(batches: Generator[_Batch]) -> Generator[_Batch]:
    """Pass a stream's batches on, each read while the one before is in use; an error comes where its batch would.

    The first batch is read without a thread, so that a stream of none costs nothing; but where a thread asks, only the
    other one waits for the server, so that it can be interrupted. One batch more than without is in
    memory. Whoever closes this early does not wait for the source: the thread ends after the batch it reads.
    """
    first = None
    in_main_thread = threading.current_thread() is threading.main_thread()
    if in_main_thread and (first := next(batches, None)) is None:
        return
    stream = _Stream(batches)
    threading.Thread(target=stream.read, name="read ahead", daemon=True).start()
    try:
        if first is not None:
            yield first
        while (batch := stream.take()) is not None:
            yield batch
    finally:
        stream.close()


class _Stream(Generic[_Batch]):
    """Batches on their way from the thread that reads them to the one that takes them."""

    def __init__(self, batches: Generator[_Batch]) -> None:
        self._batches = batches
        self._read: queue.SimpleQueue[_Batch | Exception | None] = queue.SimpleQueue()
        #: How many batches may be read: one more than were asked for.
        self._wanted = threading.Semaphore(1)
        self._closed = False

    def read(self) -> None:
        """Read until the end, an error, or until nobody takes batches any more."""
        try:
            while self._wanted.acquire() and not self._closed and (batch := next(self._batches, None)) is not None:
                self._read.put(batch)
            self._read.put(None)
        except Exception as error:  # noqa: BLE001 - it is for the thread that takes the batches
            self._read.put(error)
        # The driver may have been closed meanwhile.
        with contextlib.suppress(Exception):
            self._batches.close()

    def take(self) -> _Batch | None:
        """Wait for the next batch; None at the end.

        Who asks has done with the batch before. So the one after this may be asked of the source as soon as this is
        here, without waiting for this thread to wake, and then for it to let go of the interpreter.
        """
        self._wanted.release()
        while True:
            raise_if_interrupted()
            with contextlib.suppress(queue.Empty):
                batch = self._read.get(timeout=_SECONDS_BETWEEN_LOOKS)
                break
        if isinstance(batch, Exception):
            raise batch
        return batch

    def close(self) -> None:
        self._closed = True
        self._wanted.release()
