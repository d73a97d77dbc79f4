"""A source that serves BSON byte for byte, for what no MongoDB stand-in can store.

Here: the source, and one run of it into a real PostgreSQL. Not here: which documents, or what is expected.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import bson
import psycopg
from bson.errors import InvalidBSON
from psycopg import sql

from smartdiet_assets.extract.window import Window, WindowRequest
from smartdiet_assets.mirror.sources.mongodb import MongoSource
from smartdiet_assets.mirror.table_run import MirrorResult, mirror_source
from smartdiet_assets.schema.document_id import encode_document_id
from smartdiet_assets.schema.model import Schema, Table

CLOCK = datetime(2030, 1, 1)
_OPTIONS: bson.CodecOptions[dict[str, Any]] = bson.CodecOptions(
    datetime_conversion=bson.DatetimeConversion.DATETIME_AUTO, unicode_decode_error_handler="surrogateescape"
)


class BsonSource(MongoSource):
    """Documents as bytes, all of which are in every window."""

    #: No server plans any.
    ranges = None

    def __init__(self, schema: Schema, table: Table, documents: Sequence[bytes], batch_size: int = 1_000) -> None:
        super().__init__(schema, table, None, batch_size)  # type: ignore[arg-type]  # nothing below asks a server
        self._documents = documents
        self._size = batch_size

    def fetch_clock(self) -> datetime:
        return CLOCK

    def fetch_window(self, window: Window, after_key: object) -> Iterator[bytes]:
        if self._sampling is not None:
            self._sampling.note_choice(whole=True)
        for start in range(0, len(self._documents), self._size):
            yield b"".join(self._documents[start : start + self._size])

    def fetch_by_ids(self, document_ids: Sequence[str]) -> Iterator[bytes]:
        if found := [raw for raw in self._documents if _read_id(raw) in document_ids]:
            yield b"".join(found)


def _read_id(raw: bytes) -> str | None:
    try:
        return encode_document_id(bson.decode(raw, _OPTIONS).get("_id"))
    except InvalidBSON:
        return None


def mirror_bson(
    connection: psycopg.Connection[Any],
    schema: Schema,
    name: str,
    documents: Sequence[bytes],
    *,
    batch_size: int = 1_000,
    kind: Any = "full",
) -> MirrorResult:
    """Run one table once."""
    source = BsonSource(schema, schema.tables[name], documents, batch_size)
    return mirror_source(source, connection, run_id="run", request=WindowRequest(kind))


def fetch_rejects(connection: psycopg.Connection[Any], table: str) -> dict[str, tuple[str, str, int]]:
    """The rejects of a table: column, reason and items by document id."""
    rows = connection.execute(
        "SELECT document_id, column_name, reason, items FROM smartdiet.rejected_rows WHERE table_name = %s", [table]
    )
    return {document: (column, reason, items) for document, column, reason, items in rows}


def fetch_versions(connection: psycopg.Connection[Any], table: str) -> list[tuple[Any, ...]]:
    """Where each row of a table is and which transaction wrote it."""
    query = sql.SQL("SELECT ctid::text, xmin::text FROM {} ORDER BY ctid").format(sql.Identifier(table))
    return connection.execute(query).fetchall()
