"""What a conversion is: the interface between the families of types and what reads documents and rows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from smartdiet_assets.schema.model import Column

#: Converts a column's values of a page of rows as MariaDB sends them, None among them, or raises anything at the first
#: that is unusual.
PageConversion = Callable[[Sequence[bytes | None]], Sequence[object]]


@dataclass(frozen=True, slots=True)
class FastPath:
    """The usual value of a column, as two Python expressions on `value`.

    Where `check` holds, `result` is what `Conversion.convert` would return; a test compares the two.
    """

    check: str
    result: str = "value"


@dataclass(frozen=True, slots=True)
class Conversion:
    """How values become values of one column.

    Attributes:
        convert: takes any decoded BSON value but None; returns the column's value or raises `Rejection`.
        fast: written into the row function before the call of `convert`, in this order. A result may call
            `{remembered}`, which is `convert` with its last `remembered` results kept.
        remembered: how many results to keep; 0 where no fast path asks for it.
        clamp: takes a value that `convert` refused; returns the nearest one that fits, or raises `Rejection` where
            none is near (see `Column.on_invalid`). None for types whose values are never made to fit.
        constant: takes a text of the schema file, where that is read otherwise than a document's; raises ValueError.
        parse: makes of MariaDB's text of a value what `convert` takes, or raises ValueError; None where the bytes
            themselves are the value.
        page: takes MariaDB's name of the type of a column; gives the conversion of its usual values in one go, None
            where there is none.
    """

    convert: Callable[[object], object]
    fast: tuple[FastPath, ...] = ()
    remembered: int = 0
    clamp: Callable[[object], object] | None = None
    constant: Callable[[str], object] | None = None
    parse: Callable[[str], object] | None = str
    page: Callable[[str], PageConversion | None] = lambda data_type: None


#: Builds the conversion of a column of a type.
Build = Callable[[Column], Conversion]
