"""The kinds of check, the same for every table, and what one of them found."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from smartdiet_assets.schema.model import Schema, Table

Severity = Literal["ERROR", "WARN"]
#: Documents of each collection that are compared by content unless more are asked for.
DEFAULT_SAMPLE = 500
#: Among the numbers of a check that could not look: a server was away.
AWAY = "away"
#: Counts, times, names of columns and reasons, statements that resolve a difference. Never a value from a document.
Number = int | float | str | bool | datetime | None | Mapping[str, int]


@dataclass(frozen=True, slots=True)
class CheckKind:
    """One question asked of every table, or of every collection with its first table.

    Attributes:
        reads_source: whether PostgreSQL alone cannot answer it.
        of_collections: whether it is asked once for all tables of a collection.
    """

    name: str
    description: str
    reads_source: bool = False
    of_collections: bool = False


_KINDS = (
    CheckKind(
        "rows_match_source",
        "Every document up to the watermark is a row, a reject, or left out by the filter; counted on both servers.",
        reads_source=True,
    ),
    CheckKind(
        "content_matches",
        "Documents, read and transformed again, give the rows that are in the table: of a sample, or of all.",
        reads_source=True,
    ),
    CheckKind(
        "data_is_fresh",
        "No change at the source waits longer than the collection's max_delay to be mirrored.",
        reads_source=True,
    ),
    CheckKind("no_rejects", "Every document read so far could be loaded."),
    CheckKind("rejects_under_limit", "Rejected documents are within the table's max_rejects."),
    CheckKind("no_orphans", "Every row's parents are there: by validated foreign keys, or else by search."),
    CheckKind("unique_keys", "No two rows share a key: by valid unique indexes, or else by search."),
    CheckKind("structure_matches", "The live table is as the YAML declares it."),
    CheckKind(
        "no_undeclared_fields",
        "The collection's documents have no field that no table declares, and no field changed its type.",
        of_collections=True,
    ),
)
#: By name, in the order they are shown in.
KINDS: Mapping[str, CheckKind] = {kind.name: kind for kind in _KINDS}


def list_kinds(schema: Schema, table: Table) -> list[str]:
    """List the kinds of check that a table is asked, in the order they are shown in."""
    return [name for name, kind in KINDS.items() if not kind.of_collections or schema.leads(table)]


@dataclass(frozen=True, slots=True)
class CheckOutcome:
    """What one check of one table found.

    Attributes:
        sentence: what was found; of a failed check, also what to do.
        severity: how bad a failure of it is; without meaning where it passed.
    """

    table: str
    kind: str
    passed: bool
    sentence: str
    severity: Severity = "ERROR"
    numbers: Mapping[str, Number] = field(default_factory=dict)

    @property
    def is_error(self) -> bool:
        return not self.passed and self.severity == "ERROR"
