"""The resolved schema: what every other stage knows about a table.

Field names are the YAML keys wherever a YAML key exists.
"""

import hashlib
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from functools import cached_property
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from smartdiet_assets.schema.limits import Limit
from smartdiet_assets.schema.pseudonyms import Protection, Pseudonyms
from smartdiet_assets.schema.shapes import Shape
from smartdiet_assets.schema.sources import MONGODB, SourceKind
from smartdiet_assets.schema.types import ColumnType

Scalar = str | int | float | bool | None
#: The item itself, where it is not a document (see `Column.item_field`).
ITEM_ITSELF = "."
#: The place of an item in its array, 0-based, as a path of `Column.item_field`.
ITEM_POSITION = "$position"
#: The path of a document's identity.
DOCUMENT_ID = "_id"
#: How many documents a first load reads in one piece.
SHARD_DOCUMENTS = 1_000_000
#: An empty or wrong source must not empty a table.
MAX_DELETIONS = Limit(share=0.1)


class _Frozen(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", ignored_types=(cached_property,), arbitrary_types_allowed=True
    )


class ForeignKey(_Frozen):
    """The parent column a column points at, and what happens to a row whose parent is not there.

    Attributes:
        documents: whether an id of the parent may be a document: a column of it is declared to be a part of its `_id`.
    """

    table: str
    column: str
    documents: bool = False
    on_missing_parent: Literal["reject", "null"] = "reject"


class Column(_Frozen):
    """One column and where its value comes from.

    Exactly one source holds: `type.generated` (PostgreSQL fills it), `mongo_field` (paths in the document),
    `item_field` (paths in the array item), `source_column` (in a table of Matomo) or none of them (the array's `set`
    gives the value, and the mirror itself that of `deleted_at`). Paths are dotted and in order of preference: the first
    that leads to a value other than null is used. A number in a path indexes an array, as in MongoDB; a path that meets
    an array otherwise leads to no one value, and its document (or item) is a reject. `.` in `item_field` is the item
    itself where it is not a document; `$position`, alone, is its place. `_id` as a path of a timestamp column is the
    time in the ObjectId, and leads to nothing where the id is not an ObjectId. A character column of documents' ids
    (`_id`, or a foreign key) has an id that is a document as its canonical extended JSON.
    """

    name: str
    type: ColumnType
    nullable: bool = True
    default: Scalar = None
    mongo_field: tuple[str, ...] = ()
    item_field: tuple[str, ...] = ()
    source_column: str = ""
    timezone: str | None = None
    foreign_key: ForeignKey | None = None
    #: What becomes of a value the column cannot hold: its row is rejected (`reject`), or it is NULL (`null`), or it is
    #: made to fit (`clamp`): text loses NUL characters, has U+FFFD for what is no Unicode, and is cut to its length in
    #: characters; a date beyond the years 1 to 9999 becomes the first or last instant of them, the widest range that
    #: can be read back. What `clamp` cannot make fit, a value of another type, is rejected.
    on_invalid: Literal["reject", "null", "clamp"] = "reject"
    description: str = ""
    #: Added by the loader, not declared: the document's id in a table that has no column for it.
    implicit: bool = False
    #: What is stored in the place of the column's values; None for the values themselves.
    protect: Protection | None = None
    #: Those of the key, where there is one: no part of the declaration.
    pseudonyms: Pseudonyms | None = Field(default=None, exclude=True, repr=False)

    @property
    def generated(self) -> bool:
        return self.type.generated

    @property
    def is_pseudonym(self) -> bool:
        return self.protect is not None and self.protect.how == "pseudonym"


class ArraySource(_Frozen):
    """One array of the document, and the constant columns (`set`) that tell its items from another array's."""

    field: str
    set: tuple[tuple[str, Scalar], ...] = ()


class Condition(_Frozen):
    """One condition of a `filter`: `path operator value`, with Mongo's meaning of the operator.

    A null operand of `$eq` and `$ne` also matches a missing field, as in Mongo. `$in` and `$nin` hold a tuple.
    """

    path: str
    operator: Literal["$eq", "$ne", "$in", "$nin", "$exists"]
    value: Scalar | tuple[Scalar, ...]


class WinnerOrder(_Frozen):
    """One sort key of a `winner` list; NULL sorts last in either direction."""

    column: str
    descending: bool


def find_stem(table_name: str) -> str:
    """Find what tables with names that are alike have in common: two such are not created by two transactions at once.

    PostgreSQL gives each table an array type, whose name is the table's with an underscore before it, cut to 63 bytes.
    Where that name is another's it takes the next, which it cannot while the other's transaction is open
    (https://www.postgresql.org/docs/current/sql-createtype.html, "Array Types").
    """
    # Of a name that begins with underscores more is cut.
    return table_name.lstrip("_")[:59]


