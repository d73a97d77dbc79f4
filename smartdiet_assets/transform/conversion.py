"""What a conversion is: the interface between the families of types and the generated row functions.

Here: the one record that `text`, `numbers`, `dates`, `json_documents` and `binary` build.
Not here: the conversions, or their registry (`convert`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


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
    """

    convert: Callable[[Any], Any]
    fast: tuple[FastPath, ...] = ()
    remembered: int = 0
    clamp: Callable[[Any], Any] | None = None
