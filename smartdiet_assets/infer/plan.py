"""A plan: the tables an entry will declare, as far as the file's format can say it.

Here: the records, mutable, because trying a plan on documents mends it (`verification`).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(slots=True)
class PlannedColumn:
    """One column; `paths` are those of `mongo_field`, or of `item_field` in a table of items.

    Attributes:
        foreign_key: as the file spells it, `table(column)`; "" for none.
        presence: share of the documents seen that have a value here, where that is known.
        remarks: sentences for a comment.
        left_out: written as a comment only.
    """

    name: str
    sql_type: str
    paths: tuple[str, ...] = ()
    in_items: bool = False
    nullable: bool = True
    primary_key: bool = False
    foreign_key: str = ""
    on_missing_parent: str = ""
    on_invalid: str = ""
    presence: float | None = None
    remarks: list[str] = field(default_factory=list)
    left_out: bool = False

    @property
    def parent(self) -> str:
        """The table its foreign key points at; "" where it has none."""
        return self.foreign_key.partition("(")[0]


@dataclass(slots=True)
class PlannedTable:
    """One table; `array` is the path of the array whose items are its rows, "" for a row per document.

    Attributes:
        base: `include_base`.
        dated: whether rows have `created_at` and `updated_at`.
        settings: further keys with their values, in order.
        left_out: written as a comment only.
    """

    name: str
    collection: str
    description: str
    group: str = ""
    array: str = ""
    base: bool = False
    settings: dict[str, str] = field(default_factory=dict)
    columns: list[PlannedColumn] = field(default_factory=list)
    unique: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    left_out: bool = False

    @property
    def has_text_id(self) -> bool:
        """Whether its documents' ids are text, so that other tables can refer to them."""
        identity = self.column("id")
        return identity is None or identity.sql_type == "VARCHAR"

    @property
    def parents(self) -> set[str]:
        """The tables its foreign keys point at."""
        return {column.parent for column in self.columns if column.parent}

    def column(self, name: str) -> PlannedColumn | None:
        """Find a column by name."""
        return next((column for column in self.columns if column.name == name), None)


@dataclass(slots=True)
class Plan:
    """The table of the documents and those of their arrays' items."""

    main: PlannedTable
    links: list[PlannedTable] = field(default_factory=list)

    def __iter__(self) -> Iterator[PlannedTable]:
        yield self.main
        yield from self.links

    @property
    def names(self) -> tuple[str, ...]:
        """The tables that are declared, not only written as a comment."""
        return tuple(table.name for table in self if not table.left_out)

    @property
    def parents(self) -> set[str]:
        """The tables of other plans that its foreign keys point at."""
        return {parent for table in self for parent in table.parents} - {table.name for table in self}
