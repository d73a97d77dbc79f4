"""The tags of runs that are started by picking tables in Dagit, of backfills, and of runs that are re-executed.

Here: the way into the queue, as `config/dagster.yaml` names it. Not here: the tags of the jobs (`assets.jobs`), or that
file's way into DAGSTER_HOME (`resources.dagster_home`).
"""

from collections.abc import Collection

import dagster as dg

from smartdiet_assets.assets.jobs import MIRROR_JOB, merge_sources
from smartdiet_assets.assets.naming import DECLARATIONS_TAG, KIND_TAG, MIRROR_TAG, SOURCE_TAG, MirrorNames


class TaggingRunCoordinator(dg.QueuedRunCoordinator):
    """Dagster's queue, which first gives a run of picked tables the tags that a job of them would have.

    What belongs to another code location has no source, and stays as it is.
    """

    def submit_run(self, context: dg.SubmitRunContext) -> dg.DagsterRun:
        """Tag a run where it has no tags of ours, or those of another, and queue it."""
        run = context.dagster_run
        mirrors = {run.tags[MIRROR_TAG]} if MIRROR_TAG in run.tags else set()
        tags: dict[str, str] = {}
        checked = {key.asset_key for key in run.asset_check_selection or ()}
        picked = run.asset_selection or checked
        if picked and SOURCE_TAG not in run.tags and (sources := _find_tags(context, picked, SOURCE_TAG)):
            kind = "mirror" if run.asset_selection else "checks"
            mirrors = _find_tags(context, picked, MIRROR_TAG)
            tags = {KIND_TAG: kind, SOURCE_TAG: merge_sources(sources)}
            if len(mirrors) == 1:
                tags[MIRROR_TAG] = next(iter(mirrors))
        # A run that is re-executed hands on the declarations it had, whatever they are by now.
        if (tags or (run.parent_run_id and DECLARATIONS_TAG in run.tags)) and len(mirrors) <= 1:
            tags |= _find_declarations(context, next(iter(mirrors), ""))
        if tags:
            self._instance.add_run_tags(run.run_id, tags)
        return super().submit_run(context)


def _find_declarations(context: dg.SubmitRunContext, mirror: str) -> dict[str, str]:
    """Find by the job of a whole mirror which declarations its code location has loaded; none without one."""
    origin = context.dagster_run.remote_job_origin
    if origin is None:
        return {}
    location = context.workspace.get_code_location(origin.location_name)
    repository = location.get_repository(origin.repository_origin.repository_name)
    job = MirrorNames(mirror, {}).derive(MIRROR_JOB)
    found = repository.get_full_job(job).tags if repository.has_job(job) else {}
    return {tag: value for tag, value in found.items() if tag == DECLARATIONS_TAG}


def _find_tags(context: dg.SubmitRunContext, picked: Collection[dg.AssetKey], tag: str) -> set[str]:
    """Find what some assets say of themselves by a tag."""
    graph = context.workspace.asset_graph
    tags = [graph.get(key).tags for key in picked if graph.has(key)]
    return {found[tag] for found in tags if tag in found}
