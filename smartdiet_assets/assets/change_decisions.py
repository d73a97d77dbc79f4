"""Whether a collection has changed enough for a run, and whether it may be asked for now. Pure.

Here: thresholds, delays, first loads, and what follows from the run asked for before. Not here: counting
(`extract.mongodb.change_volume`), the instance and the databases (`assets.change_tick`).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from smartdiet_assets.assets.change_cursor import CollectionMemory, RunAsked
from smartdiet_assets.extract.mongodb.change_volume import ChangeVolume
from smartdiet_assets.schema.model import CollectionRules

#: After a failed run: the wait before the next, doubled each time.
_FIRST_WAIT = timedelta(minutes=1)
_LONGEST_WAIT = timedelta(hours=1)
#: `unknown`: the run is not in the instance (any more).
RunOutcome = Literal["success", "failure", "unknown"]


@dataclass(frozen=True, slots=True)
class CollectionState:
    """What was measured of a collection; times are naive UTC.

    Attributes:
        rules: its thresholds.
        partition: the newest partition, which a run would be for.
        watermark: the lowest of its tables; None where one of them never ran or has to be read whole.
        never_ran: its tables without any run.
        last_run: the oldest of its tables' last runs; None where one never ran.
        volume: what changed since the watermark; None where it was not counted.
        uncounted: why not, in words; "" where nothing keeps it from being counted.
        documents: how many the collection has; None where nobody asked.
        clock: the source server's time.
    """

    rules: CollectionRules
    partition: str
    clock: datetime
    watermark: datetime | None = None
    never_ran: tuple[str, ...] = ()
    last_run: datetime | None = None
    volume: ChangeVolume | None = None
    uncounted: str = ""
    documents: int | None = None

    @property
    def base(self) -> str:
        """From where changes are counted, as text."""
        return json.dumps([_text(self.watermark), self.partition])

    @property
    def position(self) -> str:
        """What is there beyond the base, as text: it differs when there is something new."""
        volume = self.volume or ChangeVolume()
        last_run = _text(self.last_run) if self.uncounted else None
        counts = [volume.due, volume.ahead, _text(volume.newest), self.documents]
        return json.dumps([*counts, list(self.never_ran), last_run])


@dataclass(frozen=True, slots=True)
class Change:
    """How a collection stands against its thresholds: `reason` is why a run is due, "" where none is.

    `changed` is None where it is not known; `age` is that of the oldest change.
    """

    changed: int | None
    age: timedelta | None
    reason: str = ""
    capped: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a due run is asked for: with which attempt, or why it waits."""

    attempt: int = 0
    waits: str = ""


def measure_cap(rules: CollectionRules, documents: int | None, known_ahead: int) -> int:
    """How many documents to look at: one more than the threshold, and those known to be dated ahead of the clock."""
    if rules.sync_after.count is not None:
        return rules.sync_after.count + 1 + known_ahead
    return int((rules.sync_after.share or 0.0) * (documents or 0)) + 1 + known_ahead


def judge_change(state: CollectionState, memory: CollectionMemory) -> Change:
    """Compare what changed with the thresholds of the collection."""
    rules = state.rules
    if state.never_ran:
        few = len(state.never_ran) <= 3
        return Change(
            None, None, f"first load of {', '.join(state.never_ran) if few else f'{len(state.never_ran)} tables'}"
        )
    if state.watermark is None and state.documents:
        return Change(None, None, "has to be read whole: a table of it has no watermark")
    changed, age, capped = 0, None, False
    if state.volume is not None:
        ahead = max(0, state.volume.ahead - memory.known_ahead)
        changed, capped = state.volume.due + ahead, state.volume.capped
        oldest = [state.volume.oldest if state.volume.due else None, memory.ahead_since if ahead else None]
        age = max((state.clock - instant for instant in oldest if instant is not None), default=None)
        if not rules.sync_after.allows(changed, state.documents or 0):
            return Change(changed, age, _describe_volume(changed, capped, rules), capped)
        if age is not None and age > rules.max_delay:
            return Change(changed, age, f"its oldest change is {describe_age(age)} old", capped)
    if state.uncounted:
        since = state.clock - state.last_run if state.last_run else None
        if since is None or since > rules.max_delay:
            return Change(None, since, f"{state.uncounted}; its last run is {describe_age(since)} old")
        return Change(None if state.volume is None else changed, since if age is None else age, capped=capped)
    return Change(changed, age, capped=capped)


