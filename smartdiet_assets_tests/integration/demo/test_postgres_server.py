"""The embedded PostgreSQL keeps what it was given, says what is wrong, and leaves no process behind."""

import os
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from smartdiet_assets.demo.postgres_placement import find_binaries, prepare_placement
from smartdiet_assets.demo.postgres_server import EmbeddedPostgres
from smartdiet_assets.demo.server_folder import EmbeddedServerError
from smartdiet_assets_tests.conftest import run_server
from smartdiet_assets_tests.integration.demo.processes import is_gone

FAST = {"fsync": "off"}
NOBODY = 65534
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    """A server of this test's own, which it may kill."""
    yield from run_server(EmbeddedPostgres(tmp_path / "postgres", settings=FAST))


def ask(server: EmbeddedPostgres, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        cursor = connection.execute(query)
        return cursor.fetchall() if cursor.description else []


def test_it_is_postgresql_18_in_utf8_on_the_loopback_address_only(server: EmbeddedPostgres) -> None:
    (row,) = ask(
        server,
        "SELECT current_setting('server_version_num')::int / 10000, current_setting('server_encoding'),"
        " current_setting('listen_addresses'), current_setting('unix_socket_directories'),"
        " current_setting('fsync'), upper('é')",
    )
    assert row == (18, "UTF8", "127.0.0.1", "", "off", "É")


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_data_and_password_are_kept_over_an_end_and_a_start(server: EmbeddedPostgres, end: str) -> None:
    ask(server, "CREATE TABLE kept AS SELECT 7 AS number")
    pid, password = server.process_id, server.password
    getattr(server, end)()
    assert pid is not None
    assert is_gone(pid, 0.1)
    again = EmbeddedPostgres(server.directory, settings=FAST)
    with again:
        assert again.password == password
        assert ask(again, "SELECT number FROM kept") == [(7,)]


def test_a_kill_is_a_crash_that_the_next_start_recovers_from(server: EmbeddedPostgres) -> None:
    server.kill()
    server.start()
    assert "automatic recovery in progress" in (server.directory / "postgres.log").read_text()


def test_a_second_server_on_one_folder_is_refused(postgres_server: EmbeddedPostgres) -> None:
    with pytest.raises(EmbeddedServerError, match="already runs on"):
        EmbeddedPostgres(postgres_server.directory).start()
    with pytest.raises(EmbeddedServerError, match="already runs on"):
        postgres_server.start()
    assert ask(postgres_server, "SELECT 1") == [(1,)]


def test_a_stale_pid_file_with_the_pid_of_another_process_does_not_prevent_a_start(
    server: EmbeddedPostgres,
) -> None:
    server.stop()
    (server.data_directory / "postmaster.pid").write_text(f"{os.getpid()}\n{server.data_directory}\n")
    server.start()
    assert ask(server, "SELECT 1") == [(1,)]


def test_a_port_in_use_is_named(tmp_path: Path, server: EmbeddedPostgres) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        other = EmbeddedPostgres(tmp_path / "other", settings=FAST, port=port)
        with pytest.raises(EmbeddedServerError, match=f"port {port} of 127.0.0.1 is in use"):
            other.start()
    assert other.process_id is None
    other.start()
    assert other.port == port
    other.remove()


def test_a_server_that_does_not_start_shows_the_end_of_its_log(tmp_path: Path, server: EmbeddedPostgres) -> None:
    other = EmbeddedPostgres(tmp_path / "other", settings={**FAST, "no_such_setting": "1"})
    with pytest.raises(EmbeddedServerError, match='unrecognized configuration parameter "no_such_setting"'):
        other.start()
    other.remove()


def test_a_wrong_password_is_refused(postgres_server: EmbeddedPostgres) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(postgres_server.dsn(), password="wrong").close()


def test_only_the_owner_can_read_the_password(postgres_server: EmbeddedPostgres) -> None:
    assert stat.S_IMODE((postgres_server.directory / "password").stat().st_mode) == 0o600
    assert postgres_server.password not in repr(postgres_server)
    assert postgres_server.process_id is not None
    assert postgres_server.password not in Path(f"/proc/{postgres_server.process_id}/cmdline").read_text()


def test_removing_leaves_nothing(tmp_path: Path, server: EmbeddedPostgres) -> None:
    pid = server.process_id
    server.remove()
    assert pid is not None
    assert is_gone(pid)
    assert not server.directory.exists()
    assert not server.data_directory.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's notice of a parent's end is Linux's")
def test_it_ends_when_its_starter_is_killed_and_starts_again_at_once(server: EmbeddedPostgres) -> None:
    server.stop()
    script = (
        "import sys, time; from pathlib import Path;"
        "from smartdiet_assets.demo.postgres_server import EmbeddedPostgres;"
        "server = EmbeddedPostgres(Path(sys.argv[1]), settings={'fsync': 'off'}); server.start();"
        "print(server.process_id, flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", script, str(server.directory)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=_with_project()) as starter:
        assert starter.stdout is not None
        pid = int(starter.stdout.readline())
        starter.kill()
    server.start()
    assert is_gone(pid, 0.1)
    assert ask(server, "SELECT 1") == [(1,)]


@AS_ROOT
def test_as_root_it_runs_as_another_user_and_changes_no_folder_above_its_data(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    modes = {folder: folder.stat().st_mode for folder in (closed, *closed.parents)}
    server = EmbeddedPostgres(closed / "postgres", settings=FAST)
    with server:
        assert Path(f"/proc/{server.process_id}").stat().st_uid == NOBODY
        assert not server.data_directory.is_relative_to(closed)
        assert server.data_directory.parent.stat().st_mode & 0o777 == 0o700
        assert ask(server, "SELECT 1") == [(1,)]
    assert {folder: folder.stat().st_mode for folder in modes} == modes
    server.remove()
    assert not server.data_directory.parent.exists()


@AS_ROOT
def test_as_root_a_folder_removed_by_hand_starts_anew_under_the_same_name(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "postgres", settings=FAST)
    with server:
        ask(server, "CREATE TABLE forgotten (number int)")
    for path in server.directory.iterdir():
        path.unlink()
    server.directory.rmdir()
    with server:
        assert ask(server, "SELECT to_regclass('forgotten')") == [(None,)]
    server.remove()


@AS_ROOT
def test_without_root_it_runs_as_the_caller_in_its_own_folder() -> None:
    home = Path(tempfile.mkdtemp(prefix="smartdiet-test-", dir="/var/tmp"))
    os.chown(home, NOBODY, NOBODY)
    # The copy that root makes where the package's own folder is closed to others.
    binaries = prepare_placement(home, find_binaries()).binaries
    script = """
import json, os, socket, sys, tempfile
from pathlib import Path
import psycopg, psycopg.conninfo
from smartdiet_assets.demo.postgres_server import EmbeddedPostgres
os.setgroups([]); os.setgid(int(sys.argv[3])); os.setuid(int(sys.argv[3]))
sys.executable = sys.argv[4]
server = EmbeddedPostgres(Path(sys.argv[1]), settings={"fsync": "off"}, binaries=Path(sys.argv[2]))
with server:
    with psycopg.connect(server.dsn()) as connection:
        print(*connection.execute("SELECT 1").fetchone(), server.data_directory)
        print(os.stat(f"/proc/{server.process_id}").st_uid)
server.remove()
"""
    python = "/usr/bin/python3"
    if not os.access(python, os.X_OK):
        pytest.skip(f"needs {python}, which other users can run")
    try:
        result = subprocess.run(
            [sys.executable, "-c", script, str(home / "postgres"), str(binaries), str(NOBODY), python],
            env=_with_project(), capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert result.stderr == ""
        assert result.stdout.split() == ["1", str(home / "postgres" / "data"), str(NOBODY)]
        assert list(home.iterdir()) == []
    finally:
        home.rmdir()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EmbeddedServerError, match=r"cannot use the folder .*/file/postgres: Not a directory"):
        EmbeddedPostgres(tmp_path / "file" / "postgres").start()


def test_an_interrupt_in_the_terminal_does_not_reach_it(server: EmbeddedPostgres) -> None:
    assert server.process_id is not None
    assert os.getpgid(server.process_id) != os.getpgid(0)


def _with_project() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
