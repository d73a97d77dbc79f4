"""The oracle: what every table must hold, computed slowly from the documents and the schema alone.

Here: the rules of the mirror written a second time, document by document, as plainly as they can be said, and
the comparison with the live tables. Not here: the conversion of single values (`oracle_values`), nor anything
of `transform` or `load`: the two must agree without sharing a line, so nothing is imported from them.
"""

import json
import re
import struct
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from decimal import Decimal
from typing import Any

import psycopg
from bson import Code, Decimal128, ObjectId, json_util
from bson.codec_options import CodecOptions, DatetimeConversion
from psycopg import sql

from smartdiet_assets.schema.model import Column, Condition, Schema, Table
from smartdiet_assets_tests.oracle_values import Unfit, canonical_json, convert

Document = Mapping[str, Any]
Row = tuple[Any, ...]
#: Says which of several documents that clash holds the place: (table, document column values) -> one of them.
Choice = Callable[[str, list[Any]], Any]


class _Missing:
    """The value of a path that leads to nothing, unlike null."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING = _Missing()
#: Stands for whenever a document was found to be gone.
MARKED = "marked"


def follow(document: Any, path: str) -> Any:
    """The value at a dotted path through documents, or MISSING."""
    value = document
    for name in path.split("."):
        if not isinstance(value, Mapping) or name not in value:
            return MISSING
        value = value[name]
    return value


def _values_for_filter(value: Any, names: list[str]) -> list[Any]:
    """All values a Mongo path may mean: it goes into arrays of documents too. Empty: the field is absent."""
    if not names:
        return [value]
    if isinstance(value, list):
        return [found for item in value if isinstance(item, Mapping) for found in _values_for_filter(item, names)]
    if isinstance(value, Mapping) and names[0] in value:
        return _values_for_filter(value[names[0]], names[1:])
    return []


def _same(value: Any, operand: Any) -> bool:
    if isinstance(value, bool) or isinstance(operand, bool):
        return value is operand
    if isinstance(value, Decimal128) and isinstance(operand, int | float):
        return value.to_decimal() == Decimal(repr(operand) if isinstance(operand, float) else operand)
    if isinstance(value, Code):
        return False
    if type(operand) in (int, float):
        return isinstance(value, int | float) and value == operand
    return type(value) is type(operand) and bool(value == operand)


def matches(document: Document, condition: Condition) -> bool:
    """Whether a document fulfils one condition, as Mongo itself would say."""
    values = _values_for_filter(document, condition.path.split("."))
    if condition.operator == "$exists":
        return bool(values) == bool(condition.value)
    operands = condition.value if isinstance(condition.value, tuple) else (condition.value,)
    seen = values + [item for value in values if isinstance(value, list) for item in value]
    equal = any(
        any(_same(value, operand) for value in seen) or (operand is None and not values) for operand in operands
    )
    return equal if condition.operator in ("$eq", "$in") else not equal


def encode_id(value: Any) -> str:
    """A document id as the reject table spells it, up to blanks in the JSON."""
    if isinstance(value, ObjectId):
        return str(value)
    return normal_id(json_util.dumps(value, json_options=json_util.CANONICAL_JSON_OPTIONS))


def normal_id(text: str) -> str:
    """An encoded id without the freedom JSON leaves in its blanks."""
    if re.fullmatch(r"[0-9a-f]{24}", text):
        return text
    return json.dumps(json.loads(text), sort_keys=True)


_TEMPORAL = ("date", "timestamp", "timestamptz")


def source_value(column: Column, document: Document, item: Any, constants: Mapping[str, Any]) -> Any:
    """What a column reads, before conversion: a value, None where only nulls were found, or MISSING."""
    if not column.mongo_field and not column.item_field:
        return constants.get(column.name, MISSING)
    found: list[Any] = []
    for path in column.mongo_field:
        value = follow(document, path)
        if path == "_id" and column.type.name in _TEMPORAL:
            if not isinstance(value, ObjectId):
                continue
            value = value.generation_time.replace(tzinfo=None)
        found.append(value)
    for path in column.item_field:
        if path == ".":
            found.append(MISSING if isinstance(item, Mapping) else item)
        else:
            found.append(follow(item, path))
    present = [value for value in found if value is not MISSING]
    return next((value for value in present if value is not None), None if present else MISSING)


Fault = tuple[str, str]


def build_row(
    table: Table, document: Document, item: Any = None, constants: Mapping[str, Any] | None = None
) -> tuple[Row | None, set[Fault]]:
    """One row in `stored_columns` order, or None with every (column, reason) that stands against it."""
    values: list[Any] = []
    faults: set[Fault] = set()
    for column in table.stored_columns:
        value = source_value(column, document, item, constants or {})
        if value is MISSING or (value is None and not column.nullable):
            value = column.default
        try:
            converted = None if value is None else convert(value, column)
            if converted is None and not column.nullable:
                raise Unfit("missing_value")
            values.append(converted)
        except Unfit as unfit:
            if column.on_invalid == "null":
                values.append(None)
            elif column.on_invalid == "clamp" and isinstance(value, str) and column.type.is_text:
                values.append(clamp_text(value, column.type.length))
            else:
                faults.add((column.name, unfit.reason))
    return (None, faults) if faults else (tuple(values), set())


def clamp_text(text: str, length: int | None) -> str:
    """What `on_invalid: clamp` makes of a text: without NUL, with U+FFFD for what is no Unicode, cut."""
    return "".join("\ufffd" if "\ud800" <= letter <= "\udfff" else letter for letter in text if letter != "\0")[:length]


@dataclass
class Described:
    """What one document says about one table. `rows` is None when the document as a whole is rejected."""

    id_text: str
    value: Any
    rows: list[Row] | None
    faults: set[Fault] = field(default_factory=set)


@dataclass
class ExpectedTable:
    """The rows of a table after a sync (in `stored_columns` order), and what was not loaded.

    Attributes:
        rejected: encoded document id -> every (column, reason) found against it; None where it is left open.
        missing_null: (row key, column) of every reference that is NULL because its parent is not there.
        waiting: the last good rows of documents behind another one of their key.
    """

    rows: list[Row]
    rejected: dict[str, set[Fault]] | None
    missing_null: set[tuple[Row, str]]
    waiting: list[Row] = field(default_factory=list)


def describe(table: Table, document: Document) -> Described:
    """Say what a document means for a table, as if it were alone in the world."""
    position = [column.name for column in table.stored_columns].index(table.document_column)
    column = table.stored_columns[position]
    described = Described(encode_id(document["_id"]), None, None)
    try:
        described.value = convert(document["_id"], column)
    except Unfit as unfit:
        described.faults.add((column.name, unfit.reason))
        return described
    if not all(matches(document, condition) for condition in table.filter):
        described.rows = []
        return described
    if table.shape != "items":
        row, described.faults = build_row(table, document)
        described.rows = None if row is None else [row]
        return described
    described.rows = []
    for array in table.arrays:
        items = follow(document, array.field)
        if items is MISSING or items is None:
            continue
        for item in items if isinstance(items, list) else [items]:
            if item is None:
                continue
            row, faults = build_row(table, document, item, dict(array.set))
            described.faults |= faults
            if row is not None:
                described.rows.append(row)
    return described


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
            documents = collections.get(table.mongo_collection, []) if synced else []
            step = _Step(self, table, documents, sees_deletions(table) and synced)
            self.expected[table.name] = step.settle() if synced else step.wait()
        return self.expected

    def reconcile(self, collections: Mapping[str, Sequence[Document]]) -> None:
        """Move on to the state after a reconcile pass: what `on_delete` says of the rows of documents that are gone.

        Which other document of their key shows instead is known after the next sync only.
        """
        for table in self.schema.tables.values():
            there = {describe(table, document).value for document in collections.get(table.mongo_collection, [])}
            position = _position(table, table.document_column)
            expected = self.expected[table.name]
            kept = [row for row in expected.rows if row[position] in there]
            gone = [row for row in expected.rows if row[position] not in there]
            if table.on_delete == "flag":
                mark = _position(table, "deleted_at")
                kept = [(*row[:mark], None, *row[mark + 1 :]) for row in kept]
                gone = [(*row[:mark], MARKED, *row[mark + 1 :]) for row in gone]
            expected.rows = kept if table.on_delete == "delete" else kept + gone
            if table.on_delete == "delete":
                expected.waiting = [row for row in expected.waiting if row[position] in there]
        # What pointed at them goes too, or loses its reference.
        self.observe({}, self._choose, tables=())

    def parent_values(self, table: str, column: str) -> set[Any]:
        """All values of a column of a table as it stands."""
        position = _position(self.schema.tables[table], column)
        return {row[position] for row in self.expected[table].rows}

    def choose(self, table: str, values: list[Any]) -> Any:
        """Pick the document that holds a contested place."""
        return self._choose(table, values)


def compute_expected(schema: Schema, collections: Mapping[str, Sequence[Document]]) -> dict[str, ExpectedTable]:
    """What a first sync of these documents leaves in each table."""
    return MirrorOracle(schema).observe(collections)


def _smallest(table: str, values: list[Any]) -> Any:
    return min(values, key=str)


def _position(table: Table, column: str) -> int:
    return [stored.name for stored in table.stored_columns].index(column)


def sees_deletions(table: Table) -> bool:
    """Whether a run of a table takes away the rows of documents that are not there any more."""
    return table.capture == "change_stream" and table.on_delete == "delete"


class _Step:
    """One table in one sync."""

    def __init__(self, oracle: MirrorOracle, table: Table, documents: Sequence[Document], forgets_gone: bool) -> None:
        self.oracle = oracle
        self.table = table
        self.described = [describe(table, document) for document in documents]
        self.before = oracle.expected[table.name].rows
        self.waiting = oracle.expected[table.name].waiting
        self.document_at = _position(table, table.document_column)
        if forgets_gone:
            there = {document.value for document in self.described}
            self.before = [row for row in self.before if row[self.document_at] in there]
            self.waiting = [row for row in self.waiting if row[self.document_at] in there]
        self.key_at = [_position(table, name) for name in table.key]
        self.faults: dict[str, set[Fault]] = {d.id_text: set(d.faults) for d in self.described}
        self.nulled: set[tuple[Row, str]] = set()
        self.parents = {
            (key.table, key.column): oracle.parent_values(key.table, key.column)
            for key in (column.foreign_key for column in table.columns)
            if key is not None and key.table != table.name
        }
        self.forgets = table.import_strategy != "array"

    def settle(self) -> ExpectedTable:
        settled = {"one_row": self.one_row, "items": self.items, "one_per_key": self.one_per_key}
        rows = settled[self.table.shape]()
        rejected = {id_text: faults for id_text, faults in self.faults.items() if faults}
        return ExpectedTable(sorted(rows, key=repr), rejected, self.nulled, self.waiting)

    def wait(self) -> ExpectedTable:
        """The table without a sync of its own: rows whose parent went are gone, and nothing comes in their place."""
        if self.table.shape == "one_per_key":
            rows = [row for row in map(self.stays, self.before) if row is not None]
            self.waiting = [row for row in map(self.stays, self.waiting) if row is not None]
        else:
            rows = self.settle().rows
        return ExpectedTable(sorted(rows, key=repr), None, self.nulled, self.waiting)

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
        ladders: dict[Any, list[tuple[Row, str | None]]] = {}
        for document in self.described:
            ladder: list[tuple[Row, str | None]] = []
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

    def step_down(self, ladder: list[tuple[Row, str | None]], fault: Fault) -> None:
        _, id_text = ladder.pop(0)
        if id_text is not None:
            self.faults[id_text].add(fault)

    def own_keys(self) -> list[tuple[int, Column, int]]:
        return [
            (position, column, _position(self.table, column.foreign_key.column))
            for position, column in enumerate(self.table.stored_columns)
            if column.foreign_key is not None and column.foreign_key.table == self.table.name
        ]

    def step_down_orphan(self, ladders: dict[Any, list[tuple[Row, str | None]]]) -> bool:
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

    def step_down_clash(self, ladders: dict[Any, list[tuple[Row, str | None]]], old: Mapping[Any, Row]) -> bool:
        """Settle one clash on a further unique constraint: who had the value keeps it, else one is chosen."""
        for unique in self.table.unique_constraints:
            if unique == self.table.key:
                continue
            places = [_position(self.table, name) for name in unique]
            groups: dict[Row, list[Any]] = {}
            for value, ladder in ladders.items():
                if ladder and all(ladder[0][0][place] is not None for place in places):
                    groups.setdefault(tuple(ladder[0][0][place] for place in places), []).append(value)
            for taken, values in groups.items():
                if len(values) == 1:
                    continue
                holders = [value for value in values if value in old and tuple(old[value][p] for p in places) == taken]
                winner = holders[0] if holders else self.oracle.choose(self.table.name, values)
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
            place = _position(self.table, order.column)
            present = [row[place] for row in rows if row[place] is not None]
            if present:
                best = max(present) if order.descending else min(present)
                rows = [row for row in rows if row[place] == best]
        if len(rows) == 1:
            return rows[0]
        chosen = self.oracle.choose(self.table.name, [row[self.document_at] for row in rows])
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


def comparable(column: Column, value: Any) -> Any:
    """A value in the form both sides share: NaN equals NaN, padding is dropped, 4-byte floats are rounded."""
    if value is None:
        return None
    if column.name == "deleted_at" and column.implicit:
        return MARKED
    if column.type.name == "char":
        return value.rstrip(" ")
    if column.type.name == "real":
        return repr(struct.unpack("<f", struct.pack("<f", value))[0])
    if column.type.name == "double precision":
        return repr(float(value))
    if column.type.name == "numeric":
        return "NaN" if value.is_nan() else Decimal(value)
    if column.type.name == "timestamptz" and value.tzinfo is not None:
        return value.astimezone(UTC).replace(tzinfo=None)
    return value


def fetch_rows(connection: psycopg.Connection[Any], table: Table) -> list[Row]:
    """All rows of a live table in `stored_columns` order; JSONB comes as `canonical_json` text.

    A table that no run has created yet has no rows.
    """
    if connection.execute("SELECT to_regclass(%s)", (f'"{table.name}"',)).fetchone() == (None,):
        return []
    selected = [
        sql.SQL("{}::text").format(sql.Identifier(column.name))
        if column.type.name == "jsonb"
        else sql.Identifier(column.name)
        for column in table.stored_columns
    ]
    query = sql.SQL("SELECT {} FROM {}").format(sql.SQL(", ").join(selected), sql.Identifier(table.name))
    rows: list[Row] = connection.cursor(row_factory=psycopg.rows.tuple_row).execute(query).fetchall()
    places = [at for at, column in enumerate(table.stored_columns) if column.type.name == "jsonb"]
    if not places:
        return rows
    return [
        tuple(
            canonical_json(json.loads(value, parse_float=Decimal, parse_int=Decimal))
            if at in places and value is not None
            else value
            for at, value in enumerate(row)
        )
        for row in rows
    ]


def fetch_rejects(connection: psycopg.Connection[Any], table: str) -> list[tuple[str, str, str]]:
    """The (document id, column, reason) of a table's rejects."""
    query = "SELECT document_id, column_name, reason FROM smartdiet.rejected_rows WHERE table_name = %s"
    cursor = connection.cursor(row_factory=psycopg.rows.tuple_row)
    rows = cursor.execute(query, (table,)).fetchall()
    return [(normal_id(str(document)), str(column or ""), str(reason)) for document, column, reason in rows]


