"""What a schema file says, before any of it is resolved: every key it may have, declared once.

A declaration is always complete enough to resolve: what was wrong in it has been noted, and reads as absent.
"""

import dataclasses
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import yaml
from pydantic import StrictBool, WithJsonSchema

from smartdiet_assets.schema import values
from smartdiet_assets.schema.findings import Place
from smartdiet_assets.schema.matomo import DEFAULT_PREFIX, KNOWN_TIME_COLUMNS
from smartdiet_assets.schema.model import DOCUMENT_ID, CollectionRules, PartitionScheme, Table
from smartdiet_assets.schema.reading import TEXT, fault_of_characters, is_null, quote
from smartdiet_assets.schema.section import COLLECTION, DEFAULTS, ROWS, TABLE, Keys, Section, key
from smartdiet_assets.schema.shapes import Shape
from smartdiet_assets.schema.sources import MATOMO, MONGODB, SourceKind

#: What says nothing: the defaults stand in the model alone.
_BARE, _RULES, _PARTITIONS = (
    Table(name="", columns=(), shape=Shape.ONE_ROW, document_column="", key=()),
    CollectionRules(),
    PartitionScheme(),
)
_EVERYWHERE = (DEFAULTS, TABLE)
_SHARED = (DEFAULTS, COLLECTION)
_COLUMNS = "a list of columns"
_LISTS = "a list of column lists, as [[a, b], [c]]"
#: What is read without `include_base: true`, and beside it.
_COLUMNS_KEYS = ("columns", "additional_columns")
_MAPPINGS_KEYS = ("explicit_mappings", "additional_mappings")
#: What `include_base` stands for.
_BASE = (
    ("id", "VARCHAR", (DOCUMENT_ID,), "Identity of the document."),
    ("created_at", "TIMESTAMP", (), "When the document was created, UTC."),
    ("updated_at", "TIMESTAMP", (), "When the document was last changed, UTC."),
)


class ColumnDeclaration(Keys):
    """One column of a file."""

    what: ClassVar[str] = "column"

    name: str = key(..., "The column's name in PostgreSQL.")
    sql_type: str | None = key(None, "Its type in PostgreSQL, such as VARCHAR(255), INTEGER or TIMESTAMP.")
    nullable: StrictBool = key(True, "Whether it may be NULL.")
    primary_key: StrictBool = key(False, "Whether it is in the table's primary key.")
    default: values.Constant = key(None, "The column's default, which also fills a missing field.")
    foreign_key: str | None = key(None, "The column it points at: table(column).")
    on_missing_parent: Literal["reject", "null"] | None = key(None, "reject waits for the parent; null loads NULL.")
    mongo_field: values.Paths = key((), "A dotted path in the document, or several in order of preference.", MONGODB)
    item_field: values.ItemPaths = key((), "The same in an array's item; . is the item, $position its place.", MONGODB)
    source_column: str | None = key(None, "The column's name at the source, where it is another.", ROWS)
    timezone: str | None = key(None, "The zone a DATE is cut in, such as Europe/Paris.", MONGODB)
    on_invalid: Literal["reject", "null", "clamp"] | None = key(None, "What becomes of an unfit value.", MONGODB)
    protect: values.ProtectionValue | None = key(None, "What of its values is stored; pseudonym, redact, {keep: year}.")
    description: values.Prose = key("", "What an analyst should know.")

    @classmethod
    def _prepare(cls, section: Section) -> None:
        name = section.convert(section.nodes["name"], section.place) if "name" in section.nodes else None
        if isinstance(name, str):
            section.place = dataclasses.replace(section.place, column=name)
        for word in ("on_missing_parent", "on_invalid"):
            # YAML's null without quotes means the word.
            if word in section.nodes and is_null(section.nodes[word]):
                section.nodes[word] = yaml.ScalarNode(TEXT, "null")


class RowColumnDeclaration(ColumnDeclaration):
    """One column of a table whose source has rows, not documents."""

    role: ClassVar[str] = ROWS


class ArrayDeclaration(Keys):
    """One array of a table, and the constant columns it sets."""

    what: ClassVar[str] = "array"

    field: values.Path = key(..., "The dotted path of the array in the document.")
    set: values.Entries[values.Constant] = key({}, "Constant columns that tell its items from another array's.")


#: A mapping from a source field (first) to a column (second).
Mapped = tuple[Place, str, str]


