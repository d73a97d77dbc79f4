"""The tags of runs that are started by picking tables in Dagit, and of backfills: the queue's limits hold for them too.

Here: the way into the queue, as `config/dagster.yaml` names it. Not here: the tags of the jobs (`assets.jobs`), or that
file's way into DAGSTER_HOME (`resources.dagster_home`).
"""

from collections.abc import Collection

import dagster as dg

from smartdiet_assets.assets.jobs import merge_sources
from smartdiet_assets.assets.naming import KIND_TAG, MIRROR_TAG, SOURCE_TAG


class TaggingRunCoordinator(dg.QueuedRunCoordinator):
    """Dagster's queue, which first gives a run of picked tables the tags that a job of them would have.

    What belongs to another code location has no source, and stays as it is.
    """

    def submit_run(self, context: dg.SubmitRunContext) -> dg.DagsterRun:
        """Tag a run where it has no tags of ours, and queue it."""
        run = context.dagster_run
        checked = {key.asset_key for key in run.asset_check_selection or ()}
        picked = run.asset_selection or checked
        if picked and SOURCE_TAG not in run.tags and (sources := _find_tags(context, picked, SOURCE_TAG)):
            kind = "mirror" if run.asset_selection else "checks"
            mirrors = _find_tags(context, picked, MIRROR_TAG)
            tags = {MIRROR_TAG: mirrors.pop()} if len(mirrors) == 1 else {}
            self._instance.add_run_tags(run.run_id, {KIND_TAG: kind, SOURCE_TAG: merge_sources(sources), **tags})
        return super().submit_run(context)


def _find_tags(context: dg.SubmitRunContext, picked: Collection[dg.AssetKey], tag: str) -> set[str]:
    """Find what some assets say of themselves by a tag."""
    graph = context.workspace.asset_graph
    tags = [graph.get(key).tags for key in picked if graph.has(key)]
    return {found[tag] for found in tags if tag in found}