def compare(connection: psycopg.Connection[Any], oracle: MirrorOracle) -> list[str]:
    """Every difference between the live tables and the oracle, a line each. Empty: they are equal."""
    lines: list[str] = []
    for table in oracle.schema.tables.values():
        expected = oracle.expected[table.name]
        lines += _compare_rows(table, expected, fetch_rows(connection, table))
        lines += _compare_rejects(table, expected, fetch_rejects(connection, table.name))
    return lines


def _by_key(table: Table, rows: Iterable[Row]) -> dict[Row, list[Row]]:
    places = [_position(table, name) for name in table.key]
    found: dict[Row, list[Row]] = {}
    for row in rows:
        found.setdefault(tuple(row[place] for place in places), []).append(row)
    return found


def _compare_rows(table: Table, expected: ExpectedTable, live: list[Row]) -> list[str]:
    wanted, found = _by_key(table, expected.rows), _by_key(table, live)
    lines = [f"{table.name} {key}: no such row" for key in wanted if key not in found]
    lines += [f"{table.name} {key}: must not be there" for key in found if key not in wanted]
    lines += [f"{table.name} {key}: {len(rows)} rows" for key, rows in found.items() if len(rows) > 1]
    for key in wanted.keys() & found.keys():
        for column, want, have in zip(table.stored_columns, wanted[key][0], found[key][0], strict=True):
            if comparable(column, want) != comparable(column, have):
                lines.append(f"{table.name} {key}: {column.name} is {have!r}, expected {want!r}")
    return lines


