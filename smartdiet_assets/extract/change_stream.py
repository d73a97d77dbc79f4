"""Reading a collection's change stream: which documents changed since a position, and the position to go on from.

Here: opening the stream, reading it up to now, and what its endings mean. Not here: reading the changed documents
(`extract.documents`), keeping the position (`load.sync_state`).

A position is what the server calls a resume token. Reading never waits for a change: the stream is read until the
server has no more, or up to the server's time when it was opened, so that a busy writer does not hold the run.
The session is causally consistent: what is read in it after the stream is never older than what the stream told,
also from a secondary.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bson import Timestamp, json_util
from pymongo.change_stream import ChangeStream
from pymongo.client_session import ClientSession
from pymongo.database import Database
from pymongo.errors import OperationFailure

from smartdiet_assets.errors import ConfigurationError, PositionLostError, SourceBehindError
from smartdiet_assets.extract.documents import ID_OPTIONS
from smartdiet_assets.schema.document_id import encode_document_id
from smartdiet_assets.schema.model import DOCUMENT_ID, Table

#: Events per batch of the server, and per `Changes`. An event is the id of a document and little more.
EVENTS_PER_BATCH = 1000
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
    136: "the server's oplog no longer reaches back to it",  # CappedPositionLost, up to 4.0
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
_UNSUPPORTED = frozenset({20, 59, 115, 238, 303, 40324, 40573})

Documents = Database[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class ChangePosition:
    """A place in the stream of one collection.

    Attributes:
        namespace: the collection with its database, `db.collection`.
        token: the server's resume token.
        time: the server's time the position stands for at least.
    """

    namespace: str
    token: Mapping[str, Any]
    time: Timestamp

    def to_text(self) -> str:
        """Write the position as one line of canonical extended JSON."""
        content = {"namespace": self.namespace, "time": self.time, "token": self.token}
        return json_util.dumps(content, json_options=json_util.CANONICAL_JSON_OPTIONS)

    @classmethod
    def from_text(cls, text: str) -> "ChangePosition":
        """Read back what `to_text` wrote.

        Raises:
            ValueError: the text is something else.
        """
        match json_util.loads(text, json_options=json_util.CANONICAL_JSON_OPTIONS):
            case {"namespace": str(namespace), "token": dict(token), "time": Timestamp() as time}:
                return cls(namespace, token, time)
        raise ValueError("not a position in a change stream")


@dataclass(frozen=True, slots=True)
class Changes:
    """Some events of the stream.

    Attributes:
        changed: the encoded ids of documents that were inserted or changed, each once.
        deleted: those of documents that were deleted, each once; a document may be among both.
        events: how many events they were.
        position: where to go on after them.
    """

    changed: list[str]
    deleted: list[str]
    events: int
    position: str


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
            return _compose_position(database, table, token, session)
    except OperationFailure as error:
        raise _translate_refusal(error, table) from None


def fetch_changes(database: Documents, table: Table, position: str, session: ClientSession) -> Iterator[Changes]:
    """Stream what changed after a position up to now, at least one `Changes`, also of no events.

    Raises:
        PositionLostError: the stream cannot be read on from the position.
        SourceBehindError: the server has not come as far as the position.
        ConfigurationError: the server has no change streams.
        pymongo.errors.PyMongoError: the server refused or was lost.
    """
    start = _read_position(database, table, position)
    try:
        with _watch(database, table, session, start.token) as stream:
            now = session.operation_time
            if now is not None and now < start.time:
                raise SourceBehindError(table.name, table.mongo_collection)
            yield from _fetch_up_to(now, stream, database, table, session)
    except OperationFailure as error:
        raise _translate_refusal(error, table) from None


def _fetch_up_to(
    now: Timestamp | None,
    stream: ChangeStream[dict[str, Any]],
    database: Documents,
    table: Table,
    session: ClientSession,
) -> Iterator[Changes]:
    changed: set[str] = set()
    deleted: set[str] = set()
    events = 0
    while True:
        token = stream.resume_token
        event = stream.try_next()
        if event is None:
            # Nothing came with the last answer: the server has looked through all it has.
            token = stream.resume_token
        kind = event["operationType"] if event else ""
        if kind in _ENDINGS or not stream.alive:
            raise _compose_lost(table, _ENDINGS.get(kind, "the stream has ended"))
        if event is None or (now is not None and event["clusterTime"] > now):
            position = _compose_position(database, table, token, session, now)
            yield Changes(sorted(changed), sorted(deleted), events, position)
            return
        if kind in _CHANGES:
            fate = deleted if kind == "delete" else changed
            fate.add(encode_document_id(event["documentKey"][DOCUMENT_ID]))
            events += 1
        if events == EVENTS_PER_BATCH:
            position = _compose_position(database, table, stream.resume_token, session, now)
            yield Changes(sorted(changed), sorted(deleted), events, position)
            changed, deleted, events = set(), set(), 0


def _watch(
    database: Documents, table: Table, session: ClientSession, token: Mapping[str, Any] | None = None
) -> ChangeStream[dict[str, Any]]:
    collection = database.get_collection(table.mongo_collection, codec_options=ID_OPTIONS)
    # The shortest wait there is: a server that has no more says so at once.
    return collection.watch(
        _PIPELINE, resume_after=token, batch_size=EVENTS_PER_BATCH, max_await_time_ms=1, session=session
    )


def _compose_position(
    database: Documents,
    table: Table,
    token: Mapping[str, Any] | None,
    session: ClientSession,
    time: Timestamp | None = None,
) -> str:
    time = time or session.operation_time
    if token is None or time is None:
        raise ConfigurationError(
            f"{table.name}: the server gives no position in the change stream of {table.mongo_collection}; "
            "capture: change_stream needs MongoDB 4.2 or later, in a replica set"
        )
    return ChangePosition(_compose_namespace(database, table), token, time).to_text()


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


def _translate_refusal(error: OperationFailure, table: Table) -> Exception:
    """Choose our error for a refusal that says something about streams; any other one is for the common boundary."""
    if error.code in _LOST:
        return _compose_lost(table, _LOST[error.code])
    if error.code in _UNSUPPORTED:
        return ConfigurationError(
            f"{table.name}: the server offers no change stream of {table.mongo_collection}; run MongoDB as a replica "
            "set (--replSet and rs.initiate(), one member is enough), or declare capture: dates for the collection"
        )
    return error
