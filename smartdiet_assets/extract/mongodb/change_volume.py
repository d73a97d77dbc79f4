"""How much changed in a collection since a watermark: counted on the server, never more than asked for.

No document leaves the server.

Each query looks at no more documents than its cap: it follows one index from the watermark on and stops there. One
query for each date field rather than an `$or`, as in `extract.mongodb.documents`.
"""

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from bson import ObjectId
from pymongo import timeout
from pymongo.database import Database
from pymongo.errors import PyMongoError, ServerSelectionTimeoutError

from smartdiet_assets.extract.mongodb.documents import compose_untold
from smartdiet_assets.schema.documents import Document
from smartdiet_assets.schema.model import DOCUMENT_ID, Table

Pipeline = list[Document]
_CHANGED_AT = "changed_at"
#: ObjectIds hold 32-bit seconds since 1970.
_LAST_OBJECT_ID_TIME = datetime(2106, 2, 7, 6, 28, 15)
_FIRST_OBJECT_ID_TIME = datetime(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class ChangeVolume:
    """What changed after a watermark; all times naive UTC.

    Attributes:
        due: documents dated after the watermark and not after the server's clock, up to the cap.
        ahead: documents dated after the server's clock, up to the cap.
        oldest: date of the oldest of those due; None where none is.
        newest: the latest date seen, of either kind.
        capped: whether there may be more of them.
        untold: documents of which nothing tells whether they changed, up to the cap: a date of them is no date, or they
            have neither a date nor an ObjectId. A run reads them all.
    """

    due: int = 0
    ahead: int = 0
    oldest: datetime | None = None
    newest: datetime | None = None
    capped: bool = False
    untold: int = 0


def count_changes(
    database: Database[Document],
    collection: str,
    date_fields: Sequence[str],
    *,
    since: datetime,
    clock: datetime,
    cap: int,
    seconds: float,
) -> ChangeVolume | None:
    """Count the documents that changed after an instant; None where the server does not manage it in time.

    Documents with several dates count once. One without any counts by the time in its ObjectId. So does one whose dates
    are no dates, but where that time is before the watermark nothing tells whether it changed.

    Args:
        database: the source database.
        collection: its collection.
        date_fields: the fields that tell when a document changed, the one that moves with every change first.
        since: the watermark; exclusive.
        clock: the server's own time.
        cap: how many documents to look at in a query, at most.
        seconds: how long the server may take for all queries; it stops then, also on its side.

    Raises:
        pymongo.errors.PyMongoError: the server refused or was lost.
    """
    due = ahead = untold = 0
    times: list[datetime] = []
    oldest: datetime | None = None
    try:
        with timeout(seconds):
            for pipeline in compose_counts(date_fields, since=since, clock=clock, cap=cap):
                for group in database[collection].aggregate(pipeline):
                    due += group["due"]
                    ahead += group["ahead"]
                    untold += group["untold"]
                    first, last = _read_time(group["oldest"]), _read_time(group["newest"])
                    if group["due"] and first is not None:
                        oldest = first if oldest is None else min(oldest, first)
                    times += [last] if last is not None else []
                if due + ahead >= cap:
                    return ChangeVolume(due, ahead, oldest, max(times, default=None), capped=True, untold=untold)
    except PyMongoError as error:
        # The server's own limit and the driver's are one; whichever is noticed first.
        if not error.timeout or isinstance(error, ServerSelectionTimeoutError):
            raise
        return None
    return ChangeVolume(due, ahead, oldest, max(times, default=None), untold=untold)


def compose_counts(date_fields: Sequence[str], *, since: datetime, clock: datetime, cap: int) -> Iterator[Pipeline]:
    """Compose the pipelines that together count each changed document once.

    A document that an earlier pipeline counted is left out after the cap, not before it: the server would read on
    until it had found enough others.
    """
    after: Document = {"$gt": since}
    seen: Document = {}
    for field in date_fields:
        yield [{"$match": {field: after}}, {"$limit": cap}, {"$match": dict(seen)}, *_summarize(f"${field}", clock)]
        seen[field] = {"$not": after}
    # All in one condition: the server follows the date's index where few documents lack one, else that of the id. From
    # the next second on, for a mirrored document has the watermark's own second.
    start = _object_id_at(since + timedelta(seconds=1))
    undated = {**dict.fromkeys(date_fields), DOCUMENT_ID: {"$not": {"$lt": start}}}
    untold = [query for field in date_fields for query in compose_untold(field, _other_than(seen, field))]
    # One with another date moves no watermark by its id, and would be counted for ever.
    is_born: list[Document] = [{"$ne": [{"$type": f"${field}"}, "date"]} for field in date_fields]
    is_born += [{"$eq": [{"$type": f"${DOCUMENT_ID}"}, "objectId"]}, {"$gte": [f"${DOCUMENT_ID}", start]}]
    born: Document = {"$cond": [{"$and": is_born}, f"${DOCUMENT_ID}", None]}
    yield [{"$match": {"$or": [undated, *untold]}}, {"$limit": cap}, *_summarize(born, _object_id_at(clock))]


def list_date_fields(tables: Collection[Table]) -> tuple[str, ...]:
    """List the fields that tell when a document of a collection changed, those of the last change first."""
    dated = [table for table in tables if table.incremental != "none"]
    fields = [table.updated_field for table in dated] + [table.created_field for table in dated]
    return tuple(dict.fromkeys(fields))


def find_unindexed_fields(database: Database[Document], collection: str, date_fields: Sequence[str]) -> tuple[str, ...]:
    """Find the date fields that no index of the collection begins with; none where there is no collection.

    Raises:
        pymongo.errors.PyMongoError: the server refused or was lost.
    """
    indexes = database[collection].index_information()
    leading = {
        index["key"][0][0]
        for index in indexes.values()
        if index["key"][0][1] in (1, -1) and "partialFilterExpression" not in index
    }
    return tuple(field for field in date_fields if field not in leading) if indexes else ()


def count_untold(
    database: Database[Document], collection: str, date_fields: Sequence[str], cap: int
) -> dict[str, dict[str, int]]:
    """Count what date fields hold that is no date, by field and by MongoDB's name of the type, up to a cap each.

    A type is `array` where that is in an array. Fields that hold dates alone are left out.

    Raises:
        pymongo.errors.PyMongoError: the server refused or was lost.
    """
    found: dict[str, dict[str, int]] = {}
    untold = [query for field in date_fields for query in compose_untold(field)]
    if not untold or database[collection].find_one({"$or": untold}, {DOCUMENT_ID: 1}) is None:
        return found
    for field in date_fields:
        match = {"$match": {"$or": compose_untold(field)}}
        by_type = {"$group": {"_id": {"$type": f"${field}"}, "number": {"$sum": 1}}}
        groups = database[collection].aggregate([match, {"$limit": cap}, by_type])
        if counts := {group["_id"]: group["number"] for group in groups}:
            found[field] = dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))
    return found


