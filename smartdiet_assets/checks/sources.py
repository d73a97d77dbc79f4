"""What the checks ask of a source, whatever kind it is: a module for each kind answers it."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import date
from typing import Protocol

from smartdiet_assets.checks.facts import ContentFacts, SourceFacts, TargetFacts
from smartdiet_assets.errors import SmartdietError
from smartdiet_assets.load.execution import Connection
from smartdiet_assets.schema.model import Schema, Table


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

    def fetch_facts(
        self,
        schema: Schema,
        tables: Sequence[Table],
        target: Mapping[str, TargetFacts],
        *,
        count: Collection[str],
        global_date_threshold: date | None,
    ) -> Iterator[tuple[Table, SourceFacts | SmartdietError]]:
        """Fetch the facts of mirrored tables.

        Args:
            target: what PostgreSQL knows of the tables: their watermarks.
            count: names of the tables whose rows are to be counted.
            global_date_threshold: `GLOBAL_DATE_THRESHOLD`: a first load may have left out what is older.
        """

    def compare(
        self,
        postgres: Connection,
        tables: Sequence[Table],
        target: Mapping[str, TargetFacts],
        *,
        sample: int | None,
        global_date_threshold: date | None,
    ) -> Iterator[tuple[Table, ContentFacts | SmartdietError]]:
        """Read documents or rows again, and compare them with the tables: a sample of them, or all where it is None."""


class CheckedSource(Protocol):
    """A kind of source, on a server that is opened when a check needs it."""

    def open(self, tables: Sequence[Table]) -> AbstractContextManager[OpenedSource]:
        """Open it for tables; they are those of its kind that a check wants it for.

        Raises:
            SmartdietError: none of them can be read.
        """
