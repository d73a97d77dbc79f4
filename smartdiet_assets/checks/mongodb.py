"""MongoDB as the checks see it: its collections group by group, each read tried again where that may help."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from pymongo.errors import PyMongoError

from smartdiet_assets.checks.content import compare_collections
from smartdiet_assets.checks.documents import fetch_source_facts, group_tables
from smartdiet_assets.checks.facts import ContentFacts, SourceFacts
from smartdiet_assets.checks.sources import Asked
from smartdiet_assets.errors import SmartdietError
from smartdiet_assets.load.execution import Connection
from smartdiet_assets.resources.mongo_errors import translate_mongo_error
from smartdiet_assets.resources.mongo_hello import fetch_server_clock
from smartdiet_assets.resources.mongo_reading import MongoDatabase, Read, Result
from smartdiet_assets.schema.model import Table


class CheckedMongo:
    """The collections of a database; see `CheckedSource` and `OpenedSource`. A collection need not be there."""

    def __init__(self, read: Read) -> None:
        self._read_database = read
        self.tables: dict[str, Table] = {}
        self.faults: dict[str, SmartdietError] = {}

    @contextmanager
    def open(self, tables: Sequence[Table]) -> Iterator[CheckedMongo]:
        self.tables = {table.name: table for table in tables}
        yield self

    def fetch_facts(self, asked: Asked) -> Iterator[tuple[Table, SourceFacts]]:
        clock = self._read(fetch_server_clock)
        for group in group_tables(asked.tables):

            def fetch(database: MongoDatabase, group: Sequence[Table] = group) -> dict[str, SourceFacts]:
                return fetch_source_facts(
                    database,
                    asked.schema,
                    group,
                    asked.target,
                    clock=clock,
                    count=asked.count,
                    global_date_threshold=asked.global_date_threshold,
                )

            found = self._read(fetch)
            yield from ((table, found[table.name]) for table in group)

    def compare(self, postgres: Connection, asked: Asked) -> Iterator[tuple[Table, ContentFacts]]:
        for group in group_tables(asked.tables):

            def compare(database: MongoDatabase, group: Sequence[Table] = group) -> dict[str, ContentFacts]:
                threshold = asked.global_date_threshold
                return compare_collections(
                    postgres, database, group, asked.target, sample=asked.sample, global_date_threshold=threshold
                )

            found = self._read(compare)
            yield from ((table, found[table.name]) for table in group)

    def _read(self, attempt: Callable[[MongoDatabase], Result]) -> Result:
        try:
            return self._read_database(attempt)
        except PyMongoError as error:
            raise translate_mongo_error(error, "reading MongoDB") from None
