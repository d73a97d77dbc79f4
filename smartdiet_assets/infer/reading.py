"""What `infer` asks MongoDB: documents to observe, and which ids are documents of which collection."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from itertools import islice
from typing import Any, TypeVar, cast

import bson
from bson.objectid import ObjectId
from pymongo.errors import PyMongoError

from smartdiet_assets.errors import CollectionNotFoundError
from smartdiet_assets.extract.mongodb.documents import ID_OPTIONS
from smartdiet_assets.extract.mongodb.samples import Query, fetch_ends, fetch_every, fetch_random
from smartdiet_assets.infer.observation import name_kind, spell_id
from smartdiet_assets.infer.references import Candidate, Parent, nominate
from smartdiet_assets.resources.mongo_errors import translate_mongo_error
from smartdiet_assets.resources.mongo_reading import MongoDatabase, Read
from smartdiet_assets.schema.model import DOCUMENT_ID, Condition
from smartdiet_assets.transform.decode import split_batch

#: Of a sample, so many of the oldest and of the newest documents come along: rare shapes are often old or new ones.
ENDS = 100
_BATCH = 1_000
#: Ids looked up everywhere first, and then where most of those were found.
_FIRST, _THEN = 20, 1_000
_IDS_PER_QUERY = 500

Result = TypeVar("Result")


def find_collection(read: Read, collection: str) -> list[str]:
    """Make sure a collection is there; gives the names of all.

    Raises:
        CollectionNotFoundError: it is not, with the names that are like it.
    """
    name, names = _list_collections(read)
    if collection not in names:
        near = get_close_matches(collection, names, n=3)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise CollectionNotFoundError(
            f"the database {name} has no collection {collection}, or the user may not read it{hint}"
        )
    return list(names)


def list_collections(read: Read) -> dict[str, str]:
    """List the collections with what each is, in MongoDB's words: `collection`, `view`, `timeseries`.

    Raises:
        CollectionNotFoundError: there is none, as in a database that is not there.
    """
    name, found = _list_collections(read)
    if not found:
        raise CollectionNotFoundError(f"the database {name} has no collection, or the user may not read any of it")
    return found


def _list_collections(read: Read) -> tuple[str, dict[str, str]]:
    def list_them(database: MongoDatabase) -> tuple[str, dict[str, str]]:
        # Names and types alone may be asked for without a right of one's own.
        with database.list_collections(authorizedCollections=True, nameOnly=True) as cursor:
            return database.name, dict(sorted((found["name"], found["type"]) for found in cursor))

    with _translated("listing the collections"):
        return read(list_them)


def list_id_kinds(read: Read, collection: str) -> set[str]:
    """List the kinds of a collection's first and last id; MongoDB orders ids by kind, so one kind is that of all."""

    def fetch(database: MongoDatabase) -> set[str]:
        batches = fetch_ends(database, collection, 1, {DOCUMENT_ID: 1})
        return {name_kind(found.get(DOCUMENT_ID)) for batch in batches for found in bson.decode_all(batch, ID_OPTIONS)}

    with _translated(f"reading ids of {collection}"):
        return read(fetch)


def count_documents(read: Read, collection: str, matching: Query | None = None) -> int:
    """Count a collection's documents: all from its statistics, those of a condition one by one."""

    def count(database: MongoDatabase) -> int:
        found = database[collection]
        return found.count_documents(matching) if matching else found.estimated_document_count()

    with _translated(f"counting {collection}"):
        return read(count)


def fetch_sample(read: Read, collection: str, size: int, matching: Query | None = None) -> list[bytes]:
    """Fetch documents picked at random, with the oldest and the newest, each once; as BSON."""
    found: dict[bytes, bytes] = {}

    def fetch(database: MongoDatabase) -> list[bytes]:
        ends = fetch_ends(database, collection, min(ENDS, size), matching=matching)
        return [*ends, *fetch_random(database, collection, size, matching=matching)]

    with _translated(f"reading {collection}"):
        batches = read(fetch)
    for document in (document for batch in batches for document in split_batch(batch)):
        found.setdefault(_identify(document), document)
    return list(found.values())


