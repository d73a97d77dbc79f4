"""Who is given which batches when tables are read together, and who goes on when one of them fails."""

import threading
from collections.abc import Generator, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smartdiet_assets.extract.window import Window
from smartdiet_assets.load.beside import ReadsAloneError
from smartdiet_assets.mirror.failures import KeptBackError
from smartdiet_assets.mirror.shared_reading import Member, SharedReading
from smartdiet_assets_tests.support.declared import declare

FULL = Window("full")
BATCHES = [b"1", b"2", b"3", b"4"]
#: A chain, a table beside it, and one below both.
SCHEMA = declare("""
tables:
  top: {mongo_collection: c, include_base: true}
  middle:
    mongo_collection: c
    include_base: true
    additional_columns: [{name: a, sql_type: VARCHAR, foreign_key: top(id)}]
  beside: {mongo_collection: c, include_base: true}
  bottom:
    mongo_collection: c
    include_base: true
    additional_columns:
      - {name: a, sql_type: VARCHAR, foreign_key: middle(id)}
      - {name: b, sql_type: VARCHAR, foreign_key: beside(id)}
""")
BELOW = {"top": {"middle", "bottom"}, "middle": {"bottom"}, "beside": {"bottom"}, "bottom": set()}


class Collection:
    """Counts how often it is read, and fails where it is to."""

    def __init__(self, fails_at: int = -1) -> None:
        self.read = 0
        self.fails_at = fails_at

    def tell_window(self, window: Window) -> Hashable:
        return window

    def decode(self, batch: bytes) -> bytes:
        return batch

    def fetch_window(self, window: Window, after_key: object) -> Generator[bytes]:
        return self.fetch_together([], window)

    def fetch_together(self, others: Sequence[Any], window: Window) -> Generator[bytes]:
        self.read += 1
        for number, batch in enumerate(BATCHES):
            if number == self.fails_at:
                raise ConnectionError
            yield batch


class Runs:
    """Runs of all tables, each in a thread; what each was given, and in which order they ended."""

    def __init__(self, collection: Collection) -> None:
        self.collection = collection
        self.given: dict[str, list[bytes]] = {name: [] for name in SCHEMA.tables}
        self.ended: list[str] = []
        self.most_apart = 0

    def run(self, failing: str = "", at: int = -1, *, for_good: bool = True) -> dict[str, BaseException | None]:
        members = SharedReading(SCHEMA, list(SCHEMA.tables)).members
        with ThreadPoolExecutor(len(members)) as pool:
            futures = {
                name: pool.submit(self._run, member, at if name == failing else -1, for_good)
                for name, member in members.items()
            }
        return {name: future.exception() for name, future in futures.items()}

    def _run(self, member: Member, fails_at: int, for_good: bool) -> None:
        well = False
        try:
            while not well:
                try:
                    self._try(member, fails_at)
                    well = True
                except ReadsAloneError:
                    continue
                except ConnectionError:
                    if for_good:
                        raise
                    fails_at = -1
        finally:
            member.end(well=well, wrote=True)

    def _try(self, member: Member, fails_at: int) -> None:
        given = self.given[member.name] = []
        with member.take_part() as beside:
            if beside is None:
                given += self.collection.fetch_window(FULL, None)
            else:
                beside.note_open()
                for batch in beside.share(self.collection, FULL, None):
                    if len(given) == fails_at:
                        raise ConnectionError
                    given.append(batch)
                    self.most_apart = max(self.most_apart, len(given) - min(map(len, self.given.values())))
                beside.await_parents()
            self.ended.append(member.name)


def test_all_are_given_the_same_batches_of_one_reading_and_end_after_their_parents() -> None:
    runs = Runs(Collection())
    assert set(runs.run().values()) == {None}
    assert runs.given == dict.fromkeys(SCHEMA.tables, BATCHES)
    assert runs.collection.read == 1
    assert runs.most_apart <= 1, "a batch is in memory for those alone who are not done with it"
    for name, below in BELOW.items():
        assert all(runs.ended.index(name) < runs.ended.index(other) for other in below)
    assert not [thread for thread in threading.enumerate() if thread.name == "read ahead"]


@settings(max_examples=30)
@given(failing=st.sampled_from(list(SCHEMA.tables)), at=st.integers(0, len(BATCHES) - 1), for_good=st.booleans())
def test_one_that_fails_keeps_back_those_below_it_or_has_them_begin_again(
    failing: str, at: int, for_good: bool
) -> None:
    runs = Runs(Collection())
    errors = runs.run(failing, at, for_good=for_good)
    for name, error in errors.items():
        kept_back = for_good and name in BELOW[failing]
        expected = ConnectionError if for_good and name == failing else KeptBackError if kept_back else type(None)
        assert isinstance(error, expected), name
        assert error is not None or runs.given[name] == BATCHES
    again = 0 if for_good else 1 + len(BELOW[failing])
    assert runs.collection.read == 1 + again


@pytest.mark.parametrize("at", [0, 3])
def test_nobody_takes_a_broken_reading_for_a_whole_one(at: int) -> None:
    errors = Runs(Collection(fails_at=at)).run()
    assert isinstance(errors["top"], ConnectionError)
    assert isinstance(errors["beside"], ConnectionError)
    assert isinstance(errors["middle"], ConnectionError | KeptBackError)
    assert isinstance(errors["bottom"], ConnectionError | KeptBackError)


def test_one_that_does_not_come_is_not_waited_for_and_begins_after_its_parents(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smartdiet_assets.mirror.shared_reading._SECONDS_TO_JOIN", 0.1)
    members = SharedReading(SCHEMA, ["top", "middle"]).members
    collection = Collection()
    with members["top"].take_part() as top:
        assert top is not None
        top.note_open()
        assert list(top.share(collection, FULL, None)) == BATCHES
    members["top"].end(well=True, wrote=True)
    with members["middle"].take_part() as middle:
        assert middle is None
