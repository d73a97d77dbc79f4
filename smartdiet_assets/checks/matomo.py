"""Matomo's side of the checks: counts, changes since the last run, and rows to compare."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

import pymysql
from pymysql.connections import Connection

from smartdiet_assets.checks.content import SourceDocument, compare_documents, count
from smartdiet_assets.checks.facts import MAX_RECENT, ContentFacts, SourceFacts, TargetFacts
from smartdiet_assets.checks.row_comparison import fetch_rejected
from smartdiet_assets.checks.sources import Asked
from smartdiet_assets.errors import SmartdietError
from smartdiet_assets.extract.matomo.documents import (
    Row,
    fetch_by_keys,
    fetch_server_clock,
    fetch_window,
    has_integer_key,
)
from smartdiet_assets.extract.matomo.structure import (
    SourceTable,
    check_source_table,
    extend_table,
    fetch_source_table,
    quote_name,
)
from smartdiet_assets.extract.window import Window
from smartdiet_assets.load.execution import Connection as PostgresConnection
from smartdiet_assets.resources.matomo_errors import translate_matomo_error
from smartdiet_assets.schema.document_id import encode_document_id
from smartdiet_assets.schema.matomo import DEFAULT_PREFIX, compose_source_name
from smartdiet_assets.schema.model import CollectionRules, Table
from smartdiet_assets.transform.batch import TransformedBatch
from smartdiet_assets.transform.matomo import build_row_transformer

#: Keys tried for each row wanted: between the smallest and the largest key, some were never given out.
_TRIES = 2
_PAGE = 5_000


@dataclass(frozen=True, slots=True)
class CheckedMatomo:
    """The tables of a Matomo; see `CheckedSource`."""

    connect: Callable[[], AbstractContextManager[Connection]]
    prefix: str = DEFAULT_PREFIX

    @contextmanager
    def open(self, tables: Sequence[Table]) -> Iterator[_OpenedMatomo]:
        with self.connect() as connection:
            yield _OpenedMatomo(connection, tables, self.prefix)


class _OpenedMatomo:
    """The tables that are there; see `OpenedSource`."""

    def __init__(self, connection: Connection, tables: Sequence[Table], prefix: str) -> None:
        self._connection = connection
        self._found: dict[str, SourceTable] = {}
        self.tables: dict[str, Table] = {}
        self.faults: dict[str, SmartdietError] = {}
        for table in tables:
            try:
                self.tables[table.name], self._found[table.name] = open_source_table(connection, table, prefix)
            except (SmartdietError, pymysql.Error) as error:
                action = f"reading Matomo's table {table.source_table}"
                self.faults[table.name] = translate_matomo_error(error, action)

    def fetch_facts(self, asked: Asked) -> Iterator[tuple[Table, SourceFacts | SmartdietError]]:
        for table in asked.tables:
            found = self._found[table.name]
            try:
                facts = fetch_matomo_facts(self._connection, table, found, asked.target[table.name])
            except pymysql.Error as error:
                yield table, translate_matomo_error(error, "reading Matomo")
            else:
                yield table, facts

    def compare(
        self, postgres: PostgresConnection, asked: Asked
    ) -> Iterator[tuple[Table, ContentFacts | SmartdietError]]:
        for table in asked.tables:
            found = self._found[table.name]
            try:
                facts = compare_matomo_table(
                    postgres, self._connection, table, found, asked.target[table.name], sample=asked.sample
                )
            except pymysql.Error as error:
                yield table, translate_matomo_error(error, "reading Matomo")
            else:
                yield table, facts


def open_source_table(connection: Connection, table: Table, prefix: str) -> tuple[Table, SourceTable]:
    """Read what a table looks like on the server; return the table with the columns a run would mirror, too.

    Raises:
        SourceTableError: it lacks a declared column.
        pymysql.Error: there is no such table, or it may not be read.
    """
    time_column = table.column(table.time_column).source_column if table.time_column else ""
    found = fetch_source_table(connection, compose_source_name(table.source_table, prefix), time_column)
    check_source_table(table, found)
    return extend_table(table, found), found


def fetch_matomo_facts(connection: Connection, table: Table, source: SourceTable, target: TargetFacts) -> SourceFacts:
    """Count the rows up to the watermark, and find the keys of those that changed since."""
    clock = fetch_server_clock(connection)
    facts = SourceFacts(clock=clock, max_delay=CollectionRules().max_delay)
    key = quote_name(table.column(table.document_column).source_column)
    name = quote_name(source.name)
    order = quote_name(table.column(table.time_column).source_column) if table.time_column else key
    newest_key = -1 if target.newest_key is None else target.newest_key
    bound: object = _find_bound(target) if table.time_column else newest_key
    recent = _fetch(
        connection,
        f"SELECT {key}, {order} FROM {name} WHERE {order} > %s ORDER BY {order} LIMIT {MAX_RECENT + 1}",
        [bound],
    )
    facts.more_recent = len(recent) > MAX_RECENT
    facts.recent = [encode_document_id(_text(row[0])) for row in recent[:MAX_RECENT]]
    if table.time_column:
        dates = [found for row in recent if (found := _read_time(row[1])) is not None and found <= clock]
        facts.oldest_unmirrored, facts.newest_change = min(dates, default=None), max(dates, default=None)
    elif recent:
        # Without times, a row is at most as old as the last run.
        facts.oldest_unmirrored = target.watermark
    if not facts.more_recent:
        [(number,)] = _fetch(connection, f"SELECT COUNT(*) FROM {name} WHERE {order} <= %s OR {order} IS NULL", [bound])
        facts.expected = int(_text(number))
    return facts


def compare_matomo_table(
    postgres: PostgresConnection,
    connection: Connection,
    table: Table,
    source: SourceTable,
    target: TargetFacts,
    *,
    sample: int | None,
) -> ContentFacts:
    """Compare rows of Matomo with those mirrored: some picked at random by key, or all."""
    facts = ContentFacts()
    convert = build_row_transformer(table, {column.name: column.data_type for column in source.columns.values()})

    def transform(rows: Sequence[SourceDocument]) -> TransformedBatch:
        return convert([row.fields["row"] for row in rows])

    for page in _read_pages(connection, table, source, sample):
        rows = [_wrap(table, row) for row in page]
        wanted = _choose(postgres, table, target, rows)
        facts.left_out += len(rows) - len(wanted)
        facts.compared += len(wanted)
        first = compare_documents(postgres, table, transform, wanted)
        if first.documents:
            before = {row.document_id: row for row in wanted if row.document_id in first.documents}
            now = {
                again.document_id: again.fields["row"]
                for batch in fetch_by_keys(connection, table, source, list(before))
                for again in (_wrap(table, row) for row in batch)
            }
            same = [row for document_id, row in before.items() if now.get(document_id) == row.fields["row"]]
            count(facts, compare_documents(postgres, table, transform, _choose(postgres, table, target, same)))
    return facts


def _read_pages(
    connection: Connection, table: Table, source: SourceTable, sample: int | None
) -> Iterator[Sequence[Row]]:
    if sample is None or not has_integer_key(table):
        for page in fetch_window(connection, table, source, Window("full"), None, sample or _PAGE):
            yield page
            if sample is not None:
                return
        return
    key, name = quote_name(table.column(table.document_column).source_column), quote_name(source.name)
    [(smallest, largest)] = _fetch(connection, f"SELECT MIN({key}), MAX({key}) FROM {name}", [])
    if smallest is None or largest is None:
        return
    span = range(int(_text(smallest)), int(_text(largest)) + 1)
    keys = random.sample(span, min(len(span), _TRIES * sample))
    for page in fetch_by_keys(connection, table, source, [encode_document_id(str(value)) for value in keys]):
        yield page[:sample]


def _choose(
    postgres: PostgresConnection, table: Table, target: TargetFacts, rows: Sequence[SourceDocument]
) -> list[SourceDocument]:
    rejected = fetch_rejected(postgres, [table], [row.document_id for row in rows])
    kept = [row for row in rows if (table.name, row.document_id) not in rejected]
    names = [column.name for column in table.stored_columns]
    if table.time_column:
        place, bound = names.index(table.time_column), _find_bound(target)
        return [row for row in kept if (found := _read_time(row.fields["row"][place])) is None or found <= bound]
    place = names.index(table.document_column)
    newest = target.newest_key
    return [row for row in kept if newest is None or int(_text(row.fields["row"][place])) <= newest]


def _find_bound(target: TargetFacts) -> datetime:
    return target.watermark or target.last_run or datetime.min + timedelta(days=1)


def _wrap(table: Table, row: Row) -> SourceDocument:
    place = [column.name for column in table.stored_columns].index(table.document_column)
    return SourceDocument(encode_document_id(_text(row[place])), b"", {"row": row})


def _read_time(value: bytes | None) -> datetime | None:
    """Read a time; a zero date tells nothing."""
    try:
        return None if value is None else datetime.fromisoformat(value.decode())
    except ValueError:
        return None


def _text(value: bytes | None) -> str:
    return (value or b"").decode(errors="replace")


def _fetch(connection: Connection, statement: str, values: Sequence[object]) -> Sequence[Row]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        rows: Sequence[Row] = cursor.fetchall()
    return rows
