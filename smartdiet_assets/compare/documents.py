"""Comparing the documents of MongoDB with the rows they should be, all of them.

Every document is read and transformed as a run does it (`checks.content`); rows of documents that are not there any
more are found by their ids (`load.removal.source_ids`). Documents that changed since the last run, or are among the
rejects, are counted and no difference.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import date
from typing import Literal

from smartdiet_assets.checks.content import ComparedBatch, stream_comparisons
from smartdiet_assets.checks.documents import group_tables
from smartdiet_assets.checks.facts import TargetFacts
from smartdiet_assets.checks.target import fetch_target_facts, open_snapshot
from smartdiet_assets.compare.identities import TECHNICAL
from smartdiet_assets.compare.row_differences import DifferingKey, Kind, RowComparison
from smartdiet_assets.compare.rows import Report
from smartdiet_assets.errors import CollectionNotFoundError
from smartdiet_assets.load.execution import Connection
from smartdiet_assets.load.removal.source_ids import SourceIds, fetch_gone, store_source_ids
from smartdiet_assets.load.structure.companion import place
from smartdiet_assets.mirror.sources.mongodb import MongoSource
from smartdiet_assets.resources.mongo_reading import MongoDatabase, Read
from smartdiet_assets.schema.model import Schema, Table
from smartdiet_assets.transform.filters import build_condition

#: What a document is listed by: its id.
_KEY = "document"
_TECHNICAL = re.compile(TECHNICAL)


def compare_documents(
    connection: Connection,
    read: Read,
    schema: Schema,
    tables: Sequence[str],
    *,
    limit: int | None,
    global_date_threshold: date | None = None,
    report: Report = lambda table, documents: None,
) -> Iterator[RowComparison]:
    """Compare every document of tables with its rows, and every row with the documents.

    Of a comparison `left` is what documents describe, `right` the rows of the table.

    Args:
        connection: to the mirror, with autocommit.
        read: reads the source; of what fails there, the tables of one collection are compared anew.
        tables: tables that are mirrored from MongoDB.
        limit: how many documents of a table are listed of each kind; None is all.

    Raises:
        pymongo.errors.PyMongoError, psycopg.Error: a server refused or was lost.
    """
    with open_snapshot(connection):
        wanted = [place(connection, schema.tables[name]) for name in tables]
        target = fetch_target_facts(connection, schema, wanted)
    comparable = []
    for table in wanted:
        if fault := _find_fault(table, target[table.name]):
            yield RowComparison(table.name, fault=fault)
        else:
            comparable.append(table)
    for group in group_tables(comparable):

        def compare(database: MongoDatabase, group: Sequence[Table] = group) -> list[RowComparison]:
            comparing = _Group(connection, database, schema, group, target, limit)
            for batch in stream_comparisons(
                connection, database, group, target, sample=None, global_date_threshold=global_date_threshold
            ):
                comparing.add_batch(batch)
                report(batch.table.name, comparing.found[batch.table.name].notes["documents"])
            comparing.add_gone()
            return list(comparing.found.values())

        yield from read(compare)


def turn(comparison: RowComparison) -> RowComparison:
    """Turn a comparison around, for the mirror as the left side."""
    turned: dict[Kind, Kind] = {"missing": "extra", "extra": "missing", "different": "different"}
    comparison.left, comparison.right = comparison.right, comparison.left
    comparison.missing, comparison.extra = comparison.extra, comparison.missing
    comparison.keys = [DifferingKey(turned[key.kind], key.values) for key in comparison.keys]
    return comparison


def _find_fault(table: Table, facts: TargetFacts) -> str:
    if not facts.exists or not facts.mirrored:
        return f"has not been mirrored yet: run `smartdiet sync {table.name}`"
    if not facts.comparable:
        return "the live columns are not the declared ones: `smartdiet compare schema` shows how they differ"
    return ""


def _open(table: Table, facts: TargetFacts) -> RowComparison:
    comparison = RowComparison(table.name, right=facts.rows + facts.waiting, key_columns=(_KEY,))
    if facts.unowned:
        comparison.notes["rows without a document id"] = facts.unowned
    if facts.flagged:
        comparison.notes["rows marked as deleted"] = facts.flagged
    return comparison


class _Group:
    """The comparison of the tables of one collection, from their first document to their last row."""

    def __init__(
        self,
        connection: Connection,
        database: MongoDatabase,
        schema: Schema,
        tables: Sequence[Table],
        target: dict[str, TargetFacts],
        limit: int | None,
    ) -> None:
        self.found = {table.name: _open(table, target[table.name]) for table in tables}
        self._connection = connection
        self._database = database
        self._schema = schema
        self._tables = tables
        self._target = target
        self._limit = limit
        self._listed: set[tuple[str, str, Kind]] = set()

    def add_batch(self, batch: ComparedBatch) -> None:
        """Add what was found of the documents of a batch."""
        table = batch.table
        comparison = self.found[table.name]
        comparison.left += batch.found.rows
        comparison.notes["documents"] += len(batch.documents) + batch.left_out.total()
        comparison.notes.update({str(cause): number for cause, number in batch.left_out.items()})
        if table.filter:
            tests = [build_condition(condition) for condition in table.filter]
            filtered = sum(not all(test(document.fields) for test in tests) for document in batch.documents)
            comparison.notes["filtered out"] += filtered
        for difference in batch.found.differences:
            kind = _name_kind(difference.missing, difference.extra)
            comparison.add(kind)
            comparison.columns.update(difference.columns)
            self._list(table, difference.document, kind)
        for document_id in batch.found.unrecorded:
            # It has no row, and nothing says so.
            comparison.add("missing")
            self._list(table, document_id, "missing")

    def add_gone(self) -> None:
        """Add the rows of documents that are gone: kept where the table keeps them, and too many otherwise."""
        known: dict[object, SourceIds] = {}
        for table in self._tables:
            comparison = self.found[table.name]
            source = MongoSource(self._schema, table, self._database, batch_size=1)
            column = table.column(table.document_column)
            alike = (column.type, column.on_invalid, column.protect)
            try:
                if alike not in known:
                    known[alike] = store_source_ids(self._connection, table, source.fetch_keys())
            except CollectionNotFoundError as error:
                # To MongoDB, a collection that never had a document is not there.
                if self._target[table.name].rows:
                    comparison.fault = str(error)
                continue
            rows, documents = fetch_gone(self._connection, table, known[alike], source.find_keys, limit=self._limit)
            if table.on_delete == "keep":
                if rows:
                    comparison.notes["kept of deleted documents"] = rows
            else:
                comparison.add("extra", rows)
                for document in documents:
                    self._list(table, document, "extra")

    def _list(self, table: Table, document: str, kind: Kind) -> None:
        if (table.name, document, kind) not in self._listed and _TECHNICAL.match(document):
            keys = self.found[table.name].keys
            before = len(keys)
            self.found[table.name].list_key(DifferingKey(kind, ((_KEY, document),)), self._limit)
            if len(keys) > before:
                self._listed.add((table.name, document, kind))


def _name_kind(missing: bool, extra: bool) -> Literal["missing", "extra", "different"]:
    return "missing" if missing else "extra" if extra else "different"
