"""What is known of a table on either side, as plain numbers: the checks are judged from these and nothing else.

All times are naive UTC.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

#: Documents changed since the last run that are looked at one by one; with more of them rows are not counted.
MAX_RECENT = 10_000


@dataclass(slots=True)
class TargetFacts:
    """A table in PostgreSQL, and what the mirror noted about it.

    Attributes:
        exists: whether there is a live table of that name.
        differences: what a person has to resolve, one sentence each.
        pending: what the next run adds by itself.
        comparable: whether the live columns can be compared with declared values.
        countable: whether its rows could be counted: it is a table, and has what counting needs.
        keeps_ids: whether the ids are kept that document columns do not tell (not by an earlier version).
        mirrored: whether a run ever finished.
        watermark, last_run: of the table's last run; the watermark is None where there is none.
        rows: all rows; `flagged` of them are marked as deleted, `unowned` name no document.
        waiting: documents behind the shown one of their key.
        newest_key: the largest key, for tables read by key.
        rejected: rejected documents; `rejected_without_row` of them have no earlier row either.
        rejected_items: rows that rejected documents miss.
        rejected_whole: documents of arrays of which it is not known how many rows they miss.
        reasons: rejected documents by reason.
        forgotten: documents that are left out as they were forgotten, or point at what was.
        keyless: what must be unique and has no valid index, with the number of duplicates found.
        unconstrained: columns without a validated foreign key, with the number of orphans found.
    """

    exists: bool = False
    differences: tuple[str, ...] = ()
    pending: tuple[str, ...] = ()
    comparable: bool = False
    countable: bool = False
    keeps_ids: bool = False
    mirrored: bool = False
    watermark: datetime | None = None
    last_run: datetime | None = None
    rows: int = 0
    flagged: int = 0
    unowned: int = 0
    waiting: int = 0
    newest_key: int | None = None
    rejected: int = 0
    rejected_without_row: int = 0
    rejected_items: int = 0
    rejected_whole: int = 0
    forgotten: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    keyless: Mapping[tuple[str, ...], int] = field(default_factory=dict)
    unconstrained: Mapping[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class RecentRows:
    """Rows and rejects of documents that changed since the last run: they say nothing about it, and are left out."""

    rows: int = 0
    flagged: int = 0
    waiting: int = 0
    rejected_without_row: int = 0
    rejected_items: int = 0


@dataclass(slots=True)
class SourceFacts:
    """A table's documents, and those that changed since its last run.

    Attributes:
        expected: rows that the documents up to the watermark describe, rejects included; None where they were not
            counted because more than `MAX_RECENT` documents changed since.
        collapsed: items that are no rows as another one of their document has the same key, `expected` without them.
        before_threshold: the part of `expected` that a date limit of the first load allows to be missing.
        recent: encoded ids of the documents that changed since.
        more_recent: whether there are more of them.
        oldest_unmirrored, newest_change: dates of the changes since, those of the future left out.
        untold: documents of which only a run tells whether they changed, as a date of theirs is no date; at most one
            more than `MAX_RECENT`.
        clock: the source server's own time.
        max_delay: how old the oldest unmirrored change may be.
    """

    clock: datetime
    max_delay: timedelta
    expected: int | None = None
    collapsed: int = 0
    before_threshold: int = 0
    recent: list[str] = field(default_factory=list)
    more_recent: bool = False
    oldest_unmirrored: datetime | None = None
    newest_change: datetime | None = None
    untold: int = 0


@dataclass(slots=True)
class ContentFacts:
    """How documents compared with their rows. `columns` counts the rows that differ in each column.

    Attributes:
        compared: documents whose rows should be right.
        different: documents of which at least one row is missing, too many or different, or that should be among the
            rejects.
        left_out: documents that changed since the last run, are rejected, or from before a date limit.
    """

    compared: int = 0
    different: int = 0
    rows_missing: int = 0
    rows_extra: int = 0
    rows_different: int = 0
    rejects_missing: int = 0
    left_out: int = 0
    columns: dict[str, int] = field(default_factory=dict)
