"""MongoDB's side of the checks: how many rows a collection's documents describe, and which changed since the last run.

Here: fetching `SourceFacts`, at most five queries for each collection: three short ones for the changes, one that
counts its documents, and one that counts for those of its tables that take more than that.

A document dated after a table's watermark may have been changed after its last run, so that its rows tell nothing: it
is left out of the count on both sides. Of one whose dates are no dates every run reads what it is by then; it is left
out where its ObjectId says that it is new. The order of the queries is such that one that changes in between is missing
among the expected rows rather than among those that are there.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import cast

from bson import ObjectId
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.datetime_ms import DatetimeMS
from pymongo.database import Database

from smartdiet_assets.checks.facts import MAX_RECENT, SourceFacts, TargetFacts
from smartdiet_assets.checks.item_counts import compose_item_count, compose_item_total
from smartdiet_assets.extract.mongodb.documents import Query, compose_window_queries
from smartdiet_assets.extract.mongodb.projection import compose_projection
from smartdiet_assets.extract.window import Window
from smartdiet_assets.schema.document_id import encode_document_id
from smartdiet_assets.schema.documents import Document
from smartdiet_assets.schema.model import DOCUMENT_ID, CollectionRules, Schema, Table
from smartdiet_assets.transform.batch import build_transformer
from smartdiet_assets.transform.protection import build_namer

_TICK = timedelta(milliseconds=1)
#: Dates beyond Python's stay numbers, and text that is not UTF-8 does not matter here.
LENIENT: CodecOptions[Document] = CodecOptions(
    datetime_conversion=DatetimeConversion.DATETIME_AUTO, unicode_decode_error_handler="replace"
)


def fetch_source_facts(
    database: Database[Document],
    schema: Schema,
    tables: Sequence[Table],
    target: Mapping[str, TargetFacts],
    *,
    clock: datetime,
    count: Iterable[str],
    global_date_threshold: date | None = None,
) -> dict[str, SourceFacts]:
    """Fetch the facts of mirrored tables.

    Args:
        target: what PostgreSQL knows of the tables: their watermarks.
        clock: the server's own time, from before.
        count: names of the tables whose rows are to be counted.
        global_date_threshold: `GLOBAL_DATE_THRESHOLD`: a first load may have left out what is older.

    Raises:
        pymongo.errors.PyMongoError: MongoDB refused or was lost.
    """
    counted = set(count)
    facts: dict[str, SourceFacts] = {}
    for group in group_tables(tables):
        rules = schema.collections.get(group[0].mongo_collection, CollectionRules())
        plain = [t for t in group if t.name in counted and is_plain(t, global_date_threshold)]
        # Before the changes: what is new in between is then missing among the expected rows.
        total = database[group[0].mongo_collection].count_documents({}) if plain else 0
        starts = {table.name: find_start(table, target[table.name]) for table in group}
        recent = _fetch_recent(database, group[0], min(starts.values()))
        for table in group:
            facts[table.name] = _build_facts(table, starts[table.name], recent, clock, rules.max_delay)
        asked = [table for table in group if table.name in counted and not facts[table.name].more_recent]
        for table in asked:
            if table in plain:
                facts[table.name].expected = total - len(facts[table.name].recent)
        _count(database, [t for t in asked if t not in plain], starts, facts, global_date_threshold)
        for table in asked:
            found, there = facts[table.name], target[table.name]
            if table.arrays and (found.expected or 0) > there.rows + there.rejected_items:
                _count_collapsed(database, table, starts[table.name], found)
    return facts


def group_tables(tables: Iterable[Table]) -> list[list[Table]]:
    """Group the tables that are read by the same queries: of one collection, with the same dates."""
    groups: dict[object, list[Table]] = {}
    for table in tables:
        identity = (table.mongo_collection, table.created_field, table.updated_field, table.incremental)
        groups.setdefault(identity, []).append(table)
    return list(groups.values())


def find_start(table: Table, target: TargetFacts) -> datetime:
    """Find from which date on documents are not known to be mirrored.

    Where nothing was there to be mirrored, or dates tell nothing, it is the time of the last run.
    """
    mirrored_to = target.watermark if table.incremental == "dates" else None
    if mirrored_to is None:
        mirrored_to = target.last_run or datetime.min
    return mirrored_to + _TICK


def find_date(table: Table, document: Document) -> datetime | None:
    """Find the date a document is selected by: the later of its two, or else the time in its id."""
    dates = _read_dates(table, document)
    identity = document.get(DOCUMENT_ID)
    if not dates and isinstance(identity, ObjectId):
        return identity.generation_time.replace(tzinfo=None)
    return max(dates, default=None)


def is_recent(table: Table, document: Document, start: datetime) -> bool:
    """Tell whether a document is one that `compose_recent_queries` finds."""
    if any(found >= start for found in _read_dates(table, document)):
        return True
    if table.incremental == "dates" and not is_untold(table, document) and _read_values(table, document):
        return False
    identity = document.get(DOCUMENT_ID)
    # An ObjectId holds whole seconds; of another id, nobody knows.
    return not isinstance(identity, ObjectId) or identity.generation_time.replace(tzinfo=None) >= start.replace(
        microsecond=0
    )


def is_untold(table: Table, document: Document) -> bool:
    """Tell whether a date of a document is no date, so that a run reads it whatever its dates are."""
    return any(not isinstance(value, datetime | DatetimeMS) for value in _read_values(table, document))


def find_threshold(table: Table, global_date_threshold: date | None) -> datetime | None:
    """Find the date before which a first load may have left documents out."""
    threshold = table.date_threshold or global_date_threshold
    return datetime.combine(threshold, time.min) if threshold else None


def compose_recent_queries(table: Table, start: datetime) -> list[Query]:
    """Compose the queries that together find the documents dated from `start` on."""
    if table.incremental == "dates":
        *dated, others = compose_window_queries(table, Window("incremental", start=start))
        [undated, *untold] = others["$or"]
        return [*dated, {"$or": [undated, *({**query, DOCUMENT_ID: undated[DOCUMENT_ID]} for query in untold)]}]
    earlier = ObjectId.from_datetime(max(start, datetime(1970, 1, 1)).replace(tzinfo=UTC))
    # Its dates may tell nothing; what they do tell is believed.
    queries: list[Query] = [{field: {"$gte": start}} for field in (table.updated_field, table.created_field)]
    return [*queries, {DOCUMENT_ID: {"$not": {"$lt": earlier}}}]


def _fetch_recent(database: Database[Document], table: Table, start: datetime) -> list[Document]:
    """Fetch ids and dates of the documents dated from `start` on, and of those whose dates are no dates.

    The oldest come first, so that the limit, of one more than is looked at for each query, leaves out those that
    matter least.
    """
    collection = database[table.mongo_collection].with_options(codec_options=LENIENT)
    fields = dict.fromkeys((DOCUMENT_ID, table.created_field, table.updated_field), 1)
    found: dict[str, Document] = {}

    def fetch(query: Query, order: str) -> int:
        documents = list(collection.find(query, fields, limit=MAX_RECENT + 1).sort(order, 1))
        found.update((encode_document_id(document.get(DOCUMENT_ID)), document) for document in documents)
        return len(documents)

    by_updated, by_created, by_id = compose_recent_queries(table, start)
    fetch(by_updated, table.updated_field)
    fetch(by_created, table.created_field)
    if table.incremental == "dates":
        *_, others = compose_window_queries(table, Window("incremental", start=start))
        if fetch(others, DOCUMENT_ID) <= MAX_RECENT:
            # What the last query asks for is among them.
            return list(found.values())
    fetch(by_id, DOCUMENT_ID)
    return list(found.values())


def _build_facts(
    table: Table, start: datetime, recent: Sequence[Document], clock: datetime, max_delay: timedelta
) -> SourceFacts:
    name = build_namer(table)
    mine = [document for document in recent if is_recent(table, document, start)]
    untold = {id(document) for document in recent if _is_found_anyway(table, document, start)}
    dates = [
        found
        for document in mine
        if id(document) not in untold and (found := find_date(table, document)) is not None and found <= clock
    ]
    return SourceFacts(
        clock=clock,
        max_delay=max_delay,
        recent=[name(document.get(DOCUMENT_ID)) for document in mine[:MAX_RECENT]],
        more_recent=len(mine) > MAX_RECENT,
        oldest_unmirrored=min(dates, default=None),
        newest_change=max(dates, default=None),
        untold=len(untold),
    )


def _count(
    database: Database[Document],
    tables: Sequence[Table],
    starts: Mapping[str, datetime],
    facts: Mapping[str, SourceFacts],
    global_date_threshold: date | None,
) -> None:
    """Count for all tables in one pass over the collection."""
    if not tables:
        return
    branches = {
        f"table_{number}": compose_count(table, find_threshold(table, global_date_threshold))
        for number, table in enumerate(tables)
    }
    first: list[Document] = []
    for number, table in enumerate(tables):
        unchanged = [{"$match": {"$nor": compose_recent_queries(table, starts[table.name])}}]
        if len({starts[table.name] for table in tables}) == 1:
            # Usual: all tables of a collection were mirrored to the same document.
            first = unchanged
        else:
            branches[f"table_{number}"] = [*unchanged, *branches[f"table_{number}"]]
    collection = database[tables[0].mongo_collection]
    found = next(iter(collection.aggregate([*first, {"$facet": branches}], allowDiskUse=True)), {})
    for number, table in enumerate(tables):
        counts = (found.get(f"table_{number}") or [{}])[0]
        facts[table.name].expected = expected = int(counts.get("expected", 0))
        facts[table.name].collapsed = int(counts.get("items", 0)) - expected if table.arrays else 0
        facts[table.name].before_threshold = int(counts.get("before", 0))


def _count_collapsed(database: Database[Document], table: Table, start: datetime, facts: SourceFacts) -> None:
    """Count the items that share a key where the server's count does not explain what is missing.

    Which values are equal in a column, only their conversion tells.
    """
    if table.on_duplicate_item == "reject":
        return
    transform = build_transformer(table)
    unchanged = {"$nor": compose_recent_queries(table, start)}
    with database[table.mongo_collection].find_raw_batches(unchanged, compose_projection(table)) as cursor:
        collapsed = sum(transform(cast(bytes, batch)).collapsed for batch in cursor if batch)
    facts.expected = (facts.expected or 0) + facts.collapsed - collapsed
    facts.collapsed = collapsed


def is_plain(table: Table, global_date_threshold: date | None) -> bool:
    """Tell whether each document of the collection is expected to be one row, so that counting them is enough."""
    return not table.shape.has_items and not table.filter and find_threshold(table, global_date_threshold) is None


def compose_count(table: Table, threshold: datetime | None) -> list[Document]:
    """Compose the stages that count the rows documents describe."""
    conditions: list[Query] = [
        {condition.path: {condition.operator: _operand(condition.value)}} for condition in table.filter
    ]
    matching: list[Document] = [{"$match": {"$and": conditions}}] if conditions else []
    rows: object = compose_item_count(table) if table.shape.has_items else 1
    group: Document = {"_id": None, "expected": {"$sum": rows}}
    if table.shape.has_items:
        group["items"] = {"$sum": compose_item_total(table)}
    if threshold is not None:
        dated = {"$max": [f"${table.created_field}", f"${table.updated_field}"]}
        # What is no date is read whatever the limit.
        left_out = [{"$in": [{"$type": dated}, ["date", "null", "missing"]]}, {"$lt": [dated, threshold]}]
        group["before"] = {"$sum": {"$cond": [{"$and": left_out}, rows, 0]}}
    return [*matching, {"$group": group}]


def _operand(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _is_found_anyway(table: Table, document: Document, start: datetime) -> bool:
    dated = any(found >= start for found in _read_dates(table, document))
    return table.incremental == "dates" and not dated and is_untold(table, document)


def _read_dates(table: Table, document: Document) -> list[datetime]:
    # A date beyond Python's is before or after all others.
    limits = {True: datetime.max, False: datetime.min}
    values = [
        limits[int(value) > 0] if isinstance(value, DatetimeMS) else value for value in _read_values(table, document)
    ]
    return [value for value in values if isinstance(value, datetime)]


def _read_values(table: Table, document: Document) -> list[object]:
    """Read what the date fields hold, but null; of an array, as a query sees it, what is in it."""
    fields = dict.fromkeys((table.updated_field, table.created_field))
    return [value for field in fields for value in _follow(document, field.split(".")) if value is not None]


def _follow(value: object, path: Sequence[str]) -> list[object]:
    if isinstance(value, list):
        if not path:
            # An empty array is no date, and one in an array only to those who look for it.
            return [item for item in value if not isinstance(item, list)] or ([value] if not value else [])
        found = [found for item in value if isinstance(item, Mapping) for found in _follow(item, path)]
        if path[0].isdecimal() and int(path[0]) < len(value):
            found += _follow(value[int(path[0])], path[1:])
        return found
    if not path:
        return [value]
    return _follow(value.get(path[0]), path[1:]) if isinstance(value, Mapping) else []
