"""Names of Dagster's private modules, each with why it is needed: nobody else imports from one.

They may change with any minor version; pyproject.toml lets in those alone with which they were tried, and
`unit/resources/test_dagster_private.py` says which. Here: what `import dagster` loads anyway, or is as small. In
`resources`, as the doctor reads Dagster's folder.
"""

from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition
from dagster._core.events import (
    ASSET_CHECK_EVENTS,
    ASSET_EVENTS,
    EVENT_TYPE_TO_PIPELINE_RUN_STATUS,
    StepMaterializationData,
)
from dagster._core.instance.ref import InstanceRef
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._serdes import ConfigurableClass, ConfigurableClassData

__all__ = [  # noqa: RUF022 - by what they are for
    # What `dagster.define_asset_job` gives, for annotations.
    "UnresolvedAssetJobDefinition",
    # Which code location a run is of: Dagit's timeline shows the runs that say so, and no public call takes it.
    "RegisteredCodeLocationOrigin",
    "RemoteJobOrigin",
    "RemoteRepositoryOrigin",
    # What the event of a mark holds: no public call stores many events at once.
    "StepMaterializationData",
    # Which events Dagster looks for across runs, and which belong to an asset: what stores many at once must know.
    "ASSET_CHECK_EVENTS",
    "ASSET_EVENTS",
    "EVENT_TYPE_TO_PIPELINE_RUN_STATUS",
    # How a dagster.yaml names a class of ours, and what Dagster gives to it.
    "ConfigurableClass",
    "ConfigurableClassData",
    # Reads a dagster.yaml as Dagster does, and opens nothing, unlike `DagsterInstance.from_config`.
    "InstanceRef",
]
