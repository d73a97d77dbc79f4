"""What Dagster shows of how far a running table is."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from smartdiet_assets.mirror.progress import Progress, progress_log, read_report

if TYPE_CHECKING:
    import dagster as dg

#: A load that took as long is a long one: its lines are observations of the asset, which outlive the run.
_SECONDS_TO_OBSERVE = 60.0


class _Forwarder(logging.Handler):
    def __init__(self, context: "dg.AssetExecutionContext", table: str, key: "dg.AssetKey | None") -> None:
        super().__init__(logging.INFO)
        self._key = key
        self._context = context
        self._table = table
        self._begun = time.monotonic()
        self._progress = Progress(table, self._begun)

    def emit(self, record: logging.LogRecord) -> None:
        if getattr(record, "table", None) != self._table or getattr(record, "finished", False):
            return
        if record.levelno >= logging.WARNING:
            self._context.log.warning(record.getMessage())
            return
        told, now = read_report(record), time.monotonic()
        line = self._progress.compose_line(now, **told)
        if line is not None:
            show_line(self._context, line, now - self._begun, told["read"], told["expected"], self._key)


def show_line(
    context: "dg.AssetExecutionContext",
    line: str,
    seconds: float,
    documents_read: int,
    documents_expected: int | None,
    key: "dg.AssetKey | None" = None,
) -> None:
    """Show a line of a running table in its log; on the asset's page too where the table takes long.

    Args:
        seconds: since the table began.
        key: of the asset, where the step does not tell it.
    """
    context.log.info(line)
    if seconds >= _SECONDS_TO_OBSERVE:
        from dagster import AssetObservation, MetadataValue

        # Without its run: an observation of the step would be stored when the step is over.
        context.instance.report_runless_asset_event(
            AssetObservation(
                key or context.asset_key,
                description=line,
                metadata={
                    "run": MetadataValue.dagster_run(context.run.run_id),
                    "documents_read": documents_read,
                    **({"documents_expected": documents_expected} if documents_expected else {}),
                },
            )
        )


@contextmanager
def forward_progress(
    context: "dg.AssetExecutionContext", table: str, key: "dg.AssetKey | None" = None
) -> Iterator[None]:
    """Pass progress of one table on to Dagster; see `show_line`."""
    forwarder = _Forwarder(context, table, key)
    progress_log.addHandler(forwarder)
    progress_log.setLevel(logging.INFO)
    try:
        yield
    finally:
        progress_log.removeHandler(forwarder)
