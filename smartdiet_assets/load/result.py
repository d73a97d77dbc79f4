"""What one load did, in numbers."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from smartdiet_assets.errors import TerminalError
from smartdiet_assets.load.strategies import Mode


class RowsLostError(TerminalError):
    """The rows of a load do not add up: read is not loaded plus rejected. Nothing was written."""

    def __init__(self, table: str, expected: int, found: int) -> None:
        self.table = table
        super().__init__(f"{table}: {expected} rows were expected and {found} found; nothing was written")


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What one load did. Counts are rows of the table unless they say documents.

    Attributes:
        mode: how the rows were written: `bulk`, `upsert`, `delta` or `replace`; `none` where the run read exactly what
            the last one had read, and nothing had to be compared.
        inserted, updated, deleted, unchanged: the true differences, also where `replace` wrote more.
        replaced: rows deleted and written again in `replace` mode.
        change_ratio: changed rows over those the read documents had before; None when they had none.
        rejected: documents in the reject table because of this run.
        rejected_total: documents in the reject table after the run, those that were not read again included.
        rejected_rows: rows or items that a key or a missing parent kept out.
        superseded: rows of an earlier version of a document read twice.
        missing_parents_null: references set to NULL because their parent is not there.
        cascaded: rows removed from other tables, or references set to NULL there, because their parent went.
        rows: all rows of the table now; an estimate for tables that would take long to count.
        documents_read: documents the run gave to the load.
        watermark: what the next run starts from, naive UTC.
        seconds: time spent in each stage: copy, settle, compare, merge, index, remove, state.
        refused: rows that PostgreSQL did not take for their values; they are among the rejected ones.
        flagged: rows marked in `deleted_at` because the change stream named their documents as deleted.
    """

    mode: Mode
    inserted: int
    updated: int
    deleted: int
    unchanged: int
    replaced: int
    change_ratio: float | None
    rejected: int
    rejected_total: int
    rejected_rows: int
    superseded: int
    missing_parents_null: int
    cascaded: Mapping[str, int]
    rows: int
    documents_read: int
    watermark: datetime | None
    seconds: Mapping[str, float] = field(default_factory=dict)
    flagged: int = 0
    refused: int = 0

    def followed_by(self, other: "LoadResult") -> "LoadResult":
        """Tell what this load and the one after it did together; what the table holds then is the other's word."""
        added = (
            *("inserted", "updated", "deleted", "replaced", "superseded"),
            *("missing_parents_null", "documents_read", "flagged", "refused"),
        )
        return replace(
            other,
            mode=self.mode,
            # What was rejected was tried again.
            rejected=other.rejected_total,
            rejected_rows=max(self.rejected_rows, other.rejected_rows),
            unchanged=self.unchanged,
            change_ratio=self.change_ratio,
            cascaded=dict(Counter(self.cascaded) + Counter(other.cascaded)),
            **{name: getattr(self, name) + getattr(other, name) for name in added},
        )
