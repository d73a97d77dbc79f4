"""One side of a refresh of MongoDB: what the server says about itself, and whether it can be written over."""

from collections.abc import Iterable, Mapping
from typing import Any

from smartdiet_assets.refresh.mongo.listing import CollectionSpec
from smartdiet_assets.refresh.plan import Side
from smartdiet_assets.resources.mongo import MongoResource
from smartdiet_assets.resources.variable_kinds import Place

#: The server's own databases.
_OWN_DATABASES = frozenset({"admin", "config", "local"})


def describe_mongo_side(
    resource: MongoResource, place: Place, hello: Mapping[str, object], collections: Iterable[CollectionSpec]
) -> Side:
    """Describe a side by what its server answered to `hello`, and what is in its database."""
    return Side(
        place,
        resource.describe(),
        tuple(sorted({host for host, _ in resource.client().nodes})),
        resource.database,
        build_identities(resource.database, hello, collections),
    )


def build_identities(database: str, hello: Mapping[str, Any], collections: Iterable[CollectionSpec]) -> frozenset[str]:
    """Build what only this database has.

    Its server's process; and, as source and target may be two members of one replica set, the identities of its
    collections together with the members' addresses. Not the addresses alone: two machines may each have a set `rs0`
    of one member, `localhost:27017`. Nor the identities alone: a copy of the server's files has them too.
    """
    process = hello.get("topologyVersion", {}).get("processId")
    uuids = [spec.uuid.hex() for spec in collections if spec.uuid is not None]
    members = {f"{hello['setName']}/{host}/{uuid}" for host in hello.get("hosts", ()) for uuid in uuids}
    return frozenset({f"{process}/{database}"} if process else ()) | members


def is_router(hello: Mapping[str, object]) -> bool:
    """Whether a server is the router of a sharded cluster."""
    return hello.get("msg") == "isdbgrid"


def find_unfit_target(database: str, hello: Mapping[str, object]) -> str:
    """Say why a database cannot be refreshed; "" where it can."""
    if database in _OWN_DATABASES:
        return f"{database} is a database of MongoDB's own: name another one as the target"
    if is_router(hello):
        return "the target is a sharded cluster, where collections cannot be swapped in as a refresh promises"
    return ""