def _compare_rejects(table: Table, expected: ExpectedTable, live: list[tuple[str, str, str]]) -> list[str]:
    lines: list[str] = []
    if expected.rejected is None:
        return lines
    found: dict[str, set[Fault]] = {}
    for document, column, reason in live:
        if document in found:
            lines.append(f"{table.name} document {document}: listed twice among the rejects")
        found.setdefault(document, set()).add((column, reason))
    for document, faults in expected.rejected.items():
        if document not in found:
            lines.append(f"{table.name} document {document}: not among the rejects, expected {sorted(faults)}")
        elif not found[document] <= faults:
            given = sorted(found[document])
            lines.append(f"{table.name} document {document}: rejected for {given}, expected {sorted(faults)}")
    lines += [
        f"{table.name} document {document}: rejected for {sorted(found[document])}, is good"
        for document in found.keys() - expected.rejected.keys()
    ]
    return lines


def read_collections(database: Any, schema: Schema) -> dict[str, list[Document]]:
    """All documents the schema reads, decoded so that nothing is too odd to be seen."""
    options: CodecOptions[dict[str, Any]] = CodecOptions(
        datetime_conversion=DatetimeConversion.DATETIME_AUTO, unicode_decode_error_handler="surrogateescape"
    )
    names = {table.mongo_collection for table in schema.tables.values()}
    return {name: list(database.get_collection(name, codec_options=options).find()) for name in names}
