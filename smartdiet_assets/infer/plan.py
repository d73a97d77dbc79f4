"""A plan: the tables an entry will declare, as far as the file's format can say it.

Here: the records, mutable, because trying a plan on documents mends it (`verification`). Not here: what is planned
(`planning`, `columns`), YAML (`composing`).
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
