"""Loading with the project, and reading without it: what several benchmarks time.

Here: schema texts to schemas, batches in memory through transform and load, batches over the wire alone. Not here:
measuring, or documents.
"""

import gc
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import bson
from bson.raw_bson import RawBSONDocument
from pymongo.database import Database

from smartdiet_assets.load.intake import Intake
from smartdiet_assets.load.opening import open_load
from smartdiet_assets.load.result import LoadResult
from smartdiet_assets.load.run import conclude
from smartdiet_assets.load.write import Conclusion
from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets.schema.model import Schema, Table
from smartdiet_assets.transform.batch import TransformedBatch, build_transformer
from smartdiet_assets_tests.benchmarks.floor import ReadyTable
from smartdiet_assets_tests.benchmarks.servers import Connection

#: Documents in a batch, as `mirror_table` reads them.
BATCH_SIZE = 5_000


def declare(text: str) -> Schema:
    """Load a schema from the text of its file."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "schemas.yaml")
        path.write_text(text)
        return load_schema(path)


def encode_batches(documents: Iterable[Mapping[str, Any]]) -> list[bytes]:
    """Encode documents as the raw batches a server would send."""
    batches: list[bytearray] = []
    for number, document in enumerate(documents):
        if number % BATCH_SIZE == 0:
            batches.append(bytearray())
        batches[-1] += bson.encode(document)
    return [bytes(batch) for batch in batches]


def load_batches(
    connection: Connection,
    schema: Schema,
    table: Table,
    batches: Iterable[bytes],
    transform: Callable[[bytes], TransformedBatch] | None = None,
) -> LoadResult:
    """Transform, with the table's own transformer if no other is given, and load batches, as a full read."""
    transform = transform or build_transformer(table)
    newest = None
    with open_load(connection, schema, table, "benchmark") as load, Intake(load) as intake:
        for raw in batches:
            batch = transform(raw)
            intake.take(batch)
            newest = max(filter(None, (newest, batch.newest)), default=None)
        return conclude(load, intake.close(), Conclusion(watermark=newest, full=True))


def load_ready(
    connection: Connection, schema: Schema, table: Table, ready: ReadyTable, ids: Sequence[object], newest: datetime
) -> LoadResult:
    """Load rows that are ready in COPY's binary form, by a load's own stages: what is left without any client work.

    Args:
        table: one that the load creates, so that its rows go straight there.
        ids: of the rows' documents, in the rows' order.
    """
    with open_load(connection, schema, table, "benchmark") as load, Intake(load) as intake:
        intake.begin()
        ready.copy(connection)
        intake.writer.rows_written = intake.writer.documents_read = len(ids)
        intake.writer.order.note(ids)
        return conclude(load, intake.close(), Conclusion(watermark=newest, full=True))


def store_batches(database: Database[Any], collection: str, batches: Iterable[bytes]) -> None:
    """Insert batches into a collection."""
    for batch in batches:
        documents = [RawBSONDocument(raw) for raw in split_batch(batch)]
        database[collection].insert_many(documents, ordered=True)


def split_batch(batch: bytes) -> Iterator[bytes]:
    """Cut a batch into its documents."""
    position = 0
    while position < len(batch):
        end = position + int.from_bytes(batch[position : position + 4], "little")
        yield batch[position:end]
        position = end


def read_batches(database: Database[Any], collection: str, fields: Mapping[str, int] | None = None) -> Iterator[bytes]:
    """Read a collection with the driver alone: whole documents, or some of their fields."""
    with database[collection].find_raw_batches({}, projection=fields, batch_size=BATCH_SIZE) as cursor:
        yield from cursor


def decode_batches(batches: Iterable[bytes]) -> int:
    """Decode batches with the driver alone, as fast as it can be done; return how many documents there were."""
    gc.disable()
    try:
        return sum(len(bson.decode_all(batch)) for batch in batches)
    finally:
        gc.enable()