def judge_request(
    state: CollectionState, asked: RunAsked | None, outcome: RunOutcome, finished: datetime | None, now: datetime
) -> Verdict:
    """Decide whether a run that is due is asked for now, given the run asked for before.

    The same change is not asked for twice, unless the run failed; then again after a wait that grows.

    Args:
        state: what was measured.
        asked: the run asked for before, if any; it is not in progress any more.
        outcome: how it ended.
        finished: when it ended, naive UTC; None where that is not known.
        now: naive UTC.
    """
    if asked is None or asked.base != state.base:
        return Verdict(attempt=1)
    if outcome == "success":
        if asked.position == state.position:
            return Verdict(waits="a run has read it; nothing is new since")
        return Verdict(attempt=1)
    wait = min(_FIRST_WAIT * 2 ** min(asked.attempt - 1, 10), _LONGEST_WAIT)
    again = (finished or asked.asked_at) + wait
    if now < again:
        failed = "its run failed" if asked.attempt == 1 else f"its run failed {asked.attempt} times"
        return Verdict(waits=f"{failed}; asked for again in {describe_age(again - now)}")
    return Verdict(attempt=asked.attempt + 1)


def remember(memory: CollectionMemory, state: CollectionState, outcome: RunOutcome) -> CollectionMemory:
    """Bring the memory up to date: what the run asked for has read, and whether it is of further use.

    Args:
        memory: as it was.
        state: what was measured.
        outcome: how the run asked for ended.
    """
    known, since, asked = memory.known_ahead, memory.ahead_since, memory.asked
    if asked is not None and outcome == "success":
        known = max(known, asked.ahead)
    if asked is not None and asked.base != state.base:
        asked = None
    if state.volume is not None:
        if not state.volume.capped:
            known = min(known, state.volume.ahead)
        since = (since or state.clock) if state.volume.ahead > known else None
    return memory.model_copy(update={"asked": asked, "known_ahead": known, "ahead_since": since})


def compose_sentences(changes: Mapping[str, tuple[Change, CollectionRules]]) -> list[str]:
    """Compose the numbers: a sentence for each collection with a change, and one for all that have none.

    Dagit shows a tick as one paragraph, so that columns would run into each other.
    """
    shown = {name: pair for name, pair in changes.items() if pair[0].changed != 0 or pair[0].reason}
    lines = [f"{name}: {_describe_change(change, rules)}." for name, (change, rules) in shown.items()]
    if quiet := len(changes) - len(shown):
        lines.append("1 collection has no change." if quiet == 1 else f"{quiet} collections have no change.")
    return lines


def shorten(text: str, longest: int) -> str:
    """Shorten a text to so many characters; an ellipsis stands for what is left out."""
    return text if len(text) <= longest else f"{text[: longest - 1].rstrip()}…"


def describe_age(age: timedelta | None) -> str:
    """Write a duration with its largest unit: 45 s, 3 min, 2 h, 5 d."""
    if age is None:
        return "unknown"
    seconds = max(0, round(age.total_seconds()))
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size or (seconds >= size and seconds % size == 0):
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _describe_change(change: Change, rules: CollectionRules) -> str:
    if change.changed is None:
        count, since = "its changes are not counted", "the last run was"
    else:
        count, since = f"{change.changed}{' or more' if change.capped else ''} changed", "the oldest"
    age = "" if change.age is None else f", {since} {describe_age(change.age)} ago"
    return f"{count}{age}; a run is due after {rules.sync_after} or {describe_age(rules.max_delay)}"


def _describe_volume(changed: int, capped: bool, rules: CollectionRules) -> str:
    count = f"{'at least ' if capped else ''}{changed} changed document{'s' if changed != 1 else ''}"
    return f"{count}, more than {rules.sync_after}"


def _text(instant: datetime | None) -> str | None:
    return None if instant is None else instant.isoformat()
