"""A server that is away: the tables of a run wait for it together, and say so while they do.

Here: when the next try may be, whichever table's that is, and when it is given up: a server that is away for one table
is so for all. Not here: which errors may pass (`errors`), and trying again (`mirror.sync`; of a step, Dagster does).

Where each table has a process of its own, those that are at work wait by themselves. Once one of them has given the
server up, the others end with the first try that is in vain, where they are told of it.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from smartdiet_assets.mirror.failures import TableFailedError, TableFailure
from smartdiet_assets.mirror.progress import progress_log
from smartdiet_assets.resources.thread_interrupts import raise_if_interrupted

#: Seconds for which a server that was given up is not asked again: the other tables fail with what is known.
SECONDS_REMEMBERED = 60.0
#: An interrupt is heard after each.
_SLEEP = 0.2
_lock = threading.Lock()


@dataclass(slots=True)
class _Outage:
    """Of one run and server: the tries in vain, and the moments, monotonic, of the first and the last, and the next.

    Of a table whose first try was in another process, nobody knows here when that was.
    """

    tries: int = 0
    began: float | None = None
    failed: float = 0.0
    next_try: float = 0.0
    given_up: str = ""


#: By run and server; of one run.
_outages: dict[tuple[str, str], _Outage] = {}


def await_server(run_id: str, server: str, table: str) -> None:
    """Wait until a server may be tried again, where a table of the run found it away; at once where none did.

    Raises:
        TableFailedError: it was given up a moment ago.
    """
    outage = _outages.get((run_id, server))
    if outage is None or not outage.tries:
        return
    if outage.given_up:
        if time.monotonic() - outage.failed < SECONDS_REMEMBERED:
            sentence = f"{table}: not tried, as {server} is away: {outage.given_up}"
            raise TableFailedError(TableFailure(sentence, away=server))
        return
    sleep_until(lambda: outage.next_try)
    _say(table, f"{table}: {server} was away; it is tried again now")


def sleep_until(moment: Callable[[], float]) -> None:
    """Sleep until a moment, monotonic, that may move meanwhile.

    Raises:
        KeyboardInterrupt: this thread is to be interrupted.
    """
    while (wait := moment() - time.monotonic()) > 0:
        raise_if_interrupted()
        time.sleep(min(wait, _SLEEP))


def note_answer(run_id: str, server: str) -> None:
    """Note that a server answered: whatever waits for it need not wait any longer."""
    _outages.pop((run_id, server), None)


def note_outage(
    run_id: str, server: str, table: str, error: Exception, *, tried: int, retries: int, delay: float
) -> str:
    """Note that a server was away for a table, and say when it is tried again.

    Args:
        error: what was found, in a sentence.
        tried: tries of this table before this one, each of which may have had a process of its own.
        retries: tries after the first one.
        delay: seconds before the first of them; each further one waits twice as long.

    Returns:
        The sentence to end with, where that was the last try.

    Raises:
        TableFailedError: another table gave the server up a moment ago.
    """
    now = time.monotonic()
    with _lock:
        if not any(run == run_id for run, _ in _outages):
            _outages.clear()
        outage = _outages.setdefault((run_id, server), _Outage())
        if outage.given_up and now - outage.failed < SECONDS_REMEMBERED:
            # While this table was at it.
            sentence = f"{table}: not tried again, as {server} is away: {outage.given_up}"
            raise TableFailedError(TableFailure(sentence, away=server))
        # Another table may have met the same in the same moment, and said so.
        if is_news := bool(outage.given_up) or now >= outage.next_try:
            outage.tries = max(tried, 0 if outage.given_up else outage.tries) + 1
            outage.began = now if outage.tries == 1 else outage.began
            outage.failed, outage.given_up = now, ""
            outage.next_try = now + delay * 2 ** (outage.tries - 1)
        tries = outage.tries
        if tries > retries:
            outage.given_up = str(error)
            return compose_vain(error, tries, None if outage.began is None else now - outage.began)
        if is_news:
            # Under the lock: the next try may be in vain before this thread goes on, and is to be said after this one.
            wait = max(0.0, outage.next_try - now)
            moment = datetime.now(UTC) + timedelta(seconds=wait)
            _say(
                table,
                f"{error}. All tables of the run wait for {server}: try {tries} of {retries + 1} was in vain,"
                f" the next one is in {wait:.0f} s, at {moment:%H:%M:%S} UTC",
                retry_in=wait,
            )
    return ""


def compose_vain(error: Exception, tries: int, seconds: float | None = None) -> str:
    """Compose what a table ends with that was tried in vain; `seconds` between the first and the last failure."""
    took = f" in {seconds:.0f} s" if seconds is not None and tries > 1 else ""
    times = f"{tries} tries{took}" if tries > 1 else "1 try"
    return f"{error}. In vain after {times}; the next run goes on where the last one ended"


def _say(table: str, sentence: str, **more: float) -> None:
    progress_log.warning("%s", sentence, extra={"table": table, **more})
