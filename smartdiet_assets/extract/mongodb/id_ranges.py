"""Ranges of `_id` that together hold each document of a collection once, cut by a sample that the server takes.

A comparison in a query meets the values of one kind alone, numbers say, or strings. So ranges are cut within a kind;
all others, which hardly an id has, are asked for by their types. Which of two ids comes first is the server's word, in
its sample as in its answers, whatever the collation of the collection.
"""

import itertools
import math
from collections.abc import Generator, Sequence
from contextlib import closing
from datetime import datetime

import bson
from bson import Binary, Code, DatetimeMS, Decimal128, ObjectId
from bson.binary import UUID_SUBTYPE
from bson.errors import BSONError
from pymongo.database import Database
from pymongo.errors import OperationFailure

from smartdiet_assets.extract.mongodb.documents import ID_OPTIONS, Query, RawCollection, iterate_batches
from smartdiet_assets.extract.mongodb.projection import compose_projection, needs_most
from smartdiet_assets.schema.documents import Document
from smartdiet_assets.schema.model import DOCUMENT_ID, Table

#: Queries that are read one after the other.
Range = tuple[Query, ...]
#: Ids in the sample for each range: ranges differ in size by a quarter or so.
_SAMPLED = 20
#: Documents that are looked at whole, to tell how much of them the table needs.
_LOOKED_AT = 100
#: The kinds that ranges are cut in: what of Python's is of each, and the BSON types they are.
_KINDS: dict[str, tuple[tuple[type, ...], tuple[str, ...]]] = {
    "objectId": ((ObjectId,), ("objectId",)),
    "string": ((str,), ("string",)),
    "number": ((int, float, Decimal128), ("double", "int", "long", "decimal")),
    "binData": ((Binary,), ("binData",)),
    "date": ((datetime, DatetimeMS), ("date",)),
    "object": ((dict,), ("object",)),
}
#: All others an id may be of; some servers do not refuse an array.
_OTHERS = (
    "null", "bool", "timestamp", "regex", "array", "javascript", "javascriptWithScope", "symbol", "dbPointer",
    "undefined", "minKey", "maxKey",
)  # fmt: skip
#: How servers refuse what they do not know.
_NOT_OFFERED = (9, 59, 115, 303, 40324)
_UNAUTHORIZED = 13
_UUID_LENGTH = 16
_NAN, _SMALLEST = float("nan"), float("-inf")


def fetch_boundaries(database: Database[Document], collection: str, ranges: int) -> list[object]:
    """Fetch ids with about as many documents between each two, in the server's order; none where it has no sample.

    Args:
        ranges: how many ranges there are to be, about.

    Raises:
        pymongo.errors.PyMongoError: the server refused or was lost.
    """
    stages = [{"$sample": {"size": _SAMPLED * ranges}}, {"$project": {DOCUMENT_ID: 1}}, {"$sort": {DOCUMENT_ID: 1}}]
    ids = database.get_collection(collection, codec_options=ID_OPTIONS)
    try:
        with ids.aggregate(stages) as cursor:
            sampled = [document[DOCUMENT_ID] for document in cursor]
    except OperationFailure as error:
        if error.code not in _NOT_OFFERED:
            raise
        return []
    return [sampled[len(sampled) * number // ranges] for number in range(1, ranges)] if sampled else []


def compose_ranges(boundaries: Sequence[object]) -> list[Range]:
    """Compose ranges that together find each document once.

    Args:
        boundaries: ids in the server's order; what is of no kind that is cut, or cannot be sent, is left out.
    """
    cut: dict[str, list[object]] = {}
    for boundary in boundaries:
        kind = _find_kind(boundary)
        if kind and boundary not in cut.setdefault(kind, [])[-1:]:
            cut[kind].append(boundary)
    ranges: list[Range] = []
    for kind, bounds in cut.items():
        # NaN is less than any number, and no range has it.
        first = {"$gte": _SMALLEST, "$lt": bounds[0]} if kind == "number" else {"$lt": bounds[0]}
        between = [{"$gte": low, "$lt": high} for low, high in itertools.pairwise(bounds)]
        # A symbol is compared with strings, and read as one.
        kept = {"$type": kind} if kind == "string" else {}
        ranges += [({DOCUMENT_ID: {**bound, **kept}},) for bound in [first, *between, {"$gte": bounds[-1]}]]
    others = [name for kind, (_, types) in _KINDS.items() if kind not in cut for name in types]
    rest: list[Query] = [{DOCUMENT_ID: {"$type": [*others, *_OTHERS]}}]
    if "number" in cut:
        rest.append({DOCUMENT_ID: _NAN})
    return [*ranges, tuple(rest)]


def encode_range(queries: Range) -> bytes:
    """Encode a range, to be kept."""
    return bson.encode({"queries": list(queries)})


def decode_range(encoded: bytes) -> Range:
    """Decode what `encode_range` gave."""
    return tuple(bson.decode(encoded, ID_OPTIONS)["queries"])


def fetch_range(
    database: Database[Document], tables: Sequence[Table], queries: Range, batch_size: int, *, whole: bool
) -> Generator[bytes]:
    """Stream the documents of a range as raw BSON batches, with all that tables of the collection need."""
    collection: RawCollection = database[tables[0].mongo_collection]
    projection = None if whole else compose_projection(*tables)
    for query in queries:
        yield from iterate_batches(collection.find_raw_batches(query, projection=projection, batch_size=batch_size))


def is_better_whole(database: Database[Document], *tables: Table) -> bool:
    """Tell by some documents whether to ask for whole ones, as tables of the collection need most of them."""
    collection: RawCollection = database[tables[0].mongo_collection]
    batches = iterate_batches(collection.find_raw_batches({}, limit=_LOOKED_AT))
    with closing(batches):
        return needs_most(next(batches, b""), compose_projection(*tables))


def identify_collection(database: Database[Document], collection: str) -> str:
    """Say what tells a collection from one that was made anew under its name; "" where the server does not tell."""
    try:
        [found] = database.list_collections(filter={"name": collection})
        return str(found["info"]["uuid"])
    except (KeyError, ValueError):
        return ""
    except OperationFailure as error:
        if error.code not in (*_NOT_OFFERED, _UNAUTHORIZED):
            raise
        return ""


def _find_kind(boundary: object) -> str:
    """Find the kind of an id in which it may cut; "" for none."""
    number = isinstance(boundary, float | Decimal128) and (
        boundary.to_decimal().is_nan() if isinstance(boundary, Decimal128) else math.isnan(boundary)
    )
    # Servers agree on the order of UUIDs, not on that of binaries of different lengths.
    uuid = isinstance(boundary, Binary) and boundary.subtype == UUID_SUBTYPE and len(boundary) == _UUID_LENGTH
    odd = isinstance(boundary, bytes) and not uuid
    # What begins like an operator of a query would be read as one.
    operator = isinstance(boundary, dict) and any(name.startswith("$") for name in boundary)
    # Python takes code for text, and a truth value for a number; the server does not.
    if number or odd or operator or isinstance(boundary, bool | Code) or not _is_sendable(boundary):
        return ""
    return next((kind for kind, (types, _) in _KINDS.items() if isinstance(boundary, types)), "")


def _is_sendable(boundary: object) -> bool:
    try:
        bson.encode({DOCUMENT_ID: boundary})
    except (BSONError, UnicodeError, OverflowError):
        return False
    return True
