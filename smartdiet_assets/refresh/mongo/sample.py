"""A share of every collection, and every document that a copied one refers to.

A document is chosen by a hash of its `_id`: the same ones each time, wherever the sample is taken. First the chosen
documents of all collections are copied, then, until none is missing, those referred to (`references`). Memory grows
with the ids referred to, not with the documents.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b

import bson
from bson.errors import BSONError
from bson.objectid import ObjectId
from pymongo.client_session import ClientSession

from smartdiet_assets.extract.mongodb.documents import ID_OPTIONS, iterate_batches
from smartdiet_assets.refresh.mongo.listing import CollectionSpec
from smartdiet_assets.refresh.mongo.references import Reference, read_references
from smartdiet_assets.resources.mongo_reading import MongoDatabase
from smartdiet_assets.schema.documents import Document
from smartdiet_assets.schema.model import DOCUMENT_ID

#: Asked for at once: few enough for one message whatever the ids are, enough to hide the way to a remote server.
_IDS_PER_QUERY = 500
#: Read at once: of a document only its `_id`.
_IDS_PER_BATCH = 20_000
_HASH_BYTES = 8


class Sample:
    """Which documents a sample has, and which it still misses, while it is copied."""

    def __init__(
        self,
        database: MongoDatabase,
        session: ClientSession | None,
        specs: Mapping[str, CollectionSpec],
        references: Mapping[str, Sequence[Reference]],
        percent: float,
    ) -> None:
        """Describe a sample; nothing is read yet.

        Args:
            specs: the collections that are copied; references to others are not followed.
            references: those that leave the documents of each collection.
            percent: of each collection, 0 to 100.
        """
        self._database = database
        self._session = session
        self._bound = int(percent / 100 * 2 ** (8 * _HASH_BYTES))
        self._references = {
            name: [reference for reference in references.get(name, ()) if reference.parent in specs] for name in specs
        }
        self._whole = {name for name in specs if _is_bucket_part(name, specs)}
        # By parent and field: what was asked for, ever, and what of it is still to be read.
        self._known: dict[tuple[str, str], set[object]] = {}
        self._missing: dict[tuple[str, str], set[object]] = {}

    def fetch_chosen(self, name: str) -> Iterator[bytes]:
        """Stream the chosen documents of a collection in batches; what they refer to is taken down."""
        if name in self._whole:
            yield from self._read(name, {})
            return
        chosen: list[object] = []
        for batch in self._find(name, {}, _IDS_PER_BATCH, {DOCUMENT_ID: 1}):
            for raw in bson.decode_all(batch, ID_OPTIONS):
                if self._is_chosen(raw[DOCUMENT_ID]):
                    chosen.append(raw[DOCUMENT_ID])
                    if len(chosen) == _IDS_PER_QUERY:
                        yield from self._read(name, {DOCUMENT_ID: {"$in": chosen}})
                        chosen = []
        if chosen:
            yield from self._read(name, {DOCUMENT_ID: {"$in": chosen}})

    def fetch_missing(self) -> Iterator[tuple[str, bytes]]:
        """Stream what copied documents refer to, by collection, until nothing is missing.

        A document may come more than once, and some that were copied before come again.
        """
        while self._missing:
            (name, field), values = self._missing.popitem()
            pending = list(values)
            for offset in range(0, len(pending), _IDS_PER_QUERY):
                for batch in self._read(name, {field: {"$in": pending[offset : offset + _IDS_PER_QUERY]}}):
                    yield name, batch

    def _read(self, name: str, query: Mapping[str, object]) -> Iterator[bytes]:
        for batch in self._find(name, query, _IDS_PER_QUERY):
            self._take_down(name, batch)
            yield batch

    def _find(
        self, name: str, query: Mapping[str, object], batch_size: int, projection: Mapping[str, object] | None = None
    ) -> Iterator[bytes]:
        yield from iterate_batches(
            self._database[name].find_raw_batches(
                query, projection=projection, batch_size=batch_size, session=self._session
            )
        )

    def _take_down(self, name: str, batch: bytes) -> None:
        references = self._references[name]
        if not references:
            return
        for document in _decode_each(batch):
            for reference in references:
                key = reference.parent, reference.field
                known = self._known.setdefault(key, set())
                for value in read_references(document, reference):
                    if value not in known:
                        known.add(value)
                        if not (reference.field == DOCUMENT_ID and self._will_come(value)):
                            self._missing.setdefault(key, set()).add(value)

    def _will_come(self, document_id: object) -> bool:
        # Of a number there may be another spelling, whose hash is another one.
        return isinstance(document_id, ObjectId | str) and self._is_chosen(document_id)

    def _is_chosen(self, document_id: object) -> bool:
        try:
            encoded = bson.encode({DOCUMENT_ID: document_id})
        except (UnicodeError, BSONError):
            # No driver could ask for it.
            return False
        digest = blake2b(encoded, digest_size=_HASH_BYTES).digest()
        return int.from_bytes(digest) < self._bound


def _is_bucket_part(name: str, specs: Mapping[str, CollectionSpec]) -> bool:
    """Whether a collection is half of a GridFS bucket: without all its chunks a file is no file."""
    for own, other in ((".files", ".chunks"), (".chunks", ".files")):
        if name.endswith(own) and name.removesuffix(own) + other in specs:
            return True
    return False


def _decode_each(batch: bytes) -> Iterator[Document]:
    """Decode the documents of a batch; one that cannot be is copied, but refers to nothing."""
    try:
        yield from bson.decode_all(batch, ID_OPTIONS)
        return
    except BSONError:
        pass
    position = 0
    while position < len(batch):
        size = int.from_bytes(batch[position : position + 4], "little")
        with contextlib.suppress(BSONError):
            yield bson.decode(batch[position : position + size], ID_OPTIONS)
        position += size
