"""What a MongoDB server says of itself when it is greeted, and its clock."""

from datetime import UTC, datetime
from typing import Any

from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import OperationFailure

from smartdiet_assets.errors import ReadFailedError
from smartdiet_assets.resources.mongo_errors import NOT_OFFERED


def fetch_hello(client: MongoClient[dict[str, Any]]) -> dict[str, Any]:
    """Greet a server; one that does not know `hello` is greeted as of old.

    Raises:
        pymongo.errors.PyMongoError: the server refused or was lost.
    """
    try:
        return client.admin.command("hello")
    except OperationFailure as error:
        if error.code not in NOT_OFFERED:
            raise
        return client.admin.command("isMaster")


def fetch_server_clock(database: Database[dict[str, Any]]) -> datetime:
    """Fetch the server's own time, naive UTC.

    Raises:
        ReadFailedError: the server does not tell it.
        pymongo.errors.PyMongoError: the server refused or was lost.
    """
    clock = fetch_hello(database.client).get("localTime")
    if not isinstance(clock, datetime):
        raise ReadFailedError("reading MongoDB's clock failed: the server does not tell its time")
    return clock.astimezone(UTC).replace(tzinfo=None) if clock.tzinfo else clock
