"""Processes that run `smartdiet sync` again and again, to be killed.

Here: the fork server, which has imported everything once, and what its children do. Not here: when they are killed. A
child is a whole process: it opens its own connections and its own Dagster instance, and a kill -9 takes all of it.
"""

import contextlib
import json
import multiprocessing
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess

from smartdiet_assets.cli.group import cli
from smartdiet_assets.load.opening import open_load
from smartdiet_assets.mirror import table_run as mirror
from smartdiet_assets.resources.environment import VARIABLES

#: What a child does between the loads of its tables: opening the servers and Dagster, and recording.
BETWEEN = "between loads"
_SYNCED = "synced"


def build_fork_server() -> ForkServerContext:
    """Build a context whose children start with everything imported."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "smartdiet_assets.cli.sync", "smartdiet_assets.mirror.sync"])
    return context


@dataclass
class Runner:
    """A child that syncs until it is killed, or `times` times.

    Attributes:
        stage: the last thing it has reported to be over, "" before the first.
        seen: how many stages it has reported.
        exit_codes: of the syncs it has finished.
        errors: what the failed ones said about their tables.
    """

    context: ForkServerContext
    environment: Mapping[str, str]
    times: int | None = None
    stage: str = ""
    seen: int = 0
    exit_codes: list[int] = field(default_factory=list)
    errors: list[dict[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._reports, sender = self.context.Pipe(duplex=False)
        self._process: BaseProcess = self.context.Process(
            target=_run_syncs, args=[sender, dict(self.environment), self.times], daemon=True
        )
        self._process.start()
        # Its end is the end of the reports.
        sender.close()

    @property
    def alive(self) -> bool:
        return self._process.is_alive()

    def await_stage(self, count: int, seconds: float) -> None:
        """Wait until it has reported as many stages, for so many seconds, or until it has ended."""
        deadline = time.monotonic() + seconds
        while self.seen < count and time.monotonic() < deadline and self._take(deadline - time.monotonic()):
            pass

    def await_end(self) -> None:
        """Wait until it has done its syncs."""
        while self._take(1.0):
            pass
        self._process.join()

    def kill(self) -> None:
        """kill -9, and take what it had still reported."""
        self._process.kill()
        self.await_end()

    def _take(self, seconds: float) -> bool:
        """Take the next report, where one comes in time; False once it has ended and all is taken."""
        try:
            if self._reports.poll(max(0.0, seconds)):
                self._note(*self._reports.recv())
        except (EOFError, OSError):
            # The second is a report it died over.
            return False
        return True

    def _note(self, stage: str, code: int, errors: dict[str, str]) -> None:
        if stage == _SYNCED:
            self.exit_codes.append(code)
            self.errors += [errors] if errors else []
        self.stage = BETWEEN if stage in (_SYNCED, "stored") else stage
        self.seen += 1


def _run_syncs(reports: Connection, environment: dict[str, str], times: int | None) -> None:
    for name in VARIABLES:
        os.environ.pop(name, None)
    os.environ.update(environment)
    os.chdir(environment["DAGSTER_HOME"])

    def report(stage: str, code: int = 0, errors: Mapping[str, str] = {}) -> None:
        reports.send((stage, code, errors))

    mirror.open_load = lambda *arguments, **options: open_load(*arguments, **{**options, "on_stage": report})
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    done = 0
    while times is None or done < times:
        done += 1
        code, errors = 0, {}
        try:
            with contextlib.redirect_stdout(_Catcher()) as printed:
                cli.main(["sync", "--json"], standalone_mode=False)
        except SystemExit as end:
            code = int(end.code or 0)
        except Exception as error:  # noqa: BLE001 - a server may be away: the report says so
            code, errors = 2, {"": f"{type(error).__name__}: {error}"}
        if code == 1:
            outcome = json.loads(printed.text)["tables"]
            errors = {name: table["error"] for name, table in outcome.items() if "error" in table}
        report(_SYNCED, code, errors)


class _Catcher:
    """Keeps what is printed."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        pass
