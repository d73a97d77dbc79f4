"""What the checks ask of a source, whatever kind it is: a module for each kind answers it."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date
from typing import Protocol

from smartdiet_assets.checks.facts import ContentFacts, SourceFacts, TargetFacts
from smartdiet_assets.errors import SmartdietError
from smartdiet_assets.load.execution import Connection
from smartdiet_assets.schema.model import Schema, Table


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of a source.

    Attributes:
        target: what PostgreSQL knows of the tables: their watermarks.
        count: names of the tables whose rows are to be counted.
        sample: documents of each collection to compare; None compares all.
        global_date_threshold: `GLOBAL_DATE_THRESHOLD`: a first load may have left out what is older.
    """

    schema: Schema
    tables: Sequence[Table]
    target: Mapping[str, TargetFacts]
    count: Collection[str]
    sample: int | None
    global_date_threshold: date | None


class OpenedSource(Protocol):
    """A source whose tables can be read. What it raises holds for all of them, a fault it yields for one table.

    Attributes:
        tables: those that can be read, with the columns that a run would mirror, by name.
        faults: what keeps the others from being read, by name.
    """

    @property
    def tables(self) -> Mapping[str, Table]: ...

    @property
    def faults(self) -> Mapping[str, SmartdietError]: ...

    def fetch_facts(self, asked: Asked) -> Iterator[tuple[Table, SourceFacts | SmartdietError]]:
        """Fetch the facts of mirrored tables."""

    def compare(self, postgres: Connection, asked: Asked) -> Iterator[tuple[Table, ContentFacts | SmartdietError]]:
        """Read documents or rows again, and compare them with the tables."""


class CheckedSource(Protocol):
    """A kind of source, on a server that is opened when a check needs it."""

    def open(self, tables: Sequence[Table]) -> AbstractContextManager[OpenedSource]:
        """Open it for tables; they are those of its kind that a check wants it for.

        Raises:
            SmartdietError: none of them can be read.
        """
