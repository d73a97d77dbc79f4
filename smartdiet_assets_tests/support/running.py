"""The command line as the tests call it: as a user does, or without what its entry point does around a command."""

import os
import sys
import threading
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO

from click.testing import CliRunner

from smartdiet_assets.cli import main
from smartdiet_assets.cli.group import cli
from smartdiet_assets.cli.recording import PATIENT, Recorder, record
from smartdiet_assets.cli.session import Session
from smartdiet_assets.errors import SmartdietError


class Recorded:
    """A recorder that is over."""

    def wait(self, timeout: float | None = None) -> None:
        """There is nothing to wait for."""


class SessionHere(Session):
    """A session whose runs are recorded in this process, which has imported Dagster, and only where one waits for it.

    A test that looks at Dagster's records syncs with `--wait`.
    """

    def open_recorder(self) -> Recorder:
        return Recorder(self.config_folder, self._record, follow_after=threading.TIMEOUT_MAX)

    def _record(self, *arguments: str) -> Recorded:
        if PATIENT in arguments:
            record(patient=True)
        return Recorded()


@dataclass
class Result:
    """What a command ended with."""

    returncode: int
    stdout: str
    stderr: str


def smartdiet(*arguments: str, **variables: str) -> Result:
    """Run a command from its entry point, as a user does, but in this process: starting one takes longer than most.

    `variables` are added to the environment, which is the same afterwards.
    """
    code: object = 0
    before, arguments_before = dict(os.environ), sys.argv
    os.environ.update(variables)
    sys.argv = ["smartdiet", *arguments]
    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
        try:
            main(SessionHere())
        except SystemExit as ended:
            code = ended.code
        finally:
            sys.argv = arguments_before
            # What the command put there goes too.
            os.environ.clear()
            os.environ.update(before)
    return Result(code if isinstance(code, int) else int(code is not None), out.getvalue(), err.getvalue())


def smartdiet_here(*arguments: str, **variables: str) -> Result:
    """Run a command in this process, whose imports are paid for; `main` makes an error of ours exit code 2."""
    found = CliRunner().invoke(cli, arguments, env=variables, obj=SessionHere())
    if isinstance(found.exception, SmartdietError):
        return Result(2, found.stdout, str(found.exception))
    if found.exception is not None and not isinstance(found.exception, SystemExit):
        raise found.exception
    return Result(found.exit_code, found.stdout, found.stderr)
