"""The SSH servers of the tests: one of this process, which can do what a test wants to see, and a real sshd.

Here: the servers and the keys they and their users have. Not here: tests. Both listen on the loopback address only and
count what matters: who logged in, and who is still there.
"""

import asyncio
import contextlib
import os
import pwd
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import asyncssh

from smartdiet_assets.demo.server_folder import HOST, find_free_port
from smartdiet_assets.errors import ConfigurationError

USER = "tunnel"
PASSWORD = "t-unnel-S3cret"
PASSPHRASE = "p-assphrase-S3cret"


@dataclass
class SshKeys:
    """Key pairs made for one test session, by name: `ed25519`, `rsa`, `ecdsa`, one that is encrypted, and others."""

    folder: Path

    def __post_init__(self) -> None:
        for name, algorithm, passphrase in (
            ("ed25519", "ssh-ed25519", None),
            ("rsa", "ssh-rsa", None),
            ("ecdsa", "ecdsa-sha2-nistp256", None),
            ("encrypted", "ssh-ed25519", PASSPHRASE),
            ("stranger", "ssh-ed25519", None),
            ("host", "ssh-ed25519", None),
            ("host_rsa", "ssh-rsa", None),
            ("other_host", "ssh-ed25519", None),
        ):
            key = asyncssh.generate_private_key(algorithm)
            self.path(name).touch(mode=0o600)
            key.write_private_key(self.path(name), passphrase=passphrase)
            key.write_public_key(f"{self.path(name)}.pub")

    def path(self, name: str) -> Path:
        return self.folder / name

    def public(self, name: str) -> str:
        return " ".join(Path(f"{self.path(name)}.pub").read_text().split()[:2])

    @property
    def authorized(self) -> str:
        """The keys that may log in."""
        return "".join(f"{self.public(name)}\n" for name in ("ed25519", "rsa", "ecdsa", "encrypted"))


@dataclass
class SshLog:
    """What an SSH server saw."""

    logins: int = 0
    open: int = 0
    refused: int = 0
    forwarded: list[tuple[str, int]] = field(default_factory=list)


class _Session(asyncssh.SSHServer):
    def __init__(self, owner: "InProcessSshServer") -> None:
        self._owner = owner
        self._connection: asyncssh.SSHServerConnection | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        self._owner.connections.add(conn)
        self._owner.log.open += 1

    def connection_lost(self, exc: Exception | None) -> None:
        self._owner.connections.discard(self._connection)
        self._owner.log.open -= 1

    def auth_completed(self) -> None:
        self._owner.log.logins += 1

    def password_auth_supported(self) -> bool:
        return self._owner.takes_passwords

    def validate_password(self, username: str, password: str) -> bool:
        accepted = self._owner.validates and (username, password) == (USER, PASSWORD)
        self._owner.log.refused += not accepted
        return accepted

    def connection_requested(self, dest_host: str, dest_port: int, orig_host: str, orig_port: int) -> bool:
        self._owner.log.forwarded.append((dest_host, dest_port))
        if not self._owner.forwards:
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED, "not here")
        return True


class InProcessSshServer:
    """An SSH server in a thread of this process. Passwords and keys log in; it can be cut, frozen and told to refuse.

    Attributes:
        log: what it saw.
        takes_passwords: whether a password may log in.
        forwards: whether it connects clients to other servers.
        validates: whether the right password is taken for the right one.
    """

    def __init__(self, keys: SshKeys, *, host_keys: tuple[str, ...] = ("host",), port: int = 0) -> None:
        self.log = SshLog()
        self.takes_passwords = True
        self.forwards = True
        self.validates = True
        self.connections: set[asyncssh.SSHServerConnection | None] = set()
        self.keys = keys
        self.host = HOST
        self.port = port
        self._host_keys = host_keys
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="ssh server", daemon=True)
        self._listener: asyncssh.SSHAcceptor | None = None

    def start(self) -> None:
        if not self._thread.is_alive():
            self._thread.start()
        self._listener = self._run(self._listen())
        self.port = self._listener.get_port()

    def stop(self) -> None:
        """End every connection and listen no more; `start` listens on the same port again."""
        self._run(self._stop())

    def close(self) -> None:
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self) -> int:
        """Cut every connection as a network does, and say how many there were."""
        return self._run(self._cut())

    def wait_until_left(self) -> None:
        """Wait until nobody is connected any more."""
        wait_until(lambda: not self.log.open, "no SSH connection is left")

    async def _listen(self) -> asyncssh.SSHAcceptor:
        return await asyncssh.listen(
            HOST,
            self.port,
            server_factory=lambda: _Session(self),
            server_host_keys=[str(self.keys.path(name)) for name in self._host_keys],
            authorized_client_keys=asyncssh.import_authorized_keys(self.keys.authorized),
            reuse_address=True,
        )

    async def _stop(self) -> None:
        await self._cut()
        if self._listener is not None:
            self._listener.close()
            await self._listener.wait_closed()
            self._listener = None

    async def _cut(self) -> int:
        connections = [connection for connection in self.connections if connection is not None]
        for connection in connections:
            connection.abort()
        return len(connections)

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)


