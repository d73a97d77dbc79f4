"""The entry point of `smartdiet …`: how Ctrl-C, an error of ours, and an output that takes not everything end one.

Nothing but what Python has anyway is imported before Ctrl-C is answered: the rest takes a second.
"""

from __future__ import annotations

import gc
import os
import signal
import sys

# Importing `typing`, and what leans on it, takes longer than all of this module.
TYPE_CHECKING = False
if TYPE_CHECKING:
    import threading
    from types import FrameType
    from typing import Any

    from smartdiet_assets.cli.session import Session

#: What an output gets whose encoding has no such sign; any other sign becomes an escape such as \u0142.
_PLAIN = str.maketrans(
    {"✓": "v", "✗": "x", "–": "-", "—": "-", "…": "~", "·": ".", "→": ">", "≤": "<", "≥": ">", "×": "x", "’": "'"}
)
_SECONDS_TO_SEND_AGAIN = 0.05
_INTERRUPTED = 130
_TERMINATED = 143


class _Ending:
    """What ends this process from outside: Ctrl-C, and a termination likewise, with an interruption and nothing but.

    Python complains about what an interruption leaves half made, as contexts of Dagster are whose `__del__` stumbles
    over that, also where somebody else's handler raised it.

    Attributes:
        number: the signal that came, 0 where none did.
    """

    def __init__(self) -> None:
        self.number = 0
        self._handlers: dict[int, Any] = {}

    def listen(self) -> None:
        """Answer the signals from now on."""
        try:
            for number in (signal.SIGINT, signal.SIGTERM):
                # Who had a signal ignored (`nohup`, a job in the background) means it.
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._handlers[number] = signal.signal(number, self._interrupt)
        except ValueError:
            # Only the main thread may.
            return

    def keep_quiet(self) -> None:
        """Have nothing complain of an interruption."""
        import atexit
        import threading

        self._before = (sys.unraisablehook, threading.excepthook)
        sys.unraisablehook, threading.excepthook = self._report, self._report_thread
        if self._handlers:
            atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)

    def leave(self) -> None:
        """Leave the signals, and complaints, to whoever had them before."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        if hasattr(self, "_before"):
            import threading

            sys.unraisablehook, threading.excepthook = self._before

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self.number = number
        raise KeyboardInterrupt

    def _report(self, unraisable: sys.UnraisableHookArgs) -> None:
        if self.number and unraisable.exc_type is KeyboardInterrupt:
            # It came while Python ran something that lets no error out, as the locks of imports do when they go.
            self._send_again()
        if not self.number and "UnboundInitResourceContext" not in repr(unraisable.object):
            self._before[0](unraisable)

    def _send_again(self) -> None:
        import threading

        # Sent from here it would be raised here, and be lost as well.
        again = threading.Timer(_SECONDS_TO_SEND_AGAIN, os.kill, [os.getpid(), self.number])
        again.daemon = True
        again.start()

    def _report_thread(self, failure: threading.ExceptHookArgs) -> None:
        if not self.number:
            self._before[1](failure)


def main(session: Session | None = None) -> None:
    """Run the command line and exit: 2 with one message after an error of ours, 130 after Ctrl-C.

    Args:
        session: what the command works with; by default what the environment says.
    """
    ending = _Ending()
    code: object = _INTERRUPTED
    try:
        ending.listen()
        ending.keep_quiet()
        # A tenth of the start: what is imported is no garbage, and is looked at again and again by default.
        gc.set_threshold(50_000, 20, 100)
        _take_every_sign()
        code = _run(session)
    except SystemExit as error:
        code = error.code
    except BaseException:
        # In the middle of an import an interruption comes out as almost anything.
        if not ending.number:
            raise
        print("Interrupted.", file=sys.stderr)
    finally:
        ending.leave()
    raise SystemExit(_TERMINATED if code == _INTERRUPTED and ending.number == signal.SIGTERM else code)


def _run(session: Session | None) -> int:
    import errno

    import click
    from rich.console import Console

    from smartdiet_assets.cli.group import cli
    from smartdiet_assets.errors import SmartdietError

    errors = Console(stderr=True, markup=False, emoji=False)
    try:
        result = cli.main(standalone_mode=False, obj=session)
    except SmartdietError as error:
        # Unwrapped, so that a path in it can be found and copied.
        errors.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
        return 2
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        errors.print("Interrupted.")
        return _INTERRUPTED
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        errors.print("the output cannot be written: no space is left where it goes", style="red")
        # What is still buffered would be a second complaint.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 2
    return result if isinstance(result, int) else 0


def _take_every_sign() -> None:
    """Have the outputs take every sign: what their encoding has not is replaced, no reason to end a command."""
    import codecs

    def replace(error: UnicodeError) -> tuple[str | bytes, int]:
        if not isinstance(error, UnicodeEncodeError):
            raise error
        text = error.object[error.start : error.end].translate(_PLAIN)
        return text.encode("ascii", "backslashreplace").decode(), error.end

    codecs.register_error("smartdiet", replace)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="smartdiet")
