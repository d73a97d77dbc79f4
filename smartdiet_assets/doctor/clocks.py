"""How far a server's clock is from ours. Not here: how a server is asked for its time."""

from datetime import UTC, datetime, timedelta

from smartdiet_assets.resources.checking import Finding, Part


def measure_offset(clock: datetime, before: datetime, after: datetime) -> timedelta:
    """Measure how far ahead a clock is that was read between two instants of ours; all of them with a zone."""
    return clock.astimezone(UTC) - (before + (after - before) / 2).astimezone(UTC)


def judge_clock(part: Part, offset: timedelta, limit: timedelta) -> Finding:
    """Judge how far a server's clock is ahead of this machine's, or behind it."""
    if abs(offset) <= limit:
        return part.passed(
            "clock",
            f"Its clock is {_format(offset)} from this machine's; {_format(limit)} do no harm.",
        )
    direction = "ahead of" if offset > timedelta() else "behind"
    return part.warned(
        "clock",
        f"Its clock is {_format(offset)} {direction} this machine's, more than the overlap of the tables is sure"
        f" to make up for ({_format(limit)}): have both follow a time server (NTP), or raise `overlap` in the schema"
        " file.",
    )


def _format(distance: timedelta) -> str:
    seconds = abs(distance.total_seconds())
    for size, unit in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{round(seconds, 3):g} s"
