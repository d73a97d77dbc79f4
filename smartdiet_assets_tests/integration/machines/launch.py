"""A run of the mirror's job, as Dagster starts one: a process of its own on the first host. Not a test.

A worker counts as gone soon, and a step as lost, which a test need not wait minutes for.
"""

import sys

import dagster as dg
from dagster._core.definitions.reconstruct import ReconstructableRepository

from smartdiet_assets.assets.instance.opening import open_instance
from smartdiet_assets.assets.jobs import MIRROR_JOB
from smartdiet_assets.assets.workers import executor
from smartdiet_assets_tests.support.dagit import ROOT


def launch() -> int:
    """Run it; 0 where it succeeded."""
    executor._SECONDS_TO_ASK, executor._SECONDS_GONE, executor._SECONDS_SILENT = 1.0, 8.0, 10.0
    repository = ReconstructableRepository.for_module("smartdiet_assets.definitions", "defs", str(ROOT))
    job = repository.get_reconstructable_job(MIRROR_JOB)
    partitions = job.get_definition().partitions_def
    assert partitions is not None
    newest = partitions.get_last_partition_key()
    assert newest is not None
    with (
        open_instance(ROOT / "config") as instance,
        dg.execute_job(job, instance, tags={"dagster/partition": newest}) as result,
    ):
        return 0 if result.success else 1


if __name__ == "__main__":
    sys.exit(launch())
