"""What ends a command from outside: Ctrl-C at any moment, an output that takes nothing any more."""

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from smartdiet_assets_tests.integration.conftest import Smartdiet

#: Ctrl-C while a driver makes its client, whose `__del__` may then complain.
INTERRUPTED = """
import sys
import pymongo
from smartdiet_assets.cli import main

def interrupt(*arguments, **options):
    raise KeyboardInterrupt

pymongo.MongoClient.__init__ = interrupt
sys.argv = ["smartdiet", *sys.argv[1:]]
main()
"""


def run(*arguments: str, output: int = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], stdout=output, stderr=subprocess.PIPE, text=True, timeout=300, check=False
    )


def test_ctrl_c_is_no_failure_and_no_difference(smartdiet: Smartdiet, monkeypatch: pytest.MonkeyPatch) -> None:
    """`doctor` exits 1 for a failure and `compare` for a difference."""

    main = threading.get_ident()

    def interrupt(silent: socket.socket) -> None:
        with silent.accept()[0]:
            signal.pthread_kill(main, signal.SIGINT)
            silent.accept()

    with socket.create_server(("127.0.0.1", 0)) as silent:
        threading.Thread(target=interrupt, args=(silent,), daemon=True).start()
        monkeypatch.setenv("MONGODB_URL", f"mongodb://127.0.0.1:{silent.getsockname()[1]}/?directConnection=true")
        result = smartdiet("doctor")
    assert (result.code, result.err) == (130, "Interrupted.")


def test_ctrl_c_while_a_connection_is_set_up_shows_nothing_of_the_inside(configured_servers: None) -> None:
    result = run("-c", INTERRUPTED, "infer", "users")
    assert (result.returncode, result.stderr.strip()) == (130, "Interrupted.")


def test_nothing_heavy_is_loaded_before_a_command_is_known() -> None:
    """Ctrl-C before that is Python's to answer, with a traceback; `--help` is quick for it too."""
    result = run("-c", "import sys, smartdiet_assets.cli; print({'dagster', 'pymongo', 'psycopg'} & set(sys.modules))")
    assert result.stdout.strip() == "set()"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device here is always full")
def test_a_full_disk_below_the_output_is_one_sentence(configured_servers: None) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        result = run("-m", "smartdiet_assets.cli", "doctor", output=full)
    finally:
        os.close(full)
    assert result.returncode == 2
    assert result.stderr.strip() == "the output cannot be written: no space is left where it goes"
