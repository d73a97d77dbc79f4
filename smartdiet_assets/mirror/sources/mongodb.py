"""The documents of a table's collection in MongoDB."""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Self

import bson
from pymongo.client_session import ClientSession
from pymongo.errors import PyMongoError

from smartdiet_assets.extract.mongodb import change_stream, documents, id_ranges
from smartdiet_assets.extract.mongodb.change_stream import Changes
from smartdiet_assets.extract.mongodb.document_ids import fetch_ids, find_ids
from smartdiet_assets.extract.window import Window
from smartdiet_assets.load.records.fields import SeenFields
from smartdiet_assets.mirror.sources.field_sampling import FieldSampling
from smartdiet_assets.mirror.sources.hidden_ids import find_named
from smartdiet_assets.resources.checking import CheckResult
from smartdiet_assets.resources.environment import Environment
from smartdiet_assets.resources.mongo_errors import translate_mongo_error
from smartdiet_assets.resources.mongo_hello import fetch_server_clock
from smartdiet_assets.resources.mongo_reading import MongoDatabase
from smartdiet_assets.resources.mongo_server import MongoConnections, MongoServer
from smartdiet_assets.schema.document_id import IdBatch, decode_document_id, encode_document_id
from smartdiet_assets.schema.forgotten import Forgotten
from smartdiet_assets.schema.model import DOCUMENT_ID, Schema, Table
from smartdiet_assets.schema.pseudonyms import Pseudonyms
from smartdiet_assets.transform.batch import DecodedBatch, TransformedBatch, build_transformer, decode
from smartdiet_assets.transform.document_ids import build_id_reader

if TYPE_CHECKING:
    from smartdiet_assets.resources.mongo import MongoResource


