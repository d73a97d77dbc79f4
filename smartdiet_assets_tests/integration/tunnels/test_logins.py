"""Logging in to SSH servers: what is accepted, and what a user is told where it is not."""

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from smartdiet_assets.demo.server_folder import find_free_port
from smartdiet_assets.errors import (
    AuthenticationError,
    ConfigurationError,
    HostKeyError,
    ServerUnreachableError,
    SmartdietError,
    TerminalError,
    TransientError,
)
from smartdiet_assets.resources.access import RemoteAccess
from smartdiet_assets.resources.ssh_login import open_transport
from smartdiet_assets_tests.support.remote import AnySshServer, build_access
from smartdiet_assets_tests.support.ssh_servers import (
    PASSPHRASE,
    PASSWORD,
    InProcessSshServer,
    OpenSshServer,
    SshKeys,
    running,
)


def log_in(access: RemoteAccess) -> None:
    """Log in and leave."""
    transport = open_transport(access, 10)
    assert transport.is_authenticated()
    transport.close()
    transport.join(60)


def refuse(access: RemoteAccess, kind: type[SmartdietError]) -> str:
    """Give what a refused login says; no secret is in it."""
    with pytest.raises(kind) as caught:
        log_in(access)
    for secret in (PASSWORD, PASSPHRASE, "wrong-s3cret"):
        assert secret not in str(caught.value)
    return str(caught.value)


def by_key(server: AnySshServer, name: str, **changes: str | bool) -> RemoteAccess:
    return build_access(server, password="", **{"key_file": str(server.keys.path(name)), **changes})


@pytest.mark.parametrize("name", ["ed25519", "rsa", "ecdsa"])
def test_a_key_file_logs_in(either_server: AnySshServer, name: str) -> None:
    log_in(by_key(either_server, name))


@pytest.mark.parametrize("form", ["PEM", "PKCS8", "RFC4716"])
def test_every_form_ssh_keygen_writes_a_key_in_logs_in(sshd: OpenSshServer, tmp_path: Path, form: str) -> None:
    path = tmp_path / "key"
    path.write_bytes(sshd.keys.path("rsa").read_bytes())
    path.chmod(0o600)
    subprocess.run(["ssh-keygen", "-q", "-p", "-P", "", "-N", PASSPHRASE, "-m", form, "-f", str(path)], check=True)
    log_in(by_key(sshd, "rsa", key_file=str(path), key_passphrase=PASSPHRASE))


def test_an_encrypted_key_needs_its_passphrase(either_server: AnySshServer) -> None:
    log_in(by_key(either_server, "encrypted", key_passphrase=PASSPHRASE))
    message = refuse(by_key(either_server, "encrypted", key_passphrase="wrong-s3cret"), AuthenticationError)
    assert "REMOTE_SERVER_KEY_PASSPHRASE is not the passphrase of the key" in message
    message = refuse(by_key(either_server, "encrypted"), ConfigurationError)
    assert "is encrypted; set REMOTE_SERVER_KEY_PASSPHRASE" in message


def test_a_key_that_may_not_log_in(either_server: AnySshServer) -> None:
    message = refuse(by_key(either_server, "stranger"), AuthenticationError)
    assert f"tried: the key {either_server.keys.path('stranger')}" in message
    assert "check REMOTE_SERVER_USER".lower() in message.lower()
    assert issubclass(AuthenticationError, TerminalError)


def test_a_file_that_is_no_key(ssh_server: InProcessSshServer, tmp_path: Path) -> None:
    assert "the file /nowhere/key cannot be read" in refuse(
        by_key(ssh_server, "ed25519", key_file="/nowhere/key"), ConfigurationError
    )
    other = tmp_path / "key"
    other.write_text(ssh_server.keys.public("ed25519"))
    assert "holds no private key" in refuse(by_key(ssh_server, "ed25519", key_file=str(other)), ConfigurationError)


