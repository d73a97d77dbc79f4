"""The first load of all tables of a generated company: from memory, from the wire, and by others from the same wire.

The floor copies ready rows into bare tables and builds the same keys, table after table. Tools that load collections
as they are have every document in a table and every item of an array somewhere; the replaced tool, and this project
beside it, fill the tables of an old file. Without the documents
that cannot be rows: others would stop there, or leave them out.

The project reads a collection once for all of its tables, and asks for their fields where they are little of the
documents; the peers read every collection once, whole. So it is compared with whole documents read alone, and with
reading each table's fields, as its run by itself does.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import median
from typing import Any

from pymongo.database import Database

from smartdiet_assets.demo.company import write_company
from smartdiet_assets.extract.mongodb.documents import fetch_window
from smartdiet_assets.extract.window import Window
from smartdiet_assets.mirror.sync import run_sync
from smartdiet_assets.resources.environment import read_environment
from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets.schema.model import Schema
from smartdiet_assets.transform.batch import TransformedBatch, build_transformer
from smartdiet_assets_tests.benchmarks.dagster_floor import CONFIG, compose_variables
from smartdiet_assets_tests.benchmarks.floor import read_keys, take_table
from smartdiet_assets_tests.benchmarks.full_load import FLOOR, FROM_MEMORY, FROM_THE_WIRE, READING
from smartdiet_assets_tests.benchmarks.loading import BATCH_SIZE, declare, load_batches, read_batches
from smartdiet_assets_tests.benchmarks.measuring import Comparison, Contestant, Work, measure
from smartdiet_assets_tests.benchmarks.peers import Source, list_peers
from smartdiet_assets_tests.benchmarks.peers.contents import sum_up_collections, sum_up_old_tables, sum_up_source
from smartdiet_assets_tests.benchmarks.peers.entering import (
    REPLACED,
    clear_schema,
    compare_with,
    enter_peers,
    enter_replaced,
)
from smartdiet_assets_tests.benchmarks.peers.replaced import ReplacedTool
from smartdiet_assets_tests.benchmarks.results import Listing, Result
from smartdiet_assets_tests.benchmarks.servers import Connection, Servers, sum_up
from smartdiet_assets_tests.benchmarks.settings import Settings
from smartdiet_assets_tests.support.old_file import compose_old_database, compose_old_file

#: Each collection once, however many tables are made of it.
READING_WHOLE = "whole documents read alone"
WHOLE_AT_MOST = 1.6
SEED = 1
_BOOKKEEPING = "smartdiet"
DOCUMENTS, OPENING = "decoding documents and making rows", "opening and committing: locks, structure, new tables"
STAGES = {
    "copy": "COPY, as far as it is waited for",
    "settle": "repeated documents, missing parents, shared values",
    "compare": "comparison with the table",
    "merge": "writing what differs",
    "index": "keys, indexes and foreign keys",
    "state": "rejects, watermark, counts",
}
_OBSTACLE = "decoding is no part of the floor, and most tables are small: see where the time goes."


def run_company(servers: Servers, settings: Settings) -> Iterator[Result]:
    """Compare the first load of every table with its floors and with other tools."""
    schema = load_schema(CONFIG / "schemas.yaml")
    with servers.open_mongo() as mongo:
        write_company(mongo, SEED, settings.scale, defects=False)
        date_documents(mongo)
        yield from _compare_from_memory(servers, settings, schema, mongo)
        yield from _compare_from_the_wire(servers, settings, schema, mongo)
        yield from _compare_old_file(servers, settings, mongo)


def date_documents(mongo: Database[Any]) -> None:
    """Give both dates to the few documents without: the replaced tool loads none of them."""
    for name in mongo.list_collection_names():
        for document in list(mongo[name].find({"$or": [{"creation_date": None}, {"update_date": None}]})):
            created = document.get("creation_date") or document["_id"].generation_time.replace(tzinfo=None)
            dates = {"creation_date": created, "update_date": document.get("update_date") or created}
            mongo[name].update_one({"_id": document["_id"]}, {"$set": dates})


class CompanyLoad:
    """The ways of loading all tables into one database, and what they leave there."""

    def __init__(self, servers: Servers, connection: Connection, schema: Schema, mongo: Database[Any]) -> None:
        self.environment = read_environment(compose_variables(servers, connection, mongo, CONFIG / "schemas.yaml", ""))
        self.connection = connection
        self.schema = schema
        self.mongo = mongo
        self.tables = [table for table in schema.tables.values() if table.source == "mongodb"]
        self.collections = sorted({table.mongo_collection for table in self.tables})

    def prepare(self) -> None:
        """Leave a database without tables."""
        clear_schema(self.connection, _BOOKKEEPING)
        clear_schema(self.connection, "public")

    def mirror(self) -> None:
        """Mirror every table from the server, as a sync does."""
        outcome = run_sync(self.schema, self.environment, tables=[table.name for table in self.tables], full=True)
        assert not outcome.errors, outcome.errors

    def load(self, batches: Mapping[str, Sequence[bytes]]) -> None:
        """Load every table from the batches of its collection, parents first."""
        for table in self.tables:
            load_batches(self.connection, self.schema, table, batches[table.mongo_collection])

    def measure_stages(self, batches: Mapping[str, Sequence[bytes]]) -> dict[str, float]:
        """Load every table once more; return the stages' shares of the time."""
        self.prepare()
        seconds: Counter[str] = Counter()
        for table in self.tables:
            transform = build_transformer(table)

            def transform_timed(
                raw: bytes, transform: Callable[[bytes], TransformedBatch] = transform
            ) -> TransformedBatch:
                started = time.perf_counter()
                batch = transform(raw)
                seconds[DOCUMENTS] += time.perf_counter() - started
                return batch

            named = seconds.total()
            started = time.perf_counter()
            raw = batches[table.mongo_collection]
            result = load_batches(self.connection, self.schema, table, raw, transform_timed)
            whole = time.perf_counter() - started
            seconds.update({STAGES[stage]: each for stage, each in result.seconds.items()})
            seconds[OPENING] += whole - (seconds.total() - named)
        return {stage: each / seconds.total() for stage, each in seconds.items()}

    def take_floor(self) -> Contestant:
        """Take the tables as they are; the floor builds them again."""
        ready = [take_table(self.connection, table.name) for table in self.tables]

        def write() -> None:
            for table in ready:
                table.write(self.connection)

        return Contestant(FLOOR, write, self.check, self.prepare)

    def check(self) -> Work:
        """Sum up the rows, contents and keys of all tables."""
        sums = [sum_up(self.connection, table.name) for table in self.tables]
        return {
            "tables": len(self.tables),
            "rows": sum(int(each["rows"]) for each in sums),
            "checksum": f"{sum(int(str(each['checksum']), 16) for each in sums) % 2**64:016x}",
            "keys": sum(len(read_keys(self.connection, table.name)) for table in self.tables),
        }


