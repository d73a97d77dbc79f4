"""The process that records the runs of `smartdiet sync` in Dagster behind it: nobody waits for bookkeeping.

Here: starting it, who waits for it all the same, and what is said of runs it could not record. Not here: recording
(`assets.recorder`). The process itself is this module too: `python -m smartdiet_assets.cli.recording`.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from smartdiet_assets.errors import ConfigurationError, SmartdietError
from smartdiet_assets.mirror.failures import describe_origin
from smartdiet_assets.mirror.spool import Spool
from smartdiet_assets.mirror.turns import is_recording, take_turn
from smartdiet_assets.resources.dagster_home import choose_dagster_home, find_dagster_home
from smartdiet_assets.resources.environment import Environment

_SECONDS_TO_FOLLOW = 2.0
#: After which a run that nobody records has no recorder any more: a busy machine takes its time to start one.
_SECONDS_TO_BEGIN = 30.0
#: What the recorder does must not slow down what somebody waits for.
_NICENESS = 10
#: How long a command that was not asked to waits for its recorder, which may wait for that of a longer run.
_SECONDS_TO_WAIT = 60.0
#: How long a command waits for its turn where it would show more with what is not recorded.
_SECONDS_FOR_TURN = 10.0
#: For a recorder that somebody waits for: it waits for its turn though another one waits already.
PATIENT = "--patient"


class Recording(Protocol):
    """What records; it can be waited for."""

    def wait(self, timeout: float | None = None) -> object:
        """Wait until it is over, at most `timeout` seconds.

        Raises:
            subprocess.TimeoutExpired: it goes on.
        """


def start_process(*arguments: str) -> Recording:
    """Start a process that records; it outlives this one."""
    return subprocess.Popen(
        # The folder somebody is in is no place to import from, as it would be for `-m` alone.
        [sys.executable, "-P", "-m", __name__, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # Neither Ctrl-C nor the end of the terminal is for it.
        start_new_session=True,
    )


class Recorder:
    """Has the runs of a sync recorded behind it.

    Args:
        config_folder: where the project's settings of Dagster are.
        start: starts what records; with `PATIENT` where it will be waited for.
        follow_after: seconds after which a run that goes on is followed: Dagit shows it meanwhile.
    """

    def __init__(
        self,
        config_folder: Path,
        start: Callable[..., Recording] = start_process,
        follow_after: float = _SECONDS_TO_FOLLOW,
    ) -> None:
        self._start, self._follow_after = start, follow_after
        with suppress(OSError, ConfigurationError):
            # What is wrong there keeps nobody from mirroring; the recorder meets it again, and says so.
            choose_dagster_home(config_folder)
        self.spool = Spool(find_dagster_home())
        left = [file for file in self.spool.list_files() if file.age > _SECONDS_TO_BEGIN and not file.reason]
        #: Whether the end of a command ends what it started: an earlier one left runs behind.
        self._is_ended = not all(file.is_held for file in left) and not is_recording(self.spool.folder)
        self._started: list[Recording] = []

    @contextmanager
    def following(self) -> Iterator[None]:
        """Have a run that takes longer recorded while it goes on, in the block."""
        timer = threading.Timer(self._follow_after, self._follow)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _follow(self) -> None:
        if self.spool.written:
            with suppress(OSError):
                self._started.append(self._start())

    def finish(self, *, wait: bool) -> str:
        """Have what is left recorded; where this process's end would end that, or `wait` says so, wait for it.

        Returns:
            Why runs are not recorded, in a sentence; "" where all are, or will be.
        """
        lost = f"Dagit will not show this run: {self.spool.fault}." if self.spool.fault else ""
        said = self.spool.describe_kept()
        if not self.spool.list_files():
            return lost
        waits = wait or self._is_ended or is_ended_with_command()
        try:
            last = self._start(*[PATIENT] * waits)
        except OSError as error:
            return f"Dagit will show this run with the next sync: no process could be started ({error.strerror})."
        # A process that is forgotten while it runs is complained of.
        self._started.append(last)
        if waits:
            with suppress(KeyboardInterrupt, subprocess.TimeoutExpired):
                last.wait(None if wait else _SECONDS_TO_WAIT)
                said = self.spool.describe_kept()
        return " ".join(filter(None, (lost, said)))


def is_ended_with_command() -> bool:
    """Whether the end of this process ends those it started: in a container, and in a service of systemd."""
    if os.getpid() == 1 or os.getppid() in (0, 1):
        return True
    # Windows of a desktop have the variable as well.
    return "INVOCATION_ID" in os.environ and not (sys.stdin is not None and sys.stdin.isatty())


def record_before(environment: Environment) -> None:
    """Record what is left, before a command that looks at Dagster's records; where others are at it, wait a moment."""
    from smartdiet_assets.assets.instance.opening import open_instance
    from smartdiet_assets.assets.recorder import record_runs
    from smartdiet_assets.definitions import build_definitions

    spool = Spool(find_dagster_home())
    if not spool.list_files():
        return
    with (
        take_turn(spool.folder, seconds=_SECONDS_FOR_TURN) as ours,
        open_instance(environment.schemas_path.resolve().parent) as instance,
    ):
        if ours:
            record_runs(spool, instance, environment, build_definitions, follow=False)


def record(*, patient: bool) -> None:
    """Record what is there when it is one's turn, `patient` also where another one waits for it."""
    spool = Spool(find_dagster_home())
    with take_turn(spool.folder, one_waits=not patient) as ours:
        if not (ours and spool.list_files()):
            return
        try:
            # Dagster is imported by the one whose turn it is.
            from smartdiet_assets.assets.recorder import record_behind
            from smartdiet_assets.definitions import build_definitions
            from smartdiet_assets.resources.environment import read_environment

            record_behind(spool, read_environment(), build_definitions)
        except Exception as error:  # noqa: BLE001 - whoever is told of it reads the files
            at = f"{type(error).__name__} at {describe_origin(error)}"
            unknown = f"Dagster's records cannot be opened; `smartdiet doctor` looks at them ({at})"
            for file in (file for file in spool.list_files() if not file.is_held):
                file.note_reason(str(error) if isinstance(error, SmartdietError) else unknown)


if __name__ == "__main__":
    os.nice(_NICENESS)
    record(patient=PATIENT in sys.argv)