def test_a_password_logs_in_and_a_wrong_one_does_not(ssh_server: InProcessSshServer) -> None:
    log_in(build_access(ssh_server))
    message = refuse(build_access(ssh_server, password="wrong-s3cret"), AuthenticationError)
    assert "refuses the user tunnel; tried: the password" in message
    assert "REMOTE_SERVER_PASSWORD" in message


def test_a_server_that_takes_no_passwords_says_so(sshd: OpenSshServer) -> None:
    message = refuse(build_access(sshd, key_file="", password="wrong-s3cret"), AuthenticationError)
    assert "the password (not taken by the server)" in message


def test_the_password_is_tried_where_the_key_is_refused(ssh_server: InProcessSshServer) -> None:
    log_in(build_access(ssh_server, key_file=str(ssh_server.keys.path("stranger"))))


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A running SSH agent without keys, which this process knows."""
    path = tmp_path / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(path)], stdout=subprocess.DEVNULL)
    try:
        monkeypatch.setenv("SSH_AUTH_SOCK", str(path))
        while not path.exists():
            assert process.poll() is None
        yield path
    finally:
        process.terminate()
        process.wait()


def test_the_keys_of_the_agent_log_in(either_server: AnySshServer, agent: Path) -> None:
    nothing = build_access(either_server, password="", key_file="")
    assert "tried: nothing" in refuse(nothing, AuthenticationError)
    for name in ("stranger", "ed25519"):
        subprocess.run(["ssh-add", "-q", str(either_server.keys.path(name))], check=True, env=os.environ)
    log_in(nothing)
    # With another way too, where that is asked for.
    log_in(by_key(either_server, "stranger", agent=True))
    refuse(by_key(either_server, "stranger"), AuthenticationError)


def known_hosts(tmp_path: Path, *lines: str) -> dict[str, str]:
    path = tmp_path / "known_hosts"
    path.write_text("# ours\n\n" + "".join(f"{line}\n" for line in lines))
    return {"host_key": "", "known_hosts": str(path)}


def test_a_host_key_of_the_known_hosts_is_accepted(either_server: AnySshServer, tmp_path: Path) -> None:
    name, key = f"[{either_server.host}]:{either_server.port}", either_server.keys.public("host")
    other = either_server.keys.public("other_host")
    for line in (f"{name} {key}", f"example.org,{name} {key} comment", f"[127.0.*]:{either_server.port} {key}"):
        log_in(build_access(either_server, **known_hosts(tmp_path, f"example.org {other}", line)))


def test_a_hashed_line_of_the_known_hosts_is_found(either_server: AnySshServer, tmp_path: Path) -> None:
    settings = known_hosts(tmp_path, f"[{either_server.host}]:{either_server.port} {either_server.keys.public('host')}")
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", settings["known_hosts"]], check=True, capture_output=True)
    assert "127.0.0.1" not in Path(settings["known_hosts"]).read_text()
    log_in(build_access(either_server, **settings))


def test_the_server_is_asked_for_the_type_of_key_that_is_known(sshd: OpenSshServer, tmp_path: Path) -> None:
    """It would show its ed25519 key, which is not known here."""
    name = f"[{sshd.host}]:{sshd.port}"
    log_in(build_access(sshd, **known_hosts(tmp_path, f"{name} {sshd.keys.public('host_rsa')}")))


def test_an_unknown_host_key_is_refused_and_the_message_says_how_to_add_it(
    either_server: AnySshServer, tmp_path: Path
) -> None:
    settings = known_hosts(tmp_path, f"example.org {either_server.keys.public('host')}")
    message = refuse(build_access(either_server, **settings), HostKeyError)
    shown = subprocess.run(
        ["ssh-keygen", "-lf", f"{either_server.keys.path('host')}.pub"], check=True, capture_output=True, text=True
    )
    assert shown.stdout.split()[1] in message
    assert "is not known here" in message
    line = next(line for line in message.splitlines() if "add this line" in line).partition("known_hosts: ")[2]
    # Doing what it says helps, either way.
    log_in(build_access(either_server, **known_hosts(tmp_path, line)))
    log_in(build_access(either_server, host_key=message.partition("REMOTE_SERVER_HOST_KEY='")[2].partition("'")[0]))
    assert issubclass(HostKeyError, TerminalError)


def test_what_the_message_says_about_ssh_keyscan_is_right(sshd: OpenSshServer, tmp_path: Path) -> None:
    message = refuse(build_access(sshd, **known_hosts(tmp_path)), HostKeyError)
    command = message.partition("(ssh-keyscan ")[2].partition(" prints")[0].split()
    scanned = subprocess.run(["ssh-keyscan", *command], check=True, capture_output=True, text=True).stdout
    log_in(build_access(sshd, **known_hosts(tmp_path, scanned)))
    log_in(build_access(sshd, host_key=next(line for line in scanned.splitlines() if not line.startswith("#"))))


def test_a_changed_host_key_is_refused_before_anything_is_sent(ssh_server: InProcessSshServer, tmp_path: Path) -> None:
    settings = known_hosts(tmp_path, f"[127.0.0.1]:{ssh_server.port} {ssh_server.keys.public('other_host')}")
    message = refuse(build_access(ssh_server, **settings), HostKeyError)
    assert "shows another key than the one that is known" in message
    assert f"ssh-keygen -R '[127.0.0.1]:{ssh_server.port}'" in message
    message = refuse(build_access(ssh_server, host_key=ssh_server.keys.public("other_host")), HostKeyError)
    assert "shows another key than the one that is known" in message
    assert (ssh_server.log.logins, ssh_server.log.refused) == (0, 0)


def test_a_revoked_host_key_is_refused(ssh_server: InProcessSshServer, tmp_path: Path) -> None:
    line = f"[127.0.0.1]:{ssh_server.port} {ssh_server.keys.public('host')}"
    message = refuse(build_access(ssh_server, **known_hosts(tmp_path, line, f"@revoked {line}")), HostKeyError)
    assert "marks as revoked" in message


def test_a_file_of_known_hosts_that_is_named_must_be_there(ssh_server: InProcessSshServer) -> None:
    message = refuse(build_access(ssh_server, host_key="", known_hosts="/nowhere/known"), ConfigurationError)
    assert "REMOTE_SERVER_KNOWN_HOSTS: the file /nowhere/known cannot be read" in message


def test_the_users_own_known_hosts_are_the_default(
    ssh_server: InProcessSshServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    refuse(build_access(ssh_server, host_key=""), HostKeyError)
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "known_hosts").write_text(f"[127.0.0.1]:{ssh_server.port} {ssh_server.keys.public('host')}\n")
    log_in(build_access(ssh_server, host_key=""))


def test_no_server_answers(ssh_server: InProcessSshServer) -> None:
    assert issubclass(ServerUnreachableError, TransientError)
    message = refuse(build_access(ssh_server, port=find_free_port()), ServerUnreachableError)
    assert "does not answer; check it, REMOTE_SERVER_URL and REMOTE_SERVER_PORT" in message
    message = refuse(build_access(ssh_server, server="no-such-host.invalid"), ServerUnreachableError)
    assert "the name has no address" in message


def test_what_answers_is_no_ssh_server(ssh_server: InProcessSshServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(ServerUnreachableError, match="is no SSH server"):
            open_transport(build_access(ssh_server, port=port), 1)


def test_the_settings_must_name_server_and_user(ssh_server: InProcessSshServer) -> None:
    assert "set REMOTE_SERVER_URL and REMOTE_SERVER_USER" in refuse(
        build_access(ssh_server, user=""), ConfigurationError
    )


def test_two_servers_of_one_address_are_told_apart_by_their_ports(
    ssh_server: InProcessSshServer, ssh_keys: SshKeys, tmp_path: Path
) -> None:
    with running(InProcessSshServer(ssh_keys, host_keys=("other_host",))) as other:
        settings = known_hosts(
            tmp_path,
            f"[127.0.0.1]:{ssh_server.port} {ssh_keys.public('host')}",
            f"[127.0.0.1]:{other.port} {ssh_keys.public('other_host')}",
        )
        log_in(build_access(ssh_server, **settings))
        log_in(build_access(other, **settings))
