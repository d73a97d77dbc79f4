"""What reading a schema file brings to light, gathered so that all problems of a file are raised at once."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field

from smartdiet_assets.errors import SchemaProblem


@dataclass(frozen=True, slots=True)
class Place:
    """A position in the file: its line (1-based) and the table and column it belongs to, where it does."""

    line: int
    table: str = ""
    column: str = ""

    def at(self, line: int) -> "Place":
        """Give another line of the same table and column."""
        # Asked for each key of a file; `replace` takes five times as long.
        return Place(line, self.table, self.column)


@dataclass(slots=True)
class Findings:
    """The problems and warnings found so far."""

    problems: list[SchemaProblem] = field(default_factory=list)
    warnings: list[SchemaProblem] = field(default_factory=list)

    def problem(self, place: Place, message: str) -> None:
        """Note something that stops the file from being used. The same problem twice counts once."""
        found = SchemaProblem(place.line, place.table, place.column, message)
        if found not in self.problems:
            self.problems.append(found)

    def warn(self, place: Place, message: str) -> None:
        """Note something that loads but deserves a look. The same warning twice counts once."""
        found = SchemaProblem(place.line, place.table, place.column, message)
        if found not in self.warnings:
            self.warnings.append(found)


def suggest(name: str, known: Iterable[str], otherwise: str = "") -> str:
    """Compose `; did you mean …?` for a misspelt name, or `; otherwise` where nothing known is close."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.7)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; {otherwise}" if otherwise else ""