class Table(_Frozen):
    """One PostgreSQL table, declared whole.

    Attributes:
        columns: in declared order, the order of the live table.
        primary_key: may be empty (relationship tables have only their unique key).
        unique_constraints: declared lists, the primary key not included.
        indexes: non-unique indexes, with those the loader adds (every foreign key, `updated_at`, and the document
            column where no key leads with it).
        document_column: the column that holds the document's `_id`. All rows of a document are those with its id here.
        key: what identifies a row; `(document_column,)` for `one_row`.
        on_duplicate_item: which of several items of one document that share the key is its row, in the order of the
            arrays and of their items; with `reject` it is the first, and each of the others is a reject.
        import_strategy: `direct`, `array`, `delete_and_insert`, `smart_diff`, or `package.module:Class`.
        winner: which of several documents with one key is shown, best first. Only where documents share keys.
        source_kind: the kind of server its rows come from.
        mongo_collection: where its documents are; empty where it mirrors a table.
        source_table: the table it mirrors, as declared; empty for a collection. A row of it is what a document is
            elsewhere, and its primary key the document's id.
        time_column: the column of this table that tells when a row of the source last changed; empty where rows are
            only ever added, and read by key.
        matomo_columns: `all` also mirrors the columns Matomo has beyond the declared ones.
        on_delete: whether rows whose document is deleted at the source stay (`keep`), go (`delete`), or are marked
            in `deleted_at` (`flag`, not for Matomo).
        max_deletions: how many of the table's rows one reconciliation may remove or mark.
        max_rejects: how many of the table's documents may be rejected, counted after a run. A run that would leave more
            than that, and more than it found, fails and writes nothing; one that makes it better never does. Of a share
            the whole is the larger of the documents the run read and the table's rows with its rejects, so that one bad
            document among the few of a small run is not too many. None is no limit.
        capture: how changes are found: by the documents' dates, or from the collection's change stream.
        overlap: how far below the watermark an incremental run starts.
        shard_documents: of how many documents on a first load is read in shards; 0 for never.
        shard_steps: whether Dagster is to run the shards, as steps of their own.
        path, line: where the YAML declares the table: its file, as the user named it, and the line, 1-based.
        companion: the table of schema `smartdiet` where documents wait behind another one of their key.
            Its name tells the table's PostgreSQL schema: empty until a connection says it, no part of the declaration.
    """

    name: str
    description: str = ""
    group: str = "default"
    owners: tuple[str, ...] = ()
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...] = ()
    unique_constraints: tuple[tuple[str, ...], ...] = ()
    indexes: tuple[tuple[str, ...], ...] = ()
    shape: Shape
    document_column: str
    key: tuple[str, ...]
    on_duplicate_item: Literal["first", "last", "reject"] = "first"
    winner: tuple[WinnerOrder, ...] = ()
    #: Its keys tell it, which the hash of the declaration has.
    source_kind: SourceKind = Field(default=MONGODB, exclude=True)
    mongo_collection: str = ""
    source_table: str = ""
    time_column: str = ""
    matomo_columns: Literal["declared", "all"] = "declared"
    on_delete: Literal["keep", "delete", "flag"] = "keep"
    max_deletions: Limit = MAX_DELETIONS
    max_rejects: Limit | None = None
    capture: Literal["dates", "change_stream"] = "dates"
    filter: tuple[Condition, ...] = ()
    created_field: str = "creation_date"
    updated_field: str = "update_date"
    incremental: Literal["dates", "key", "none"] = "dates"
    overlap: timedelta = timedelta(hours=2)
    arrays: tuple[ArraySource, ...] = ()
    import_strategy: str = "direct"
    diff_threshold: float = 0.3
    force_reimport: bool = False
    truncate_before_import: bool = False
    date_threshold: date | None = None
    shard_documents: int = SHARD_DOCUMENTS
    shard_steps: bool = False
    path: str = ""
    line: int = 0
    companion: str = Field(default="", exclude=True)

    @cached_property
    def stored_columns(self) -> tuple[Column, ...]:
        """The columns the mirror writes, in declared order: all but the generated ones. The order of every row."""
        return tuple(column for column in self.columns if not column.generated)

    @property
    def identity(self) -> tuple[str, ...]:
        """The columns no two rows of a run may share: the key, or the document where several may share a key."""
        return (self.document_column,) if self.shape.shares_keys else self.key

    @property
    def tracks_documents(self) -> bool:
        """Whether the ids of all documents read are kept apart from the rows, which do not tell which they were."""
        return not self.shape.rows_are_documents or bool(self.filter)

    @property
    def source(self) -> str:
        """The name of the kind of source."""
        return self.source_kind.name

    @property
    def origin(self) -> str:
        """What it mirrors, as the source calls it: a collection or a table."""
        return self.source_table or self.mongo_collection

    @property
    def takes_all_columns(self) -> bool:
        """Whether its source says which columns it has beyond the declared ones."""
        return self.matomo_columns == "all"

    def with_columns(self, columns: Iterable[Column]) -> "Table":
        """Give the table with other columns."""
        copied = self.model_copy(update={"columns": tuple(columns)})
        for name in ("stored_columns", "parents", "code_version"):
            copied.__dict__.pop(name, None)
        return copied

    @property
    def protected(self) -> dict[str, str]:
        """The columns whose values are protected, each with how, as the records spell it."""
        return {column.name: str(column.protect) for column in self.columns if column.protect is not None}

    @property
    def pseudonyms(self) -> Pseudonyms | None:
        """Those of its columns; None where it has no such column, or there is no key."""
        return next((column.pseudonyms for column in self.columns if column.is_pseudonym), None)

    @property
    def has_pseudonyms(self) -> bool:
        return any(column.is_pseudonym for column in self.columns)

    @property
    def hides_ids(self) -> bool:
        """Whether its rows and all records of them name a document by a pseudonym."""
        return self.column(self.document_column).is_pseudonym

    @cached_property
    def parents(self) -> tuple[str, ...]:
        """The tables the foreign keys point at, the table itself excepted, each once, in column order."""
        names = [c.foreign_key.table for c in self.columns if c.foreign_key and c.foreign_key.table != self.name]
        return tuple(dict.fromkeys(names))

    @cached_property
    def code_version(self) -> str:
        """A short hash of the declaration, without prose, position and limits: it changes when the rows may."""
        prose = {"description", "group", "owners", "path", "line", "max_deletions", "max_rejects", "capture"}
        prose |= {"shard_documents", "shard_steps"}
        text = self.model_dump_json(exclude={**dict.fromkeys(prose, True), "columns": {"__all__": {"description"}}})
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def column(self, name: str) -> Column:
        """Find a column by name. Raises KeyError when there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)


class PartitionScheme(_Frozen):
    """The time windows an operator can pick: `every` month, day or week from `start` (UTC) on."""

    every: Literal["month", "week", "day"] = "month"
    start: date = date(2020, 1, 1)


class CollectionRules(_Frozen):
    """What holds for all tables of a collection.

    Attributes:
        capture: as in `Table`.
        sync_after: how many changed documents make the sensor ask for a run; a share is of the collection.
        max_delay: how old the oldest unmirrored change may get before the sensor asks for a run all the same.
        undeclared: what becomes of fields that documents have and no table declares: nobody looks for them, they are
            reported, or a run that reads one fails.
        ignored_fields: paths of fields that are left out on purpose, each with the reason, which may be "".
    """

    capture: Literal["dates", "change_stream"] = "dates"
    sync_after: Limit = Limit(count=1000)
    max_delay: timedelta = timedelta(hours=1)
    undeclared: Literal["ignore", "report", "fail"] = "report"
    ignored_fields: Mapping[str, str] = {}


class Schema(_Frozen):
    """All tables of a file, parents before children, and what the file says for all of them."""

    tables: Mapping[str, Table]
    partitions: PartitionScheme = PartitionScheme()
    #: One entry for each collection that a table mirrors.
    collections: Mapping[str, CollectionRules] = {}
    #: Where the file is, as the user named it; of several, what a sentence calls them.
    path: str = ""
    #: Where each is.
    files: tuple[str, ...] = ()
    #: Sentences for the user about what loads but deserves a look.
    warnings: tuple[str, ...] = ()

    @property
    def sources(self) -> tuple[SourceKind, ...]:
        """The kinds of source its tables have, each once, in the order of the tables."""
        return tuple(dict.fromkeys(table.source_kind for table in self.tables.values()))

    @cached_property
    def digest(self) -> str:
        """A short hash of all tables' declarations: two processes with the same one write the same rows."""
        text = ",".join(f"{name}:{table.code_version}" for name, table in sorted(self.tables.items()))
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def list_tables(self, source: SourceKind) -> list[Table]:
        """List the tables of a kind of source, parents before children."""
        return [table for table in self.tables.values() if table.source_kind == source]

    def rules_of(self, collection: str) -> CollectionRules:
        """What holds for all tables of a collection."""
        return self.collections.get(collection, CollectionRules())

    def leads(self, table: Table) -> bool:
        """Whether a table is the first of its collection: with it is done what is done once for all of them."""
        collection = table.mongo_collection
        first = next((other for other in self.tables.values() if other.mongo_collection == collection), table)
        return collection != "" and first.name == table.name

    def ancestors(self, name: str) -> tuple[str, ...]:
        """All tables reached by foreign keys from a table, parents before children, the table itself left out."""
        found: set[str] = set()
        stack = list(self.tables[name].parents)
        while stack:
            parent = stack.pop()
            if parent not in found:
                found.add(parent)
                stack.extend(self.tables[parent].parents)
        return tuple(table for table in self.tables if table in found)

    def children(self, name: str) -> tuple[str, ...]:
        """The tables with a foreign key to a table, in order, the table itself left out."""
        return tuple(table.name for table in self.tables.values() if name in table.parents)
