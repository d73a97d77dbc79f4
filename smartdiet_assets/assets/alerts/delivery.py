"""Sending what is pending, in order; what is not taken is kept and tried again, with growing waits.

What is known is written down before anything is sent, and again behind each message: a process that is killed loses
none, and sends one again only where it was killed between the answer and the writing. A receiver of plain JSON knows it
by its id.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime

from smartdiet_assets.assets.alerts.decisions import judge_failed_try, judge_sent
from smartdiet_assets.assets.alerts.state import AlertState, Message
from smartdiet_assets.resources.webhook import Letter, Webhook, WebhookError, send_letter

#: Seconds after which no further message is begun: a tick has 60, for all it does.
_SECONDS = 15.0


def deliver(
    state: AlertState, webhook: Webhook, mirror: str, save: Callable[[AlertState], None], now: datetime
) -> tuple[AlertState, str]:
    """Send what is pending and due.

    Args:
        mirror: whose messages they are.
        save: writes a state down at once.

    Returns:
        The state afterwards, and why the first message that was not taken was not; "" where none was refused.
    """
    if state.next_try is not None and now < state.next_try:
        return state, ""
    began = time.monotonic()
    while state.pending and time.monotonic() - began < _SECONDS:
        try:
            send_letter(webhook, compose_letter(state.pending[0], mirror, state.dropped))
        except WebhookError as error:
            state = judge_failed_try(state, now, error.wait)
            save(state)
            return state, str(error)
        state = judge_sent(state)
        save(state)
    return state, ""


def compose_letter(message: Message, mirror: str, dropped: int = 0) -> Letter:
    """Compose what is sent of a message, with a line on how many causes were left out."""
    left_out = f"{dropped:,} more {'was' if dropped == 1 else 'were'} over before anybody could be told: left out here."
    return Letter(
        message.identity,
        f"{mirror}: {message.title}",
        (*message.lines, left_out) if dropped else message.lines,
        {
            "mirror": mirror,
            "cause": message.cause,
            "state": message.moment,
            "kind": message.kind,
            "subjects": list(message.subjects),
            "at": message.at.astimezone(UTC).isoformat(),
        },
    )
