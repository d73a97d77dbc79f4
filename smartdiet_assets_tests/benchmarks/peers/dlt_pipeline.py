"""dlt: a pipeline from MongoDB's documents, as dictionaries and as Arrow tables.

The package brings no MongoDB source; its users copy one into their project. This one does what that one does: batches
of 10,000 from one cursor, ids turned into text, dates into dlt's own; or raw batches decoded by pymongoarrow, whose
columns of ids become text. The rest is dlt's defaults, without a question asked of the network. Not here: measuring.
"""

import os
import warnings
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import islice
from tempfile import TemporaryDirectory
from typing import Any

from bson import ObjectId
from pymongo import MongoClient
from pymongo.collection import Collection

from smartdiet_assets_tests.benchmarks.peers import Source

_CHUNK = 10_000


def load_dictionaries(source: Source, dsn: str, schema: str) -> None:
    """Load collections as dictionaries; arrays become tables of their own."""
    _run(source, dsn, schema, read_dictionaries)


def load_arrow(source: Source, dsn: str, schema: str) -> None:
    """Load collections as Arrow tables."""
    _run(source, dsn, schema, _read_arrow)


def read_dictionaries(collection: Collection[Any]) -> Iterator[list[dict[str, Any]]]:
    """Read a collection in chunks of converted documents."""
    from dlt.common.time import ensure_pendulum_datetime
    from dlt.common.utils import map_nested_values_in_place

    def convert(value: Any) -> Any:
        if isinstance(value, ObjectId):
            return str(value)
        return ensure_pendulum_datetime(value) if isinstance(value, datetime) else value

    with collection.find({}) as cursor:
        while documents := list(islice(cursor, _CHUNK)):
            yield map_nested_values_in_place(convert, documents)


def _read_arrow(collection: Collection[Any]) -> Iterator[Any]:
    import pyarrow

    with warnings.catch_warnings():
        # It was built with an older pyarrow, and says so for every class.
        warnings.simplefilter("ignore", RuntimeWarning)
        from pymongoarrow.context import PyMongoArrowContext
        from pymongoarrow.types import ObjectIdType

    with collection.find_raw_batches({}, batch_size=_CHUNK) as cursor:
        for batch in cursor:
            # One for each batch: a context gives out again what it was given before.
            context = PyMongoArrowContext(None, codec_options=collection.codec_options)
            context.process_bson_stream(batch)
            table = context.finish()
            for place, column in enumerate(table.schema):
                if isinstance(column.type, ObjectIdType):
                    ids = pyarrow.array([str(value) for value in table[column.name]], type=pyarrow.string())
                    table = table.set_column(place, pyarrow.field(column.name, pyarrow.string()), ids)
            yield table


def _run(source: Source, dsn: str, schema: str, read: Callable[[Collection[Any]], Any]) -> None:
    with TemporaryDirectory(prefix="smartdiet-dlt-") as folder:
        # Before the import: dlt looks for its settings and its folder there.
        os.environ |= {"DLT_DATA_DIR": folder, "RUNTIME__DLTHUB_TELEMETRY": "false", "RUNTIME__LOG_LEVEL": "CRITICAL"}
        import dlt

        with MongoClient[Any](source.uri, tz_aware=True) as client:
            database = client[source.database]
            resources = [
                # Into tables that are not there yet, appending is the least work of its ways.
                dlt.resource(read(database[name]), name=name, write_disposition="append", primary_key="_id")
                for name in source.collections
            ]
            pipeline = dlt.pipeline(
                "benchmark",
                pipelines_dir=folder,
                destination=dlt.destinations.postgres(dsn),
                dataset_name=schema,
            )
            pipeline.run(resources)
