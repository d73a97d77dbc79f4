"""Marks: the partitions that a table covers, shown by Dagit as materialised though no run picked them.

Here: which of them lack a mark, and storing all that do at once. Not here: which window covers which partitions
(`assets.partitions`), or from which date on a table was read (`extract.window`).
"""

import logging
import time
from collections.abc import Collection
from datetime import datetime

import dagster as dg

from smartdiet_assets.assets.partitions import list_covered
from smartdiet_assets.extract.window import Window
from smartdiet_assets.resources.dagster_private import StepMaterializationData

_DESCRIPTION = "Covered by a run that read its documents among all others."


def mark_covered(
    context: dg.AssetExecutionContext, partitions: dg.TimeWindowPartitionsDefinition, read_from: datetime
) -> None:
    """Mark the partitions of a table that are covered and have no mark, in one write.

    Each run looks, not the first load alone: that may have ended before its marks were stored, or with another
    instance.

    Args:
        context: of the step whose table was read, and is committed.
        partitions: of the table.
        read_from: the date from which on all of its documents were read, naive UTC.
    """
    covered = list_covered(partitions, Window("full", start=read_from))
    picked = set(context.partition_keys)
    # Marks come all at once. The partition that is over had runs of its own, or none where nothing ran for a while.
    probes = {*covered[:1], *covered[-2:]} - picked
    if not probes or not _find_unmarked(context, probes):
        return
    unmarked = _find_unmarked(context, [key for key in covered if key not in picked])
    # Through the log, an event would be a write. They are of one moment, so that they differ in their partitions alone.
    now = time.time()
    context.instance.event_log_storage.store_event_batch([_build_mark(context, key, now) for key in unmarked])


def _find_unmarked(context: dg.AssetExecutionContext, keys: Collection[str]) -> list[str]:
    marked = context.instance.event_log_storage.get_latest_storage_id_by_partition(
        context.asset_key, dg.DagsterEventType.ASSET_MATERIALIZATION, set(keys)
    )
    return [key for key in keys if key not in marked]


def _build_mark(context: dg.AssetExecutionContext, key: str, now: float) -> dg.EventLogEntry:
    mark = dg.AssetMaterialization(context.asset_key, description=_DESCRIPTION, partition=key)
    step_key = str(context.op_execution_context.op_handle)
    return dg.EventLogEntry(
        error_info=None,
        level=logging.DEBUG,
        user_message=_DESCRIPTION,
        run_id=context.run.run_id,
        timestamp=now,
        step_key=step_key,
        job_name=context.job_name,
        dagster_event=dg.DagsterEvent(
            event_type_value=dg.DagsterEventType.ASSET_MATERIALIZATION.value,
            job_name=context.job_name,
            message=_DESCRIPTION,
            step_key=step_key,
            event_specific_data=StepMaterializationData(mark),
        ),
    )
