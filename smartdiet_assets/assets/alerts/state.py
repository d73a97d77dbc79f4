"""What is remembered from tick to tick: what is wrong and was told, what is to be sent, and how far runs were read.

It is kept in the instance, in its store of what daemons remember, and written there at once: a sensor's own cursor is
written only when its tick is over, so that a process killed after it sent something would send it again.
It holds names and our sentences; never a value of a document, nor where the messages go.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

import dagster as dg

from smartdiet_assets.assets.memory import Memory

#: What can be wrong; `server` is one that is away for runs, or for the sensor itself.
Kind = Literal["run", "server", "check", "rejects", "stale"]
Moment = Literal["problem", "over"]


class Cause(Memory):
    """Something that is wrong, and was told.

    Attributes:
        name: of the server, for those of `server`; what joins it later is no news.
        told: what was said, by subject: tables, checks of tables, steps.
        left: the subjects that are still wrong.
    """

    identity: str
    kind: Kind
    name: str = ""
    since: datetime
    told: Mapping[str, str]
    left: tuple[str, ...]


class Message(Memory):
    """One message, as it is to be sent."""

    identity: str
    cause: str
    moment: Moment
    kind: Kind
    subjects: tuple[str, ...]
    title: str
    lines: tuple[str, ...] = ()
    at: datetime


class AlertState(Memory):
    """All of it.

    Attributes:
        started: when the sensor was started that went through the runs of before; None before the first time.
        looked: when runs were last looked at.
        read: the runs that were read a while before that, each with when: one may be seen later than it ended.
        ends: by subject, when the last run ended (seconds since 1970) that said something of it.
        causes: what is wrong, the oldest first.
        pending: what is to be sent, in order.
        dropped: how many causes were left out of that since something was sent, as they were over by then.
        tries: how often the first of them was tried in vain; not again before `next_try`.
        away: servers that did not answer the sensor, each since when.
        asked: when the sources were last asked about tables that have not run for long.
    """

    started: float | None = None
    looked: datetime | None = None
    read: Mapping[str, datetime] = {}
    ends: Mapping[str, float] = {}
    causes: tuple[Cause, ...] = ()
    pending: tuple[Message, ...] = ()
    dropped: int = 0
    tries: int = 0
    next_try: datetime | None = None
    away: Mapping[str, datetime] = {}
    asked: datetime | None = None

    def list_left(self, kind: Kind, name: str = "") -> set[str]:
        """List what is wrong of a kind."""
        return {one for cause in self.causes if (cause.kind, cause.name) == (kind, name) for one in cause.left}


class StateStore:
    """Where the state of one sensor is kept in an instance."""

    def __init__(self, instance: dg.DagsterInstance, sensor: str, location: str | None) -> None:
        # The one store of the instance that a key and a text go to at once. It is the storage of runs, which moves to
        # PostgreSQL with them.
        self._storage = instance.daemon_cursor_storage
        self._key = f"smartdiet/{sensor}/{location or ''}"

    def load(self) -> AlertState:
        return AlertState.parse(self._storage.get_cursor_values({self._key}).get(self._key))

    def save(self, state: AlertState) -> None:
        self._storage.set_cursor_values({self._key: state.dump()})
