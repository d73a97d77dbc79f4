"""The embedded MariaDB keeps what it was given, lets nobody in without its password, and leaves no process behind."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pymysql
import pytest

from smartdiet_assets.demo import mariadb_server
from smartdiet_assets.demo.mariadb_server import EmbeddedMariaDB
from smartdiet_assets.demo.server_folder import EmbeddedServerError
from smartdiet_assets.errors import ConfigurationError
from smartdiet_assets_tests.conftest import run_server
from smartdiet_assets_tests.integration.demo.processes import is_gone


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedMariaDB]:
    """A server of this test's own, which it may kill."""
    yield from run_server(EmbeddedMariaDB(tmp_path / "mariadb"))


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_data_is_kept_over_an_end_and_a_start(server: EmbeddedMariaDB, end: str) -> None:
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("CREATE DATABASE kept")
        cursor.execute("CREATE TABLE kept.t (a INT)")
        cursor.execute("INSERT INTO kept.t VALUES (7)")
    pid = server.process_id
    getattr(server, end)()
    assert pid is not None
    assert is_gone(pid, 0.1)
    with EmbeddedMariaDB(server.directory) as again, again.connect("kept") as kept, kept.cursor() as cursor:
        cursor.execute("SELECT a FROM t")
        assert cursor.fetchall() == ((7,),)


@pytest.mark.parametrize(("user", "password"), [("root", ""), ("", ""), ("smartdiet", ""), ("smartdiet", "wrong")])
def test_nobody_gets_in_without_the_password(mariadb_server: EmbeddedMariaDB, user: str, password: str) -> None:
    with pytest.raises(pymysql.OperationalError) as caught:
        pymysql.connect(host=mariadb_server.host, port=mariadb_server.port, user=user, password=password)
    assert caught.value.args[0] in (1045, 1698)


def test_only_its_owner_can_read_the_password_and_it_is_in_no_argument(mariadb_server: EmbeddedMariaDB) -> None:
    assert (mariadb_server.directory / "password").stat().st_mode & 0o077 == 0
    assert mariadb_server.password not in Path(f"/proc/{mariadb_server.process_id}/cmdline").read_text()
    assert not (mariadb_server.data_directory / "account.sql").exists()
    assert mariadb_server.password not in repr(mariadb_server)


def test_it_does_not_run_as_root(mariadb_server: EmbeddedMariaDB) -> None:
    assert os.stat(f"/proc/{mariadb_server.process_id}").st_uid != 0


def test_a_second_server_on_one_folder_is_refused(mariadb_server: EmbeddedMariaDB) -> None:
    with pytest.raises(EmbeddedServerError, match="already runs on"):
        EmbeddedMariaDB(mariadb_server.directory).start()


@pytest.mark.usefixtures("mariadb_server")
def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        other = EmbeddedMariaDB(tmp_path / "other", port=taken.getsockname()[1])
        with pytest.raises(EmbeddedServerError, match=r"port \d+ of 127.0.0.1 is in use"):
            other.start()
        other.remove()


def test_a_machine_without_it_is_told_how_to_have_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not mariadb_server.has_mariadb(folders=())
    with pytest.raises(ConfigurationError, match="run: apt install mariadb-server"):
        EmbeddedMariaDB(tmp_path / "none", folders=()).start()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent has ended")
@pytest.mark.usefixtures("mariadb_server")
def test_it_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path;"
        "from smartdiet_assets.demo.mariadb_server import EmbeddedMariaDB;"
        "server = EmbeddedMariaDB(Path(sys.argv[1])); server.start();"
        "print(server.process_id, flush=True); time.sleep(60)"
    )
    folder = tmp_path / "orphan"
    parent = subprocess.Popen([sys.executable, "-c", script, str(folder)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    assert is_gone(pid)
    EmbeddedMariaDB(folder).remove()
