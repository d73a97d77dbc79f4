"""Recording the runs of `smartdiet sync`, and what `smartdiet check` found, in Dagster behind them.

Here: which runs, in which order, and what keeps one from being recorded. Not here: the process that does it
(`cli.recording`), the files (`mirror.spool`), and what a step of such a run does (`assets.replay`).
"""

from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path

import dagster as dg

from smartdiet_assets.assets.check_history import record_outcomes
from smartdiet_assets.assets.instance.opening import open_instance
from smartdiet_assets.assets.jobs import MIRROR_JOB
from smartdiet_assets.assets.location import LOCATION, REPOSITORY_TAGS, Mirror, locate_runs
from smartdiet_assets.assets.naming import build_plain_names
from smartdiet_assets.assets.prune import build_retention
from smartdiet_assets.assets.pruning import is_due, prune_runs
from smartdiet_assets.assets.replay import Replay
from smartdiet_assets.checks.kept import read_outcomes
from smartdiet_assets.errors import ConfigurationError, SmartdietError
from smartdiet_assets.mirror.failures import describe_origin
from smartdiet_assets.mirror.run_file import RunFile, SpoolFile
from smartdiet_assets.mirror.spool import Spool
from smartdiet_assets.resources.declarations import load_declared
from smartdiet_assets.resources.environment import Environment
from smartdiet_assets.schema.model import Schema

#: Builds the code location of a schema.
Build = Callable[[Schema, Environment], dg.Definitions]
#: How long deleting old runs may take; the next recorder goes on.
_SECONDS_TO_PRUNE = 30.0


class NotRecordedError(SmartdietError):
    """A run is not in Dagster's records as it was; its file is kept."""


def record_behind(spool: Spool, environment: Environment, build: Build) -> None:
    """Record every run there is, one that goes on while it does; then delete old runs where that is due."""
    with open_instance(environment.schemas_path.resolve().parent) as instance:
        record_runs(spool, instance, environment, build, follow=True)
        # All are recorded; old runs are looked for again behind the next one.
        with suppress(Exception):
            _prune(instance, environment)


def record_runs(
    spool: Spool, instance: dg.DagsterInstance, environment: Environment, build: Build, *, follow: bool
) -> None:
    """Record what is not, in the order in which it began; why something cannot be is noted beside it.

    Args:
        build: builds the code location; each run's own files say of which tables.
        follow: record also a run that goes on, while it does.
    """
    load = cache(lambda files: _load(files, environment, build))

    def record(file: SpoolFile) -> None:
        if isinstance(file, RunFile):
            _record(file, instance, load)
        else:
            files, outcomes = read_outcomes(file)
            record_outcomes(load(files)[0], instance, outcomes)

    tried: set[Path] = set()
    while True:
        # Others may come meanwhile.
        found = (file for file in spool.list_files() if file.path not in tried and (follow or not file.is_held))
        if (file := next(found, None)) is None:
            return
        tried.add(file.path)
        try:
            record(file)
        except Exception as error:  # noqa: BLE001 - the run was mirrored, whatever Dagster's storage says
            # The text of another may hold anything, a password of Dagster's database too.
            unknown = f"Dagster did not take the run ({type(error).__name__} at {describe_origin(error)})"
            file.note_reason(str(error) if isinstance(error, SmartdietError) else unknown)
        else:
            file.delete()


def _load(files: tuple[str, ...], environment: Environment, build: Build) -> tuple[Schema, dg.Definitions]:
    schema = load_declared(environment, files)
    return schema, build(schema, environment)


def _record(
    file: RunFile,
    instance: dg.DagsterInstance,
    load: Callable[[tuple[str, ...]], tuple[Schema, dg.Definitions]],
) -> None:
    head = file.head
    schema, definitions = load(head.schema_files)
    if gone := [name for name in head.tables if name not in schema.tables]:
        raise ConfigurationError(f"{', '.join(gone)} is declared no more; delete {file.path} to give the run up")
    if (known := instance.get_run_by_id(head.run_id)) is not None:
        if known.is_finished and known.is_success == _went_well(file):
            return
        # A recorder was killed over it.
        instance.delete_run(head.run_id)
    job = definitions.resolve_job_def(MIRROR_JOB)
    partitions = job.partitions_def
    assert isinstance(partitions, dg.TimeWindowPartitionsDefinition), "the mirror job is partitioned by time"
    config = {"full": head.full, **({"since": head.since} if head.since else {})}
    # Picked by itself, a table would bring its checks along.
    picked = job.get_subset(
        asset_selection={dg.AssetKey(name) for name in head.tables}, asset_check_selection=frozenset()
    )
    with locate_runs(instance), Replay(file).running(instance):
        result = picked.execute_in_process(
            instance=instance,
            run_config={
                "resources": {"all_tables": {"config": config}},
                # Nobody reads what this process prints.
                "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
            },
            partition_key=partitions.get_partition_key_for_timestamp(head.at),
            tags=REPOSITORY_TAGS,
            run_id=head.run_id,
            raise_on_error=False,
        )
    if result.success != _went_well(file):
        raise NotRecordedError("Dagster shows another end of the run than it had")


def _went_well(file: RunFile) -> bool:
    """Whether every table of a run is up to date; the file is read as far as it goes."""
    file.read_on()
    ended = file.ended
    return all(name in ended and ended[name].result is not None for name in file.head.tables)


def _prune(instance: dg.DagsterInstance, environment: Environment) -> None:
    retention = build_retention(environment)
    mirror = Mirror(build_plain_names(load_declared(environment)), LOCATION)
    if retention.days and is_due(instance, mirror):
        prune_runs(instance, mirror, retention, seconds=_SECONDS_TO_PRUNE)
