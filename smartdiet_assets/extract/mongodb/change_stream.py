"""Reading a collection's change stream: which documents changed since a position, and the position to go on from.

A position is what the server calls a resume token. Reading never waits for a change: the stream is read up to the
server's time when it was opened, so that a busy writer does not hold the run. That the server has no more to say does
not mean that it got there: the router of a sharded cluster says so while it waits for its shards. Tokens tell the time
they stand for.
The session is causally consistent: what is read in it after the stream is never older than what the stream told,
also from a secondary.
"""

import time
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from bson import Timestamp
from pymongo.change_stream import ChangeStream
from pymongo.client_session import ClientSession
from pymongo.database import Database
from pymongo.errors import OperationFailure

from smartdiet_assets.errors import ConfigurationError, PositionLostError, SourceBehindError
from smartdiet_assets.extract.mongodb.change_position import ChangePosition, read_token_time
from smartdiet_assets.extract.mongodb.documents import ID_OPTIONS
from smartdiet_assets.schema.document_id import encode_document_id
from smartdiet_assets.schema.documents import Document
from smartdiet_assets.schema.model import DOCUMENT_ID, Table

#: Events per batch of the server, and per `Changes`. An event is the id of a document and little more.
EVENTS_PER_BATCH = 1000
#: Seconds without any progress after which a run goes on without the rest. A shard without writes gives a sign of life
#: every 10 seconds.
PATIENCE = 15.0
#: Seconds between two questions to a server that has nothing to say yet.
_PAUSE = 0.05
#: Without the documents: an event that carries one may be too large for the server to send.
_PIPELINE = [{"$project": {"operationType": 1, "documentKey": 1, "clusterTime": 1}}]
_CHANGES = frozenset({"insert", "update", "replace", "delete"})
#: What happens to the collection as a whole; the stream ends with it.
_ENDINGS = {
    "drop": "the collection was dropped",
    "rename": "the collection was renamed",
    "dropDatabase": "the database was dropped",
    "invalidate": "the collection was dropped or renamed",
}
#: The refusals that mean: there is no way on from this position.
_LOST = {
    286: "the server's oplog no longer reaches back to it",  # ChangeStreamHistoryLost
    280: "the server cannot continue from it",  # ChangeStreamFatalError; up to 4.2 also for a lost history
    260: "the server does not know it",  # InvalidResumeToken
    222: "the stream was closed by the server",  # CloseChangeStream
    9: "the server cannot read it",  # FailedToParse
    40585: "the server does not know it",
    40647: "the server cannot read it",
    40649: "the server cannot read it",
    50811: "the server cannot read it",
    10334: "the next change is too large for an event",  # BSONObjectTooLarge
}
#: The refusals of servers that have no change streams: a server outside of a replica set above all.
_ON_A_VIEW = 166
_UNSUPPORTED = frozenset({20, 59, 115, _ON_A_VIEW, 238, 303, 376, 40324, 40573})

Documents = Database[Document]


@dataclass(frozen=True, slots=True)
class Changes:
    """Some events of the stream.

    Attributes:
        changed: the encoded ids of documents that were inserted or changed, each once.
        deleted: those of documents that were deleted, each once; a document may be among both.
        events: how many events they were.
        position: where to go on after them.
        behind: the server's time the stream was read up to, where that is not the one when it was opened; naive UTC.
    """

    changed: list[str]
    deleted: list[str]
    events: int
    position: str
    behind: datetime | None = None


def open_position(database: Documents, table: Table, session: ClientSession) -> str:
    """Open the stream as it is now and give the position: whatever changes from here on comes after it.

    Raises:
        ConfigurationError: the server has no change streams.
        pymongo.errors.PyMongoError: the server refused or was lost.
    """
    try:
        with _watch(database, table, session) as stream:
            # A change that is already in the answer is before the reads that follow.
            token = stream.resume_token or (stream.try_next() and stream.resume_token)
            return _compose_position(table, _compose_namespace(database, table), token, session.operation_time)
    except OperationFailure as error:
        if error.code in _UNSUPPORTED:
            raise _compose_unsupported(error, table) from None
        raise


def fetch_changes(
    database: Documents, table: Table, position: str, session: ClientSession, *, patience: float = PATIENCE
) -> Iterator[Changes]:
    """Stream what changed after a position up to now, at least one `Changes`, also of no events.

    Args:
        patience: how long a server is asked that gets no nearer to now, in seconds.

    Raises:
        PositionLostError: the stream cannot be read on from the position.
        SourceBehindError: the server has not come as far as the position.
        ConfigurationError: the server has no change streams.
        pymongo.errors.PyMongoError: the server refused or was lost.
    """
    start = _read_position(database, table, position)
    reader: _Reader | None = None
    token: Mapping[str, object] | None = start.token
    try:
        while token is not None:
            with _watch(database, table, session, token) as stream:
                if reader is None:
                    now = session.operation_time
                    if now is not None and now < start.time:
                        raise SourceBehindError(table.name, table.mongo_collection)
                    reader = _Reader(table, session, start, now, patience)
                token = yield from reader.read(stream)
    except OperationFailure as error:
        if error.code in _LOST:
            raise _compose_lost(table, _LOST[error.code]) from None
        if error.code in _UNSUPPORTED:
            raise _compose_unsupported(error, table) from None
        raise


