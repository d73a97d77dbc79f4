"""Reading a collection: queries for a window, and raw BSON batches of their results."""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from datetime import datetime
from typing import Any

import pymongo
from bson import ObjectId
from bson.codec_options import CodecOptions, DatetimeConversion
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.cursor import RawBatchCursor
from pymongo.database import Database
from pymongo.errors import PyMongoError

from smartdiet_assets.extract.mongodb.projection import compose_projection, needs_most
from smartdiet_assets.extract.window import Window
from smartdiet_assets.schema.documents import Document
from smartdiet_assets.schema.model import DOCUMENT_ID, Table

Query = Document
RawCollection = Collection[Document]
#: Ids in one `$in`. The embedded server's cost per id grows with the list, and 100 already hide the round trip.
IDS_PER_QUERY = 100
_SECONDS_TO_ESTIMATE = 2.0
#: For reading ids, whatever else a document holds.
ID_OPTIONS: CodecOptions[Document] = CodecOptions(
    tz_aware=False,
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
    unicode_decode_error_handler="surrogateescape",
)
#: ObjectIds hold 32-bit seconds since 1970.
_LAST_OBJECT_ID_TIME = datetime(2106, 2, 7, 6, 28, 15)
_FIRST_OBJECT_ID_TIME = datetime(1970, 1, 1)
#: The types of a value that is no date: all but date and null. As a list of types, for an index serves their ranges,
#: and not those of "any type but". Without arrays, which an index knows by their items only: their items have types.
_NO_DATES = (
    "number", "string", "object", "binData", "objectId", "bool", "timestamp", "regex", "javascript",
    "javascriptWithScope", "symbol", "dbPointer", "undefined", "minKey", "maxKey",
)  # fmt: skip


def compose_window_queries(table: Table, window: Window) -> list[Query]:
    """Compose the queries that together find each document of a window, mostly once.

    One query per date field rather than an `$or`: each is served by the field's own index, where an `$or` of two
    ranges makes some servers scan. A document edited while the queries run may be found by both, in two versions:
    the later read counts. A document without dates is found by the time in its ObjectId; one that has neither is
    found always, as nothing tells whether it changed. So is one of whose dates any is no date, but text, a number or a
    Timestamp: a range of dates does not see those.
    """
    if window.reads_everything:
        return [{}]
    if window.reads_stream_alone:
        return []
    bounds: Query = {}
    if window.start is not None:
        bounds["$gte"] = window.start
    if window.end is not None:
        bounds["$lt"] = window.end
    created, updated = table.created_field, table.updated_field
    undated: Query = {created: None, updated: None}
    if window.start is not None:
        # "Not before" rather than "from": it also finds the ids that are no ObjectId. Undated documents are few, so
        # those from after the end of the window are read too rather than asked for with a second condition, which
        # would keep some servers from using the date index.
        undated[DOCUMENT_ID] = {"$not": {"$lt": _object_id_at(window.start)}}
    # Beside those without dates, in one query: where there are none, which is usual, they cost no round trip.
    unseen = compose_untold(updated, {created: {"$not": bounds}}) + compose_untold(created, {updated: {"$not": bounds}})
    return [{updated: bounds}, {created: bounds, updated: {"$not": bounds}}, {"$or": [undated, *unseen]}]


def compose_untold(field: str, beside: Query | None = None) -> list[Query]:
    """Compose the queries that together find each document in which a date field holds something that is no date.

    Null is none of these, nor an array of dates: a range of dates finds it by any of them. One range of the field's
    index, or a few, serves each; only an array of nothing but arrays is not found.

    Args:
        field: the date field.
        beside: conditions on other fields.
    """
    # The field first: some servers follow the index of the first condition.
    return [{field: {"$type": list(_NO_DATES)}, **(beside or {})}, {field: [], **(beside or {})}]