class MongoSource:
    """The documents of a table's collection.

    A table captured from the change stream needs a causally consistent `session` to read all of it in: see
    `extract.mongodb.change_stream`. `clock` is a reading of the server's clock from before, naive UTC;
    by default it is read anew.
    """

    unmirrored_columns: tuple[str, ...] = ()
    removes_each_run = False

    def __init__(
        self,
        schema: Schema,
        table: Table,
        database: MongoDatabase,
        batch_size: int,
        session: ClientSession | None = None,
        clock: datetime | None = None,
    ) -> None:
        self.schema = schema
        self.table = table
        self._database = database
        self._batch_size = batch_size
        self._session = session
        self._clock = clock
        self._sampling: FieldSampling | None = None
        self._forgotten: Forgotten | None = None

    @property
    def changes(self) -> Self | None:
        return self if self.table.capture == "change_stream" else None

    @property
    def ranges(self) -> Self | None:
        # What is found by dates, a run reads again that changed since the first range was read. A session is one
        # process's, and without dates what was read long ago would stay.
        return self if self.table.capture == self.table.incremental == "dates" else None

    @cached_property
    def _transform(self) -> Callable[[bytes | DecodedBatch], TransformedBatch]:
        # Generated when the first batch is there: it takes as long as asking an unchanged collection.
        return build_transformer(self.table, None if self._sampling is None else self._sampling.look, self._forgotten)

    def transform(self, batch: bytes | DecodedBatch) -> TransformedBatch:
        if self._sampling is not None:
            self._sampling.weigh(batch if isinstance(batch, bytes) else batch.raw)
        transformed = self._transform(batch)
        if self._sampling is not None:
            self._sampling.look_up()
        return transformed

    def leave_out(self, forgotten: Forgotten | None) -> None:
        self._forgotten = forgotten
        self.__dict__.pop("_transform", None)

    def look_at_fields(self, everything: bool, little_left_out: bool) -> None:
        rules = self.schema.rules_of(self.table.mongo_collection)
        if rules.undeclared == "ignore":
            return
        # Where several tables read a collection, one of them looks for all.
        thorough = rules.undeclared == "fail" or (everything and self.schema.leads(self.table))
        self._sampling = FieldSampling(self.schema, self.table, self._database, thorough, little_left_out)
        # A run that starts again looks again.
        self.__dict__.pop("_transform", None)

    def look_no_more(self) -> None:
        if self._sampling is not None:
            self._sampling.look_no_more()

    def list_fields(self) -> SeenFields | None:
        return None if self._sampling is None else self._sampling.conclude()

    def fetch_clock(self) -> datetime:
        return self._clock or fetch_server_clock(self._database)

    def fetch_window(self, window: Window, after_key: object) -> Generator[bytes]:
        sampling = self._sampling
        return documents.fetch_window(
            self._database,
            self.table,
            window,
            self._batch_size,
            self._session,
            whole=sampling is not None and sampling.reads_whole(window),
            on_choice=lambda whole: None if sampling is None else sampling.note_choice(whole),
        )

    def tell_window(self, window: Window) -> Hashable:
        if window.by_key or window.reads_stream_alone:
            return None
        # Whatever their names, all dates are read.
        fields = () if window.reads_everything else (self.table.created_field, self.table.updated_field)
        return (window.start, window.end, *fields)

    def fetch_together(self, others: Sequence[Self], window: Window) -> Generator[bytes]:
        lookers = self._look_for(others)

        def note_choice(whole: bool) -> None:
            for sampling in lookers:
                sampling.note_choice(whole)

        # Each is to know.
        whole = [sampling.reads_whole(window) for sampling in lookers]
        return documents.fetch_window(
            self._database,
            self.table,
            window,
            self._batch_size,
            beside=[source.table for source in others],
            whole=any(whole),
            on_choice=note_choice,
        )

    def decode(self, batch: bytes) -> DecodedBatch:
        return decode(batch)

    def _look_for(self, others: Sequence[Self]) -> list[FieldSampling]:
        """Look which fields the documents have also for other sources, unless each of them is to fail by itself."""
        if self._sampling is None:
            return []
        self._sampling.tables = [self.table, *(source.table for source in others)]
        for source in others:
            if self.schema.rules_of(self.table.mongo_collection).undeclared != "fail":
                source._sampling = None
        return [source._sampling for source in (self, *others) if source._sampling is not None]

    def count_all(self) -> int:
        return self._database[self.table.mongo_collection].estimated_document_count()

    def identify(self) -> str:
        collection, key = self.table.mongo_collection, self._seals.fingerprint if self._seals is not None else ""
        return f"{self._database.name} {id_ranges.identify_collection(self._database, collection)} {key}"

    @cached_property
    def _seals(self) -> Pseudonyms | None:
        """What hides the ids in ranges, where any table of the collection hides ids: all have the same ranges."""
        tables = [t for t in self.schema.tables.values() if t.mongo_collection == self.table.mongo_collection]
        return next((table.pseudonyms for table in tables if table.hides_ids), None)

    def plan_ranges(self, ranges: int) -> list[bytes]:
        boundaries = id_ranges.fetch_boundaries(self._database, self.table.mongo_collection, ranges)
        encoded = [id_ranges.encode_range(queries) for queries in id_ranges.compose_ranges(boundaries)]
        return [self._seals.seal(one.hex()).encode() for one in encoded] if self._seals is not None else encoded

    def is_better_whole(self, beside: Sequence[Table] = ()) -> bool:
        return id_ranges.is_better_whole(self._database, self.table, *beside)

    def fetch_range(self, encoded: bytes, *, whole: bool, beside: Sequence[Self] = ()) -> Generator[bytes]:
        lookers = self._look_for(beside)
        # Each is to know.
        thorough = [sampling.reads_whole(Window("full")) for sampling in lookers]
        if any(thorough):
            whole = True
        else:
            for sampling in lookers:
                sampling.note_choice(whole)
        tables = [self.table, *(source.table for source in beside)]
        if self._seals is not None:
            encoded = bytes.fromhex(self._seals.unseal(encoded.decode()))
        queries = id_ranges.decode_range(encoded)
        return id_ranges.fetch_range(self._database, tables, queries, self._batch_size, whole=whole)

    def estimate_documents(self, window: Window) -> int | None:
        return documents.estimate_documents(self._database, self.table, window)

    def fetch_by_ids(self, document_ids: Sequence[str]) -> Iterator[bytes]:
        sampling = self._sampling
        whole = sampling is not None and sampling.reads_whole()
        decoded = [decode_document_id(text) for text in document_ids]
        return documents.fetch_by_ids(self._database, self.table, decoded, self._session, whole=whole)

    def find_named(self, chunks: Iterator[list[str]]) -> Iterator[list[str]]:
        return find_named(self._database, self.table, chunks) if self.table.hides_ids else chunks

    def fetch_keys(self) -> Iterator[IdBatch]:
        read_ids = build_id_reader(self.table)
        yield from map(read_ids, fetch_ids(self._database, self.table.mongo_collection))

    def find_keys(self, document_ids: Sequence[str]) -> Iterator[IdBatch]:
        read_ids = build_id_reader(self.table)
        for chunk in self.find_named(iter([list(document_ids)])):
            decoded = [decode_document_id(text) for text in chunk]
            yield from map(read_ids, find_ids(self._database, self.table.mongo_collection, decoded))

    def open_position(self) -> str:
        return change_stream.open_position(self._database, self.table, self._captured_in)

    def fetch_changes(self, position: str) -> Iterator[Changes]:
        return change_stream.fetch_changes(self._database, self.table, position, self._captured_in)

    def fetch_deleted(self, document_ids: Sequence[str]) -> list[str]:
        decoded = [decode_document_id(text) for text in document_ids]
        present = documents.fetch_present_ids(self._database, self.table, decoded, self._session)
        known = set(map(encode_document_id, present))
        return [text for text in dict.fromkeys(document_ids) if text not in known]

    def convert_ids(self, document_ids: Sequence[str]) -> IdBatch:
        raw = b"".join(bson.encode({DOCUMENT_ID: decode_document_id(text)}) for text in document_ids)
        return build_id_reader(self.table)(raw)

    @property
    def _captured_in(self) -> ClientSession:
        if self._session is None:
            raise RuntimeError(f"{self.table.name}: a change stream needs a session")
        return self._session


@contextmanager
def open_collection(
    schema: Schema, table: Table, database: MongoDatabase, batch_size: int, clock: datetime | None = None
) -> Iterator[MongoSource]:
    """Open the source of a table, with a session where it is captured from the change stream."""
    with database.client.start_session() if table.capture == "change_stream" else nullcontext() as session:
        yield MongoSource(schema, table, database, batch_size, session, clock)


class MongoOpener:
    """Opens collections of the configured MongoDB; see `SourceOpener`."""

    def build_server(self, environment: Environment) -> MongoResource:
        from smartdiet_assets.resources.mongo import build_mongo_resource

        return build_mongo_resource(environment)

    def open_server(self, environment: Environment) -> AbstractContextManager[MongoServer]:
        return closing(MongoServer(environment))

    def check(self, server: MongoConnections, tables: Sequence[Table]) -> CheckResult:
        return server.check()

    @contextmanager
    def open(
        self, server: MongoConnections, schema: Schema, table: Table, *, batch_size: int, clock: datetime | None = None
    ) -> Iterator[MongoSource]:
        with server.reading() as database, open_collection(schema, table, database, batch_size, clock) as source:
            yield source

    def translate(self, error: Exception, table: Table) -> Exception:
        if isinstance(error, PyMongoError):
            return translate_mongo_error(error, f"reading {table.mongo_collection}")
        return error


OPENER = MongoOpener()
