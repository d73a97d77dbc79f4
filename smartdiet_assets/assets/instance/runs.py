"""The tags of runs that are started by picking tables in Dagit, and of backfills: the queue's limits hold for them too.

Here: the way into the queue, as `config/dagster.yaml` names it. Not here: the tags of the jobs (`assets.jobs`), or that
file's way into DAGSTER_HOME (`resources.dagster_home`).
"""

from collections.abc import Collection

import dagster as dg

from smartdiet_assets.assets.jobs import KIND_TAG, SOURCE_TAG, merge_sources


class TaggingRunCoordinator(dg.QueuedRunCoordinator):
    """Dagster's queue, which first gives a run of picked tables the tags that a job of them would have.

    What belongs to another code location has no source, and stays as it is.
    """

    def submit_run(self, context: dg.SubmitRunContext) -> dg.DagsterRun:
        """Tag a run where it has no tags of ours, and queue it."""
        run = context.dagster_run
        checked = {key.asset_key for key in run.asset_check_selection or ()}
        picked = run.asset_selection or checked
        if picked and SOURCE_TAG not in run.tags and (sources := _find_sources(context, picked)):
            kind = "mirror" if run.asset_selection else "checks"
            self._instance.add_run_tags(run.run_id, {KIND_TAG: kind, SOURCE_TAG: merge_sources(sources)})
        return super().submit_run(context)


def _find_sources(context: dg.SubmitRunContext, picked: Collection[dg.AssetKey]) -> set[str]:
    graph = context.workspace.asset_graph
    tags = [graph.get(key).tags for key in picked if graph.has(key)]
    return {found[SOURCE_TAG] for found in tags if SOURCE_TAG in found}
