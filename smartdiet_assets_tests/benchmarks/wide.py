"""Wide documents as whole commands: 24 fields and an array, two tables of one collection, with the settings by default.

Each tool is a process of its own, from its start to its end. The others make one table of the documents, or one more of
the items, without keys.
"""

import random
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bson import ObjectId
from pymongo.database import Database

from smartdiet_assets.extract.mongodb.documents import fetch_window
from smartdiet_assets.extract.window import Window
from smartdiet_assets_tests.benchmarks.loading import BATCH_SIZE, declare
from smartdiet_assets_tests.benchmarks.measuring import Comparison, Contestant, Work, measure
from smartdiet_assets_tests.benchmarks.peers import list_peers
from smartdiet_assets_tests.benchmarks.peers.contents import sum_up_collections, sum_up_source
from smartdiet_assets_tests.benchmarks.peers.entering import NOT_INSTALLED, clear_schema
from smartdiet_assets_tests.benchmarks.servers import Servers
from smartdiet_assets_tests.benchmarks.settings import Settings
from smartdiet_assets_tests.benchmarks.whole import SQLITE, Company, start

#: What the command may take of the time of each.
AIMS = {"Sling": 0.8, "dlt, dictionaries": 0.25}
SYNC, READING = "smartdiet sync", "documents read alone"
_COLLECTION, _ARRAY = "visits", "tags"
_TEXTS, _NUMBERS = 12, 8
SCHEMA = f"""
tables:
  {_COLLECTION}:
    include_base: true
    additional_columns:
{"".join(f"      - {{name: text_{number}, sql_type: TEXT}}{chr(10)}" for number in range(_TEXTS))}\
{"".join(f"      - {{name: number_{number}, sql_type: BIGINT}}{chr(10)}" for number in range(_NUMBERS))}\
      - {{name: paid, sql_type: BOOLEAN}}
  {_COLLECTION}_{_ARRAY}:
    mongo_collection: {_COLLECTION}
    import_strategy: smart_diff
    arrays: [{{field: {_ARRAY}}}]
    columns:
      - {{name: visit_id, sql_type: VARCHAR, nullable: false, mongo_field: _id, foreign_key: {_COLLECTION}(id)}}
      - {{name: tag, sql_type: VARCHAR, nullable: false, item_field: "."}}
      - {{name: created_at, sql_type: TIMESTAMP, nullable: false}}
      - {{name: updated_at, sql_type: TIMESTAMP, nullable: false}}
    unique_constraints: [[visit_id, tag]]
"""
_ARRAYS = {_COLLECTION: [_ARRAY]}
_LOAD = """
import json, sys
from smartdiet_assets_tests.benchmarks.peers import Source, list_peers
name, uri, database, collection, dsn, schema = sys.argv[1:]
[peer] = [peer for peer in list_peers() if peer.name == name]
peer.load(Source(uri, database, [collection], has_arrays=True), dsn, schema)
"""


def run_wide(servers: Servers, settings: Settings) -> Iterator[Comparison]:
    """Compare the first `smartdiet sync` with other tools' commands, and with reading alone."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="smartdiet-wide-")))
        mongo = stack.enter_context(servers.open_mongo())
        write_visits(mongo, settings.wide_documents)
        expected = sum_up_source(mongo, _ARRAYS)
        mirror = Company(servers, mongo, folder, SCHEMA, ()).open_mirror(stack, SQLITE)
        connection, table = mirror.connection, declare(SCHEMA).tables[_COLLECTION]
        dsn = servers.postgres.dsn(connection.info.dbname)

        def check() -> Work:
            mirror.await_records()
            query = f"SELECT (SELECT count(*) FROM {_COLLECTION}), (SELECT count(*) FROM {_COLLECTION}_{_ARRAY})"
            row = connection.execute(query.encode()).fetchone()
            assert row == (expected["documents"], expected["items"])
            return expected

        def read() -> None:
            for _ in fetch_window(mongo, table, Window("full"), BATCH_SIZE, whole=True):
                pass

        def enter(peer: str, schema: str) -> Contestant:
            arguments = [peer, servers.mongo.uri, mongo.name, _COLLECTION, dsn, schema]
            return Contestant(
                peer,
                lambda: start("-c", _LOAD, *arguments, env=None, folder=folder),
                lambda: sum_up_collections(connection, schema, _ARRAYS),
                lambda: clear_schema(connection, schema),
                attempts=3,
            )

        installed = [peer.name for peer in list_peers() if peer.name in AIMS and peer.is_installed]
        contestants = [
            Contestant(SYNC, lambda: mirror.run("sync"), check, mirror.prepare),
            Contestant(READING, read, lambda: expected),
            *(enter(peer, f"peer_{number}") for number, peer in enumerate(installed)),
        ]
        rounds = measure("wide", "first load", contestants, settings.pairs, settings.on_round)
    yield rounds.compare(SYNC, READING)
    for peer, at_most in AIMS.items():
        if peer in rounds.seconds:
            yield rounds.compare(SYNC, peer, at_most=at_most)
        else:
            note = str(rounds.failures[peer])[:70] if peer in rounds.failures else NOT_INSTALLED
            yield Comparison("wide", "first load", peer, (), at_most=at_most, note=note)


def write_visits(mongo: Database[Any], documents: int) -> None:
    """Write documents of about 664 bytes: texts, numbers, dates, and an array of texts."""
    chosen = random.Random(1)
    began = datetime(2024, 1, 1)

    def build(number: int) -> dict[str, Any]:
        date = began + timedelta(minutes=number)
        return {
            "_id": ObjectId(number.to_bytes(12, "big")),
            **{f"text_{place}": f"{chosen.getrandbits(88):022x}" for place in range(_TEXTS)},
            **{f"number_{place}": chosen.randrange(2**30) for place in range(_NUMBERS)},
            "paid": chosen.random() < 0.5,
            _ARRAY: [f"tag {tag}" for tag in chosen.sample(range(100), chosen.randrange(4))],
            "creation_date": date,
            "update_date": date,
        }

    for first in range(0, documents, BATCH_SIZE):
        mongo[_COLLECTION].insert_many([build(n) for n in range(first, min(first + BATCH_SIZE, documents))])
