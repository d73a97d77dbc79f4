"""Runs that are started by picking assets, in Dagit or by `dagster asset materialize`: of tables alone.

Here: Dagster's own job for such runs, without the checks. Dagster adds every check of a picked asset to its run, and
writes an event for each before the first step: measured, 272 checks made a run of 34 empty assets take five times as
long. There is no setting for it, so its job is built from the graph without the checks. It works on private parts of
Dagster 1.13; where those are others, checks are added and end at once (see `assets.checks`), which is only slower.
"""

import dagster as dg
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph
from dagster._core.definitions.assets.job.asset_job import IMPLICIT_ASSET_JOB_NAME, get_base_asset_job_lambda


def leave_checks_out_of_picked_runs(definitions: dg.Definitions) -> None:
    """Replace Dagster's job of picked assets by one that knows no checks; they keep the job they are selected in."""
    repository = definitions.get_repository_def()
    jobs = getattr(getattr(repository, "_repository_data", None), "_jobs", None)
    known = getattr(jobs, "_definitions", None)
    if not isinstance(known, dict) or IMPLICIT_ASSET_JOB_NAME not in known:
        return
    tables = [definition for definition in repository.asset_graph.assets_defs if definition.keys]
    known[IMPLICIT_ASSET_JOB_NAME] = get_base_asset_job_lambda(
        asset_graph=AssetGraph.from_assets(tables),
        resource_defs=repository.get_top_level_resources(),
        executor_def=definitions.executor if isinstance(definitions.executor, dg.ExecutorDefinition) else None,
        logger_defs=None,
    )
