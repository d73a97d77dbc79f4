"""All checks of any tables, in one go: what is asked of PostgreSQL is asked once for all of them, of a source once for
each of its collections.

Here: which facts the wanted checks need, fetching them in an order that makes them agree, and a sentence in the place
of an error where a server is away. Not here: statements, judgements, Dagster, printing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import psycopg
import pymysql
from psycopg import Connection
from pymongo.errors import PyMongoError
from pymysql.connections import Connection as MatomoConnection

from smartdiet_assets.checks import judgement
from smartdiet_assets.checks.content import compare_collections
from smartdiet_assets.checks.documents import fetch_source_facts, group_tables
from smartdiet_assets.checks.facts import ContentFacts, RecentRows, SourceFacts, TargetFacts
from smartdiet_assets.checks.matomo import compare_matomo_table, fetch_matomo_facts, open_source_table
from smartdiet_assets.checks.outcome import DEFAULT_SAMPLE, KINDS, CheckOutcome
from smartdiet_assets.checks.target import fetch_recent_rows, fetch_target_facts, open_snapshot
from smartdiet_assets.errors import ConfigurationError, SmartdietError
from smartdiet_assets.extract.matomo.structure import SourceTable
from smartdiet_assets.load.structure.companion import place
from smartdiet_assets.resources.matomo_errors import translate_matomo_error
from smartdiet_assets.resources.mongo_errors import translate_mongo_error
from smartdiet_assets.resources.mongo_hello import fetch_server_clock
from smartdiet_assets.resources.mongo_reading import MongoDatabase, Read
from smartdiet_assets.resources.postgres_errors import translate_postgres_error
from smartdiet_assets.schema.matomo import DEFAULT_PREFIX
from smartdiet_assets.schema.model import Schema, Table

#: Checks by table: the names of kinds.
Wanted = Mapping[str, Collection[str]]
_SOURCE_KINDS = frozenset(kind.name for kind in KINDS.values() if kind.reads_source)
_COUNTING = "rows_match_source"
_CONTENT = "content_matches"
_FRESHNESS = "data_is_fresh"


@dataclass(frozen=True, slots=True)
class Servers:
    """How to reach what the checks read. Nothing is opened before a check needs it; None is not configured."""

    postgres: Callable[[], AbstractContextManager[Connection[Any]]]
    mongo: Read | None = None
    matomo: Callable[[], AbstractContextManager[MatomoConnection[Any]]] | None = None
    matomo_prefix: str = DEFAULT_PREFIX


def evaluate_checks(
    schema: Schema,
    wanted: Wanted,
    servers: Servers,
    *,
    sample: int | None = DEFAULT_SAMPLE,
    global_date_threshold: date | None = None,
) -> list[CheckOutcome]:
    """Evaluate checks; in the order of the schema's tables and of `KINDS`.

    A server that is away, or refuses, fails the checks that need it, with a sentence; nothing is raised for it.

    Args:
        wanted: the kinds of check of each table.
        sample: documents of each collection to compare by content; None compares all.
        global_date_threshold: `GLOBAL_DATE_THRESHOLD`.
    """
    evaluation = _Evaluation(schema, wanted, servers, sample, global_date_threshold)
    try:
        with servers.postgres() as connection:
            # One snapshot a transaction: a connection that has begun one has nothing of ours in it.
            connection.rollback()
            evaluation.run(connection)
    except (SmartdietError, psycopg.Error) as error:
        evaluation.fail_all(_spell(translate_postgres_error(error, "reading PostgreSQL")))
    return list(evaluation.list_outcomes())


class _Evaluation:
    """One evaluation: facts are gathered by database, judged, and kept by table and kind."""

    def __init__(
        self,
        schema: Schema,
        wanted: Wanted,
        servers: Servers,
        sample: int | None,
        global_date_threshold: date | None,
    ) -> None:
        self._schema = schema
        self._wanted = wanted
        self._servers = servers
        self._sample = sample
        self._threshold = global_date_threshold
        self._tables = {name: table for name, table in schema.tables.items() if wanted.get(name)}
        self._outcomes: dict[tuple[str, str], CheckOutcome] = {}

    def list_outcomes(self) -> Iterator[CheckOutcome]:
        for name in self._tables:
            for kind in KINDS:
                if (name, kind) in self._outcomes:
                    yield self._outcomes[name, kind]

    def fail_all(self, fault: str) -> None:
        """Fail what has no outcome yet."""
        for table in self._tables.values():
            self._fail(table, KINDS, fault)

    def run(self, connection: Connection[Any]) -> None:
        matomo = [
            table
            for table in self._tables.values()
            if table.source == "matomo" and any(self._wants(table, kind) for kind in self._kinds_of_matomo(table))
        ]
        if not matomo:
            self._run(connection, {}, None)
            return
        try:
            if self._servers.matomo is None:
                raise ConfigurationError("Matomo is not configured; set MATOMO_HOST")
            with self._servers.matomo() as source:
                self._run(connection, self._open_matomo(source, matomo), source)
        except (SmartdietError, pymysql.Error) as error:
            fault = _spell(translate_matomo_error(error, "reading Matomo"))
            for table in matomo:
                self._fail(table, self._kinds_of_matomo(table), fault)
            if connection.closed:
                return
            connection.rollback()
            self._run(connection, {}, None)

    def _kinds_of_matomo(self, table: Table) -> Collection[str]:
        # Which columns there are to be, the source says.
        return {*_SOURCE_KINDS, "structure_matches"} if table.matomo_columns == "all" else _SOURCE_KINDS

    def _open_matomo(self, source: MatomoConnection[Any], tables: Collection[Table]) -> dict[str, SourceTable]:
        opened: dict[str, SourceTable] = {}
        for table in tables:
            try:
                extended, opened[table.name] = open_source_table(source, table, self._servers.matomo_prefix)
            except (SmartdietError, pymysql.Error) as error:
                fault = _spell(translate_matomo_error(error, f"reading Matomo's table {table.source_table}"))
                self._fail(table, self._kinds_of_matomo(table), fault)
                continue
            self._tables[table.name] = extended
            tables_now = {**self._schema.tables, table.name: extended}
            self._schema = self._schema.model_copy(update={"tables": tables_now})
        return opened

    def _run(
        self,
        connection: Connection[Any],
        matomo_tables: Mapping[str, SourceTable],
        matomo: MatomoConnection[Any] | None,
    ) -> None:
        with open_snapshot(connection):
            self._tables = {name: place(connection, table) for name, table in self._tables.items()}
            tables = list(self._tables.values())
            target = fetch_target_facts(connection, self._schema, tables)
            self._judge_target(target)
            source = self._fetch_sources(target, matomo_tables, matomo)
            recent = fetch_recent_rows(
                connection,
                [table for table in tables if table.name in source and self._wants(table, _COUNTING)],
                target,
                {name: facts.recent for name, facts in source.items() if facts.expected is not None},
            )
        self._judge_sources(target, source, recent)
        self._compare(connection, target, matomo_tables, matomo)

    def _judge_target(self, target: Mapping[str, TargetFacts]) -> None:
        judges = {
            "no_rejects": judgement.judge_rejects,
            "rejects_under_limit": judgement.judge_reject_limit,
            "no_orphans": judgement.judge_orphans,
            "unique_keys": judgement.judge_keys,
            "structure_matches": judgement.judge_structure,
        }
        for table in self._tables.values():
            facts = target[table.name]
            for kind in KINDS:
                if not self._wants(table, kind):
                    continue
                if not facts.exists or (not facts.mirrored and kind != "structure_matches"):
                    self._keep(judgement.judge_unmirrored(table, kind, facts))
                elif kind in judges:
                    self._keep(judges[kind](table, facts))
                elif (kind == _CONTENT and not facts.comparable) or (kind == _COUNTING and not facts.countable):
                    self._keep(judgement.judge_incomparable(table, kind))

    def _fetch_sources(
        self,
        target: Mapping[str, TargetFacts],
        matomo_tables: Mapping[str, SourceTable],
        matomo: MatomoConnection[Any] | None,
    ) -> dict[str, SourceFacts]:
        asked = [
            table for table in self._tables.values() if self._wants(table, _COUNTING) or self._wants(table, _FRESHNESS)
        ]
        found: dict[str, SourceFacts] = {}
        collections = [table for table in asked if table.source == "mongodb"]
        counted = [table.name for table in collections if self._wants(table, _COUNTING)]
        try:
            clock = self._read_mongo(fetch_server_clock) if collections else datetime.min
            for group in group_tables(collections):

                def fetch(database: MongoDatabase, group: Sequence[Table] = group) -> dict[str, SourceFacts]:
                    return fetch_source_facts(
                        database,
                        self._schema,
                        group,
                        target,
                        clock=clock,
                        count=counted,
                        global_date_threshold=self._threshold,
                    )

                found |= self._read_mongo(fetch)
        except (SmartdietError, PyMongoError) as error:
            self._fail_mongo(error)
        for table in asked:
            if table.name in matomo_tables and matomo is not None:
                try:
                    found[table.name] = fetch_matomo_facts(matomo, table, matomo_tables[table.name], target[table.name])
                except pymysql.Error as error:
                    self._fail(table, _SOURCE_KINDS, _spell(translate_matomo_error(error, "reading Matomo")))
        return found

    def _judge_sources(
        self, target: Mapping[str, TargetFacts], source: Mapping[str, SourceFacts], recent: Mapping[str, RecentRows]
    ) -> None:
        for name, facts in source.items():
            table = self._tables[name]
            if self._wants(table, _COUNTING):
                self._keep(judgement.judge_rows(table, target[name], facts, recent.get(name, RecentRows())))
            if self._wants(table, _FRESHNESS):
                self._keep(judgement.judge_freshness(table, target[name], facts))

    def _compare(
        self,
        connection: Connection[Any],
        target: Mapping[str, TargetFacts],
        matomo_tables: Mapping[str, SourceTable],
        matomo: MatomoConnection[Any] | None,
    ) -> None:
        asked = [table for table in self._tables.values() if self._wants(table, _CONTENT)]
        collections = [table for table in asked if table.source == "mongodb"]
        try:
            for group in group_tables(collections):

                def compare(database: MongoDatabase, group: Sequence[Table] = group) -> dict[str, ContentFacts]:
                    return compare_collections(
                        connection,
                        database,
                        group,
                        target,
                        sample=self._sample,
                        global_date_threshold=self._threshold,
                    )

                found = self._read_mongo(compare)
                for table in group:
                    self._keep(judgement.judge_content(table, found[table.name]))
        except (SmartdietError, PyMongoError) as error:
            self._fail_mongo(error)
        for table in asked:
            if table.name in matomo_tables and matomo is not None:
                try:
                    content = compare_matomo_table(
                        connection, matomo, table, matomo_tables[table.name], target[table.name], sample=self._sample
                    )
                except pymysql.Error as error:
                    self._fail(table, _SOURCE_KINDS, _spell(translate_matomo_error(error, "reading Matomo")))
                else:
                    self._keep(judgement.judge_content(table, content))
        connection.rollback()

    @property
    def _read_mongo(self) -> Read:
        if self._servers.mongo is None:
            raise ConfigurationError("MongoDB is not configured; set MONGODB_URL")
        return self._servers.mongo

    def _wants(self, table: Table, kind: str) -> bool:
        """Whether a check is asked for and open."""
        return kind in self._wanted[table.name] and (table.name, kind) not in self._outcomes

    def _keep(self, outcome: CheckOutcome) -> None:
        self._outcomes[outcome.table, outcome.kind] = outcome

    def _fail(self, table: Table, kinds: Collection[str], fault: str) -> None:
        for kind in kinds:
            if self._wants(table, kind):
                self._keep(judgement.judge_away(table, kind, fault))

    def _fail_mongo(self, error: Exception) -> None:
        fault = _spell(translate_mongo_error(error, "reading MongoDB"))
        for table in self._tables.values():
            if table.source == "mongodb":
                self._fail(table, _SOURCE_KINDS, fault)


def _spell(error: SmartdietError) -> str:
    return str(error).rstrip(".")
