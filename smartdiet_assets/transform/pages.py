"""Reading the values of a page of MariaDB's rows all at once: what the families' conversions of pages share."""

from collections.abc import Callable, Sequence
from typing import cast

from smartdiet_assets.transform.conversion import PageConversion

#: MariaDB's names of its types.
WHOLE = ("tinyint", "smallint", "mediumint", "int", "bigint", "year")
NUMBERS = (*WHOLE, "float", "double", "decimal")


def split(values: Sequence[bytes | None]) -> list[str]:
    """Decode all values at once, NULL as "".

    Raises:
        ValueError: one of them is not UTF-8, or holds a NUL.
    """
    filled = [value or b"" for value in values] if None in values else cast("Sequence[bytes]", values)
    texts = b"\0".join(filled).decode().split("\0")
    if len(texts) != len(values):
        raise ValueError
    return texts


def build_reading(read: Callable[[str], object]) -> PageConversion:
    """Build the conversion of values that `read` takes as they are spelled."""

    def convert(values: Sequence[bytes | None]) -> Sequence[object]:
        texts = split(values)
        if None not in values:
            return list(map(read, texts))
        return [None if value is None else read(text) for value, text in zip(values, texts, strict=True)]

    return convert
