"""Interrupting another thread where it waits for a server, and nowhere else.

Python can raise an exception in a thread wherever it is, also between taking a lock and the block that gives it back:
`logging` would stand still for the whole process. So a thread looks by itself, where nothing is half done.
"""

import threading

_interrupted: set[int] = set()


def interrupt_thread(thread: threading.Thread) -> None:
    """Have a thread end what it does at its next look."""
    if thread.ident is not None:
        _interrupted.add(thread.ident)


def forget_thread(thread: threading.Thread) -> None:
    """Forget a thread that has ended; another one may get its number."""
    _interrupted.discard(thread.ident or 0)


def raise_if_interrupted() -> None:
    """Look whether this thread is to be interrupted; once for each interrupt, so that it can still roll back.

    Raises:
        KeyboardInterrupt: it is.
    """
    if _interrupted and (number := threading.get_ident()) in _interrupted:
        _interrupted.discard(number)
        raise KeyboardInterrupt
