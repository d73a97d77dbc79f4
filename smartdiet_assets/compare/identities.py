"""Which columns of a table are compared on two servers, which of them identify a row, and what of that may be shown.

Pure. A key may be made of personal values (an address, a day of birth): only what is a technical identifier is shown,
by its column and by its form.
"""

from dataclasses import dataclass

from smartdiet_assets.load.structure.live import LiveColumn, LiveTable
from smartdiet_assets.schema.types import find_type

#: An ObjectId or a UUID.
TECHNICAL = "^([0-9a-f]{24}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$"


@dataclass(frozen=True, slots=True)
class RowIdentity:
    """How the rows of a table are told apart and compared.

    Attributes:
        columns: what is compared, in one order for both servers.
        key: what identifies a row; empty where nothing does, and rows are counted by what they hold.
        shown: the columns of the key whose identifiers may be shown.
        left_out: what both have and is not compared: columns of other types, and numbers that each server gives.
    """

    columns: tuple[str, ...]
    key: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


def identify_rows(left: LiveTable, right: LiveTable, referenced: frozenset[str] = frozenset()) -> RowIdentity:
    """Decide how the rows of two tables are compared.

    Args:
        referenced: columns that foreign keys of other tables point at: their numbers mean something.
    """
    shared = sorted(set(left.columns) & set(right.columns))
    comparable = [name for name in shared if _look_alike(left.columns[name].type, right.columns[name].type)]
    numbered = {
        name
        for name in comparable
        if left.columns[name].generated and right.columns[name].generated and name not in referenced
    }
    keys = [key for key in (*_list_keys(left), *_list_keys(right)) if set(key) <= set(comparable)]
    keys = [key for key in keys if not any(side.columns[name].nullable for name in key for side in (left, right))]
    natural = [key for key in keys if numbered.isdisjoint(key)]
    columns = [name for name in comparable if name not in numbered] if natural else comparable
    key = next(iter(natural or keys), ())
    return RowIdentity(
        columns=tuple(columns),
        key=key,
        shown=tuple(name for name in key if _is_identifier(left, name) or _is_identifier(right, name)),
        left_out=tuple(name for name in shared if name not in columns),
    )


def is_integer(column: LiveColumn) -> bool:
    """Tell whether any value of the column is a number that identifies and says nothing else."""
    base = find_type(column.type)
    return base is not None and base.is_integer


def _list_keys(table: LiveTable) -> list[tuple[str, ...]]:
    return [index.columns for index in table.keys if index.plain]


def _is_identifier(table: LiveTable, name: str) -> bool:
    """Tell whether a column is of the primary key or a reference."""
    primary = table.primary_key.columns if table.primary_key else ()
    return name in primary or any(name in key.columns for key in table.foreign_keys)


def _look_alike(one: str, other: str) -> bool:
    """Tell whether a value of both types is the same text."""
    names = {one.partition("(")[0], other.partition("(")[0]}
    # Of types that are compared with one another, one may print a value in its own way.
    forms = {base.compared_as if base and base.tells_apart else name for name in names for base in (find_type(name),)}
    return len(forms) == 1
