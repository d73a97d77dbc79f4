"""The file `.env` and the process environment, which wins over it, whoever reads the file first.

Here: reading the file, and finding out what the environment said before Dagster put the file over it.

Every command of Dagster (`dagster`, `dagster-webserver`, `dg`) loads the `.env` of the current folder before any code
of ours, writes it over the process environment, and passes that on to all its processes. What was there before is known
to the system only: it keeps the environment that each process was started with. Where it does not tell (no /proc), what
Dagster loaded stays.
"""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from dotenv import find_dotenv
from dotenv.parser import parse_stream
from dotenv.variables import parse_variables

from smartdiet_assets.errors import ConfigurationError

_PROCESSES = Path("/proc")
_DAGSTER = re.compile(r"dagster([-._].+)?|dg|dagit")
_PYTHON = re.compile(r"python[\d.]*")
#: No chain of processes is longer; one that seems to be is not followed.
_MOST_ANCESTORS = 64
#: Where Dagster keeps its own things was decided before; its processes must stay of one mind about it.
_DAGSTERS_OWN = "DAGSTER_"
_SINGLE_QUOTED = re.compile(r"[^=]*=[^\S\r\n]*'")


def apply_env_file() -> Path | None:
    """Put the variables of the nearest `.env`, from the current folder upwards, into the process environment.

    What was set for the process wins. Dagster's `EnvVar` reads the process environment, so it sees both.

    Returns:
        The file, None when there is none.

    Raises:
        ConfigurationError: the file cannot be read.
    """
    found = find_dotenv(usecwd=True)
    if not found:
        return None
    given = _find_given_environment()
    try:
        values = _read_values(found, os.environ if given is None else given)
    except (OSError, UnicodeDecodeError):
        raise ConfigurationError(f"{found} cannot be read; it must be a UTF-8 text file") from None
    for name, value in values.items():
        if given is None or name.startswith(_DAGSTERS_OWN):
            os.environ.setdefault(name, value)
        else:
            os.environ[name] = given.get(name, value)
    return Path(found)


def _read_values(path: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Read a file as dotenv does, but what is in single quotes as it stands: a password may hold `${…}`."""
    values: dict[str, str] = {}
    with open(path, encoding="utf-8") as file:
        for binding in parse_stream(file):
            if binding.key is None or binding.value is None:
                continue
            if _SINGLE_QUOTED.match(binding.original.string):
                values[binding.key] = binding.value
            else:
                known = {**values, **environment}
                values[binding.key] = "".join(atom.resolve(known) for atom in parse_variables(binding.value))
    return values


def _find_given_environment() -> dict[str, str] | None:
    """Find the environment that the command of Dagster was started with whose process this is, or is one of.

    None where it is none's: also of a command that a run of Dagster starts, which has the environment it was given.
    """
    outermost = ""
    for process in _list_ancestors():
        try:
            arguments = (_PROCESSES / process / "cmdline").read_bytes()
        except OSError:
            break
        kind = _judge(list(map(os.fsdecode, arguments.split(b"\0"))))
        if not kind:
            break
        outermost = process if kind == "command" else outermost
    if not outermost:
        return None
    try:
        entries = (_PROCESSES / outermost / "environ").read_bytes().split(b"\0")
    except OSError:
        return None
    return {name: value for name, _, value in (os.fsdecode(entry).partition("=") for entry in entries) if name}


def _list_ancestors() -> Iterator[str]:
    """List this process, its parent and so on."""
    process = str(os.getpid())
    for _ in range(_MOST_ANCESTORS):
        yield process
        try:
            # The name before may hold anything.
            process = (_PROCESSES / process / "stat").read_text(errors="replace").rpartition(")")[2].split()[1]
        except (OSError, IndexError):
            return
        if process == "0":
            return


def _judge(arguments: list[str]) -> str:
    """Judge a process by what was started: a `command` of Dagster, a `worker` as Python starts them, or "", neither."""
    program = os.path.basename(arguments[0])
    if _DAGSTER.fullmatch(program):
        return "command"
    if not _PYTHON.fullmatch(program):
        return ""
    # Options of Python may come before what it runs.
    if any(_DAGSTER.fullmatch(os.path.basename(argument)) for argument in arguments[1:6]):
        return "command"
    return "worker" if any("multiprocessing" in argument for argument in arguments[1:]) else ""
