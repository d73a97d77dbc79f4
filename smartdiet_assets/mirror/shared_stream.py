"""Batches that several runs take, each in its thread, and the condition on which they wait for one another."""

import threading
import time
from collections.abc import Callable, Generator, Sequence
from typing import Any, Protocol

from smartdiet_assets.load.beside import ReadsAloneError
from smartdiet_assets.mirror.read_ahead import read_ahead
from smartdiet_assets.resources.thread_interrupts import raise_if_interrupted

_SECONDS_BETWEEN_LOOKS = 0.2


class Meeting:
    """Where threads wait for one another; `changed` is held to look or to change what they wait for."""

    def __init__(self) -> None:
        self.changed = threading.Condition()

    def wait(self, until: Callable[[], bool], seconds: float | None = None) -> None:
        """Wait, holding `changed`, until a condition of the members holds, for so many seconds at most.

        Raises:
            KeyboardInterrupt: this thread is to be interrupted.
        """
        end = None if seconds is None else time.monotonic() + seconds
        while not until() and (end is None or time.monotonic() < end):
            raise_if_interrupted()
            self.changed.wait(_SECONDS_BETWEEN_LOOKS)


class Taker(Protocol):
    """Who takes batches."""

    def check(self) -> None:
        """Raise what keeps it from going on."""


class Stream:
    """Batches that several take, each once all are done with the one before.

    Whoever is the last to be done fetches the next one for all.
    """

    def __init__(
        self,
        meeting: Meeting,
        takers: Sequence[Taker],
        batches: Generator[Any],
        decode: Callable[[Any], Any],
    ) -> None:
        self._meeting = meeting
        self._decode = decode
        self._batches = read_ahead(batches)
        #: Of the batch that is here, the number and what it is: None at the end, or the error that came instead.
        self._number = 0
        self._batch: Any = None
        self._error: Exception | None = None
        self._fetching = False
        #: The number of the batch that each has asked for.
        self._asked = dict.fromkeys(takers, 0)

    def take_all(self, taker: Taker) -> Generator[Any]:
        """Stream the batches to one of those that take them."""
        while (batch := self._take(taker)) is not None:
            yield batch

    def drop(self, taker: Taker) -> None:
        """Go on without one that has ended, or failed."""
        with self._meeting.changed:
            self._asked.pop(taker, None)
            self._meeting.changed.notify_all()
            if not self._asked:
                self._batches.close()

    def _take(self, taker: Taker) -> Any:
        with self._meeting.changed:
            self._asked[taker] = asked = self._asked[taker] + 1
            self._meeting.wait(lambda: self._number == asked or self._is_wanted(asked))
            taker.check()
            if fetches := self._number != asked:
                self._fetching = True
        if fetches:
            self._fetch()
        if self._error is not None:
            raise self._error
        return self._batch

    def _is_wanted(self, number: int) -> bool:
        return not self._fetching and min(self._asked.values()) == number

    def _fetch(self) -> None:
        batch = None
        # Where this thread is interrupted, the others are not at the end.
        error: Exception | None = ReadsAloneError()
        try:
            raw = next(self._batches, None)
            batch, error = None if raw is None else self._decode(raw), None
        except Exception as caught:  # noqa: BLE001 - it is for all that take the batches
            error = caught
        finally:
            with self._meeting.changed:
                self._batch, self._error = batch, error
                self._number += 1
                self._fetching = False
                self._meeting.changed.notify_all()
