"""The code location: its name, whose run a run of the instance is, and how those of the command line become its own.

Several code locations, and several mirrors, may share an instance. Not here: what is done with the runs (`assets.jobs`,
`assets.pruning`).
"""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import dagster as dg

from smartdiet_assets.assets.naming import KIND_TAG, MIRROR_TAG, MirrorNames
from smartdiet_assets.resources.dagster_private import (
    RegisteredCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)

#: The name of this code location wherever it is loaded: workspace.yaml and pyproject.toml say the same.
LOCATION = "smartdiet"
_REPOSITORY = "__repository__"
#: How Dagster labels the runs it launches, `repository@location`: by this tag the pages of the jobs find their runs.
REPOSITORY_TAG = ".dagster/repository"
REPOSITORY_TAGS = {REPOSITORY_TAG: f"{_REPOSITORY}@{LOCATION}"}


def find_location(run: dg.DagsterRun) -> str | None:
    """Find the name of the code location a run is of; None where nothing says it."""
    if run.remote_job_origin is not None:
        return str(run.remote_job_origin.location_name)
    _, at, location = run.tags.get(REPOSITORY_TAG, "").rpartition("@")
    return location if at else None


def read_location(repository: dg.RepositoryDefinition | None) -> str | None:
    """Read under which name Dagster loaded the definitions; None in a process that loaded them by itself."""
    loaded = repository.repository_load_data if repository is not None else None
    return getattr(loaded, "code_location_name", None)


@dataclass(frozen=True, slots=True)
class Mirror:
    """The mirror that asks: what is its own, and its code location's name."""

    names: MirrorNames
    location: str | None

    def may_own(self, run: dg.DagsterRun) -> bool:
        """Whether a run is of this mirror's location, or of none: one that a command line of before started."""
        location = find_location(run)
        return location is None or self.location is None or location == self.location

    def has(self, keys: Collection[dg.AssetKey]) -> bool:
        """Whether some of the assets are tables of this mirror."""
        return not set(self.names.keys.values()).isdisjoint(keys)

    def tagged(self, run: dg.DagsterRun) -> bool:
        """Whether a run has the tags of this mirror's runs."""
        return KIND_TAG in run.tags and run.tags.get(MIRROR_TAG, "") == self.names.name


@contextmanager
def replaced(instance: dg.DagsterInstance, method: str, function: Callable[..., Any]) -> Iterator[None]:
    """Have an instance do something else for one of its methods, for the block."""
    vars(instance)[method] = function
    try:
        yield
    finally:
        del vars(instance)[method]


@contextmanager
def locate_runs(instance: dg.DagsterInstance) -> Iterator[None]:
    """Have the runs that this process creates in an instance belong to the code location, as those of Dagit do."""
    create = instance.create_run_for_job
    origin = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin(LOCATION), _REPOSITORY)

    def create_located(job_def: dg.JobDefinition, **options: Any) -> dg.DagsterRun:
        return create(job_def, **{**options, "remote_job_origin": RemoteJobOrigin(origin, job_def.name)})

    with replaced(instance, "create_run_for_job", create_located):
        yield