class _Reader:
    """Reads a stream, opened once or several times, up to the server's time when it was opened first."""

    def __init__(
        self, table: Table, session: ClientSession, start: ChangePosition, now: Timestamp | None, patience: float
    ) -> None:
        self._table = table
        self._session = session
        self._namespace = start.namespace
        self._now = now
        self._patience = patience
        self._reached = start.time
        self._progress = time.monotonic()
        self._changed: set[str] = set()
        self._deleted: set[str] = set()
        self._events = 0

    def read(self, stream: ChangeStream[Document]) -> Generator[Changes, None, Mapping[str, object] | None]:
        """Stream what comes; returns the token to open the stream anew from, None at the end.

        A stream that has nothing more to say after some events is opened anew once: that tells on any server whether
        there is more.
        """
        told_any = False
        while True:
            token = stream.resume_token
            event = stream.try_next()
            if event is None:
                # Nothing came with the last answer, and it was looked for up to here.
                token = stream.resume_token
            kind = event["operationType"] if event else ""
            if kind in _ENDINGS or not stream.alive:
                raise _compose_lost(self._table, _ENDINGS.get(kind, "the stream has ended"))
            if event is not None and (self._now is None or event["clusterTime"] <= self._now):
                told_any = True
                self._note(kind, event)
                if self._events == EVENTS_PER_BATCH:
                    yield self._take(stream.resume_token, self._reached)
            elif event is not None or self._is_there(token):
                yield self._take(token, self._now)
                return None
            elif told_any:
                return token
            elif time.monotonic() - self._progress >= self._patience:
                behind = self._reached.as_datetime().replace(tzinfo=None)
                yield replace(self._take(token, self._reached), behind=behind)
                return None
            else:
                time.sleep(_PAUSE)

    def _note(self, kind: str, event: Mapping[str, Any]) -> None:
        self._advance(event["clusterTime"])
        if kind in _CHANGES:
            fate = self._deleted if kind == "delete" else self._changed
            fate.add(encode_document_id(event["documentKey"][DOCUMENT_ID]))
            self._events += 1

    def _is_there(self, token: Mapping[str, object] | None) -> bool:
        """Whether a token of a stream that has no more to say stands for the moment to read up to, or later."""
        told = read_token_time(token)
        if self._now is None or told is None:
            return True
        self._advance(told)
        return told >= self._now

    def _advance(self, told: Timestamp) -> None:
        if told > self._reached:
            self._reached, self._progress = told, time.monotonic()

    def _take(self, token: Mapping[str, object] | None, reached: Timestamp | None) -> Changes:
        position = _compose_position(self._table, self._namespace, token, reached or self._session.operation_time)
        taken = Changes(sorted(self._changed), sorted(self._deleted), self._events, position)
        self._changed, self._deleted, self._events = set(), set(), 0
        return taken


def _watch(
    database: Documents, table: Table, session: ClientSession, token: Mapping[str, object] | None = None
) -> ChangeStream[Document]:
    collection = database.get_collection(table.mongo_collection, codec_options=ID_OPTIONS)
    # The shortest wait there is: a server that has no more says so at once.
    return collection.watch(
        _PIPELINE, resume_after=token, batch_size=EVENTS_PER_BATCH, max_await_time_ms=1, session=session
    )


def _compose_position(
    table: Table, namespace: str, token: Mapping[str, object] | None, reached: Timestamp | None
) -> str:
    if token is None or reached is None:
        raise ConfigurationError(
            f"{table.name}: the server gives no position in the change stream of {table.mongo_collection}; "
            "capture: change_stream needs MongoDB 4.2 or later, in a replica set"
        )
    return ChangePosition(namespace, token, reached).to_text()


def _read_position(database: Documents, table: Table, text: str) -> ChangePosition:
    try:
        position = ChangePosition.from_text(text)
    except ValueError:
        raise _compose_lost(table, "what was stored cannot be read") from None
    if position.namespace != _compose_namespace(database, table):
        raise _compose_lost(table, "it belongs to another database or collection")
    return position


def _compose_namespace(database: Documents, table: Table) -> str:
    return f"{database.name}.{table.mongo_collection}"


def _compose_lost(table: Table, reason: str) -> PositionLostError:
    return PositionLostError(table.name, table.mongo_collection, reason, deletes=table.on_delete != "keep")


def _compose_unsupported(error: OperationFailure, table: Table) -> ConfigurationError:
    if error.code == _ON_A_VIEW:
        return ConfigurationError(
            f"{table.name}: {table.mongo_collection} is a view, of which there is no change stream; declare"
            " capture: dates for it"
        )
    return ConfigurationError(
        f"{table.name}: the server offers no change stream of {table.mongo_collection}; run MongoDB as a replica "
        "set (--replSet and rs.initiate(), one member is enough), or declare capture: dates for the collection"
    )
