"""Progress of a running table in Dagster's log.

The stages report to one Python logger, about once a second; Dagster stores every line, so only some are passed on.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from dagster import DagsterLogManager

from smartdiet_assets.assets.mirror import progress_log

_SECONDS_BETWEEN_LINES = 10.0


class _Forwarder(logging.Handler):
    def __init__(self, log: DagsterLogManager, table: str) -> None:
        super().__init__(logging.INFO)
        self._log = log
        self._table = table
        self._last = time.monotonic()

    def emit(self, record: logging.LogRecord) -> None:
        now = time.monotonic()
        if getattr(record, "table", None) == self._table and now - self._last >= _SECONDS_BETWEEN_LINES:
            self._last = now
            self._log.info(record.getMessage())


@contextmanager
def forward_progress(log: DagsterLogManager, table: str) -> Iterator[None]:
    """Pass the progress lines of one table on to Dagster's log, one every ten seconds at most."""
    forwarder = _Forwarder(log, table)
    progress_log.addHandler(forwarder)
    progress_log.setLevel(logging.INFO)
    try:
        yield
    finally:
        progress_log.removeHandler(forwarder)
