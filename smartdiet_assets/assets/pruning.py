"""Deleting Dagster's old runs, so that a year of them is no larger than a week.

Here: which runs may go, and what goes with each of them. What somebody looks at stays: the last days whole, failed runs
for longer, and every run that holds what a page of Dagit shows as it is now, however old (`_Shown`). Not here: the job
and its schedule (`assets.prune`), or the command.

Runs are deleted in transactions that take milliseconds: nobody waits for a long one. What Dagster leaves of a run goes
too: its file of events, the logs of its steps, its tags (on SQLite), old results of checks.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg

from smartdiet_assets.assets.location import REPOSITORY_TAG, Mirror
from smartdiet_assets.assets.naming import KIND_TAG
from smartdiet_assets.checks.outcome import KINDS

PRUNE_JOB = "prune"
#: The kinds (`KIND_TAG`) of this project's runs.
_KINDS = ("mirror", "reconcile", "checks", "doctor", "refresh", PRUNE_JOB)
_ENDED = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
_BACKFILL_TAG = "dagster/backfill"
_UNFINISHED_BACKFILLS = ("REQUESTED", "CANCELING", "FAILING")
_PAGE = 200
#: Runs deleted in one transaction.
_PIECE = 20
#: Ids in one query: SQLite takes 32,766 at most.
_IDS = 1_000
_BETWEEN_PASSES = timedelta(days=1)
#: Below this a file is not worth its rewriting.
_LEAST_TO_GIVE_BACK = 16 * 2**20
#: Without a run neither is shown anywhere. A check's last result stays whoever ran it.
_DELETE_TAGS = "DELETE FROM run_tags WHERE run_id IN :runs"
_DELETE_RESULTS = """
DELETE FROM asset_check_executions
WHERE run_id IN :runs
  AND id NOT IN (
    SELECT max(id)
    FROM asset_check_executions
    WHERE execution_status IN ('SUCCEEDED', 'FAILED')
    GROUP BY asset_key, check_name, partition
  )
