"""Reading all collections as they were at one moment, where the server can."""

from collections.abc import Iterator
from contextlib import contextmanager

from bson.timestamp import Timestamp
from pymongo.client_session import ClientSession
from pymongo.errors import OperationFailure

from smartdiet_assets.resources.mongo_errors import may_pass
from smartdiet_assets.resources.mongo_reading import MongoDatabase

#: A moment no server can still show.
_LONG_AGO = Timestamp(1, 1)
SNAPSHOT_TOO_OLD = 239
#: That, and SnapshotUnavailable.
SNAPSHOT_LOST = frozenset({SNAPSHOT_TOO_OLD, 246})
#: What a server answers about a moment it cannot show, which proves that it looked: the above and InvalidOptions.
_REFUSALS = SNAPSHOT_LOST | {72}


def find_snapshot_obstacle(database: MongoDatabase, collection: str) -> str:
    """Say in a few words why a server cannot show all collections as of one moment; "" where it can.

    Asks for a snapshot, then for one of a moment long ago: a server that answers that with documents takes the
    words and does not heed them.

    Raises:
        pymongo.errors.PyMongoError: the server was lost.
    """
    find = {"find": collection, "filter": {}, "projection": {"_id": 1}, "limit": 1, "singleBatch": True}
    try:
        answer = database.command({**find, "readConcern": {"level": "snapshot"}})
    except OperationFailure as error:
        if may_pass(error) and error.code not in SNAPSHOT_LOST:
            raise
        return f"it is no replica set, or too old (MongoDB error {error.code})"
    if "atClusterTime" not in answer.get("cursor", {}):
        return "it does not tell the moment of a snapshot"
    try:
        database.command({**find, "readConcern": {"level": "snapshot", "atClusterTime": _LONG_AGO}})
    except OperationFailure as error:
        if may_pass(error) and error.code not in SNAPSHOT_LOST:
            raise
        return "" if error.code in _REFUSALS else f"MongoDB error {error.code}"
    return "it shows what is there now whatever moment is asked for"


@contextmanager
def open_snapshot(database: MongoDatabase) -> Iterator[ClientSession]:
    """Open the session of reads whose first one sets the moment for the others."""
    with database.client.start_session(snapshot=True) as session:
        yield session
