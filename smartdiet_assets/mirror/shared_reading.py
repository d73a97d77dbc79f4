"""One reading of a collection for several of its tables, whose runs go on side by side, each in its thread.

Here: who takes part, which of them read the same, and when each may go on. Not here: what a run does (`table_run`), and
what a load must not ask for meanwhile (`load.beside`).

Each run has its transaction. All open it, parents first, and say what they read; those that read the same window are
given the same batches, each batch once all have taken the one before. A run concludes once those of its parents have
committed. A run whose first try is in vain, or that needs its relatives' tables for itself, begins again by itself,
after its parents and without anybody beside it; so do those below it.
"""

from collections.abc import Generator, Hashable, Iterator, Sequence
from contextlib import contextmanager
from enum import Enum, auto
from typing import Any, Protocol, Self

from smartdiet_assets.extract.window import Window
from smartdiet_assets.load.beside import ReadsAloneError
from smartdiet_assets.mirror.failures import KeptBackError
from smartdiet_assets.mirror.read_ahead import read_ahead
from smartdiet_assets.mirror.shared_stream import Meeting, Stream
from smartdiet_assets.schema.model import Schema

#: How long those that are ready wait for one that is not: its table may be another run's.
_SECONDS_TO_JOIN = 10.0


class SharedSource(Protocol):
    """A source that can be read for others of its collection too."""

    def tell_window(self, window: Window) -> Hashable:
        """Tell what a window reads, equal for those that can be read as one; None where it is to be read alone."""

    def fetch_together(self, others: Sequence[Any], window: Window) -> Generator[Any]:
        """Stream the batches of a window, with all that the other sources need."""

    def decode(self, batch: Any) -> Any:
        """Decode a batch into what each of them takes."""


class _State(Enum):
    #: Not begun yet; open, with its lock; by itself, later or now; over.
    COMING, OPEN, ALONE, DONE, FAILED = auto(), auto(), auto(), auto(), auto()


_OVER = (_State.DONE, _State.FAILED)


class SharedReading(Meeting):
    """The runs of some tables of a collection.

    Args:
        names: the tables, parents first.
    """

    def __init__(self, schema: Schema, names: Sequence[str]) -> None:
        super().__init__()
        self.members = {name: Member(self, name) for name in names}
        for member in self.members.values():
            above = set(schema.ancestors(member.name))
            member.above = [other for other in self.members.values() if other.name in above]
            member.kept_by = {parent for parent in schema.tables[member.name].parents if parent in self.members}
            for other in member.above:
                other.below.append(member)
        self._asked: dict[Member, tuple[SharedSource, Window]] = {}
        self._streams: dict[Member, Stream] | None = None
        #: Those whose first load is one in shards; the first of them copies, also for the others.
        self.copying: list[Member] = []

    def note(self, member: "Member", state: _State) -> None:
        """Note what a member does now, and wake those that wait for it."""
        with self.changed:
            member.state = state
            self.changed.notify_all()

    def join(self, member: "Member", source: SharedSource, window: Window) -> Stream | None:
        """Wait until all are ready to read; give the stream to read from, None for who reads by itself.

        Raises:
            ReadsAloneError: the others began without it, or those above are not beside it.
        """
        with self.changed:
            if self._streams is None:
                self._asked[member] = (source, window)
                self.changed.notify_all()
                self.wait(lambda: self._streams is not None or self._all_asked(), _SECONDS_TO_JOIN)
            if self._streams is None:
                self._close()
            assert self._streams is not None
            if member not in self._asked and member.related:
                raise ReadsAloneError
            member.check()
            return self._streams.get(member)

    def _all_asked(self) -> bool:
        waited_for = [m for m in self.members.values() if m.state in (_State.COMING, _State.OPEN)]
        return all(member in self._asked for member in waited_for)

    def _close(self) -> None:
        """Go on with those that asked; the others begin later."""
        self._streams = {}
        alike: dict[Hashable, list[Member]] = {}
        for member in self.members.values():
            if member not in self._asked:
                if member.state not in _OVER:
                    member.state = _State.ALONE
            elif member.state == _State.OPEN:
                source, window = self._asked[member]
                if (key := source.tell_window(window)) is not None:
                    alike.setdefault(key, []).append(member)
        for members in alike.values():
            if len(members) > 1:
                (first, window), *others = (self._asked[member] for member in members)
                batches = first.fetch_together([source for source, _ in others], window)
                stream = Stream(self, members, batches, first.decode)
                self._streams.update(dict.fromkeys(members, stream))
        self.changed.notify_all()


