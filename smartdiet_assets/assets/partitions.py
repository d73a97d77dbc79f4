"""Partitions: time windows on the documents' dates, and the window request a picked range means.

Here: the partitions definition of a schema and its translation to a `WindowRequest`. Not here: what the request
makes a run read (`extract.window`).
"""

from datetime import UTC, date, datetime
from functools import lru_cache

import dagster as dg

from smartdiet_assets.extract.window import Window, WindowRequest
from smartdiet_assets.schema.model import PartitionScheme


def build_partitions(scheme: PartitionScheme) -> dg.TimeWindowPartitionsDefinition:
    """Build the partitions definition; the window that is still running is the newest partition."""
    start = scheme.start.isoformat()
    match scheme.every:
        case "month":
            return dg.MonthlyPartitionsDefinition(start_date=start, end_offset=1)
        case "week":
            return dg.WeeklyPartitionsDefinition(start_date=start, end_offset=1)
        case "day":
            return dg.DailyPartitionsDefinition(start_date=start, end_offset=1)


def build_window_request(
    partitions: dg.TimeWindowPartitionsDefinition,
    key_range: dg.PartitionKeyRange,
    *,
    full: bool = False,
    since: datetime | None = None,
) -> WindowRequest:
    """Translate a picked range of partitions.

    The newest partition alone is the normal incremental run; a range that ends with it is the re-run from a
    threshold date; anything else is those partitions and nothing more.
    """
    if full:
        return WindowRequest("full")
    newest = find_newest(partitions)
    if key_range.start == newest:
        return WindowRequest("newest", since=since)
    start = partitions.time_window_for_partition_key(key_range.start).start
    end = partitions.time_window_for_partition_key(key_range.end).end
    return WindowRequest(
        "range",
        start=_naive_utc(start),
        end=_naive_utc(end),
        to_newest=key_range.end == newest,
        since=since,
    )


def find_newest(partitions: dg.TimeWindowPartitionsDefinition) -> str:
    """Find the key of the partition that is still running."""
    return _find_newest(partitions, datetime.now(UTC).date())


@lru_cache(maxsize=8)
def _find_newest(partitions: dg.TimeWindowPartitionsDefinition, _today: date) -> str:
    # Dagster walks through all partitions, for each table of a run anew; at midnight at the earliest there is another.
    newest = partitions.get_last_partition_key()
    assert newest is not None, "the partition of today is there"
    return newest


def list_covered(partitions: dg.TimeWindowPartitionsDefinition, window: Window) -> list[str]:
    """List the partitions whose documents a window reads, all of them, as far as they are in it with both ends."""
    return list(_list_covered(partitions, window, find_newest(partitions)))


@lru_cache(maxsize=8)
def _list_covered(partitions: dg.TimeWindowPartitionsDefinition, window: Window, last: str) -> tuple[str, ...]:
    # As above: the tables of a run ask for the same.
    covered = []
    for key in partitions.get_partition_keys():
        bounds = partitions.time_window_for_partition_key(key)
        begins = window.start is None or window.start <= _naive_utc(bounds.start)
        ends = window.end is None or key == last or _naive_utc(bounds.end) <= window.end
        if begins and ends:
            covered.append(key)
    return tuple(covered)


def _naive_utc(instant: datetime) -> datetime:
    return instant.astimezone(UTC).replace(tzinfo=None)
