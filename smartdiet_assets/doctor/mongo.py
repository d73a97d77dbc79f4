"""What is looked at on the MongoDB server itself: that it answers, who we are there, its version, kind and clock."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime

import pymongo
from pymongo.errors import OperationFailure, PyMongoError

from smartdiet_assets.resources.access import choose_prefix
from smartdiet_assets.resources.checking import Finding, Part
from smartdiet_assets.resources.mongo import MongoResource
from smartdiet_assets.resources.mongo_errors import may_pass, translate_mongo_error
from smartdiet_assets.resources.mongo_hello import fetch_hello
from smartdiet_assets.resources.mongo_reading import MongoDatabase
from smartdiet_assets.schema.documents import Document

MONGODB = Part("mongodb")
#: From here on a change stream gives the position that a run goes on from.
_OLDEST = (4, 2)


@dataclass(frozen=True, slots=True)
class MongoFacts:
    """What the server says of itself and of us.

    Attributes:
        version: such as (8, 0, 4); empty where it does not say, or not to us.
        has_streams: whether it is a member of a replica set or a router of a sharded cluster.
        user, user_database: who we are there; empty without a login, None where it does not say.
        clock: its time, read between `asked` and `answered` of ours; all of them with a zone.
    """

    version: tuple[int, ...]
    has_streams: bool
    user: str | None
    user_database: str
    clock: datetime
    asked: datetime
    answered: datetime


def fetch_facts(mongo: MongoResource) -> MongoFacts:
    """Fetch the facts; a server that is away, or falls silent, is given up after its `server_selection_timeout`.

    Raises:
        SmartdietError: the server cannot be reached or refuses, or the URL cannot be used; the message says which.
    """

    def ask(database: MongoDatabase) -> MongoFacts:
        with pymongo.timeout(mongo.server_selection_timeout):
            version = (_ask_aside(database, "buildInfo") or {}).get("versionArray", ())
            status = _ask_aside(database, "connectionStatus")
            asked = datetime.now(UTC)
            hello = fetch_hello(database.client)
            answered = datetime.now(UTC)
        users = (status or {}).get("authInfo", {}).get("authenticatedUsers", [])
        return MongoFacts(
            version=tuple(version[:3]),
            has_streams="setName" in hello or hello.get("msg") == "isdbgrid",
            user=users[0]["user"] if users else None if status is None else "",
            user_database=users[0]["db"] if users else "",
            clock=hello["localTime"].replace(tzinfo=UTC) if "localTime" in hello else answered,
            asked=asked,
            answered=answered,
        )

    try:
        return mongo.read(ask)
    except PyMongoError as error:
        action = f"connecting to {mongo.describe()}"
        raise translate_mongo_error(error, action, prefix=choose_prefix(mongo.access)) from None


def fetch_collections(mongo: MongoResource) -> frozenset[str]:
    """Fetch the names of the collections of the database; only those the user may read, where it may not read all.

    Raises:
        SmartdietError: the server refuses or was lost.
    """

    def list_names(database: MongoDatabase) -> frozenset[str]:
        with pymongo.timeout(mongo.server_selection_timeout):
            return frozenset(database.list_collection_names(authorizedCollections=True, nameOnly=True))

    try:
        return mongo.read(list_names)
    except PyMongoError as error:
        action = f"listing the collections of the database {mongo.spell('database')} of {mongo.describe()}"
        raise translate_mongo_error(error, action, prefix=choose_prefix(mongo.access)) from None


def _ask_aside(database: MongoDatabase, command: str) -> Document | None:
    """Ask what a run does not need to know; None where that is refused, as it may be to whom may only read."""
    try:
        return database.client.admin.command(command)
    except OperationFailure as error:
        if may_pass(error):
            raise
        return None


def judge_server(facts: MongoFacts) -> Finding:
    """Judge the version and the kind of the server."""
    spelled = ".".join(map(str, facts.version)) or "of a version it does not tell"
    if facts.version and facts.version < _OLDEST:
        return MONGODB.warned("version", f"MongoDB {spelled} is older than any the mirror is made for (4.2 and later).")
    kind = "with change streams" if facts.has_streams else "a server alone, without change streams"
    return MONGODB.passed("version", f"MongoDB {spelled}, {kind}.")


def compose_grant(facts: MongoFacts, database: str) -> list[str]:
    """Compose the statement for Mongo's shell that lets the user read the database; none without a login."""
    if not facts.user:
        return []
    role = f'{{role: "read", db: {json.dumps(database)}}}'
    user, place = json.dumps(facts.user), json.dumps(facts.user_database)
    return [f"db.getSiblingDB({place}).grantRolesToUser({user}, [{role}])"]
