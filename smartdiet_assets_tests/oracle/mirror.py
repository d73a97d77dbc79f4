"""All tables from sync to sync: the order they are settled in, and a reconcile pass.

Not here: what comes of one table (`table_sync`).
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from smartdiet_assets.schema.model import Schema, Table
from smartdiet_assets_tests.oracle.documents import Document
from smartdiet_assets_tests.oracle.rows import describe, position_of
from smartdiet_assets_tests.oracle.table_sync import Choice, ExpectedTable, TableSync

#: Stands for whenever a document was found to be gone.
MARKED = "marked"


class MirrorOracle:
    """Follows the mirror from sync to sync.

    A table depends on its past in three ways only: the last good row of a document rejected now stays; the
    dates of a relationship row are those of its first sync; an `array` table forgets nothing.
    """

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.expected: dict[str, ExpectedTable] = {name: ExpectedTable([], {}, set()) for name in schema.tables}
        self._choose: Choice = _smallest

    def observe(
        self,
        collections: Mapping[str, Sequence[Document]],
        choose: Choice | None = None,
        tables: Collection[str] | None = None,
    ) -> dict[str, ExpectedTable]:
        """Move on to the state after a sync of these documents (collection name -> all its documents).

        Args:
            collections: as they are now.
            choose: settles what the rules leave open: which of several newcomers holds one unique value.
            tables: which tables were synced; the others lose what hung on rows that are gone, and no more. What
                is among their rejects meanwhile is left open.
        """
        self._choose = choose or _smallest
        for table in self.schema.tables.values():
            synced = tables is None or table.name in tables
            sync = TableSync(
                table,
                collections.get(table.mongo_collection, []) if synced else [],
                self.expected[table.name],
                self._parent_values(table),
                self._choose,
                forgets_gone=synced and sees_deletions(table),
            )
            self.expected[table.name] = sync.settle() if synced else sync.wait()
        return self.expected

    def reconcile(self, collections: Mapping[str, Sequence[Document]]) -> None:
        """Move on to the state after a reconcile pass: what `on_delete` says of the rows of documents that are gone.

        Which other document of their key shows instead is known after the next sync only.
        """
        for table in self.schema.tables.values():
            ids = {describe(table, document).id_text for document in collections.get(table.mongo_collection, [])}
            position = position_of(table, table.document_column)
            expected = self.expected[table.name]
            there = {value for value, owner in expected.owners.items() if owner in ids}
            kept = [row for row in expected.rows if row[position] in there]
            gone = [row for row in expected.rows if row[position] not in there]
            if table.on_delete == "flag":
                mark = position_of(table, "deleted_at")
                kept = [(*row[:mark], None, *row[mark + 1 :]) for row in kept]
                gone = [(*row[:mark], MARKED, *row[mark + 1 :]) for row in gone]
            expected.rows = kept if table.on_delete == "delete" else kept + gone
            if table.on_delete == "delete":
                expected.waiting = [row for row in expected.waiting if row[position] in there]
        # What pointed at them goes too, or loses its reference.
        self.observe({}, self._choose, tables=())

    def _parent_values(self, table: Table) -> dict[tuple[str, str], set[Any]]:
        """All values as they stand now of the columns that a table's references to other tables point at."""
        keys = [column.foreign_key for column in table.columns if column.foreign_key is not None]
        return {
            (key.table, key.column): self._column_values(self.schema.tables[key.table], key.column)
            for key in keys
            if key.table != table.name
        }

    def _column_values(self, table: Table, column: str) -> set[Any]:
        position = position_of(table, column)
        return {row[position] for row in self.expected[table.name].rows}


def compute_expected(schema: Schema, collections: Mapping[str, Sequence[Document]]) -> dict[str, ExpectedTable]:
    """What a first sync of these documents leaves in each table."""
    return MirrorOracle(schema).observe(collections)


def _smallest(table: str, values: list[Any]) -> Any:
    return min(values, key=str)


def sees_deletions(table: Table) -> bool:
    """Whether a run of a table takes away the rows of documents that are not there any more."""
    return table.capture == "change_stream" and table.on_delete == "delete"