def _compare_from_memory(
    servers: Servers, settings: Settings, schema: Schema, mongo: Database[Any]
) -> Iterator[Result]:
    with servers.open_postgres() as connection:
        company = CompanyLoad(servers, connection, schema, mongo)
        batches = {name: list(read_batches(mongo, name)) for name in company.collections}
        company.load(batches)
        contestants = [
            Contestant("load", lambda: company.load(batches), company.check, company.prepare),
            company.take_floor(),
        ]
        rounds = measure("company", "from memory", contestants, settings.pairs, settings.on_round)
        yield rounds.compare("load", FLOOR, at_most=FROM_MEMORY, obstacle=_OBSTACLE)
        shares = []
        for number in range(1, settings.pairs + 1):
            settings.on_round("company, stages", number, settings.pairs)
            shares.append(company.measure_stages(batches))
        stages = [DOCUMENTS, OPENING, *STAGES.values()]
        yield Listing(
            "Where a first load of all tables from memory goes",
            ["stage", "share"],
            [[stage, f"{median(each.get(stage, 0.0) for each in shares):.0%}"] for stage in stages],
        )


def _compare_from_the_wire(
    servers: Servers, settings: Settings, schema: Schema, mongo: Database[Any]
) -> Iterator[Comparison]:
    with servers.open_postgres() as connection:
        company = CompanyLoad(servers, connection, schema, mongo)
        company.mirror()
        arrays = _find_arrays(schema)
        source = Source(servers.mongo.uri, mongo.name, company.collections, has_arrays=True)
        expected = sum_up_source(mongo, arrays)

        def check() -> Work:
            return {**company.check(), **expected}

        def read() -> None:
            for table in company.tables:
                for _ in fetch_window(mongo, table, Window("full"), BATCH_SIZE):
                    pass

        def read_whole() -> None:
            for name in company.collections:
                for _ in read_batches(mongo, name):
                    pass

        contestants = [
            Contestant("mirror", company.mirror, check, company.prepare),
            Contestant(READING, read, dict),
            Contestant(READING_WHOLE, read_whole, dict),
            company.take_floor(),
            *enter_peers(
                servers,
                connection,
                source,
                lambda schema: sum_up_collections(connection, schema, arrays),
            ),
        ]
        rounds = measure("company", "from the wire", contestants, settings.pairs, settings.on_round)
        yield rounds.compare(
            "mirror", READING, FLOOR, at_most=FROM_THE_WIRE,
            obstacle="what a transaction of its own costs each of the tables, most of them small.",
        )  # fmt: skip
        yield rounds.compare("mirror", READING_WHOLE, at_most=WHOLE_AT_MOST)
        yield from compare_with(rounds, "mirror", [peer.name for peer in list_peers()])


def _compare_old_file(servers: Servers, settings: Settings, mongo: Database[Any]) -> Iterator[Comparison]:
    text = compose_old_file()
    with servers.open_postgres() as connection:
        company = CompanyLoad(servers, connection, declare(text), mongo)
        tool = ReplacedTool(text)
        contestants = [
            Contestant(
                "mirror",
                company.mirror,
                lambda: sum_up_old_tables(connection, "public", tool.tables),
                company.prepare,
            ),
            *enter_replaced(
                servers, connection, Source(servers.mongo.uri, mongo.name, company.collections), tool,
                compose_old_database(), lambda schema: sum_up_old_tables(connection, schema, tool.tables),
            ),
        ]  # fmt: skip
        rounds = measure("company", "an old file's tables", contestants, settings.pairs, settings.on_round)
        yield from compare_with(rounds, "mirror", [REPLACED])


def _find_arrays(schema: Schema) -> dict[str, list[str]]:
    """Find the collections and the arrays of each that are tables."""
    arrays: dict[str, set[str]] = {}
    for table in schema.tables.values():
        arrays.setdefault(table.mongo_collection, set()).update(array.field for array in table.arrays)
    return {name: sorted(fields) for name, fields in sorted(arrays.items())}
