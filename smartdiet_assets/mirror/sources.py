"""Where a table's rows come from, behind one interface: the collection in MongoDB, or the table of Matomo.

Here: for each source, its reading and its transformation put together, so that one run serves both. Not here: the run
(`mirror.table_run`), or any statement (`extract`).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any, Protocol

import bson
from pymongo.client_session import ClientSession
from pymongo.database import Database
from pymysql.connections import Connection

from smartdiet_assets.extract.matomo import documents as matomo
from smartdiet_assets.extract.matomo.structure import (
    check_source_table,
    extend_table,
    fetch_source_table,
    list_unmirrored,
)
from smartdiet_assets.extract.mongodb import change_stream, documents
from smartdiet_assets.extract.mongodb.change_stream import Changes
from smartdiet_assets.extract.mongodb.document_ids import fetch_ids, find_ids
from smartdiet_assets.extract.window import Window
from smartdiet_assets.resources.mongo_hello import fetch_server_clock
from smartdiet_assets.schema.document_id import IdBatch, decode_document_id, encode_document_id
from smartdiet_assets.schema.matomo import DEFAULT_PREFIX, compose_source_name
from smartdiet_assets.schema.model import DOCUMENT_ID, Schema, Table
from smartdiet_assets.transform.batch import TransformedBatch, build_transformer
from smartdiet_assets.transform.document_ids import build_id_reader
from smartdiet_assets.transform.matomo import build_row_transformer


class Source(Protocol):
    """What a run needs of a source. A batch is whatever `transform` takes.

    Attributes:
        schema, table: what is mirrored; the table may have columns that were found at the source.
        unmirrored_columns: columns of the source that are not mirrored.
    """

    schema: Schema
    table: Table
    unmirrored_columns: tuple[str, ...]

    def fetch_clock(self) -> datetime:
        """Fetch the source's own time, naive UTC."""

    def fetch_window(self, window: Window, after_key: object) -> Generator[Any]:
        """Stream the batches of a window; `after_key` is the newest mirrored key, for a window by key."""

    def estimate_documents(self, window: Window) -> int | None:
        """Estimate how many documents a window has, while it is read; None where that is not known."""

    def fetch_by_ids(self, document_ids: Sequence[str]) -> Iterator[Any]:
        """Stream the batches of the documents with the given encoded ids."""

    def fetch_keys(self) -> Iterator[IdBatch]:
        """Stream all keys there are, in chunks."""

    def find_keys(self, document_ids: Sequence[str]) -> Iterator[IdBatch]:
        """Ask again which of some encoded ids are there."""

    def open_position(self) -> str:
        """Open the change stream and give the position it is at."""

    def fetch_changes(self, position: str) -> Iterator[Changes]:
        """Stream what changed after a position, up to now."""

    def fetch_deleted(self, document_ids: Sequence[str]) -> list[str]:
        """Fetch which of the documents with the given encoded ids are not there."""

    def convert_ids(self, document_ids: Sequence[str]) -> IdBatch:
        """Convert encoded ids to document column values; those the column cannot hold are left out."""

    def transform(self, batch: Any) -> TransformedBatch:
        """Turn a batch into rows and rejects."""


class MongoSource:
    """The documents of a table's collection.

    A table captured from the change stream needs a causally consistent `session` to read all of it in: see
    `extract.mongodb.change_stream`. `clock` is a reading of the server's clock from before, naive UTC;
    by default it is read anew.
    """

    unmirrored_columns: tuple[str, ...] = ()

    def __init__(
        self,
        schema: Schema,
        table: Table,
        database: Database[dict[str, Any]],
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

    @cached_property
    def transform(self) -> Callable[[bytes], TransformedBatch]:
        # Generated when the first batch is there: it takes as long as asking an unchanged collection.
        return build_transformer(self.table)

    def fetch_clock(self) -> datetime:
        return self._clock or fetch_server_clock(self._database)

    def fetch_window(self, window: Window, after_key: object) -> Generator[bytes]:
        return documents.fetch_window(self._database, self.table, window, self._batch_size, self._session)

    def estimate_documents(self, window: Window) -> int | None:
        return documents.estimate_documents(self._database, self.table, window)

    def fetch_by_ids(self, document_ids: Sequence[str]) -> Iterator[bytes]:
        decoded = [decode_document_id(text) for text in document_ids]
        return documents.fetch_by_ids(self._database, self.table, decoded, self._session)

    def fetch_keys(self) -> Iterator[IdBatch]:
        read_ids = build_id_reader(self.table)
        yield from map(read_ids, fetch_ids(self._database, self.table.mongo_collection))

    def find_keys(self, document_ids: Sequence[str]) -> Iterator[IdBatch]:
        decoded = [decode_document_id(text) for text in document_ids]
        return map(build_id_reader(self.table), find_ids(self._database, self.table.mongo_collection, decoded))

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


class MatomoSource:
    """The rows of one of Matomo's tables.

    Opening it compares the table on the server with the declaration.

    Raises:
        SourceTableError: the server lacks a declared column.
        pymysql.Error: it has no such table, or the user may not read it.
    """

    def __init__(
        self,
        schema: Schema,
        table: Table,
        connection: Connection[Any],
        batch_size: int = 5_000,
        *,
        table_prefix: str = DEFAULT_PREFIX,
    ) -> None:
        self._connection = connection
        self._batch_size = batch_size
        time_column = table.column(table.time_column).source_column if table.time_column else ""
        name = compose_source_name(table.source_table, table_prefix)
        self._found = fetch_source_table(connection, name, time_column)
        check_source_table(table, self._found)
        self.table = extend_table(table, self._found)
        self.schema = schema.model_copy(update={"tables": {**schema.tables, table.name: self.table}})
        self.unmirrored_columns = list_unmirrored(self.table, self._found)
        self.transform = build_row_transformer(
            self.table, {column.name: column.data_type for column in self._found.columns.values()}
        )

    def fetch_clock(self) -> datetime:
        return matomo.fetch_server_clock(self._connection)

    def fetch_window(self, window: Window, after_key: object) -> Generator[list[matomo.Row]]:
        return matomo.fetch_window(self._connection, self.table, self._found, window, after_key, self._batch_size)

    def estimate_documents(self, window: Window) -> int | None:
        # The connection is busy with the window; what was asked before it tells of the whole table.
        return self._found.rows if window.reads_everything else None

    def fetch_by_ids(self, document_ids: Sequence[str]) -> Iterator[list[matomo.Row]]:
        return matomo.fetch_by_keys(self._connection, self.table, self._found, document_ids)

    def fetch_keys(self) -> Iterator[IdBatch]:
        return map(IdBatch, matomo.fetch_keys(self._connection, self.table, self._found))

    def open_position(self) -> str:
        raise NotImplementedError("Matomo has no change stream")

    def fetch_changes(self, position: str) -> Iterator[Changes]:
        raise NotImplementedError("Matomo has no change stream")

    def fetch_deleted(self, document_ids: Sequence[str]) -> list[str]:
        raise NotImplementedError("Matomo has no change stream")

    def find_keys(self, document_ids: Sequence[str]) -> Iterator[IdBatch]:
        place = [column.name for column in self.table.stored_columns].index(self.table.document_column)
        for rows in matomo.fetch_by_keys(self._connection, self.table, self._found, document_ids):
            keys = [key for row in rows if (key := row[place]) is not None]
            yield IdBatch([int(key) if matomo.has_integer_key(self.table) else key.decode() for key in keys])

    def convert_ids(self, document_ids: Sequence[str]) -> IdBatch:
        raise NotImplementedError("Matomo has no change stream")