def fetch_window(
    database: Database[Document],
    table: Table,
    window: Window,
    batch_size: int,
    session: ClientSession | None = None,
    *,
    beside: Sequence[Table] = (),
    whole: bool = False,
    on_choice: Callable[[bool], None] = lambda whole: None,
) -> Generator[bytes]:
    """Stream the documents of a window as raw BSON batches of at most `batch_size` documents.

    Args:
        beside: other tables of the collection whose fields are asked for too.
        whole: whether the fields are asked for too that no table needs.
        on_choice: told before the first batch whether they are there all the same, as few are left out of a full read.

    Raises:
        pymongo.errors.PyMongoError: the server refused or was lost.
    """
    collection = database[table.mongo_collection]
    projection = None if whole else compose_projection(table, *beside)
    if projection is not None and window.reads_everything:
        with closing(_fetch(collection, {}, None, batch_size, session)) as batches:
            first = next(batches, b"")
            whole = needs_most(first, projection)
            if first:
                on_choice(whole)
            if first and whole:
                yield first
                yield from batches
                return
    for query in compose_window_queries(table, window):
        yield from _fetch(collection, query, projection, batch_size, session)


def estimate_documents(database: Database[Document], table: Table, window: Window) -> int | None:
    """Estimate how many documents a window has, in two seconds at most; None where that is not known by then."""
    collection = database[table.mongo_collection]
    with suppress(PyMongoError), pymongo.timeout(_SECONDS_TO_ESTIMATE):
        if window.reads_everything:
            return collection.estimated_document_count()
        # Those that no range of dates finds are few.
        return sum(collection.count_documents(query) for query in compose_window_queries(table, window)[:2])
    return None


def fetch_by_ids(
    database: Database[Document],
    table: Table,
    document_ids: Sequence[object],
    session: ClientSession | None = None,
    *,
    whole: bool = False,
) -> Iterator[bytes]:
    """Stream the documents with the given `_id`s, whatever their dates, as raw BSON batches; see `fetch_window`.

    Raises:
        pymongo.errors.PyMongoError: the server refused or was lost.
    """
    collection = database[table.mongo_collection]
    projection = None if whole else compose_projection(table)
    for offset in range(0, len(document_ids), IDS_PER_QUERY):
        chunk = list(document_ids[offset : offset + IDS_PER_QUERY])
        yield from _fetch(collection, {DOCUMENT_ID: {"$in": chunk}}, projection, IDS_PER_QUERY, session)


def fetch_present_ids(
    database: Database[Document],
    table: Table,
    document_ids: Sequence[object],
    session: ClientSession | None = None,
) -> list[object]:
    """Fetch which of the given `_id`s there are, as the documents spell them; at most `IDS_PER_QUERY`.

    Raises:
        pymongo.errors.PyMongoError: the server refused or was lost.
    """
    collection = database.get_collection(table.mongo_collection, codec_options=ID_OPTIONS)
    query = {DOCUMENT_ID: {"$in": list(document_ids)}}
    return [document[DOCUMENT_ID] for document in collection.find(query, {DOCUMENT_ID: 1}, session=session)]


def _fetch(
    collection: RawCollection,
    query: Query,
    projection: dict[str, int] | None,
    batch_size: int,
    session: ClientSession | None,
) -> Generator[bytes]:
    cursor = collection.find_raw_batches(query, projection=projection, batch_size=batch_size, session=session)
    yield from iterate_batches(cursor)


def iterate_batches(cursor: RawBatchCursor[Document]) -> Generator[bytes]:
    """Stream the batches of a cursor that are not empty, and close it."""
    with cursor:
        # pymongo types it as the cursor of documents it derives from.
        batches: Iterable[Any] = cursor
        yield from filter(None, batches)


def _object_id_at(instant: datetime) -> ObjectId:
    """The smallest ObjectId of an instant, clamped to the seconds an ObjectId can hold."""
    return ObjectId.from_datetime(min(max(instant, _FIRST_OBJECT_ID_TIME), _LAST_OBJECT_ID_TIME))
