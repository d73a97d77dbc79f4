"""Reading ahead: what arrives, when it is read, and what is left behind."""

import threading
from collections.abc import Generator

import pytest

from smartdiet_assets.mirror.read_ahead import read_ahead

PATIENCE = 60.0


class Source:
    """A stream of numbers that tells what was asked of it."""

    def __init__(self, batches: int, fails_after: int | None = None) -> None:
        self.asked = [threading.Event() for _ in range(batches + 1)]
        self.closed = threading.Event()
        self._batches = batches
        self._fails_after = fails_after

    def stream(self) -> Generator[int]:
        try:
            for number in range(self._batches):
                self.asked[number].set()
                if number == self._fails_after:
                    raise ConnectionResetError
                yield number
            self.asked[self._batches].set()
        finally:
            self.closed.set()


@pytest.mark.parametrize("batches", [0, 1, 2, 20])
def test_every_batch_arrives_in_order(batches: int) -> None:
    source = Source(batches)
    assert list(read_ahead(source.stream())) == list(range(batches))
    assert source.closed.wait(PATIENCE)


def test_the_next_batch_is_read_while_one_is_in_use_and_no_other() -> None:
    source = Source(5)
    batches = read_ahead(source.stream())
    for number in range(4):
        assert next(batches) == number
        assert source.asked[number + 1].wait(PATIENCE)
        assert not source.asked[number + 2].is_set() if number < 3 else True
    batches.close()


@pytest.mark.parametrize("fails_after", [0, 1, 3])
def test_an_error_comes_in_the_place_of_its_batch(fails_after: int) -> None:
    batches = read_ahead(Source(5, fails_after).stream())
    for number in range(fails_after):
        assert next(batches) == number
    with pytest.raises(ConnectionResetError):
        next(batches)


@pytest.mark.parametrize("taken", [1, 2])
def test_whoever_stops_early_leaves_no_open_stream_and_no_thread(taken: int) -> None:
    source = Source(1_000)
    batches = read_ahead(source.stream())
    for _ in range(taken):
        next(batches)
    batches.close()

    assert source.closed.wait(PATIENCE)
    for thread in threading.enumerate():
        if thread.name == "read ahead":
            thread.join(PATIENCE)
            assert not thread.is_alive()
    assert not source.asked[taken + 2].is_set()


def test_an_empty_stream_starts_no_thread() -> None:
    started: list[bool] = []
    threading.settrace(lambda *call: started.append(True))
    try:
        assert list(read_ahead(Source(0).stream())) == []
        assert not started
        assert list(read_ahead(Source(2).stream())) == [0, 1]
    finally:
        threading.settrace(None)
    assert started
