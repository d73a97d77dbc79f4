"""What a run of a table is told beside its source and its connection, and which window follows from that."""

from datetime import date, datetime
from typing import Required

from smartdiet_assets.extract.window import Window, WindowRequest, plan_window
from smartdiet_assets.load.opening import Load, LoadOptions


class RunOptions(LoadOptions, total=False):
    """What a run is told, and how its load is made.

    Attributes:
        run_id: stored with the state and the rejects, to find the run they came from.
        request: which documents the operator asked for.
        global_date_threshold: see `plan_window`.
        retry_limit: at most how many documents that were tried before are tried again (see `load.records.retries`).
    """

    run_id: Required[str]
    request: Required[WindowRequest]
    global_date_threshold: date | None
    retry_limit: int


def plan_load_window(
    load: Load, request: WindowRequest, source_clock: datetime, global_date_threshold: date | None
) -> Window:
    """Plan the window of a run from what it was told, and from where its table stands."""
    return plan_window(
        load.table,
        request,
        # A watermark ahead of the clock was stored under a clock that went back since: what is written now is dated
        # before it.
        watermark=min(load.state.watermark, source_clock) if load.state.watermark else None,
        has_position=load.table.capture == "change_stream" and load.state.change_position is not None,
        reimport=load.state.reimport is not None,
        global_date_threshold=global_date_threshold,
    )
