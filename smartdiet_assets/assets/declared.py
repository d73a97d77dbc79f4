"""That what carries a step out loaded the declarations its run was started with: other machines may hold other files.

Here: the comparison, made before a step touches anything. Not here: which runs have the tag (`assets.jobs` gives it to
those of jobs, `assets.instance.runs` to others).
"""

import socket

import dagster as dg

from smartdiet_assets.assets.failures import StepFailure
from smartdiet_assets.assets.naming import DECLARATIONS_TAG, MIRROR_TAG
from smartdiet_assets.schema.model import Schema

#: Executors whose steps run where the run does: from the files that are there when it begins, as ever.
_LOCAL = {"in_process", "multiprocess", "multi_or_in_process_executor"}


def check_declarations(
    context: dg.AssetExecutionContext | dg.OpExecutionContext, schema: Schema, mirror: str = ""
) -> None:
    """Check that a step of a run that other machines carry out has the declarations of the run.

    A run without the tag, or of several mirrors, is not judged.

    Args:
        schema: what this process loaded.
        mirror: the name of its mirror.

    Raises:
        StepFailure: it has others; nothing was written, and nothing is tried again.
    """
    # Of a job that is made for one run of picked tables too.
    if context.job_def.executor_def.name in _LOCAL or context.run.tags.get(MIRROR_TAG, "") != mirror:
        return
    if differs(context.run, schema) and not _may_be_inherited(context):
        raise StepFailure(describe_difference(schema))


def differs(run: dg.DagsterRun, schema: Schema) -> bool:
    """Whether a run was started with other declarations than a process loaded; not where nothing says which."""
    return run.tags.get(DECLARATIONS_TAG, schema.digest) != schema.digest


def describe_difference(schema: Schema) -> str:
    """Say that this process loaded other declarations than the run's, and what to do."""
    return (
        f"{socket.gethostname()} has other declarations of the tables in {schema.path} than the run was started with;"
        " nothing was written here. Bring the schema files of all machines to the same state, start their workers anew,"
        " reload the code location in Dagit, and re-execute the run from its failure"
    )


def _may_be_inherited(context: dg.AssetExecutionContext | dg.OpExecutionContext) -> bool:
    """Whether the tag may be that of the run that is re-executed: our queue alone renews it."""
    # What it is needs SQLAlchemy and more, which a step in another process may not have loaded.
    from smartdiet_assets.assets.instance.runs import TaggingRunCoordinator

    return context.run.parent_run_id is not None and not isinstance(
        context.instance.run_coordinator, TaggingRunCoordinator
    )
