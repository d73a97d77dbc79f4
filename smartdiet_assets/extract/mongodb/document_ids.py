"""Reading only the `_id`s of a collection: all of them, or those of a list that are there.

Here: the two queries, as raw BSON batches of documents that hold an `_id` and nothing else.
"""

from collections.abc import Iterator, Sequence

from pymongo import ASCENDING, ReadPreference
from pymongo.database import Database

from smartdiet_assets.errors import CollectionNotFoundError
from smartdiet_assets.extract.mongodb.documents import IDS_PER_QUERY
from smartdiet_assets.schema.documents import Document
from smartdiet_assets.schema.model import DOCUMENT_ID

#: Ids of one batch, about half a megabyte.
_IDS_PER_BATCH = 20_000
_ONLY_IDS = {DOCUMENT_ID: 1}


def fetch_ids(database: Database[Document], collection: str) -> Iterator[bytes]:
    """Stream the ids of all documents, in their order.

    In the order of its index no document is passed over because others move, and the index alone answers.

    Raises:
        CollectionNotFoundError: there is no such collection; to MongoDB it would be an empty one.
        pymongo.errors.PyMongoError: the server refused or was lost.
    """
    # Without the right to list everything, only the collections the user may read.
    names = database.list_collection_names(authorizedCollections=True, nameOnly=True)
    if collection not in names:
        raise CollectionNotFoundError(
            f"the database {database.name} has no collection {collection}, or the user may not read it;"
            " its rows were left alone (an empty collection of that name would say that all documents are gone)"
        )
    cursor = database[collection].find_raw_batches(
        {}, projection=_ONLY_IDS, sort=[(DOCUMENT_ID, ASCENDING)], batch_size=_IDS_PER_BATCH
    )
    with cursor:
        yield from filter(None, cursor)


def find_ids(database: Database[Document], collection: str, document_ids: Sequence[object]) -> Iterator[bytes]:
    """Stream which of the given ids are there now; asks the primary, which has what was mirrored.

    Raises:
        pymongo.errors.PyMongoError: the server refused or was lost.
    """
    primary = database.get_collection(collection, read_preference=ReadPreference.PRIMARY)
    for offset in range(0, len(document_ids), IDS_PER_QUERY):
        chunk = list(document_ids[offset : offset + IDS_PER_QUERY])
        with primary.find_raw_batches({DOCUMENT_ID: {"$in": chunk}}, projection=_ONLY_IDS) as cursor:
            yield from filter(None, cursor)
