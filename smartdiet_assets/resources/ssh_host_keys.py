"""Which key an SSH server must show: the one configured, or those in a file of known hosts, as OpenSSH writes it.

There is no way to connect without this judgement.
"""

import fnmatch
import hashlib
import hmac
from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from smartdiet_assets.errors import ConfigurationError, HostKeyError

#: The user's own, then the machine's.
_DEFAULT_FILES = ("~/.ssh/known_hosts", "/etc/ssh/ssh_known_hosts")
_DEFAULT_PORT = 22
_REVOKED = "@revoked"


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key: its type such as `ssh-ed25519`, and its bytes as SSH sends them."""

    kind: str
    data: bytes

    @property
    def fingerprint(self) -> str:
        """As `ssh-keygen -l` shows it."""
        return "SHA256:" + b64encode(hashlib.sha256(self.data).digest()).decode().rstrip("=")

    def __str__(self) -> str:
        return f"{self.kind} {b64encode(self.data).decode()}"


@dataclass(frozen=True, slots=True)
class KnownKeys:
    """What is known of a server: the keys it may show, those it must not, and where that is written."""

    accepted: tuple[PublicKey, ...]
    revoked: tuple[PublicKey, ...] = ()
    files: tuple[str, ...] = ()

    @property
    def kinds(self) -> tuple[str, ...]:
        """The types to ask the server for first, so that it shows a key that is known."""
        return tuple(dict.fromkeys(key.kind for key in self.accepted))


def read_public_key(text: str) -> PublicKey:
    """Read `TYPE BASE64 [COMMENT]`, or a line that ssh-keyscan prints, with the host before it.

    Raises:
        ValueError: there is no public key in it, or more than one line.
    """
    words = text.split() if len(text.splitlines()) == 1 else []
    for kind, encoded in pairwise(words[:3]):
        if (key := _decode(kind, encoded)) is not None:
            return key
    raise ValueError


def find_known_keys(server: str, port: int, *, host_key: str = "", known_hosts: str = "", name: str = "") -> KnownKeys:
    """Find the keys that a server may show.

    Args:
        host_key: the only one, as a line; "" looks in the files.
        known_hosts: the file to look in; "" is the user's own and the machine's.
        name: what messages call that file; "" is as it is written.

    Raises:
        ConfigurationError: the line, or the file that is named, cannot be read.
    """
    if host_key:
        try:
            return KnownKeys((read_public_key(host_key),))
        except ValueError:
            raise ConfigurationError(
                "REMOTE_SERVER_HOST_KEY must be one public key line such as ssh-ed25519 AAAA..., as ssh-keyscan prints"
            ) from None
    accepted: list[PublicKey] = []
    revoked: list[PublicKey] = []
    files = {known_hosts: name or known_hosts} if known_hosts else dict.fromkeys(_DEFAULT_FILES, "")
    for file, named in files.items():
        for marker, patterns, key in _read_known_hosts(file, named):
            if _matches(patterns, server, port):
                (revoked if marker == _REVOKED else accepted).append(key)
    return KnownKeys(tuple(accepted), tuple(revoked), tuple(named or file for file, named in files.items()))


def check_host_key(offered: PublicKey, known: KnownKeys, server: str, port: int | str) -> None:
    """Accept the key that a server offers, or say how to make it known.

    Args:
        server, port: as messages name them.

    Raises:
        HostKeyError: it is not known, not the one that is known, or revoked.
    """
    if offered in known.revoked:
        raise HostKeyError(
            f"the SSH server {server}:{port} shows a key that {known.files[0]} marks as revoked "
            f"({offered.kind} {offered.fingerprint}). Nothing was sent to it; ask who runs the server"
        )
    if offered in known.accepted:
        return
    written = known.files[0] if known.files else "REMOTE_SERVER_HOST_KEY"
    add = (
        f"add this line to {written}: {_name(server, port)} {offered}\n"
        f"(ssh-keyscan -p {port} -t {_short(offered.kind)} {server} prints it too), or set "
        f"REMOTE_SERVER_HOST_KEY={str(offered)!r}"
        if known.files
        else f"set REMOTE_SERVER_HOST_KEY={str(offered)!r}"
    )
    compare = (
        "Nothing was sent to it. Compare the fingerprint with the one the server itself shows "
        f"(there: ssh-keygen -lf /etc/ssh/ssh_host_{_short(offered.kind)}_key.pub)"
    )
    if not known.accepted:
        raise HostKeyError(
            f"the SSH server {server}:{port} is not known here: it shows the {offered.kind} key {offered.fingerprint}. "
            f"{compare}; where they are the same, {add}"
        )
    expected = ", ".join(f"{key.kind} {key.fingerprint}" for key in known.accepted)
    remove = f"remove the old one (ssh-keygen -R {_name(server, port)!r} -f {written}) and " if known.files else ""
    raise HostKeyError(
        f"the SSH server {server}:{port} shows another key than the one that is known: {offered.kind} "
        f"{offered.fingerprint}, not {expected} ({written}). Somebody may be listening in between, or the server was "
        f"set up anew. {compare}; only where they are the same, {remove}{add}"
    )


def _decode(kind: str, encoded: str) -> PublicKey | None:
    name = kind.encode()
    try:
        data = b64decode(encoded, validate=True)
    except ValueError:
        return None
    starts = len(name).to_bytes(4, "big") + name
    return PublicKey(kind, data) if name and data.startswith(starts) and len(data) > len(starts) else None


def _read_known_hosts(file: str, named: str) -> Iterator[tuple[str, Sequence[str], PublicKey]]:
    """Read marker, host patterns and key of every line; those of certificate authorities tell nothing here.

    Args:
        named: what a message calls the file; "" where it need not exist.
    """
    path = Path(file).expanduser()
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        if named:
            raise ConfigurationError(f"REMOTE_SERVER_KNOWN_HOSTS: the file {named} cannot be read") from None
        return
    for line in text.splitlines():
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        marker = words.pop(0) if words[0].startswith("@") else ""
        if len(words) < 3 or marker not in ("", _REVOKED):
            continue
        key = _decode(words[1], words[2])
        if key is not None:
            yield marker, words[0].split(","), key


def _matches(patterns: Sequence[str], server: str, port: int) -> bool:
    """Whether host patterns of a line mean a server; one with `!` that does takes the line back, as in OpenSSH."""
    name = _name(server, port)
    taken_back = any(_matches_one(pattern[1:], name) for pattern in patterns if pattern.startswith("!"))
    # What is left of a pattern with "!" is no name of a server.
    return not taken_back and any(_matches_one(pattern, name) for pattern in patterns)


def _matches_one(pattern: str, name: str) -> bool:
    if pattern.startswith("|1|"):
        try:
            salt, digest = (b64decode(part, validate=True) for part in pattern[3:].split("|"))
        except ValueError:
            return False
        return hmac.compare_digest(hmac.digest(salt, name.encode(), "sha1"), digest)
    # Only * and ? mean something in these patterns; [ stands before a host with a port.
    return fnmatch.fnmatchcase(name, pattern.lower().replace("[", "[[]"))


def _name(server: str, port: int | str) -> str:
    """Name a server as known_hosts does."""
    return server.lower() if port == _DEFAULT_PORT else f"[{server.lower()}]:{port}"


def _short(kind: str) -> str:
    """Name a type of key as ssh-keygen and ssh-keyscan do."""
    return "ecdsa" if kind.startswith("ecdsa") else kind.removeprefix("ssh-")
