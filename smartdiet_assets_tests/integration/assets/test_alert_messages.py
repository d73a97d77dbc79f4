"""Each cause is told once, and once more when it is over, whatever runs, the webhook and the sensor's process do."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smartdiet_assets.assets.alerts.decisions import drop_oldest, note
from smartdiet_assets.assets.alerts.delivery import deliver
from smartdiet_assets.assets.alerts.runs import RunReader
from smartdiet_assets.assets.alerts.state import AlertState, StateStore
from smartdiet_assets.assets.failures import AWAY, StepFailure
from smartdiet_assets.assets.interruption import INTERRUPTED
from smartdiet_assets.assets.location import Mirror
from smartdiet_assets.assets.naming import KIND_TAG, MirrorNames
from smartdiet_assets.resources.webhook import Webhook
from smartdiet_assets_tests.support.webhook_server import WebhookServer, serve_webhook

TABLES = ("a", "b", "c")
MIRROR = Mirror(MirrorNames("", {name: dg.AssetKey(name) for name in TABLES}), None)
#: Of the console, which each event would be printed to.
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
SERVERS = dict.fromkeys(TABLES, ("PostgreSQL", "MongoDB"))


@dataclass(frozen=True)
class Run:
    """A run: which tables fail by themselves, or all of them as a server is away."""

    failing: frozenset[str] = frozenset()
    away: bool = False
    sentence: str = "cannot be written"


#: What else may happen: the webhook goes and comes, the sensor looks, its process is another one, it is started anew.
EVENTS = st.sampled_from(["down", "up", "tick", "restart", "started"])
RUNS = st.builds(Run, st.frozensets(st.sampled_from(TABLES))) | st.just(Run(away=True))


class Mirroring:
    """Runs of a job whose steps end as they are told, and the sensor's parts that follow them."""

    def __init__(self, instance: dg.DagsterInstance, server: WebhookServer) -> None:
        self.instance = instance
        self.server = server
        self.now = datetime.now(UTC)
        self.started = 1.0

    def run(self, run: Run) -> None:
        def build(name: str) -> Any:
            @dg.op(name=name)
            def step() -> None:
                if run.away:
                    raise StepFailure(f"{name}: not tried, as MongoDB is away: no answer", {AWAY: "MongoDB"})
                if name in run.failing:
                    raise StepFailure(run.sentence if run.sentence == INTERRUPTED else f"{name}: {run.sentence}")

            return step

        @dg.job(tags={KIND_TAG: "mirror"})
        def mirror() -> None:
            for name in TABLES:
                build(name)()

        mirror.execute_in_process(instance=self.instance, raise_on_error=False, run_config=QUIET)

    def tick(self) -> AlertState:
        """Look at the runs and send, as the sensor does; a quarter of an hour later than the last time."""
        self.now += timedelta(minutes=16)
        store = StateStore(self.instance, "alerts", "here")
        state = RunReader(self.instance, MIRROR, SERVERS).observe(store.load(), self.started, datetime.now(UTC))
        store.save(state)
        state, _ = deliver(state, Webhook(self.server.url, "json"), "here", store.save, self.now)
        return state


@dataclass
class Model:
    """What is to be told, kept the simplest way: what is wrong of each cause."""

    causes: list[tuple[str, set[str], frozenset[str]]] = field(default_factory=list)
    told: list[tuple[str, str, frozenset[str]]] = field(default_factory=list)

    def run(self, run: Run) -> None:
        failing = frozenset() if run.away else run.failing
        succeeded = set() if run.away else set(TABLES) - failing
        known = {one for kind, left, _ in self.causes if kind == "run" for one in left}
        self._clear("run", succeeded)
        if news := failing - known:
            self._tell("run", news)
        if succeeded:
            self._clear("server", set(TABLES))
        if run.away and not any(kind == "server" for kind, _, _ in self.causes):
            self._tell("server", frozenset(TABLES))

    def _tell(self, kind: str, subjects: frozenset[str]) -> None:
        self.causes.append((kind, set(subjects), subjects))
        self.told.append(("problem", kind, subjects))

    def _clear(self, kind: str, right: set[str]) -> None:
        for cause in [cause for cause in self.causes if cause[0] == kind]:
            cause[1].difference_update(right)
            if not cause[1]:
                self.causes.remove(cause)
                self.told.append(("over", kind, cause[2]))


