"""Limits that a file gives as a number or as a share: of rejects, of deletions, of changes."""

import re
from typing import Self

from pydantic import BaseModel, ConfigDict

EXPECTED = "a whole number, or a share such as 5%"
_SHARE = re.compile(r"(\d+(?:\.\d+)?) ?%", re.ASCII)


class Limit(BaseModel):
    """A whole number (`count`) or a part of a whole (`share`, 0 to 1); exactly one of them is set."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    count: int | None = None
    share: float | None = None

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read `100` or `5%`.

        Raises:
            ValueError: it is neither.
        """
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return cls(count=value)
        if isinstance(value, str):
            match = _SHARE.fullmatch(value.strip())
            if match and float(match[1]) <= 100:
                return cls(share=float(match[1]) / 100)
            if value.strip().isdecimal() and value.isascii():
                return cls(count=int(value))
        raise ValueError(EXPECTED)

    def allows(self, found: int, whole: int) -> bool:
        """Tell whether `found` of `whole` is within the limit; nothing found always is."""
        if found == 0:
            return True
        return found <= (self.count if self.count is not None else (self.share or 0.0) * whole)

    def __str__(self) -> str:
        return f"{self.count}" if self.count is not None else f"{100 * (self.share or 0.0):g}%"
