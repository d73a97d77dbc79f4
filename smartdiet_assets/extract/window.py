"""Which documents a run reads: a window on their dates, planned from the request and the table's state.

Pure.

All times are naive UTC datetimes, as BSON dates decode.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal

from smartdiet_assets.errors import ConfigurationError
from smartdiet_assets.schema.model import Table


@dataclass(frozen=True, slots=True)
class WindowRequest:
    """What the operator picked.

    Attributes:
        kind: `newest` is the normal incremental run, `range` a run of chosen partitions, `full` reads everything.
        start: first instant of the range, inclusive.
        end: last instant of the range, exclusive.
        to_newest: whether the range ends with the newest partition, and so has no end.
        since: moves the start of an open-ended window back to here, never forward.
    """

    kind: Literal["newest", "range", "full"]
    start: datetime | None = None
    end: datetime | None = None
    to_newest: bool = False
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """The documents to read: those dated from `start` (inclusive) to `end` (exclusive); None is no bound.

    `moves_watermark` is false where documents between the watermark and the window may have been left out. `by_key`
    is the window of a table without dates whose rows are only ever added: those after the newest one mirrored.
    A `change_stream` run reads the documents its collection's stream names; beside them, those dated from `start` on
    where there is one.
    """

    kind: Literal["full", "incremental", "rerun", "partition", "change_stream"]
    start: datetime | None = None
    end: datetime | None = None
    moves_watermark: bool = True
    by_key: bool = False

    @property
    def reads_everything(self) -> bool:
        return self.start is None and self.end is None and not self.by_key and not self.reads_stream_alone

    @property
    def reads_stream_alone(self) -> bool:
        return self.kind == "change_stream" and self.start is None

    def extend(self, read_from: datetime | None) -> datetime | None:
        """Say from which date on every document was read, this run's included; None where it is not known.

        Args:
            read_from: from which date on it was before the run, up to where its window begins.
        """
        if self.kind == "full":
            return self.start or datetime.min
        if read_from is None or self.start is None or self.end is not None:
            return read_from
        return min(read_from, self.start)


def plan_window(
    table: Table,
    request: WindowRequest,
    *,
    watermark: datetime | None,
    has_position: bool = False,
    reimport: bool = False,
    global_date_threshold: date | None = None,
) -> Window:
    """Plan the window of one run; the first rule that matches wins.

    Args:
        table: its `force_reimport`, `incremental`, `overlap` and `date_threshold` take part; the latter replaces
            `global_date_threshold`.
        request: what the operator picked.
        watermark: the largest source date mirrored so far; None where nothing was.
        has_position: whether the table has a position in the change stream it is captured from. The normal run then
            reads from there, whatever the dates, and no threshold makes it read more; `since` does.
        reimport: the table must be read whole, for example to fill an added column.
        global_date_threshold: `GLOBAL_DATE_THRESHOLD`: it extends a window back, and limits a first load.
    """
    threshold_date = table.date_threshold or global_date_threshold
    threshold = datetime.combine(threshold_date, time.min) if threshold_date else None
    if table.force_reimport or reimport or request.kind == "full":
        return Window("full")
    if has_position and request.kind == "newest" and not (request.since and table.incremental == "none"):
        return Window("change_stream", start=request.since)
    if table.incremental == "none":
        return Window("full")
    if table.incremental == "key":
        # Without dates, only a re-run from a date on says that more than the newest rows is wanted.
        rerun = request.since is not None or (request.kind == "range" and request.to_newest)
        return Window("full") if watermark is None or rerun else Window("incremental", by_key=True)
    if watermark is None:
        return Window("full", start=threshold)
    if request.kind == "range" and not request.to_newest:
        return Window("partition", start=request.start, end=request.end, moves_watermark=False)
    starts = [_move_back(watermark, table.overlap), threshold, request.since]
    if request.kind == "range":
        starts.append(request.start)
    start = min(instant for instant in starts if instant is not None)
    return Window("rerun" if request.kind == "range" else "incremental", start=start)


def read_instant(name: str, text: str | None) -> datetime | None:
    """Read a date or time in ISO form, UTC where it names no zone; None of none.

    Raises:
        ConfigurationError: it has another form; says so of `name`.
    """
    if not text:
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(f"{name} must be an ISO date such as {date(2024, 1, 1)}") from None
    return instant.astimezone(UTC).replace(tzinfo=None) if instant.tzinfo else instant


def _move_back(instant: datetime, by: timedelta) -> datetime:
    """Move an instant back, at most to the beginning of the calendar."""
    return instant - by if instant - datetime.min > by else datetime.min
