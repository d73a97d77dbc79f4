"""The command line as the tests call it: as a user does, or without the cost of a process."""

import os
import subprocess
import sys
from dataclasses import dataclass

from click.testing import CliRunner

from smartdiet_assets.cli.group import cli
from smartdiet_assets.errors import SmartdietError


@dataclass
class Result:
    """What a command ended with."""

    returncode: int
    stdout: str
    stderr: str


def smartdiet(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a user does, in a process of its own; `variables` are added to the environment."""
    return subprocess.run(
        [sys.executable, "-m", "smartdiet_assets.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **variables},
        check=False,
    )


def smartdiet_here(*arguments: str, **variables: str) -> Result:
    """Run a command in this process, whose imports are paid for; `main` makes an error of ours exit code 2."""
    found = CliRunner().invoke(cli, arguments, env=variables)
    if isinstance(found.exception, SmartdietError):
        return Result(2, found.stdout, str(found.exception))
    if found.exception is not None and not isinstance(found.exception, SystemExit):
        raise found.exception
    return Result(found.exit_code, found.stdout, found.stderr)
