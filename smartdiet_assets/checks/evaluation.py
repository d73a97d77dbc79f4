"""All checks of any tables, in one go: what is asked of PostgreSQL is asked once for all of them, of a source once for
each of its collections.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from datetime import date
from typing import Any, TypeVar

import psycopg
from psycopg import Connection

from smartdiet_assets.checks import judgement
from smartdiet_assets.checks.facts import RecentRows, SourceFacts, TargetFacts
from smartdiet_assets.checks.matomo import CheckedMatomo
from smartdiet_assets.checks.mongodb import CheckedMongo
from smartdiet_assets.checks.outcome import DEFAULT_SAMPLE, KINDS, CheckOutcome, list_kinds
from smartdiet_assets.checks.sources import Asked, CheckedSource, OpenedSource
from smartdiet_assets.checks.target import fetch_recent_rows, fetch_target_facts, open_snapshot
from smartdiet_assets.errors import ConfigurationError, SmartdietError
from smartdiet_assets.load.records.fields import fetch_drift
from smartdiet_assets.load.structure.companion import place
from smartdiet_assets.mirror.sources.interface import Server
from smartdiet_assets.resources.postgres_errors import translate_postgres_error
from smartdiet_assets.schema.model import Schema, Table
from smartdiet_assets.schema.sources import MATOMO, MONGODB, SourceKind

#: Checks by table: the names of kinds.
Wanted = Mapping[str, Collection[str]]
_SOURCE_KINDS = frozenset(kind.name for kind in KINDS.values() if kind.reads_source)
_COUNTING = "rows_match_source"
_CONTENT = "content_matches"
_FRESHNESS = "data_is_fresh"
Facts = TypeVar("Facts")
_FIELDS = "no_undeclared_fields"


@dataclass(frozen=True, slots=True)
class Servers:
    """How to reach what the checks read. Nothing is opened before a check needs it."""

    postgres: Callable[[], AbstractContextManager[Connection]]
    #: By the name of their kind.
    sources: Mapping[str, CheckedSource] = field(default_factory=dict)


#: How the server of each kind of source is asked, by its name: a new kind's is added here.
CHECKED: dict[str, Callable[[Any], CheckedSource]] = {
    MONGODB.name: lambda mongo: CheckedMongo(mongo.read),
    MATOMO.name: lambda matomo: CheckedMatomo(matomo.connect, matomo.table_prefix),
}


def build_sources(servers: Mapping[str, Server]) -> dict[str, CheckedSource]:
    """Build what the checks ask of opened servers, which are given by the name of their kind."""
    return {name: CHECKED[name](server) for name, server in servers.items() if name in CHECKED}


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
        evaluation.fail_all(translate_postgres_error(error, "reading PostgreSQL"))
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
        self._asked = {
            name: set(wanted.get(name, ())).intersection(list_kinds(schema, table))
            for name, table in schema.tables.items()
        }
        self._servers = servers
        self._sample = sample
        self._threshold = global_date_threshold
        self._tables = {name: table for name, table in schema.tables.items() if wanted.get(name)}
        self._outcomes: dict[tuple[str, str], CheckOutcome] = {}
        self._sources: dict[SourceKind, OpenedSource] = {}

    def list_outcomes(self) -> Iterator[CheckOutcome]:
        for name in self._tables:
            for kind in KINDS:
                if (name, kind) in self._outcomes:
                    yield self._outcomes[name, kind]

    def fail_all(self, fault: SmartdietError) -> None:
        """Fail what has no outcome yet."""
        for table in self._tables.values():
            self._fail(table, KINDS, fault)

    def run(self, connection: Connection) -> None:
        with ExitStack() as stack:
            for kind in self._schema.sources:
                wanting = [t for t in self._tables.values() if t.source_kind == kind and self._wants_source(t)]
                if wanting:
                    self._open(stack, kind, wanting)
            self._run(connection)

    def _open(self, stack: ExitStack, kind: SourceKind, tables: Sequence[Table]) -> None:
        try:
            if (checked := self._servers.sources.get(kind.name)) is None:
                raise ConfigurationError(f"{kind.server} is not configured")
            source = stack.enter_context(checked.open(tables))
        except SmartdietError as error:
            self._fail_source(kind, error)
            return
        for name, fault in source.faults.items():
            self._fail(self._tables[name], _list_kinds(self._tables[name]), fault)
        self._sources[kind] = source
        self._tables |= source.tables
        self._schema = self._schema.model_copy(update={"tables": {**self._schema.tables, **source.tables}})

    def _run(self, connection: Connection) -> None:
        with open_snapshot(connection):
            self._tables = {name: place(connection, table) for name, table in self._tables.items()}
            tables = list(self._tables.values())
            target = fetch_target_facts(connection, self._schema, tables)
            self._judge_target(target)
            self._judge_fields(connection)
            source = self._fetch_sources(target)
            recent = fetch_recent_rows(
                connection,
                [table for table in tables if table.name in source and self._wants(table, _COUNTING)],
                target,
                {name: facts.recent for name, facts in source.items() if facts.expected is not None},
            )
        self._judge_sources(target, source, recent)
        self._compare(connection, target)

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

    def _judge_fields(self, connection: Connection[Any]) -> None:
        tables = [table for table in self._tables.values() if self._wants(table, _FIELDS)]
        if not tables:
            return
        drift = fetch_drift(connection, self._schema, [table.mongo_collection for table in tables])
        for table in tables:
            rules = self._schema.rules_of(table.mongo_collection)
            self._keep(judgement.judge_fields(table, rules, drift[table.mongo_collection]))

    def _fetch_sources(self, target: Mapping[str, TargetFacts]) -> dict[str, SourceFacts]:
        found: dict[str, SourceFacts] = {}
        for kind, source, asked in self._ask(target, _COUNTING, _FRESHNESS):
            found |= self._take(kind, source.fetch_facts(asked))
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

    def _compare(self, connection: Connection, target: Mapping[str, TargetFacts]) -> None:
        for kind, source, asked in self._ask(target, _CONTENT):
            for name, facts in self._take(kind, source.compare(connection, asked)):
                self._keep(judgement.judge_content(self._tables[name], facts))
        connection.rollback()

    def _ask(self, target: Mapping[str, TargetFacts], *kinds: str) -> Iterator[tuple[SourceKind, OpenedSource, Asked]]:
        """Ask the sources that open checks of some kinds need."""
        for kind, source in self._sources.items():
            tables = [self._tables[name] for name in source.tables]
            if asked := [table for table in tables if any(self._wants(table, wanted) for wanted in kinds)]:
                count = [table.name for table in asked if self._wants(table, _COUNTING)]
                yield kind, source, Asked(self._schema, asked, target, count, self._sample, self._threshold)

    def _take(
        self, kind: SourceKind, found: Iterator[tuple[Table, Facts | SmartdietError]]
    ) -> Iterator[tuple[str, Facts]]:
        """Take what a source tells of tables; the checks it cannot answer fail."""
        try:
            for table, facts in found:
                if isinstance(facts, SmartdietError):
                    self._fail(table, _SOURCE_KINDS, facts)
                else:
                    yield table.name, facts
        except SmartdietError as error:
            self._fail_source(kind, error)

    def _fail_source(self, kind: SourceKind, error: SmartdietError) -> None:
        for table in self._tables.values():
            if table.source_kind == kind:
                self._fail(table, _list_kinds(table), error)

    def _wants_source(self, table: Table) -> bool:
        return any(self._wants(table, kind) for kind in _list_kinds(table))

    def _wants(self, table: Table, kind: str) -> bool:
        """Whether a check is asked for and open."""
        return kind in self._asked[table.name] and (table.name, kind) not in self._outcomes

    def _keep(self, outcome: CheckOutcome) -> None:
        self._outcomes[outcome.table, outcome.kind] = outcome

    def _fail(self, table: Table, kinds: Collection[str], fault: SmartdietError) -> None:
        for kind in kinds:
            if self._wants(table, kind):
                self._keep(judgement.judge_away(table, kind, fault))


def _list_kinds(table: Table) -> Collection[str]:
    """List the checks that need the table's source."""
    # Which columns there are to be, the source says.
    return {*_SOURCE_KINDS, "structure_matches"} if table.takes_all_columns else _SOURCE_KINDS
