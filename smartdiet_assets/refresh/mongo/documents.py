"""Streaming documents from one collection into another as raw BSON: they are never decoded.

Memory holds a few batches whatever the collection's size.
"""

import contextlib
import queue
import threading
from collections.abc import Generator, Iterable, Iterator
from typing import Literal, NamedTuple

import bson
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo.client_session import ClientSession

from smartdiet_assets.errors import RefreshError
from smartdiet_assets.extract.mongodb.documents import iterate_batches
from smartdiet_assets.refresh.mongo.listing import CollectionSpec
from smartdiet_assets.resources.mongo_reading import MongoDatabase
from smartdiet_assets.schema.documents import Document

#: What a batch is to hold. The server ends one at 16 MB, so that a message of it stays below the 48 MB MongoDB takes.
_BATCH_BYTES = 4_000_000
#: In one insert; MongoDB takes 100,000.
_MOST_DOCUMENTS = 50_000
#: Of documents whose size is not known.
_SOME_DOCUMENTS = 1_000
#: Batches read but not yet written.
_AHEAD = 2
#: For a reader that waits for its server while the refresh is given up.
_SECONDS_TO_END = 5.0
_DUPLICATE_KEY = 11000
_RAW: CodecOptions[RawBSONDocument] = CodecOptions(document_class=RawBSONDocument)


class Written(NamedTuple):
    """Documents that a batch added to a collection, and their bytes."""

    documents: int
    size: int


def fetch_batches(database: MongoDatabase, spec: CollectionSpec, session: ClientSession | None) -> Iterator[bytes]:
    """Stream a whole collection as batches of concatenated documents.

    Raises:
        pymongo.errors.PyMongoError: the server refused or was lost.
    """
    size = choose_batch_size(spec.size)
    yield from iterate_batches(database[spec.name].find_raw_batches({}, batch_size=size, session=session))


def choose_batch_size(size: float) -> int:
    """Choose how many documents of an average size in bytes make a batch."""
    return max(1, min(_MOST_DOCUMENTS, int(_BATCH_BYTES / size))) if size else _SOME_DOCUMENTS


def read_ahead(batches: Iterable[bytes]) -> Generator[bytes, None, None]:
    """Read in a second thread, a few batches ahead, so that reading and writing overlap.

    What the reading raises is raised here. Closing the generator ends the thread.
    """
    ready: queue.Queue[bytes | BaseException | None] = queue.Queue(_AHEAD)
    stop = threading.Event()

    def put(item: bytes | BaseException | None) -> None:
        while not stop.is_set():
            with contextlib.suppress(queue.Full):
                ready.put(item, timeout=0.1)
                return

    def read() -> None:
        try:
            for batch in batches:
                put(batch)
                if stop.is_set():
                    return
        except BaseException as error:  # noqa: BLE001  # handed over to the thread that waits for it
            put(error)
        else:
            put(None)

    thread = threading.Thread(target=read, name="refresh-reader", daemon=True)
    thread.start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stop.set()
        thread.join(_SECONDS_TO_END)


def write_batch(
    database: MongoDatabase,
    name: str,
    batch: bytes,
    *,
    ordered: bool = False,
    bypass_validation: bool = False,
    on_duplicate: Literal["replace", "skip"] = "replace",
) -> Written:
    """Write a batch of concatenated documents; give what is new in the collection.

    Args:
        ordered: keep the documents' order, as a capped collection does.
        bypass_validation: the collection has a validator, which older documents need not pass.
        on_duplicate: what becomes of a document whose `_id` is there already. Without a snapshot a document that was
            deleted and inserted again is met twice: the later one counts.

    Raises:
        RefreshError: the server refused a document.
        pymongo.errors.PyMongoError: the server refused or was lost.
    """
    documents = bson.decode_all(batch, _RAW)
    answer = _insert(database, name, documents, ordered=ordered, bypass_validation=bypass_validation)
    errors = answer.get("writeErrors", ())
    # What a server says about a document may quote it: only its code is told.
    if codes := sorted({error["code"] for error in errors} - {_DUPLICATE_KEY}):
        raise RefreshError(f"the server refused a document (MongoDB error {codes[0]})")
    if errors and on_duplicate == "replace":
        for error in errors:
            document = documents[error["index"]]
            database.command({"delete": name, "deletes": [{"q": {"_id": document["_id"]}, "limit": 1}]})
        # An ordered insert stopped at the first one.
        first = errors[0]["index"]
        rest = documents[first:] if ordered else [documents[error["index"]] for error in errors]
        again = _insert(database, name, rest, ordered=ordered, bypass_validation=bypass_validation)
        if again.get("writeErrors"):
            raise RefreshError("the server refused a document that was there twice (MongoDB error 11000)")
        return Written(int(answer["n"]) + int(again["n"]) - len(errors), len(batch))
    return Written(int(answer["n"]), len(batch) - sum(len(documents[error["index"]].raw) for error in errors))


def _insert(
    database: MongoDatabase, name: str, documents: list[RawBSONDocument], *, ordered: bool, bypass_validation: bool
) -> Document:
    # The command, not `insert_many`: the answer then is read here, and never quoted in an exception.
    command: Document = {"insert": name, "ordered": ordered, "documents": documents, "writeConcern": {"w": 1}}
    if bypass_validation:
        command["bypassDocumentValidation"] = True
    return database.command(command)
