"""What is news: what became wrong or right since the last look, and the words it is told in. Pure.

A cause is what became wrong of one kind at one look: told once, and once more when none of it is wrong any longer.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from smartdiet_assets.assets.alerts.state import AlertState, Cause, Kind, Message, Moment
from smartdiet_assets.assets.change_decisions import describe_age, shorten

#: Lines of one message, and characters of a line: services cut what is longer, or refuse it.
_MOST_LINES = 12
_LONGEST_LINE = 500
#: Subjects that a title names.
_MOST_NAMED = 3
_TITLES: Mapping[tuple[Kind, Moment], str] = {
    ("run", "problem"): "A run failed: {}",
    ("run", "over"): "Over, it runs again: {}",
    ("server", "problem"): "A server is away: {}",
    ("server", "over"): "Over, it answers again: {}",
    ("check", "problem"): "A check failed: {}",
    ("check", "over"): "Over, the check passes: {}",
    ("rejects", "problem"): "More documents are rejected than max_rejects allows: {}",
    ("rejects", "over"): "Over, rejects are within max_rejects: {}",
    ("stale", "problem"): "The mirror is older than twice max_delay: {}",
    ("stale", "over"): "Over, the mirror is young enough: {}",
}
#: Messages that may wait to be sent, beside those of what is still wrong.
_MOST_PENDING = 200
#: After each try in vain the wait is doubled.
_FIRST_WAIT = timedelta(minutes=1)
_LONGEST_WAIT = timedelta(minutes=15)


def note(
    state: AlertState, kind: Kind, wrong: Mapping[str, str], right: Collection[str], now: datetime, *, name: str = ""
) -> AlertState:
    """Note what was found of a kind; what is news is put behind the messages to be sent.

    Args:
        wrong: a sentence for each subject that is wrong.
        right: the subjects that are known not to be wrong; of all others nothing is known, and they stay as they were.
        name: of the server.
    """
    causes: list[Cause] = []
    pending = list(state.pending)
    cleared = set(right) - wrong.keys()
    joined = False
    for cause in state.causes:
        if (cause.kind, cause.name) != (kind, name):
            causes.append(cause)
            continue
        left = [subject for subject in cause.left if subject not in cleared]
        if kind == "server":
            left += [subject for subject in wrong if subject not in left]
            joined = True
        if left:
            causes.append(cause.model_copy(update={"left": tuple(left)}))
        else:
            pending.append(_compose_over(cause, now))
    known = {subject for cause in causes if (cause.kind, cause.name) == (kind, name) for subject in cause.left}
    if news := {subject: sentence for subject, sentence in wrong.items() if subject not in known and not joined}:
        digest = hashlib.sha256(repr((kind, name, sorted(news), now.isoformat(), len(pending))).encode())
        identity = digest.hexdigest()[:16]
        cause = Cause(identity=identity, kind=kind, name=name, since=now, told=news, left=tuple(news))
        causes.append(cause)
        pending.append(_compose_problem(cause))
    if tuple(causes) == state.causes and len(pending) == len(state.pending):
        return state
    return state.model_copy(update={"causes": tuple(causes), "pending": tuple(pending)})


def forget_undeclared(state: AlertState, kind: Kind, declared: Collection[str], now: datetime) -> AlertState:
    """Count as right what is wrong of a kind and is not declared any more."""
    return note(state, kind, {}, state.list_left(kind) - set(declared), now)


def judge_failed_try(state: AlertState, now: datetime, wait: float | None) -> AlertState:
    """Judge when the first message is tried again that was tried in vain.

    Args:
        wait: seconds for which the other end asked, an hour at most.
    """
    patience = min(_FIRST_WAIT * 2 ** min(state.tries, 10), _LONGEST_WAIT)
    if wait is not None:
        patience = max(patience, timedelta(seconds=wait))
    return state.model_copy(update={"tries": state.tries + 1, "next_try": now + patience})


def drop_oldest(state: AlertState) -> AlertState:
    """Leave out the oldest of what is to be sent that is over already, where too much waits; what is wrong stays.

    The first is kept: it is being tried, and may have been taken.
    """
    surplus = len(state.pending) - _MOST_PENDING
    if surplus <= 0:
        return state
    first, *others = state.pending
    over = {message.cause for message in others if message.moment == "over"}
    both = [message.cause for message in others if message.moment == "problem" and message.cause in over]
    dropped = set(both[: (surplus + 1) // 2])
    left = (first, *(message for message in others if message.cause not in dropped))
    return state.model_copy(update={"pending": left, "dropped": state.dropped + len(dropped)})


def judge_sent(state: AlertState) -> AlertState:
    """Judge what is left when the first message was taken."""
    return state.model_copy(update={"pending": state.pending[1:], "dropped": 0, "tries": 0, "next_try": None})


def _compose_problem(cause: Cause) -> Message:
    return _compose(cause, "problem", compose_lines(cause.told), cause.since)


def _compose_over(cause: Cause, now: datetime) -> Message:
    return _compose(cause, "over", [f"It lasted {describe_age(now - cause.since)}."], now)


def _compose(cause: Cause, moment: Moment, lines: Sequence[str], at: datetime) -> Message:
    subjects = tuple(subject for subject in cause.told if subject)
    named = [cause.name] if cause.name else list(subjects)
    more = len(named) - _MOST_NAMED
    shown = ", ".join(named[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
    return Message(
        identity=f"{cause.identity}-{moment}",
        cause=cause.identity,
        moment=moment,
        kind=cause.kind,
        subjects=subjects,
        title=_TITLES[cause.kind, moment].format(shown),
        lines=tuple(lines),
        at=at,
    )


def compose_lines(told: Mapping[str, str]) -> list[str]:
    """Compose a line for each sentence, with its subjects in front; what is the same for several is said once."""
    by_sentence: dict[str, list[str]] = {}
    for subject, sentence in told.items():
        by_sentence.setdefault(sentence.removeprefix(f"{subject}: "), []).append(subject)
    lines = [
        shorten(" ".join(f"{_join(subjects)}{sentence}".split()), _LONGEST_LINE)
        for sentence, subjects in by_sentence.items()
    ]
    if len(lines) > _MOST_LINES:
        return [*lines[:_MOST_LINES], f"… and {len(lines) - _MOST_LINES} more."]
    return lines


def _join(subjects: Sequence[str]) -> str:
    named = [subject for subject in subjects if subject]
    if not named:
        return ""
    more = len(named) - 2 * _MOST_NAMED
    return f"{', '.join(named[: 2 * _MOST_NAMED])}{f' and {more} more' if more > 0 else ''}: "