def examine_documents(
    read: Read, collection: str, examine: Callable[[Iterable[bytes]], Result], matching: Query | None = None
) -> Result:
    """Stream all documents of a collection as raw batches through a function, which begins anew where that fails."""
    with _translated(f"reading {collection}"):
        return read(lambda database: examine(fetch_every(database, collection, _BATCH, matching)))


def look_up(
    read: Read,
    candidates: Sequence[Candidate],
    parents: Sequence[Parent],
    most: int,
    bare: Collection[str] = (),
) -> None:
    """Look ids up: the first of every candidate everywhere, then more of them where most of those were found.

    Args:
        candidates: get what was found of them.
        most: how many ids of an array's items are looked up; other places need fewer.
        bare: collections whose ids are ObjectIds only, in which no text that is none is looked up.
    """
    # First where the name says: of most there is no need to ask everywhere.
    for likely in (True, False):
        for parent in parents:
            asked = [c for c in candidates if parent.resembles(c.path) is likely and (likely or not c.is_found())]
            _look_up_first(read, parent, [c for c in asked if not (c.plain_text and parent.collection in bare)])
    for candidate in candidates:
        chosen = nominate(candidate)
        if chosen is None:
            continue
        ids = dict(islice(candidate.ids.items(), most if candidate.in_items else _THEN))
        candidate.asked[chosen] = len(ids)
        candidate.found[chosen] = len(_find(read, chosen, ids) & ids.keys())


def _look_up_first(read: Read, parent: Parent, candidates: Sequence[Candidate]) -> None:
    firsts = {candidate.path: dict(islice(candidate.ids.items(), _FIRST)) for candidate in candidates}
    known = _find(read, parent, {text: value for ids in firsts.values() for text, value in ids.items()})
    for candidate in candidates:
        ids = firsts[candidate.path]
        candidate.asked[parent] = len(ids)
        candidate.found[parent] = sum(text in known for text in ids)


def _find(read: Read, parent: Parent, ids: Mapping[str, object]) -> set[str]:
    """Find which ids are documents of a table, by their text, as columns compare them."""
    if not ids:
        return set()
    values = [spelling for text, value in ids.items() for spelling in _spellings(text, value)]
    condition = compose_query(parent.filter)

    def find(database: MongoDatabase) -> set[str]:
        found: set[str] = set()
        for offset in range(0, len(values), _IDS_PER_QUERY):
            query: dict[str, Any] = {DOCUMENT_ID: {"$in": values[offset : offset + _IDS_PER_QUERY]}}
            query = {"$and": [query, condition]} if condition else query
            with database[parent.collection].find_raw_batches(query, projection={DOCUMENT_ID: 1}) as cursor:
                for batch in cursor:
                    documents = bson.decode_all(cast(bytes, batch), ID_OPTIONS)
                    found.update(spell_id(document[DOCUMENT_ID]) for document in documents)
        return found

    with _translated(f"looking ids up in {parent.collection}"):
        return read(find)


def compose_query(conditions: Iterable[Condition]) -> Query:
    """Compose what MongoDB is asked for the documents of a `filter`."""
    query: dict[str, dict[str, object]] = {}
    for one in conditions:
        query.setdefault(one.path, {})[one.operator] = list(one.value) if isinstance(one.value, tuple) else one.value
    return query


def _spellings(text: str, value: object) -> Iterable[object]:
    """An id is kept as an ObjectId here and as its text there; in the tables both are the text."""
    yield value
    if isinstance(value, ObjectId):
        yield text
    elif isinstance(value, str) and ObjectId.is_valid(value):
        yield ObjectId(value)


def _identify(document: bytes) -> bytes:
    """What tells a document of a sample from the others: its `_id` comes first, and the rest does not matter."""
    try:
        return bson.encode({DOCUMENT_ID: bson.decode(document, ID_OPTIONS)[DOCUMENT_ID]})
    except (bson.errors.BSONError, KeyError, ValueError):
        return document


@contextmanager
def _translated(action: str) -> Iterator[None]:
    try:
        yield
    except PyMongoError as error:
        raise translate_mongo_error(error, f"{action} from MongoDB") from None
