"""How the runs of the instance ended, table by table: those of Dagit, of the daemon and of `smartdiet sync` alike.

Here: reading runs that ended, and noting what they say. Of a step that failed, the sentence it ended with is told where
it is one of ours; any other text could hold anything. Not here: what is news (`decisions`).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import dagster as dg

from smartdiet_assets.assets.alerts.decisions import note
from smartdiet_assets.assets.alerts.state import AlertState
from smartdiet_assets.assets.failures import AWAY
from smartdiet_assets.assets.interruption import INTERRUPTED
from smartdiet_assets.assets.location import Mirror
from smartdiet_assets.assets.naming import KIND_TAG, read_step

#: The job of the runs that are started by picking assets in Dagit, anybody's.
_PICKED_ASSETS_JOB = "__ASSET_JOB"
#: Seconds: a run may be seen that much later than it ended, or was made.
_OVERLAP = 600.0
#: Seconds before the first tick: what failed then and did not succeed since is told.
_LOOK_BACK = 86_400.0
#: Runs that are read at one tick; the next one goes on behind them.
_MOST_RUNS = 200
_ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
_STEPS = {dg.DagsterEventType.STEP_SUCCESS, dg.DagsterEventType.STEP_FAILURE}


@dataclass(slots=True)
class RunOutcome:
    """What one run, or several one after another, say at their end.

    Attributes:
        failed: the sentence of each subject that failed by itself.
        away: likewise, of those that a server was away for, by the server.
        succeeded: the subjects that did not fail.
    """

    ended: float
    failed: dict[str, str] = field(default_factory=dict)
    away: dict[str, dict[str, str]] = field(default_factory=dict)
    succeeded: set[str] = field(default_factory=set)

    @property
    def subjects(self) -> set[str]:
        """All it says something of."""
        return {*self.failed, *self.succeeded, *(one for told in self.away.values() for one in told)}

    def forget(self, subjects: Collection[str]) -> None:
        """Say nothing of some: a later run has."""
        self.failed = {one: text for one, text in self.failed.items() if one not in subjects}
        self.succeeded = self.succeeded.difference(subjects)
        self.away = {
            server: left
            for server, told in self.away.items()
            if (left := {one: text for one, text in told.items() if one not in subjects})
        }

    def follow(self, later: "RunOutcome") -> None:
        """Let a later run have the last word on its subjects."""
        self.forget(later.subjects)
        self.ended = later.ended
        self.failed |= later.failed
        self.succeeded |= later.succeeded
        for server, told in later.away.items():
            self.away.setdefault(server, {}).update(told)


class RunReader:
    """Reads the runs of one mirror; a table's step has the name of its key."""

    def __init__(self, instance: dg.DagsterInstance, mirror: Mirror, servers: Mapping[str, Sequence[str]]) -> None:
        """Take the servers that each table needs."""
        self._instance = instance
        self._mirror = mirror
        self._servers = servers
        self._tables = {key.to_python_identifier(): name for name, key in mirror.names.keys.items()}

    def observe(self, state: AlertState, started: float, now: datetime) -> AlertState:
        """Note how the runs ended that ended since the last look.

        Of those before the sensor was started only what they come to is told, of the others each.
        """
        since = now.timestamp() - _LOOK_BACK if state.looked is None else state.looked.timestamp() - _OVERLAP
        records = [one for one in self._fetch_ended(since) if one.dagster_run.run_id not in state.read]
        more, records = len(records) > _MOST_RUNS, records[:_MOST_RUNS]
        gone = {one for one in state.list_left("run") if " " not in one and one not in self._servers}
        state = note(state, "run", {}, gone, now)
        outcomes = [self._read_run(record.dagster_run, _end_of(record)) for record in records if self._is_ours(record)]
        if state.started != started:
            outcomes = _sum_up(outcomes)
        for outcome in outcomes:
            state = self._note(state, outcome)
        if more:
            # What is left is read as if nobody had looked.
            return state.model_copy(update={"read": {**state.read, **dict.fromkeys(map(_name, records), now)}})
        kept = {run_id: at for run_id, at in state.read.items() if (now - at).total_seconds() < 3 * _OVERLAP}
        read = {**kept, **dict.fromkeys(map(_name, records), now)}
        return state.model_copy(update={"started": started, "looked": now, "read": read})

    def _fetch_ended(self, since: float) -> list[dg.RunRecord]:
        """Fetch the runs that ended, or were made, since a moment: one that is recorded later ended when it did."""
        moment = datetime.fromtimestamp(since, UTC)
        found = {
            record.dagster_run.run_id: record
            for filters in (
                dg.RunsFilter(statuses=_ENDED, updated_after=moment),
                dg.RunsFilter(statuses=_ENDED, created_after=moment),
            )
            for record in self._instance.get_run_records(filters)
            # A tag that somebody gives to a run long over is no end of it.
            if max(_end_of(record), record.create_timestamp.timestamp()) > since
        }
        return sorted(found.values(), key=lambda record: (_end_of(record), record.storage_id))

    def _is_ours(self, record: dg.RunRecord) -> bool:
        run = record.dagster_run
        if not self._mirror.may_own(run):
            return False
        return self._mirror.tagged(run) or bool(run.asset_selection and self._mirror.has(run.asset_selection))

    def _read_run(self, run: dg.DagsterRun, ended: float) -> RunOutcome:
        outcome, interrupted, others_failed = RunOutcome(ended), False, False
        whole = f"job {run.tags.get(KIND_TAG, 'mirror')}"
        alone = self._mirror.tagged(run) and run.job_name != _PICKED_ASSETS_JOB
        for entry in self._instance.all_logs(run.run_id, of_type=_STEPS):
            event = entry.dagster_event
            if event is None or event.step_key is None:
                continue
            known, ends = read_step(event.step_key)
            step = self._tables.get(known) or f"step {event.step_key}"
            if step not in self._servers and not alone:
                # That of somebody else, beside our tables.
                others_failed |= event.event_type == dg.DagsterEventType.STEP_FAILURE
                continue
            if event.event_type == dg.DagsterEventType.STEP_SUCCESS:
                outcome.succeeded |= {step} if ends else set()
            elif run.status == dg.DagsterRunStatus.FAILURE:
                sentence, away = read_failure(step, event)
                if sentence == INTERRUPTED:
                    interrupted = True
                    continue
                told = outcome.away.setdefault(away, {}) if away else outcome.failed
                told[step] = sentence
        explained = bool(outcome.failed or outcome.away or interrupted or others_failed)
        if run.status == dg.DagsterRunStatus.FAILURE and not explained:
            outcome.failed[whole] = (
                f"the run {run.run_id[:8]} failed, and none of its steps said why: its process may have been killed."
                " Dagit shows its log; the next run goes on where the last one ended."
            )
        elif run.status != dg.DagsterRunStatus.CANCELED and not interrupted:
            outcome.succeeded.add(whole)
        return outcome

    def _note(self, state: AlertState, outcome: RunOutcome) -> AlertState:
        outcome.forget({one for one, end in state.ends.items() if end > outcome.ended})
        state = state.model_copy(update={"ends": {**state.ends, **dict.fromkeys(outcome.subjects, outcome.ended)}})
        now = datetime.fromtimestamp(outcome.ended, UTC)
        state = note(state, "run", outcome.failed, outcome.succeeded, now)
        answered = {server for one in outcome.succeeded for server in self._servers.get(one, ())}
        open_servers = [cause.name for cause in state.causes if cause.kind == "server"]
        for server in dict.fromkeys([*open_servers, *outcome.away]):
            wrong = outcome.away.get(server, {})
            # Whom it answered it would answer the others.
            right = state.list_left("server", server) if server in answered and not wrong else outcome.succeeded
            state = note(state, "server", wrong, right, now, name=server)
        # One that does not answer the sensor later is away from then on.
        answered -= outcome.away.keys()
        away = {server: since for server, since in state.away.items() if server not in answered or since > now}
        return state if len(away) == len(state.away) else state.model_copy(update={"away": away})


def _sum_up(outcomes: Sequence[RunOutcome]) -> list[RunOutcome]:
    if not outcomes:
        return []
    first, *others = outcomes
    for other in others:
        first.follow(other)
    return [first]


def _name(record: dg.RunRecord) -> str:
    return record.dagster_run.run_id


def _end_of(record: dg.RunRecord) -> float:
    return record.end_time or record.update_timestamp.timestamp()


def read_failure(step: str, event: dg.DagsterEvent) -> tuple[str, str]:
    """Read what a step ended with: a sentence, and the server that was away, "" where none was."""
    data = event.step_failure_data
    failure = data.user_failure_data
    if failure is not None and failure.description:
        away = failure.metadata.get(AWAY)
        return failure.description, str(away.value) if away is not None else ""
    cause = data.error.cls_name if data.error else None
    return f"{step}: unexpected {cause or 'error'}; Dagit shows the log of the run.", ""