"""


@dataclass(frozen=True, slots=True)
class Retention:
    """How many days runs are kept whole, and failed ones; 0 keeps them for ever."""

    days: int
    failed_days: int

    def may_go(self, record: dg.RunRecord, now: datetime) -> bool:
        """Whether a run ended long enough ago."""
        failed = record.dagster_run.status == dg.DagsterRunStatus.FAILURE
        days = max(self.days, self.failed_days) if failed and self.failed_days else self.days
        if failed and not self.failed_days:
            return False
        ended = datetime.fromtimestamp(record.end_time, UTC) if record.end_time else record.create_timestamp
        return ended < now - timedelta(days=days)


@dataclass(slots=True)
class Pruned:
    """What a pass did: how many runs it deleted and looked at, and whether none is left to delete."""

    deleted: int = 0
    kept: int = 0
    complete: bool = True


def prune_runs(
    instance: dg.DagsterInstance,
    mirror: Mirror,
    retention: Retention,
    *,
    seconds: float | None = None,
    now: datetime | None = None,
    dry_run: bool = False,
    report: Callable[[Pruned], None] = lambda pruned: None,
) -> Pruned:
    """Delete the runs of a mirror that nobody looks at any more, the oldest first.

    Never one that is not over, one of a backfill that is not, or one of another code location.

    Args:
        instance: where the runs are.
        mirror: whose runs are looked at.
        retention: how long they are kept.
        seconds: how long it may take, about; None for as long as it takes. What is left, the next pass finds.
        now: the time it is; the present by default.
        dry_run: count, and delete nothing.
        report: called after each piece of the work.
    """
    pruned = Pruned()
    if not retention.days:
        return pruned
    now = now or datetime.now(UTC)
    deadline = time.monotonic() + seconds if seconds is not None else None
    shown = _Shown(instance, mirror, now - timedelta(days=retention.days))
    seen: set[str] = set()
    for page in _list_old(instance, mirror, now - timedelta(days=retention.days)):
        some = [record for record in page if record.dagster_run.run_id not in seen]
        seen.update(record.dagster_run.run_id for record in some)
        some = [record for record in some if _is_of(mirror, record.dagster_run)]
        old = [
            record.dagster_run.run_id
            for record in some
            if retention.may_go(record, now) and not shown.needs(record.dagster_run)
        ]
        pruned.kept += len(some) - len(old)
        for start in range(0, len(old), _PIECE):
            if deadline is not None and time.monotonic() > deadline:
                pruned.complete = False
                return pruned
            piece = old[start : start + _PIECE]
            if not dry_run:
                _delete_runs(instance, piece)
            pruned.deleted += len(piece)
            report(pruned)
    if not dry_run:
        _delete_left_files(instance, now - timedelta(days=retention.days))
        _note_pass(instance, mirror, now)
    return pruned


def is_due(instance: dg.DagsterInstance, mirror: Mirror, now: datetime | None = None) -> bool:
    """Whether the last complete pass, whoever made it, is a day ago."""
    key = _name_pass(mirror)
    noted = instance.daemon_cursor_storage.get_cursor_values({key}).get(key)
    return noted is None or datetime.fromisoformat(noted) <= (now or datetime.now(UTC)) - _BETWEEN_PASSES


def give_back_space(instance: dg.DagsterInstance) -> None:
    """Shrink the files of SQLite that are half empty, for which others wait a moment; PostgreSQL has its own ways."""
    for connect in _list_connects(instance):
        with connect() as connection:
            _vacuum(connection)


class _Shown:
    """The runs that hold what Dagit shows now, of the assets that were asked about.

    They hold an asset's last materialisation and observation, the last one of each of its partitions, the last attempt
    at a partition that failed, or the last result of a check.
    """

    def __init__(self, instance: dg.DagsterInstance, mirror: Mirror, before: datetime) -> None:
        self._instance = instance
        self._tables = set(mirror.names.keys.values())
        self._checks = {dg.AssetCheckKey(key, kind) for key in self._tables for kind in KINDS}
        self._before = before.timestamp()
        self._runs: set[str] = set()
        self._known: set[dg.AssetKey] = set()
        self._known_checks: set[dg.AssetCheckKey] = set()
        self._backfills: dict[str, bool] = {}

    def needs(self, run: dg.DagsterRun) -> bool:
        """Whether a run is one of them, or of a backfill that is not over."""
        # A run may have picked assets that are below a mirror's tables, and not of them.
        if assets := {*self._tables, *(run.asset_selection or ())} - self._known:
            self._add_assets(assets)
        if checks := {*self._checks, *(run.asset_check_selection or ())} - self._known_checks:
            self._known_checks |= checks
            latest = self._instance.event_log_storage.get_latest_asset_check_execution_by_key(list(checks))
            self._runs.update(found.run_id for found in latest.values())
        return run.run_id in self._runs or self._is_of_unfinished_backfill(run)

    def _add_assets(self, assets: set[dg.AssetKey]) -> None:
        self._known |= assets
        instance, storage = self._instance, self._instance.event_log_storage
        for record in instance.get_asset_records(list(assets)):
            key, entry = record.asset_entry.asset_key, record.asset_entry
            if entry.last_run_id is not None:
                self._runs.add(entry.last_run_id)
            for fetch in (instance.fetch_materializations, instance.fetch_observations):
                self._runs.update(found.run_id for found in fetch(key, limit=1).records)
            attempts = storage.get_latest_asset_partition_materialization_attempts_without_materializations(key)
            self._runs.update(run_id for run_id, _ in attempts.values())
            latest = instance.get_latest_storage_id_by_partition(key, dg.DagsterEventType.ASSET_MATERIALIZATION)
            self._add_events(key, sorted(latest.values()))

    def _add_events(self, key: dg.AssetKey, ids: Sequence[int]) -> None:
        for start in range(0, len(ids), _IDS):
            some = ids[start : start + _IDS]
            # The others are of runs that are too young to be asked about.
            wanted = dg.AssetRecordsFilter(key, storage_ids=some, before_timestamp=self._before)
            found = self._instance.fetch_materializations(wanted, limit=_IDS)
            self._runs.update(record.run_id for record in found.records)

    def _is_of_unfinished_backfill(self, run: dg.DagsterRun) -> bool:
        backfill_id = run.tags.get(_BACKFILL_TAG)
        if backfill_id is None:
            return False
        if backfill_id not in self._backfills:
            backfill = self._instance.get_backfill(backfill_id)
            self._backfills[backfill_id] = backfill is not None and backfill.status.name in _UNFINISHED_BACKFILLS
        return self._backfills[backfill_id]


def _list_old(instance: dg.DagsterInstance, mirror: Mirror, before: datetime) -> Iterator[Sequence[dg.RunRecord]]:
    """List runs that began before a time and are over, in pages, the oldest first; some may be listed twice."""
    # What Dagster launched has its label, what a command line started may have this project's tag only.
    for tags in ({REPOSITORY_TAG: f"__repository__@{mirror.location}"}, {KIND_TAG: list(_KINDS)}):
        wanted = dg.RunsFilter(statuses=list(_ENDED), tags=tags, created_before=before)
        page = instance.get_run_records(wanted, limit=_PAGE, ascending=True)
        while page:
            # Asked for before the page is given away: the run that it begins behind has to be there.
            following = instance.get_run_records(
                wanted, limit=_PAGE, ascending=True, cursor=page[-1].dagster_run.run_id
            )
            yield page
            page = following


def _is_of(mirror: Mirror, run: dg.DagsterRun) -> bool:
    """Whether a run is of a mirror: of its jobs, or of some of its tables, picked."""
    picked = {*(run.asset_selection or ()), *(key.asset_key for key in run.asset_check_selection or ())}
    return mirror.may_own(run) and (mirror.has(picked) if picked else mirror.tagged(run))


def _delete_runs(instance: dg.DagsterInstance, run_ids: Sequence[str]) -> None:
    """Delete a piece of runs, their events with one connection.

    What `DagsterInstance.delete_run` does, but that it opens some connections for each run, and that on SQLite, where a
    run has a file of events of its own, it prepares that file for what may be coming, which takes longer than all the
    rest, to empty it and to leave it.
    """
    storage: Any = instance.event_log_storage
    if connects := _list_connects(instance):
        # Imported here: a code location that only lists its assets does without.
        import sqlalchemy

        with storage.index_connection() as connection:
            for run_id in run_ids:
                storage.delete_events_for_run(connection, run_id)
        for run_id in run_ids:
            instance.run_storage.delete_run(run_id)
            _delete_files(instance, run_id)
        for connect, statement in zip(connects, (_DELETE_RESULTS, _DELETE_TAGS), strict=True):
            with connect() as connection:
                runs: Any = sqlalchemy.bindparam("runs", list(run_ids), expanding=True)
                connection.execute(sqlalchemy.text(statement).bindparams(runs))
    else:
        for run_id in run_ids:
            instance.delete_run(run_id)
            _delete_files(instance, run_id)


def _delete_files(instance: dg.DagsterInstance, run_id: str) -> None:
    storage: Any = instance.event_log_storage
    if storage.is_run_sharded:
        path = Path(storage.path_for_shard(run_id))
        for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
            path.with_name(name).unlink(missing_ok=True)
    instance.compute_log_manager.delete_logs(prefix=[run_id])


def _delete_left_files(instance: dg.DagsterInstance, before: datetime) -> None:
    """Delete the files of runs that are gone: Dagit leaves one of each run that somebody deletes there."""
    storage: Any = instance.event_log_storage
    if storage.is_run_sharded:
        for run_id in storage.get_all_run_ids():
            path = Path(storage.path_for_shard(run_id))
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < before.timestamp() and not instance.has_run(run_id):
                    _delete_files(instance, run_id)


def _list_connects(instance: dg.DagsterInstance) -> list[Callable[[], Any]]:
    """List what opens a connection to the events, and to the runs; nothing where they are in no SQL database."""
    events, runs = (
        getattr(storage, name, None)
        for storage, name in ((instance.event_log_storage, "index_connection"), (instance.run_storage, "connect"))
    )
    return [events, runs] if events and runs else []


def _vacuum(connection: Any) -> None:
    if connection.dialect.name != "sqlite":
        return
    pages, free, size = (
        connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
        for name in ("page_count", "freelist_count", "page_size")
    )
    if free * 2 > pages and free * size > _LEAST_TO_GIVE_BACK:
        raw: Any = connection.connection.dbapi_connection
        raw.commit()
        raw.execute("VACUUM")


def _name_pass(mirror: Mirror) -> str:
    return "/".join(filter(None, ("smartdiet/pruned", mirror.location, mirror.names.name)))


def _note_pass(instance: dg.DagsterInstance, mirror: Mirror, now: datetime) -> None:
    instance.daemon_cursor_storage.set_cursor_values({_name_pass(mirror): now.isoformat()})
