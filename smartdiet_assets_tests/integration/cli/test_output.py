"""Any output, and Ctrl-C at any moment, of every command."""

import os
import pty
import select
import struct
import subprocess
import sys
import sysconfig
import termios
from fcntl import ioctl
from pathlib import Path

import pytest

from smartdiet_assets.cli.group import cli
from smartdiet_assets.errors import ConfigurationError
from smartdiet_assets.infer.schema_file import require_own_file
from smartdiet_assets_tests.integration.conftest import Smartdiet

#: Sends itself a signal at one of its imports, counted from the first after the entry point.
INTERRUPTED_IMPORT = """
import os, sys
from smartdiet_assets.cli import main
number, left = int(sys.argv[1]), int(sys.argv[2])

def count(event, arguments):
    global left
    if event == "import":
        left -= 1
        if left == 0:
            os.kill(os.getpid(), number)

sys.addaudithook(count)
sys.argv = ["smartdiet", *sys.argv[3:]]
main()
"""
SWALLOWED = """
import os, time
import smartdiet_assets.cli

class Deaf:
    def __del__(self):
        os.kill(os.getpid(), 15)

def run(session):
    Deaf()
    time.sleep(60)
    print("not heard")

smartdiet_assets.cli._run = run
smartdiet_assets.cli.main()
"""
PROGRAM = [sys.executable, "-m", "smartdiet_assets.cli"]


@pytest.mark.usefixtures("configured_servers")
@pytest.mark.parametrize("encoding", ["latin-1", "ascii:strict"])
def test_no_encoding_of_the_output_ends_a_command(encoding: str) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    name = encoding.partition(":")[0]
    for command in (["doctor"], ["check", "companies"], ["rejects"]):
        done = subprocess.run(
            [*PROGRAM, *command],
            env=environment,
            capture_output=True,
            check=False,
            timeout=300,
        )
        assert done.returncode in (0, 1), done.stderr
        assert b"Traceback" not in done.stderr
        assert "PostgreSQL" in done.stdout.decode(name) or command != ["doctor"]


@pytest.mark.usefixtures("configured_servers")
@pytest.mark.parametrize(("columns", "extra"), [(80, {}), (24, {"NO_COLOR": "1"})])
def test_a_narrow_terminal_shows_all_of_it(columns: int, extra: dict[str, str]) -> None:
    for command, texts in (
        (["status"], ("watermark", "last run", "capture", "users_logbook")),
        (["check", "companies"], ("companies", "structure", "source", "fresh")),
    ):
        shown = run_in_terminal(command, columns, extra)
        assert "Traceback" not in shown
        for text in texts:
            assert text in shown, shown
        if "NO_COLOR" in extra:
            assert "\x1b[3" not in shown, "no colour"


@pytest.mark.parametrize(("number", "imports"), [(2, 1), (2, 40), (2, 150), (2, 400), (2, 1000), (15, 40), (15, 150)])
def test_a_signal_while_python_imports_is_one_word(own_environment: Path, number: int, imports: int) -> None:
    # Of these two only the one that is about Dagster's runs imports Dagster.
    asked = "prune" if imports == 1000 else "status"
    command = [sys.executable, "-c", INTERRUPTED_IMPORT, str(number), str(imports), asked]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.stderr.strip() == "Interrupted."
    assert done.returncode == {2: 130, 15: 143}[number]


def test_a_signal_that_comes_where_python_lets_no_error_out_is_heard(own_environment: Path) -> None:
    """As it may while a module is imported, by the locks of imports."""
    done = subprocess.run([sys.executable, "-c", SWALLOWED], capture_output=True, text=True, timeout=300, check=False)
    assert (done.stdout, done.stderr.strip(), done.returncode) == ("", "Interrupted.", 143)


def test_an_ignored_signal_stays_ignored(own_environment: Path) -> None:
    """As that of a job in the background, or of `nohup`."""
    command = [
        "/bin/sh",
        "-c",
        'trap "" INT; exec "$@"',
        "sh",
        sys.executable,
        "-c",
        INTERRUPTED_IMPORT,
        "2",
        "40",
        "--help",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0
    assert "Usage" in done.stdout


def test_every_command_is_in_the_group_that_the_entry_point_runs(own_environment: Path, smartdiet: Smartdiet) -> None:
    shown = smartdiet("--help").out
    assert [name for name in cli.commands if f"\n  {name} " not in shown] == []


def test_infer_adds_nothing_to_an_installed_package(
    own_environment: Path, smartdiet: Smartdiet, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = Path(sysconfig.get_path("purelib")) / "config" / "schemas.yaml"
    link = own_environment / "linked.yaml"
    link.symlink_to(installed)
    for path in (installed, link, Path(require_own_file.__code__.co_filename).with_name("schemas.yaml")):
        with pytest.raises(ConfigurationError, match="installed package"):
            require_own_file(path)
        # Before a server is asked: none is here.
        monkeypatch.setenv("SMARTDIET_SCHEMAS", str(path))
        result = smartdiet("infer", "users", "--append")
        assert result.code == 2
        assert "is part of the installed package" in result.err
    require_own_file(own_environment / "config" / "schemas.yaml")
    assert not installed.exists()


def run_in_terminal(command: list[str], columns: int, extra: dict[str, str]) -> str:
    """Run a command in a terminal of a width; all that it shows."""
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    process = subprocess.Popen(
        [*PROGRAM, *command], stdin=theirs, stdout=theirs, stderr=theirs, env={**environment, "TERM": "xterm", **extra}
    )
    os.close(theirs)
    shown = b""
    while select.select([ours], [], [], 300)[0]:
        try:
            data = os.read(ours, 65536)
        except OSError:
            break
        if not data:
            break
        shown += data
    os.close(ours)
    assert process.wait(60) in (0, 1), shown.decode()
    return shown.decode()
