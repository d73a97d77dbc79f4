"""What is looked at on the MongoDB server itself: that it answers, who we are there, its version, its kind and clock.

Here: what needs no declared table. Not here: collections and indexes (`checks.collections`), or the check of one
sentence before a run (`mongo`).
"""

from dataclasses import dataclass
from datetime import UTC, datetime

import pymongo
from pymongo.errors import PyMongoError

from smartdiet_assets.resources.access import choose_prefix
from smartdiet_assets.resources.checking import Finding, Part
from smartdiet_assets.resources.mongo import MongoResource
from smartdiet_assets.resources.mongo_errors import translate_mongo_error

MONGODB = Part("mongodb")
#: From here on a change stream gives the position that a run goes on from.
_OLDEST = (4, 2)


@dataclass(frozen=True, slots=True)
class MongoFacts:
    """What the server says of itself and of us.

    Attributes:
        version: such as (8, 0, 4); empty where it does not say.
        has_streams: whether it is a member of a replica set or a router of a sharded cluster.
        user, user_database: who we are there; empty without a login.
        clock: its time, read between `asked` and `answered` of ours; all of them with a zone.
    """

    version: tuple[int, ...]
    has_streams: bool
    user: str
    user_database: str
    clock: datetime
    asked: datetime
    answered: datetime


def fetch_facts(mongo: MongoResource) -> MongoFacts:
    """Fetch the facts; a server that is away, or falls silent, is given up after its `server_selection_timeout`.

    Raises:
        SmartdietError: the server cannot be reached or refuses, or the URL cannot be used; the message says which.
    """
    action = f"connecting to {mongo.describe()}"
    admin = mongo.open_database().client.admin
    try:
        with pymongo.timeout(mongo.server_selection_timeout):
            version = admin.command("buildInfo").get("versionArray", ())
            login = admin.command("connectionStatus").get("authInfo", {}).get("authenticatedUsers", [])
            asked = datetime.now(UTC)
            hello = admin.command("hello")
            answered = datetime.now(UTC)
    except PyMongoError as error:
        raise translate_mongo_error(error, action, prefix=choose_prefix(mongo.access)) from None
    return MongoFacts(
        version=tuple(version[:3]),
        has_streams="setName" in hello or hello.get("msg") == "isdbgrid",
        user=login[0]["user"] if login else "",
        user_database=login[0]["db"] if login else "",
        clock=hello["localTime"].replace(tzinfo=UTC),
        asked=asked,
        answered=answered,
    )


def fetch_collections(mongo: MongoResource) -> frozenset[str]:
    """Fetch the names of the collections of the database; only those the user may read, where it may not read all.

    Raises:
        SmartdietError: the server refuses or was lost.
    """
    database = mongo.open_database()
    try:
        with pymongo.timeout(mongo.server_selection_timeout):
            return frozenset(database.list_collection_names(authorizedCollections=True, nameOnly=True))
    except PyMongoError as error:
        action = f"listing the collections of the database {mongo.database} of {mongo.describe()}"
        raise translate_mongo_error(error, action, prefix=choose_prefix(mongo.access)) from None


def judge_server(facts: MongoFacts) -> Finding:
    """Judge the version and the kind of the server."""
    spelled = ".".join(map(str, facts.version)) or "of an unknown version"
    if facts.version and facts.version < _OLDEST:
        return MONGODB.warned("version", f"MongoDB {spelled} is older than any the mirror is made for (4.2 and later).")
    kind = "with change streams" if facts.has_streams else "a server alone, without change streams"
    return MONGODB.passed("version", f"MongoDB {spelled}, {kind}.")


def compose_grant(facts: MongoFacts, database: str) -> list[str]:
    """Compose the statement for Mongo's shell that lets the user read the database; none without a login."""
    if not facts.user:
        return []
    role = f'{{role: "read", db: "{database}"}}'
    return [f'db.getSiblingDB("{facts.user_database}").grantRolesToUser("{facts.user}", [{role}])']
