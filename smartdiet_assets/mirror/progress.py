"""How far a running table is: the logger the stages report to, about once a second, and in which words.

What a table waits for is a warning, and always passed on; `retry_in` are the seconds to its next try, where that is it.
"""

import logging
from typing import Any

#: Every record carries `table`, `documents_read` and `finished`, and of a mirrored table `reading` and
#: `documents_expected`: about how many the window has, where that is known; of one that is loaded in shards
#: `documents_before`, what an earlier run read, and `shards`, such as "12 of 48 shards". The command line and Dagster's
#: log listen.
progress_log = logging.getLogger("smartdiet_assets.progress")
#: Seconds until the first line, and from one to the next at least.
_SECONDS_BETWEEN_LINES = 10.0
#: Without a tenth more of the documents the wait for the next line doubles, up to this.
_MOST_SECONDS_BETWEEN_LINES = 600.0
_TENTHS = 10


def read_report(record: logging.LogRecord) -> dict[str, Any]:
    """Read of a report what `Progress.compose_line` is told beside the moment."""
    return {
        "read": getattr(record, "documents_read", 0),
        "expected": getattr(record, "documents_expected", None),
        "reading": getattr(record, "reading", True),
        "before": getattr(record, "documents_before", 0),
        "shards": getattr(record, "shards", ""),
    }


class Progress:
    """What of the reports of one table is worth an event: each tenth of its documents, but at growing intervals.

    Args:
        table: its name.
        begun: when its run began, by a clock that never goes back, in seconds.
    """

    def __init__(self, table: str, begun: float) -> None:
        self._table = table
        self._begun = self._last = begun
        self._wait = _SECONDS_BETWEEN_LINES
        self._tenth = 0

    def compose_line(
        self, now: float, read: int, expected: int | None, *, reading: bool = True, before: int = 0, shards: str = ""
    ) -> str | None:
        """Compose the line of a report, None where it is not passed on.

        Args:
            now: when it came.
            read: documents read so far.
            expected: about how many there are, where that is known.
            reading: whether more are read; False once, when all of them are.
            before: of those read so far, how many an earlier run read.
            shards: in how many shards of how many, where there are any.
        """
        elapsed, since = now - self._begun, now - self._last
        if elapsed < _SECONDS_BETWEEN_LINES:
            return None
        rate = (read - before) / elapsed
        if not reading:
            return (
                f"{self._table}: all {read:,} documents read, {rate:,.0f} a second; their rows are compared and written"
            )
        tenth = _TENTHS * read // expected if expected else 0
        if since < (_SECONDS_BETWEEN_LINES if tenth > self._tenth else self._wait):
            return None
        self._wait = min(2 * self._wait, _MOST_SECONDS_BETWEEN_LINES)
        self._last, self._tenth = now, max(tenth, self._tenth)
        inside = f" in {shards}" if shards else ""
        if not expected or read >= expected:
            return f"{self._table}: {read:,} documents read{inside}, {rate:,.0f} a second"
        left = describe_seconds((expected - read) / rate) if rate else "unknown"
        share = f"{read:,} of about {expected:,} documents read{inside} ({100 * read // expected}%)"
        return f"{self._table}: {share}, {rate:,.0f} a second; time left to read them: {left}"


def describe_seconds(seconds: float) -> str:
    """Write a duration with its two largest units: 40 s, 3 min 20 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3_600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3_600} h {whole % 3_600 // 60} min"
