"""One table in one sync: the rows that its documents, its own past and its parents leave, by the table's shape.

Here: missing parents, clashes on a unique value, the winner of a key, the items of an array, and what stays of an
earlier sync. Not here: what one document says by itself (`rows`); the order of the tables (`mirror`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from smartdiet_assets.schema.model import Column, Table
from smartdiet_assets_tests.oracle.documents import Document
from smartdiet_assets_tests.oracle.rows import Described, Fault, Row, describe, position_of

#: Says which of several documents that clash holds the place: (table, document column values) -> one of them.
Choice = Callable[[str, list[Any]], Any]
#: The rows that one document may have, best first, each with the document's encoded id; None for a row of earlier.
Ladder = list[tuple[Row, str | None]]


@dataclass
class ExpectedTable:
    """The rows of a table after a sync (in `stored_columns` order), and what was not loaded.

    Attributes:
        rejected: encoded document id -> every (column, reason) found against it; None where it is left open.
        missing_null: (row key, column) of every reference that is NULL because its parent is not there.
        waiting: the last good rows of documents behind another one of their key.
        owners: document column value -> encoded id of the document that has it.
    """

    rows: list[Row]
    rejected: dict[str, set[Fault]] | None
    missing_null: set[tuple[Row, str]]
    waiting: list[Row] = field(default_factory=list)
    owners: dict[Any, str] = field(default_factory=dict)


class TableSync:
    """One table in one sync: what stood before, what its documents say now, and what comes of the two.

    Args:
        table: the table.
        documents: all documents of its collection, as they are now.
        before: the table as the last sync left it.
        parents: (table, column) that its references point at, other than itself -> all values there now.
        choose: settles what the rules leave open.
        forgets_gone: whether the rows of documents that are not there any more go.
    """

    def __init__(
        self,
        table: Table,
        documents: Sequence[Document],
        before: ExpectedTable,
        parents: Mapping[tuple[str, str], set[Any]],
        choose: Choice,
        *,
        forgets_gone: bool,
    ) -> None:
        self.table = table
        self.described = [describe(table, document) for document in documents]
        self.before = before.rows
        self.waiting = before.waiting
        self.parents = parents
        self.choose = choose
        self.document_at = position_of(table, table.document_column)
        self.owners = dict(before.owners)
        if forgets_gone:
            there = {document.id_text for document in self.described}
            self.before = [row for row in self.before if self.owners.get(row[self.document_at]) in there]
            self.waiting = [row for row in self.waiting if self.owners.get(row[self.document_at]) in there]
        self.key_at = [position_of(table, name) for name in table.key]
        self.faults: dict[str, set[Fault]] = {d.id_text: set(d.faults) for d in self.described}
        self.described = self.one_for_each_value()
        self.nulled: set[tuple[Row, str]] = set()
        self.forgets = table.import_strategy != "array"

    def one_for_each_value(self) -> list[Described]:
        """Of documents whose ids give one value of the document column, the one that has it: by the order of ids."""
        by_value: dict[Any, list[Described]] = {}
        for document in self.described:
            by_value.setdefault(document.value, []).append(document)
        chosen: list[Described] = []
        for value, documents in by_value.items():
            if value is None:
                chosen += documents
                continue
            claiming = sorted((d for d in documents if d.rows), key=lambda d: d.id_text)
            if claiming:
                self.owners[value] = claiming[0].id_text
                chosen.append(claiming[0])
                for other in claiming[1:]:
                    self.faults[other.id_text].add((self.table.document_column, "duplicate_key"))
                continue
            # Its rows stay where the document they are of is rejected, else they are nobody's.
            rejected = [d for d in documents if d.rows is None]
            understood = [d for d in documents if d.rows is not None]
            stays = [d for d in rejected if d.id_text == self.owners.get(value)]
            chosen += (stays or understood or rejected)[:1]
        return chosen

    def settle(self) -> ExpectedTable:
        """The table after a sync of these documents."""
        settled = {"one_row": self.one_row, "items": self.items, "one_per_key": self.one_per_key}
        rows = settled[self.table.shape]()
        rejected = {id_text: faults for id_text, faults in self.faults.items() if faults}
        return ExpectedTable(sorted(rows, key=repr), rejected, self.nulled, self.waiting, self.owners)

    def wait(self) -> ExpectedTable:
        """The table without a sync of its own: rows whose parent went are gone, and nothing comes in their place."""
        if self.table.shape == "one_per_key":
            rows = [row for row in map(self.stays, self.before) if row is not None]
            self.waiting = [row for row in map(self.stays, self.waiting) if row is not None]
        else:
            rows = self.settle().rows
        return ExpectedTable(sorted(rows, key=repr), None, self.nulled, self.waiting, self.owners)

    def key(self, row: Row) -> Row:
        return tuple(row[position] for position in self.key_at)

    def with_parents(self, row: Row, faults: set[Fault]) -> Row | None:
        """The row as its references to other tables allow it: itself, itself with NULLs, or None."""
        values = list(row)
        there = True
        for position, column in enumerate(self.table.stored_columns):
            key = column.foreign_key
            if key is None or key.table == self.table.name or row[position] is None:
                continue
            if row[position] in self.parents[key.table, key.column]:
                continue
            if key.on_missing_parent == "reject":
                faults.add((column.name, "missing_parent"))
                there = False
            else:
                values[position] = None
                self.nulled.add((self.key(row), column.name))
        return tuple(values) if there else None

    def stays(self, row: Row) -> Row | None:
        """A row of an earlier sync that nothing replaces, where its parents are still there."""
        return self.with_parents(row, set())

    # A document is at most one row, and its id is the key.

    def one_row(self) -> list[Row]:
        old = {row[self.document_at]: row for row in self.before}
        ladders: dict[Any, Ladder] = {}
        for document in self.described:
            ladder: Ladder = []
            if document.rows:
                row = self.with_parents(document.rows[0], self.faults[document.id_text])
                if row is not None:
                    ladder.append((row, document.id_text))
            if document.value in old and (document.rows is None or document.rows or not self.forgets):
                kept = self.stays(old[document.value])
                if kept is not None:
                    ladder.append((kept, None))
            ladders[document.value] = ladder
        for value, row in old.items():
            if value not in ladders:
                kept = self.stays(row)
                ladders[value] = [] if kept is None else [(kept, None)]
        while self.step_down_orphan(ladders) or self.step_down_clash(ladders, old):
            pass
        rows = [ladder[0][0] for ladder in ladders.values() if ladder]
        return self.null_own_orphans(rows)

    def step_down(self, ladder: Ladder, fault: Fault) -> None:
        _, id_text = ladder.pop(0)
        if id_text is not None:
            self.faults[id_text].add(fault)

    def own_keys(self) -> list[tuple[int, Column, int]]:
        return [
            (position, column, position_of(self.table, column.foreign_key.column))
            for position, column in enumerate(self.table.stored_columns)
            if column.foreign_key is not None and column.foreign_key.table == self.table.name
        ]

    def step_down_orphan(self, ladders: dict[Any, Ladder]) -> bool:
        """Take back one row whose parent in this same table is not there."""
        for position, column, target in self.own_keys():
            assert column.foreign_key is not None
            if column.foreign_key.on_missing_parent == "null":
                continue
            there = {ladder[0][0][target] for ladder in ladders.values() if ladder}
            for ladder in ladders.values():
                if ladder and ladder[0][0][position] is not None and ladder[0][0][position] not in there:
                    self.step_down(ladder, (column.name, "missing_parent"))
                    return True
        return False

    def null_own_orphans(self, rows: list[Row]) -> list[Row]:
        for position, column, target in self.own_keys():
            there = {row[target] for row in rows}
            for at, row in enumerate(rows):
                if row[position] is not None and row[position] not in there:
                    self.nulled.add((self.key(row), column.name))
                    rows[at] = (*row[:position], None, *row[position + 1 :])
        return rows

    def step_down_clash(self, ladders: dict[Any, Ladder], old: Mapping[Any, Row]) -> bool:
        """Settle one clash on a further unique constraint: who had the value keeps it, else one is chosen."""
        for unique in self.table.unique_constraints:
            if unique == self.table.key:
                continue
            places = [position_of(self.table, name) for name in unique]
            groups: dict[Row, list[Any]] = {}
            for value, ladder in ladders.items():
                if ladder and all(ladder[0][0][place] is not None for place in places):
                    groups.setdefault(tuple(ladder[0][0][place] for place in places), []).append(value)
            for taken, values in groups.items():
                if len(values) == 1:
                    continue
                holders = [value for value in values if value in old and tuple(old[value][p] for p in places) == taken]
                winner = holders[0] if holders else self.choose(self.table.name, values)
                for value in values:
                    if value != winner:
                        self.step_down(ladders[value], (unique[0], "duplicate_key"))
                return True
        return False

    # Several documents may describe one key; the best of them is the row.

    def one_per_key(self) -> list[Row]:
        old = {row[self.document_at]: row for row in [*self.waiting, *self.before]}
        contest: dict[Row, list[Row]] = {}
        known = {document.value for document in self.described}
        standing = [self.stays(row) for value, row in old.items() if value not in known]
        for document in self.described:
            if document.rows:
                row = self.with_parents(document.rows[0], self.faults[document.id_text])
                if row is not None:
                    standing.append(row)
                    continue
            if document.value in old and (document.rows is None or document.rows):
                standing.append(self.stays(old[document.value]))
        for row in standing:
            if row is not None:
                contest.setdefault(self.key(row), []).append(row)
        if not self.forgets:
            for row in self.before:
                kept = self.stays(row)
                if kept is not None:
                    contest.setdefault(self.key(row), [kept])
        winners = [self.winner(rows) for rows in contest.values()]
        self.waiting = [row for rows in contest.values() for row in rows if row not in winners]
        return winners

    def winner(self, rows: list[Row]) -> Row:
        for order in self.table.winner:
            place = position_of(self.table, order.column)
            present = [row[place] for row in rows if row[place] is not None]
            if present:
                best = max(present) if order.descending else min(present)
                rows = [row for row in rows if row[place] == best]
        if len(rows) == 1:
            return rows[0]
        chosen = self.choose(self.table.name, [row[self.document_at] for row in rows])
        return next(row for row in rows if row[self.document_at] == chosen)

    # A document is a row for each item of its arrays.

    def items(self) -> list[Row]:
        old = {self.key(row): row for row in self.before}
        rows: dict[Row, Row] = {}
        replaced = {document.value for document in self.described if document.rows is not None}
        for document in self.described:
            for described in document.rows or []:
                row = self.with_parents(described, self.faults[document.id_text])
                if row is not None and self.key(row) not in rows:
                    rows[self.key(row)] = self.first_dates(row, old.get(self.key(row)))
        for key, row in old.items():
            if key not in rows and (row[self.document_at] not in replaced or not self.forgets):
                kept = self.stays(row)
                if kept is not None:
                    rows[key] = kept
        return list(rows.values())

    def first_dates(self, row: Row, before: Row | None) -> Row:
        """The dates of a relationship row are those of the sync that first saw the item."""
        if before is None:
            return row
        names = [column.name for column in self.table.stored_columns]
        return tuple(
            before[position] if name in ("created_at", "updated_at") else row[position]
            for position, name in enumerate(names)
        )
