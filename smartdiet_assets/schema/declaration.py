"""What a schema file says, before any of it is resolved: one frozen record for a table, a column, an array.

Here: the records, each with the place of its keys.
Not here: how they are read from YAML (`schema.parsing`), or what follows from them (`schema.resolving`).
A declaration is always complete enough to resolve: what was wrong in it has been noted, and reads as absent.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from smartdiet_assets.schema.findings import Place
from smartdiet_assets.schema.limits import Limit
from smartdiet_assets.schema.model import MAX_DELETIONS, CollectionRules, Condition, PartitionScheme, Scalar


@dataclass(frozen=True, slots=True)
class ColumnDeclaration:
    """One column of a file; `places` holds the line of each of its keys."""

    place: Place
    name: str
    sql_type: str | None = None
    nullable: bool = True
    primary_key: bool = False
    default: Scalar = None
    foreign_key: str | None = None
    on_missing_parent: str | None = None
    mongo_field: tuple[str, ...] = ()
    item_field: tuple[str, ...] = ()
    source_column: str | None = None
    timezone: str | None = None
    on_invalid: str | None = None
    description: str = ""
    places: Mapping[str, Place] = dataclasses.field(default_factory=dict)

    def at(self, key: str) -> Place:
        """Give the place of a key, or of the column where the key is absent."""
        return self.places.get(key, self.place)


@dataclass(frozen=True, slots=True)
class ArrayDeclaration:
    """One array of a table: the constant columns it sets, and the place of each."""

    place: Place
    field: str
    set: Mapping[str, Scalar] = dataclasses.field(default_factory=dict)
    places: Mapping[str, Place] = dataclasses.field(default_factory=dict)

    def at(self, column: str) -> Place:
        """Give the place of a constant, or of the array where it sets none."""
        return self.places.get(column, self.place)


#: A mapping from a source field (first) to a column (second).
Mapped = tuple[Place, str, str]
ColumnList = tuple[Place, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class TableDeclaration:
    """One table of a file; the columns of `include_base` are already among its columns."""

    place: Place
    name: str
    description: str = ""
    group: str = "default"
    owners: tuple[str, ...] = ()
    mongo_collection: str = ""
    source_table: str = ""
    time_column: str | None = None
    matomo_columns: str = "declared"
    on_delete: str = "keep"
    max_deletions: Limit = MAX_DELETIONS
    max_rejects: Limit | None = None
    rules: CollectionRules = dataclasses.field(default_factory=CollectionRules)
    columns: tuple[ColumnDeclaration, ...] = ()
    mappings: tuple[Mapped, ...] = ()
    unique_constraints: tuple[ColumnList, ...] = ()
    indexes: tuple[ColumnList, ...] = ()
    filter: tuple[Condition, ...] = ()
    created_field: str = "creation_date"
    updated_field: str = "update_date"
    incremental: str = "dates"
    overlap: timedelta = timedelta(hours=2)
    arrays: tuple[ArrayDeclaration, ...] = ()
    on_duplicate_item: str | None = None
    import_strategy: str | None = None
    winner: tuple[str, ...] = ()
    diff_threshold: float = 0.3
    export_order: int | None = None
    force_reimport: bool = False
    truncate_before_import: bool = False
    date_threshold: date | None = None
    places: Mapping[str, Place] = dataclasses.field(default_factory=dict)

    def at(self, key: str) -> Place:
        """Give the place of a key, or of the table where the key is absent."""
        return self.places.get(key, self.place)


@dataclass(frozen=True, slots=True)
class FileDeclaration:
    """A whole file. `names` has the unreadable tables too, so that nothing else calls them missing."""

    tables: tuple[TableDeclaration, ...] = ()
    names: tuple[str, ...] = ()
    partitions: PartitionScheme = dataclasses.field(default_factory=PartitionScheme)
