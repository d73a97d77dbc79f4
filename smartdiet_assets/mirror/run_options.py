"""What a run of a table is told beside its source and its connection, and which window follows from that."""

from datetime import date, datetime
from typing import Required, TypedDict

from smartdiet_assets.extract.window import Window, WindowRequest, plan_window
from smartdiet_assets.load.limits import Bulk
from smartdiet_assets.load.opening import Load
from smartdiet_assets.load.stages import StageListener


class RunOptions(TypedDict, total=False):
    """What a run is told.

    Attributes:
        run_id: stored with the state and the rejects, to find the run they came from.
        request: which documents the operator asked for.
        global_date_threshold: see `plan_window`.
        lock_timeout: seconds to wait for another run, or for anybody else's lock.
        on_stage: told the name of each stage of the load when it is over.
        retry_limit: at most how many documents that were tried before are tried again (see `load.records.retries`).
        bulk: when the keys of an existing empty table are built after the rows.
    """

    run_id: Required[str]
    request: Required[WindowRequest]
    global_date_threshold: date | None
    lock_timeout: float
    on_stage: StageListener | None
    retry_limit: int
    bulk: Bulk


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
