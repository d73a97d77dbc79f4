"""Which lines of known hosts mean a server, as OpenSSH reads them, and what an unknown key's message says."""

from base64 import b64encode
from pathlib import Path

import pytest

from smartdiet_assets.errors import ConfigurationError, HostKeyError
from smartdiet_assets.resources.environment import read_environment
from smartdiet_assets.resources.ssh_host_keys import (
    KnownKeys,
    PublicKey,
    check_host_key,
    find_known_keys,
    read_public_key,
)


def build_key(name: str, kind: str = "ssh-ed25519") -> PublicKey:
    head = kind.encode()
    return PublicKey(kind, len(head).to_bytes(4, "big") + head + b"\0\0\0\x20" + name.encode().ljust(32))


ONE, OTHER = build_key("one"), build_key("other")
RSA = build_key("rsa", "ssh-rsa")


@pytest.mark.parametrize(
    ("line", "server", "port", "found"),
    [
        ("db.example.org {}", "db.example.org", 22, True),
        ("DB.example.org {}", "db.EXAMPLE.org", 22, True),
        ("db.example.org {} me@there", "db.example.org", 22, True),
        ("other,db.example.org {}", "db.example.org", 22, True),
        ("*.example.org {}", "db.example.org", 22, True),
        ("db?.example.org {}", "db1.example.org", 22, True),
        ("*.example.org,!db.example.org {}", "db.example.org", 22, False),
        ("[db.example.org]:2222 {}", "db.example.org", 2222, True),
        ("[*.example.org]:2222 {}", "db.example.org", 2222, True),
        ("db.example.org {}", "db.example.org", 2222, False),
        ("[db.example.org]:2222 {}", "db.example.org", 22, False),
        ("db.example.org.evil {}", "db.example.org", 22, False),
        ("# db.example.org {}", "db.example.org", 22, False),
        ("@cert-authority *.example.org {}", "db.example.org", 22, False),
        ("2001:db8::1 {}", "2001:db8::1", 22, True),
        ("|1|not-base64|either {}", "db.example.org", 22, False),
    ],
)
def test_a_line_means_a_server_as_openssh_reads_it(
    tmp_path: Path, line: str, server: str, port: int, found: bool
) -> None:
    path = tmp_path / "known"
    path.write_text(f"\ngarbage\nother.example.org ssh-ed25519 {b64encode(b'short').decode()}\n{line.format(ONE)}\n")
    known = find_known_keys(server, port, known_hosts=str(path))
    assert known.accepted == ((ONE,) if found else ())


def test_all_lines_of_a_server_count_and_their_types_are_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "known"
    path.write_text(f"db {RSA}\ndb {ONE}\n@revoked db {OTHER}\n")
    known = find_known_keys("db", 22, known_hosts=str(path))
    assert known.kinds == ("ssh-rsa", "ssh-ed25519")
    check_host_key(ONE, known, "db", 22)
    check_host_key(RSA, known, "db", 22)
    with pytest.raises(HostKeyError, match="revoked"):
        check_host_key(OTHER, known, "db", 22)


def test_the_configured_key_is_the_only_one(tmp_path: Path) -> None:
    path = tmp_path / "known"
    path.write_text(f"db {OTHER}\n")
    known = find_known_keys("db", 22, host_key=str(ONE), known_hosts=str(path))
    assert known == KnownKeys((ONE,))
    with pytest.raises(HostKeyError, match="shows another key than the one that is known"):
        check_host_key(OTHER, known, "db", 22)


@pytest.mark.parametrize("text", [str(ONE), f"{ONE} me@there", f"db.example.org {ONE}", f"[db]:2222 {ONE}\n"])
def test_a_public_key_is_read_as_ssh_writes_it(text: str) -> None:
    assert read_public_key(text) == ONE
    settings = read_environment({"REMOTE_SERVER_HOST_KEY": text})
    assert settings.remote_server_host_key == str(ONE)


@pytest.mark.parametrize(
    "text",
    ["", "ssh-ed25519", "SHA256:abcdef", f"ssh-rsa {str(ONE).split()[1]}", f"{ONE}\n{OTHER}", "ssh-ed25519 not-base64"],
)
def test_what_is_no_public_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - it has no text, for a caller knows the variable
        read_public_key(text)
    with pytest.raises(ConfigurationError, match=r"REMOTE_SERVER_HOST_KEY must be one public key line"):
        find_known_keys("db", 22, host_key=text or " ")
    if text:
        with pytest.raises(ConfigurationError, match=r"^REMOTE_SERVER_HOST_KEY must be one public key line"):
            read_environment({"REMOTE_SERVER_HOST_KEY": text})