class OpenSshServer:
    """A real sshd with a configuration, host keys and authorized keys of its own; keys log in, as the user we are."""

    def __init__(self, folder: Path, keys: SshKeys) -> None:
        self.keys = keys
        self.host = HOST
        self.port = 0
        self.user = pwd.getpwuid(os.getuid()).pw_name
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        program = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
        if program is None:
            raise ConfigurationError("this machine has no sshd; apt install openssh-server")
        if os.getuid() == 0:
            # Where Debian's sshd locks up the part of it that has not seen a login yet.
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        self.port = find_free_port()
        authorized = self._folder / "authorized_keys"
        authorized.write_text(self.keys.authorized)
        config = self._folder / "sshd_config"
        lines = [
            f"ListenAddress {HOST}:{self.port}",
            *(f"HostKey {self.keys.path(name)}" for name in ("host", "host_rsa")),
            f"AuthorizedKeysFile {authorized}",
            "StrictModes no",
            "UsePAM no",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "PermitRootLogin prohibit-password",
            f"PidFile {self._folder / 'sshd.pid'}",
            "LogLevel VERBOSE",
        ]
        config.write_text("\n".join(lines) + "\n")
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen([program, "-D", "-e", "-f", str(config)], stderr=log, stdout=log)
        wait_until(lambda: "Server listening" in self._read_log() or self._process_ended(), "sshd listens")
        if self._process_ended():
            raise ConfigurationError(f"sshd does not start: {self._read_log()[-500:]}")

    def close(self) -> None:
        if self._process is not None:
            for child in self._list_sessions():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, 9)
            self._process.terminate()
            self._process.wait()

    def cut(self) -> int:
        """Kill the processes that serve connections, and say how many there were."""
        sessions = self._list_sessions()
        for process in sessions:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, 9)
        return len(sessions)

    @property
    def logins(self) -> int:
        return len(re.findall(r"^Accepted publickey for ", self._read_log(), re.MULTILINE))

    def wait_until_left(self) -> None:
        """Wait until nobody is connected any more."""
        wait_until(lambda: not self._list_sessions(), "no SSH connection is left")

    def _list_sessions(self) -> list[int]:
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        found = []
        for child in map(int, children):
            found.append(child)
            with contextlib.suppress(OSError):
                found += map(int, Path(f"/proc/{child}/task/{child}/children").read_text().split())
        return found

    def _process_ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def _read_log(self) -> str:
        return (self._folder / "log").read_text(errors="replace").replace("\r", "")


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Wait up to a minute."""
    for _ in range(1200):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError(f"not within a minute: {what}")


@contextlib.contextmanager
def running(server: InProcessSshServer) -> Iterator[InProcessSshServer]:
    """Run a server of this process for a block."""
    server.start()
    try:
        yield server
    finally:
        server.close()


class TunnelThreads:
    """The threads of tunnels in this process: none is left where nothing leads through one."""

    @staticmethod
    def list() -> list[str]:
        return [thread.name for thread in threading.enumerate() if "smartdiet tunnel" in thread.name]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *error: object) -> None:
        if kind is None:
            wait_until(lambda: not self.list(), "threads of tunnels are gone")