@settings(max_examples=12)
@given(st.lists(RUNS | EVENTS, max_size=10))
def test_each_cause_is_told_once_and_once_when_it_is_over(history: list[Run | str]) -> None:
    model = Model()
    with dg.DagsterInstance.ephemeral() as instance, serve_webhook() as server:
        mirroring = Mirroring(instance, server)
        mirroring.tick()
        for step in history:
            match step:
                case Run():
                    mirroring.run(step)
                    model.run(step)
                case "down":
                    server.stop()
                case "up" if server._server is None:
                    server.start()
                case "restart":
                    started, mirroring = mirroring.started, Mirroring(instance, server)
                    mirroring.started = started
                    mirroring.now = datetime.now(UTC) + timedelta(days=1)
                case "started":
                    # What it comes to is told of the runs before; here it has seen them.
                    mirroring.tick()
                    mirroring.started += 1
                    mirroring.tick()
                case "tick":
                    mirroring.tick()
        if server._server is None:
            server.start()
        mirroring.now += timedelta(days=2)
        state = mirroring.tick()
        mirroring.tick()
    told = [(body["state"], body["kind"], frozenset(body["subjects"])) for body in server.bodies]
    assert told == model.told
    assert not state.pending
    assert len({body["id"] for body in server.bodies}) == len(server.bodies)
    assert {(cause.kind, frozenset(cause.left)) for cause in state.causes} == {
        (kind, frozenset(left)) for kind, left, _ in model.causes if kind == "run"
    } | {("server", frozenset(left)) for kind, left, _ in model.causes if kind == "server"}


@pytest.fixture
def server() -> Iterator[WebhookServer]:
    with serve_webhook() as served:
        yield served


@pytest.fixture
def mirroring(server: WebhookServer) -> Iterator[Mirroring]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Mirroring(instance, server)


A, BOTH, FINE, AWAY_RUN = (Run(frozenset("a")), Run(frozenset("ab")), Run(), Run(away=True))


def test_what_a_message_says(mirroring: Mirroring, server: WebhookServer) -> None:
    mirroring.tick()
    for run in (A, BOTH, FINE, AWAY_RUN, FINE):
        mirroring.run(run)
    mirroring.tick()
    told = [(body["title"], [re.sub(r"\d+ (s|min)", "…", line) for line in body["lines"]]) for body in server.bodies]
    assert told == [
        ("here: A run failed: a", ["a: cannot be written"]),
        ("here: A run failed: b", ["b: cannot be written"]),
        ("here: Over, it runs again: a", ["It lasted …."]),
        ("here: Over, it runs again: b", ["It lasted …."]),
        ("here: A server is away: MongoDB", ["a, b, c: not tried, as MongoDB is away: no answer"]),
        ("here: Over, it answers again: MongoDB", ["It lasted …."]),
    ]
    problem, over = server.bodies[0], server.bodies[2]
    assert problem["cause"] == over["cause"]
    assert (problem["state"], over["state"]) == ("problem", "over")


def test_of_the_time_before_the_sensor_only_what_is_still_wrong_is_told(
    mirroring: Mirroring, server: WebhookServer
) -> None:
    for run in (AWAY_RUN, Run(frozenset("b")), Run(frozenset("a"))):
        mirroring.run(run)
    mirroring.tick()
    assert [body["subjects"] for body in server.take()] == [["a"]]
    mirroring.run(FINE)
    mirroring.run(A)
    mirroring.started += 1
    mirroring.tick()
    assert server.take() == []


def test_a_dead_webhook_is_asked_less_and_less_and_then_told_all_in_order(
    mirroring: Mirroring, server: WebhookServer
) -> None:
    server.stop()
    store, webhook = StateStore(mirroring.instance, "alerts", "here"), Webhook(server.url, "json")
    mirroring.tick()
    mirroring.run(A)
    mirroring.tick()
    mirroring.run(BOTH)
    mirroring.tick()
    state = store.load()
    waits = []
    for _ in range(6):
        assert state.next_try is not None
        waits.append((state.next_try - mirroring.now).total_seconds())
        before = state.tries
        assert deliver(state, webhook, "here", store.save, state.next_try - timedelta(seconds=1)) == (state, "")
        mirroring.now = state.next_try
        state, fault = deliver(state, webhook, "here", store.save, mirroring.now)
        assert "could not be reached" in fault
        assert state.tries == before + 1
    assert waits == [120, 240, 480, 900, 900, 900]
    server.start()
    assert state.next_try is not None
    deliver(store.load(), webhook, "here", store.save, state.next_try)
    assert [body["subjects"] for body in server.bodies] == [["a"], ["b"]]


def test_of_too_many_messages_those_are_left_out_that_are_over(mirroring: Mirroring, server: WebhookServer) -> None:
    state, now = AlertState(), datetime.now(UTC)
    state = note(state, "stale", {"a": "late", "b": "late"}, (), now)
    for _ in range(150):
        now += timedelta(minutes=1)
        state = note(state, "run", {"c": "fails"}, (), now)
        state = drop_oldest(note(state, "run", {}, ["c"], now))
    state = drop_oldest(note(state, "stale", {}, ["a"], now))
    assert (len(state.pending), state.dropped) == (199, 51)
    store = StateStore(mirroring.instance, "alerts", "here")
    state, _ = deliver(state, Webhook(server.url, "json"), "here", store.save, now)
    assert (state.pending, state.dropped) == ((), 0)
    assert server.bodies[0]["lines"][-1] == "51 more were over before anybody could be told: left out here."
    assert len(server.bodies[1]["lines"]) == 1
    states = [body["state"] for body in server.bodies]
    assert (states.count("problem"), states.count("over")) == (100, 99)


