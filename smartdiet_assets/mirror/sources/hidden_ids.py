"""Finding documents again where records name them by pseudonyms, which nobody can read back.

Every id of the collection is named as the records do, and compared: the index alone is read, once for all that is asked
for. Only what is asked for is held.
"""

from collections.abc import Iterator

from smartdiet_assets.errors import CollectionNotFoundError
from smartdiet_assets.extract.mongodb.document_ids import fetch_ids
from smartdiet_assets.resources.mongo_reading import MongoDatabase
from smartdiet_assets.schema.document_id import encode_document_id
from smartdiet_assets.schema.model import DOCUMENT_ID, Table
from smartdiet_assets.transform.decode import decode_batch, decode_damaged_batch
from smartdiet_assets.transform.protection import build_names

#: Ids of one chunk: one `$in` of the source.
_CHUNK = 100


def find_named(database: MongoDatabase, table: Table, chunks: Iterator[list[str]]) -> Iterator[list[str]]:
    """Find the encoded ids of documents that a table's records name, in chunks; of those that are not there, none.

    Raises:
        pymongo.errors.PyMongoError: the server refused or was lost.
    """
    wanted = {document_id for chunk in chunks for document_id in chunk}
    if not wanted:
        return
    list_names = build_names(table)
    found: list[str] = []
    try:
        for raw in fetch_ids(database, table.mongo_collection):
            documents = decode_batch(raw)
            for document in decode_damaged_batch(raw)[0] if documents is None else documents:
                identity = document[DOCUMENT_ID]
                if not wanted.isdisjoint(list_names(identity)):
                    found.append(encode_document_id(identity))
    except CollectionNotFoundError:
        # Then none is there, as for whoever asks by id.
        return
    for start in range(0, len(found), _CHUNK):
        yield found[start : start + _CHUNK]