def compose_create_index(collection: str, field: str) -> str:
    """Compose the statement for Mongo's shell that creates the index of a date field."""
    # JSON is how JavaScript spells a text, whatever is in it.
    return f"db.getCollection({json.dumps(collection)}).createIndex({{{json.dumps(field)}: 1}})"


def _other_than(conditions: Document, field: str) -> Document:
    return {name: condition for name, condition in conditions.items() if name != field}


def _summarize(expression: object, clock: object) -> Pipeline:
    """Compose the stages that count by when documents changed, as an expression tells; null where nothing does."""
    told = {"$gt": [f"${_CHANGED_AT}", None]}
    return [
        {"$project": {DOCUMENT_ID: 0, _CHANGED_AT: expression}},
        {
            "$group": {
                "_id": None,
                "due": {"$sum": {"$cond": [{"$and": [told, {"$lte": [f"${_CHANGED_AT}", clock]}]}, 1, 0]}},
                "ahead": {"$sum": {"$cond": [{"$gt": [f"${_CHANGED_AT}", clock]}, 1, 0]}},
                "untold": {"$sum": {"$cond": [told, 0, 1]}},
                "oldest": {"$min": f"${_CHANGED_AT}"},
                "newest": {"$max": f"${_CHANGED_AT}"},
            }
        },
    ]


def _read_time(value: object) -> datetime | None:
    if isinstance(value, ObjectId):
        return value.generation_time.replace(tzinfo=None)
    return value if isinstance(value, datetime) else None


def _object_id_at(instant: datetime) -> ObjectId:
    return ObjectId.from_datetime(min(max(instant, _FIRST_OBJECT_ID_TIME), _LAST_OBJECT_ID_TIME))