class TableDeclaration(Keys):
    """One table of a file; `mappings` has those of both keys, and where they are."""

    source_kind: ClassVar[SourceKind] = MONGODB

    name: str = key("", "The table's name, which is also its key.")
    description: values.Prose = key("", "What an analyst should know.")
    group: values.Group = key(_BARE.group, "The asset's group in Dagit.")
    owners: values.Owners = key((), "E-mail addresses, or team:name.", *_EVERYWHERE)
    mongo_collection: values.CollectionName = key("", "Where the documents are; the table's name by default.", MONGODB)
    source_table: str = key("", "The table of Matomo that it mirrors.", MATOMO)
    include_base: StrictBool = key(False, "Adds id, created_at and updated_at to additional_columns.", MONGODB)
    columns: tuple[ColumnDeclaration, ...] = key((), "The columns, in order.", expects=_COLUMNS)
    additional_columns: tuple[ColumnDeclaration, ...] = key(
        (), "Columns beside include_base: true.", MONGODB, expects=_COLUMNS
    )
    matomo_columns: Literal["declared", "all"] = key(_BARE.matomo_columns, "all mirrors undeclared ones too.", MATOMO)
    time_column: str | None = key(None, "The column that tells when a row last changed.", MATOMO)
    additional_mappings: values.Mappings = key({}, "Source field: column, beside include_base: true.", MONGODB)
    explicit_mappings: values.Mappings = key({}, "Source field: column, as mongo_field says it at the column.", MONGODB)
    unique_constraints: values.ColumnLists = key((), "Lists of columns that are unique together.", expects=_LISTS)
    indexes: values.ColumnLists = key((), "Lists of columns; foreign keys and updated_at have theirs.", expects=_LISTS)
    filter: values.Filter = key((), "Which documents are rows: paths, and what they must hold.", MONGODB)
    created_field: values.Path = key(_BARE.created_field, "When a document was created.", DEFAULTS, MONGODB)
    updated_field: values.Path = key(_BARE.updated_field, "When a document was last changed.", DEFAULTS, MONGODB)
    incremental: Literal["dates", "none"] = key(
        _BARE.incremental, "none reads the collection whole each time.", MONGODB
    )
    overlap: values.Duration = key(_BARE.overlap, "How far below the watermark a run starts.", *_EVERYWHERE)
    arrays: tuple[ArrayDeclaration, ...] = key(
        (), "The arrays whose items are the rows.", MONGODB, expects="a list of arrays, as [{field: tags}]"
    )
    on_duplicate_item: Literal["first", "last", "reject"] | None = key(None, "Which of equal items counts.", MONGODB)
    import_strategy: str | None = key(None, "smart_diff with arrays, else direct; or package.module:Class.")
    strategy: str | None = key(None, "import_strategy by another name.")
    winner: values.Texts = key((), "Which document is shown where several share the key: updated_at DESC.", MONGODB)
    diff_threshold: values.Share = key(
        _BARE.diff_threshold, "Above this share of changes all items are replaced.", MONGODB
    )
    export_order: values.WholeNumber | None = key(None, "Checked against the foreign keys, which give the order.")
    force_reimport: StrictBool = key(False, "Reads everything each time.")
    truncate_before_import: StrictBool = key(False, "Empties the table first, and re-imports what that empties.")
    date_threshold: values.Day | None = key(None, "GLOBAL_DATE_THRESHOLD for this table.")
    shard_documents: values.WholeNumber = key(
        _BARE.shard_documents, "From how many documents on a first load is read in shards; 0: never.", DEFAULTS, MONGODB
    )
    shard_steps: StrictBool = key(_BARE.shard_steps, "Has Dagster run the shards as steps of their own.", MONGODB)
    on_delete: Literal["keep", "delete", "flag"] = key(
        _BARE.on_delete, "What becomes of a deleted one's rows.", *_EVERYWHERE
    )
    max_deletions: values.LimitValue = key(
        _BARE.max_deletions, "How many rows may go at once: 100, 5%.", DEFAULTS, MONGODB
    )
    max_rejects: values.LimitValue | None = key(None, "How many rejects fail a run: 100, 5%.", *_EVERYWHERE)
    capture: Literal["dates", "change_stream"] = key(_BARE.capture, "How changes are found.", COLLECTION)
    sync_after: values.LimitValue = key(_RULES.sync_after, "How many changes ask for a run: 100, 5%.", *_SHARED)
    max_delay: values.Duration = key(_RULES.max_delay, "How old a change gets until a run is asked for.", *_SHARED)
    undeclared: Literal["ignore", "report", "fail"] = key(
        _RULES.undeclared, "What undeclared fields lead to.", *_SHARED
    )
    ignored_fields: values.IgnoredFields = key(
        _RULES.ignored_fields, "Fields left out on purpose: paths, or path: reason.", *_SHARED
    )

    mappings: tuple[Mapped, ...] = ()

    @property
    def rules(self) -> CollectionRules:
        """What holds for its collection."""
        return CollectionRules(
            capture=self.capture,
            sync_after=self.sync_after,
            max_delay=self.max_delay,
            undeclared=self.undeclared,
            ignored_fields=self.ignored_fields,
        )

    def complete(self, name: str, section: Section) -> dict[str, object]:
        """Read what several keys say together, and note what they cannot; `name` is the table's key."""
        for array in self.arrays:
            if fault := fault_of_characters(array.field):
                section.findings.problem(array.at("field"), f"the array {quote(array.field)}: {fault}")
        for keys in (_COLUMNS_KEYS, _MAPPINGS_KEYS):
            right, wrong = keys[::-1] if self.include_base else keys
            # It is read all the same, to check the rest.
            if section.gives(wrong):
                where = "not read beside" if self.include_base else "read only beside"
                section.findings.problem(
                    self.at(wrong), f"{quote(wrong)} is {where} include_base: true; use {quote(right)}"
                )
        own, more = self.columns, self.additional_columns
        return {
            "mongo_collection": self.mongo_collection or name,
            "columns": (*self._base_columns(), *more, *own) if self.include_base else (*own, *more),
            "mappings": tuple(self._list_mappings()),
        }

    def _list_mappings(self) -> Iterator[Mapped]:
        for name in _MAPPINGS_KEYS[::-1] if self.include_base else _MAPPINGS_KEYS:
            for source, column in getattr(self, name).items():
                yield self.at(name, source), source, column

    def _base_columns(self) -> Iterator[ColumnDeclaration]:
        for name, sql_type, field, description in _BASE:
            yield ColumnDeclaration(
                place=dataclasses.replace(self.at("include_base"), column=name),
                name=name,
                sql_type=sql_type,
                nullable=False,
                primary_key=name == "id",
                mongo_field=field,
                description=description,
            )