class Member:
    """The run of one table beside others of its collection; see `load.beside.Beside`."""

    def __init__(self, reading: SharedReading, name: str) -> None:
        self.name = name
        self.state = _State.COMING
        self.above: list[Member] = []
        self.below: list[Member] = []
        self.kept_by: set[str] = set()
        self.stream: Stream | None = None
        #: Whether the run wrote anything that those below have to see.
        self.wrote = False
        self._reading = reading

    @property
    def parents(self) -> frozenset[str]:
        return frozenset(member.name for member in self.above if member.state not in _OVER)

    @property
    def related(self) -> frozenset[str]:
        return frozenset(member.name for member in (*self.above, *self.below))

    def holds(self, table: str) -> bool:
        return any(member.name == table and member.state == _State.OPEN for member in self.below)

    @contextmanager
    def take_part(self) -> Iterator[Self | None]:
        """Be beside the others for the first try; any further one is by itself, after those above, and gets None.

        Raises:
            KeptBackError: a table above failed.
        """
        if not self._begin():
            yield None
            return
        try:
            yield self
        except BaseException:
            self._reading.note(self, _State.ALONE)
            raise
        finally:
            if self.stream is not None:
                self.stream.drop(self)

    def _begin(self) -> bool:
        """Wait until the run may begin; whether that is beside the others."""
        reading = self._reading
        with reading.changed:
            if self.state == _State.COMING:
                # Parents first: who waits for a table's lock has none below it.
                reading.wait(lambda: self.state != _State.COMING or all(m.state != _State.COMING for m in self.above))
                self._check_kept()
                if self.state == _State.COMING and not self._is_left():
                    return True
                self.state = _State.ALONE
                reading.changed.notify_all()
            reading.wait(lambda: all(member.state in _OVER for member in self.above))
            self._check_kept()
            reading.wait(lambda: all(member.state != _State.OPEN for member in self.below))
            return False

    def note_open(self) -> None:
        """Note that the table's lock is held."""
        if self.state == _State.COMING:
            self._reading.note(self, _State.OPEN)

    def check(self) -> None:
        """Check that the run can go on beside those above.

        Raises:
            KeptBackError: one of them failed.
            ReadsAloneError: one of them begins again, or the others began without this one.
        """
        self._check_kept()
        if self.state == _State.ALONE or self._is_left():
            raise ReadsAloneError

    def _is_left(self) -> bool:
        return any(member.state == _State.ALONE for member in self.above)

    def _check_kept(self) -> None:
        if any(member.name in self.kept_by and member.state == _State.FAILED for member in self.above):
            raise KeptBackError

    def share(self, source: Any, window: Window, after_key: object) -> Generator[Any]:
        """Stream the batches of a window, read for others too where they read the same."""
        self.stream = self._reading.join(self, source, window)
        if self.stream is None:
            return read_ahead(source.fetch_window(window, after_key))
        return self.stream.take_all(self)

    @contextmanager
    def take_turn(self) -> Iterator[None]:
        """Copy shards while none of the others does, once it is known which of them are to be copied too."""
        reading = self._reading
        try:
            with reading.changed:
                reading.copying.append(self)
                reading.wait(lambda: reading.copying[0] is self)
                reading.wait(
                    lambda: all(other.state != _State.COMING for other in reading.members.values()), _SECONDS_TO_JOIN
                )
            yield
        finally:
            with reading.changed:
                reading.copying.remove(self)
                reading.changed.notify_all()

    def list_waiting(self) -> "list[Member]":
        """List those that hold nothing while this one copies: who waits for its turn, and all below."""
        reading = self._reading
        with reading.changed:
            waiting = {other for member in reading.copying for other in (member, *member.below)} - {self}
            return [m for m in reading.members.values() if m in waiting and m.state == _State.ALONE]

    def await_parents(self) -> bool:
        """Wait until those above are over; whether any of them wrote anything.

        Raises:
            KeptBackError, ReadsAloneError: see `check`.
        """
        with self._reading.changed:
            self._reading.wait(
                lambda: all(m.state in _OVER for m in self.above) or any(m.state == _State.ALONE for m in self.above)
            )
            self.check()
        return any(member.wrote for member in self.above)

    def end(self, *, well: bool, wrote: bool = False) -> None:
        """End for good."""
        self.wrote = wrote
        self._reading.note(self, _State.DONE if well else _State.FAILED)
