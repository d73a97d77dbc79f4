"""One refresh of a database at a time: a document in the target says whose turn it is.

The document is renewed while the refresh runs. It gives way when the process it names is gone from this machine, or
when it was not renewed for two minutes by the server's clock.
"""

import os
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

from pymongo.errors import DuplicateKeyError, PyMongoError

from smartdiet_assets.errors import RefreshError, TransientError
from smartdiet_assets.refresh.mongo.swap import BOOKKEEPING
from smartdiet_assets.resources.mongo_hello import fetch_server_clock
from smartdiet_assets.resources.mongo_reading import MongoDatabase
from smartdiet_assets.schema.documents import Document

_LOCK = {"_id": "lock"}
_SECONDS_BETWEEN_BEATS = 15.0
_STALE = timedelta(minutes=2)
#: Of the refreshes that run in this process. One that lost its server could not give its turn back.
_running: set[str] = set()


Insist = Callable[[Callable[[], object]], object]


class RefreshLock:
    """The turn of one refresh, as held by this process."""

    def __init__(self, database: MongoDatabase) -> None:
        self._database = database
        self._token = uuid.uuid4().hex
        self._ended = threading.Event()

    def require(self) -> None:
        """Make sure that the turn is still ours.

        Raises:
            RefreshError: another refresh took it, as this one gave no sign of life.
        """
        if not self._beat():
            raise RefreshError("another refresh of this database began meanwhile")

    def take(self) -> str:
        """Take the turn; says who has it where another refresh does, "" where it is ours now."""
        collection = self._database[BOOKKEEPING]
        mine = {"token": self._token, "host": socket.gethostname(), "pid": os.getpid()}
        try:
            collection.update_one(
                {**_LOCK, "token": self._token}, {"$set": mine, "$currentDate": {"at": True}}, upsert=True
            )
        except DuplicateKeyError:
            holder = collection.find_one(_LOCK) or {}
            if not self._is_gone(holder):
                return (
                    f"another refresh of this database is running: process {holder.get('pid')} of {holder.get('host')}"
                )
            taken = collection.update_one(
                {**_LOCK, "token": holder.get("token")}, {"$set": mine, "$currentDate": {"at": True}}
            )
            if not taken.matched_count:
                return "another refresh of this database has just begun"
        _running.add(self._token)
        return ""

    def renew_until_released(self) -> None:
        """Give a sign of life now and then, until `release`."""
        while not self._ended.wait(_SECONDS_BETWEEN_BEATS):
            # Whether the turn was lost is asked before the swap.
            with suppress(PyMongoError):
                self._beat()

    def release(self) -> None:
        """Give the turn back, and leave nothing of it."""
        self._ended.set()
        _running.discard(self._token)
        collection = self._database[BOOKKEEPING]
        collection.delete_one({**_LOCK, "token": self._token})
        if collection.find_one({}, {"_id": 1}) is None:
            collection.drop()

    def _beat(self) -> bool:
        mine = {**_LOCK, "token": self._token}
        return self._database[BOOKKEEPING].update_one(mine, {"$currentDate": {"at": True}}).matched_count == 1

    def _is_gone(self, holder: Document) -> bool:
        if holder.get("host") == socket.gethostname():
            pid = int(holder.get("pid", 0))
            if holder.get("token") not in _running if pid == os.getpid() else not _is_running(pid):
                return True
        at = holder.get("at")
        return at is None or fetch_server_clock(self._database) - at > _STALE


@contextmanager
def hold_lock(database: MongoDatabase, insist: Insist) -> Iterator[RefreshLock]:
    """Hold the turn for a block.

    Args:
        insist: tries again what may pass: `MongoResource.insist`.

    Raises:
        TransientError: another refresh has it.
        pymongo.errors.PyMongoError: the server refused or was lost.
    """
    lock = RefreshLock(database)
    if holder := insist(lock.take):
        raise TransientError(holder)
    thread = threading.Thread(target=lock.renew_until_released, name="refresh-lock", daemon=True)
    thread.start()
    try:
        yield lock
    finally:
        # A server that is lost has its lock until it is stale.
        with suppress(PyMongoError):
            insist(lock.release)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return pid > 0