def test_one_that_was_taken_as_the_process_died_has_the_same_id_again(
    mirroring: Mirroring, server: WebhookServer
) -> None:
    """Nobody can know that it was; whatever the receiver has it by, it is the same."""
    mirroring.tick()
    mirroring.run(A)
    mirroring.run(BOTH)
    store = StateStore(mirroring.instance, "alerts", "here")
    state = RunReader(mirroring.instance, MIRROR, SERVERS).observe(store.load(), 1.0, datetime.now(UTC))
    store.save(state)

    def die(state: AlertState) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        deliver(state, Webhook(server.url, "json"), "here", die, mirroring.now)
    mirroring.tick()
    first, second, third = server.identities
    assert first == second != third
    assert [body["subjects"] for body in server.bodies] == [["a"], ["a"], ["b"]]


def test_a_run_whose_process_was_killed_is_told(mirroring: Mirroring, server: WebhookServer) -> None:
    mirroring.tick()

    @dg.job
    def mirror() -> None: ...

    run = mirroring.instance.create_run_for_job(mirror, tags={KIND_TAG: "mirror"})
    mirroring.instance.report_run_failed(run, "its worker is gone: Marked-Value")
    mirroring.tick()
    [body] = server.take()
    assert body["subjects"] == ["job mirror"]
    assert "may have been killed" in body["lines"][0]
    assert "Marked" not in str(body)
    mirroring.run(A)
    mirroring.tick()
    assert [body["subjects"] for body in server.take()] == [["job mirror"], ["a"]]


def test_what_fails_of_others_in_a_run_of_picked_tables_is_theirs(mirroring: Mirroring, server: WebhookServer) -> None:
    mirroring.tick()

    @dg.op
    def mine() -> None:
        raise RuntimeError

    @dg.job(name="__ASSET_JOB", tags={KIND_TAG: "mirror"})
    def picked() -> None:
        mine()

    picked.execute_in_process(instance=mirroring.instance, raise_on_error=False, run_config=QUIET)
    mirroring.tick()
    assert server.bodies == []


def test_a_server_that_answered_a_run_is_away_no_longer(mirroring: Mirroring) -> None:
    """Or what does not answer weeks later would seem to have been away since."""
    now = datetime.now(UTC)
    away = {"MongoDB": now - timedelta(days=20), "PostgreSQL": now + timedelta(minutes=1)}
    StateStore(mirroring.instance, "alerts", "here").save(AlertState(away=away))
    mirroring.run(FINE)
    assert set(mirroring.tick().away) == {"PostgreSQL"}


def test_a_run_that_was_interrupted_is_no_failure_and_ends_none(mirroring: Mirroring, server: WebhookServer) -> None:
    mirroring.tick()
    mirroring.run(A)
    mirroring.run(Run(frozenset(TABLES), sentence=INTERRUPTED))
    mirroring.tick()
    assert [(body["state"], body["subjects"]) for body in server.bodies] == [("problem", ["a"])]


@contextmanager
def recorded_late(instance: dg.DagsterInstance, hours: float) -> Iterator[None]:
    """Date all that is stored so many hours back, as what records the runs of `smartdiet sync` behind them."""
    handle, at = instance.handle_new_event, time.time() - hours * 3600

    def handle_dated(event: dg.EventLogEntry, **options: Any) -> None:
        handle(event._replace(timestamp=at), **options)

    instance.handle_new_event = handle_dated  # type: ignore[method-assign]
    try:
        yield
    finally:
        del instance.handle_new_event


def test_a_run_that_is_recorded_late_is_told_unless_a_later_one_has_the_word(
    mirroring: Mirroring, server: WebhookServer
) -> None:
    mirroring.tick()
    with recorded_late(mirroring.instance, hours=3):
        mirroring.run(A)
    mirroring.tick()
    assert [(body["state"], body["subjects"]) for body in server.take()] == [("problem", ["a"])]
    mirroring.run(FINE)
    mirroring.tick()
    assert [body["state"] for body in server.take()] == ["over"]
    with recorded_late(mirroring.instance, hours=2):
        mirroring.run(BOTH)
    mirroring.tick()
    mirroring.tick()
    assert server.take() == []


def test_runs_of_others_are_theirs(mirroring: Mirroring, server: WebhookServer) -> None:
    mirroring.tick()

    @dg.op
    def mine() -> None:
        raise RuntimeError

    @dg.job
    def somebody_elses() -> None:
        mine()

    somebody_elses.execute_in_process(instance=mirroring.instance, raise_on_error=False)
    mirroring.tick()
    assert server.bodies == []
