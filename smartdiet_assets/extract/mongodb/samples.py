"""Reading documents to look at them: a sample, the ends of a collection, all of them, or some again."""

from collections.abc import Iterator, Sequence

from pymongo import ASCENDING, DESCENDING
from pymongo.database import Database

from smartdiet_assets.extract.mongodb.documents import IDS_PER_QUERY
from smartdiet_assets.extract.mongodb.projection import compose_projection
from smartdiet_assets.schema.documents import Document
from smartdiet_assets.schema.model import DOCUMENT_ID, Table

Query = Document
#: A projection.
Fields = dict[str, int] | None


def fetch_sample(database: Database[Document], tables: Sequence[Table], size: int) -> Iterator[bytes]:
    """Stream documents of the tables' collection that the server picks at random.

    Raises:
        pymongo.errors.PyMongoError: the server refused or was lost.
    """
    stages = [{"$sample": {"size": size}}, {"$project": compose_projection(*tables)}]
    with database[tables[0].mongo_collection].aggregate_raw_batches(stages) as cursor:
        yield from filter(None, cursor)


def fetch_whole(database: Database[Document], tables: Sequence[Table], batch_size: int) -> Iterator[bytes]:
    """Stream all documents of the tables' collection; see `fetch_sample`."""
    cursor = database[tables[0].mongo_collection].find_raw_batches(
        {}, projection=compose_projection(*tables), batch_size=batch_size
    )
    with cursor:
        yield from filter(None, cursor)


def fetch_again(
    database: Database[Document], tables: Sequence[Table], document_ids: Sequence[object]
) -> Iterator[bytes]:
    """Stream the documents with the given ids, those that are still there; see `fetch_sample`."""
    projection = compose_projection(*tables)
    for offset in range(0, len(document_ids), IDS_PER_QUERY):
        chunk = list(document_ids[offset : offset + IDS_PER_QUERY])
        cursor = database[tables[0].mongo_collection].find_raw_batches(
            {DOCUMENT_ID: {"$in": chunk}}, projection=projection, batch_size=IDS_PER_QUERY
        )
        with cursor:
            yield from filter(None, cursor)


def fetch_random(
    database: Database[Document], collection: str, size: int, fields: Fields = None, matching: Query | None = None
) -> Iterator[bytes]:
    """Stream documents that the server picks at random; see `fetch_sample`.

    Args:
        fields: a projection; without one the documents are whole.
        matching: which of the collection's documents.
    """
    stages: list[Query] = [{"$sample": {"size": size}}]
    stages = [{"$match": matching}, *stages] if matching else stages
    stages += [{"$project": fields}] if fields else []
    with database[collection].aggregate_raw_batches(stages) as cursor:
        yield from filter(None, cursor)


def fetch_ends(
    database: Database[Document], collection: str, size: int, fields: Fields = None, matching: Query | None = None
) -> Iterator[bytes]:
    """Stream the first and the last `size` documents in the order of their `_id`; see `fetch_random`.

    ObjectIds are in the order of time, so these are the oldest and the newest.
    """
    for direction in (ASCENDING, DESCENDING):
        order = [(DOCUMENT_ID, direction)]
        with database[collection].find_raw_batches(matching or {}, fields, sort=order, limit=size) as cursor:
            yield from filter(None, cursor)


def fetch_every(
    database: Database[Document], collection: str, batch_size: int, matching: Query | None = None
) -> Iterator[bytes]:
    """Stream all documents of a collection, whole; see `fetch_random`."""
    with database[collection].find_raw_batches(matching or {}, batch_size=batch_size) as cursor:
        yield from filter(None, cursor)