class MatomoTableDeclaration(TableDeclaration):
    """One table of Matomo. It has no column to mark deleted rows in."""

    role: ClassVar[str] = MATOMO.name
    source_kind: ClassVar[SourceKind] = MATOMO

    columns: tuple[RowColumnDeclaration, ...] = key((), "The columns, in order.", expects=_COLUMNS)
    on_delete: Literal["keep", "delete"] = key(_BARE.on_delete, "What becomes of rows that Matomo deletes.")

    def complete(self, name: str, section: Section) -> dict[str, object]:
        """Read what several keys say together, and note what they cannot."""
        if not section.gives("source_table"):
            section.findings.problem(self.at("source_table"), "'source_table' must be the name of a table of Matomo")
        read: dict[str, object] = {"source_table": self.source_table or name}
        if "time_column" not in self.places:
            read["time_column"] = KNOWN_TIME_COLUMNS.get(self.source_table.removeprefix(DEFAULT_PREFIX))
        return read


#: The declarations of the tables of each kind of source but MongoDB, by its name: a new kind's is added here.
DECLARATIONS: dict[str, type[TableDeclaration]] = {MATOMO.name: MatomoTableDeclaration}


def find_declaration(keys: Collection[str]) -> type[TableDeclaration]:
    """Find how a table with certain keys is declared: as one of the kind whose key it has, else of MongoDB."""
    return next((made for made in DECLARATIONS.values() if made.source_kind.key in keys), TableDeclaration)


class DefaultsDeclaration(TableDeclaration):
    """What holds where a table does not say."""

    role: ClassVar[str] = DEFAULTS


class CollectionDeclaration(TableDeclaration):
    """What holds for all tables of a collection."""

    role: ClassVar[str] = COLLECTION


class PartitionsDeclaration(Keys):
    """The time windows an operator can pick."""

    every: Literal["month", "week", "day"] = key(_PARTITIONS.every, "How long a window is.")
    start: values.Day = key(_PARTITIONS.start, "Where the first window begins.")


class RootDeclaration(Keys):
    """The keys of a file."""

    tables: Annotated[Section | None, WithJsonSchema({})] = key(None, "The tables, each by its name.")
    defaults: DefaultsDeclaration = key(DefaultsDeclaration(), "What holds where a table does not say.")
    partitions: PartitionsDeclaration = key(PartitionsDeclaration(), "The time windows an operator can pick.")
    collections: values.Entries[CollectionDeclaration | None] = key({}, "What holds for all tables of a collection.")


@dataclass(frozen=True, slots=True)
class FileDeclaration:
    """A whole file. `names` has the unreadable tables too, so that nothing else calls them missing."""

    tables: tuple[TableDeclaration, ...] = ()
    names: tuple[str, ...] = ()
    partitions: PartitionScheme = dataclasses.field(default_factory=PartitionScheme)
