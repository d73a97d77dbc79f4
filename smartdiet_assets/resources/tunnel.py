"""A resource's way through an SSH server; all of a process that lead through the same one share its connection."""

import atexit
import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from smartdiet_assets.errors import SmartdietError
from smartdiet_assets.resources.port_forward import PortForward
from smartdiet_assets.resources.ssh_connection import SshConnection
from smartdiet_assets.resources.ssh_settings import SshSettings


@dataclass
class _Register:
    """The connections of this process, by the settings that lead to each."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    connections: dict[str, SshConnection] = field(default_factory=dict)
    #: How many blocks of `keep_connections` are open.
    keepers: int = 0

    def take(self, access: "SshSettings", timeout: float) -> SshConnection:
        # There are secrets in the settings, and keys may show.
        # Of a resource and of plain settings alike, whatever fields the former has besides.
        same = {name: getattr(access, name) for name in sorted(SshSettings.model_fields)}
        key = hashlib.sha256(f"{same}{sorted(access.given)}".encode()).hexdigest()
        with self.lock:
            connection = self.connections.setdefault(key, SshConnection(access, timeout))
            connection.users += 1
            return connection

    def give_back(self, connection: SshConnection) -> None:
        with self.lock:
            connection.users -= 1
            unused = self._take_unused()
        _close(unused)

    def keep(self, change: int) -> None:
        with self.lock:
            self.keepers += change
            unused = self._take_unused()
        _close(unused)

    def close_all(self) -> None:
        with self.lock:
            connections, self.connections = list(self.connections.values()), {}
        _close(connections)

    def _take_unused(self) -> list[SshConnection]:
        if self.keepers:
            return []
        unused = [key for key, connection in self.connections.items() if not connection.users]
        return [self.connections.pop(key) for key in unused]


_register = _Register()
# A process that is interrupted hard enough to skip its own ends still says goodbye.
atexit.register(_register.close_all)


@contextmanager
def keep_connections() -> Iterator[None]:
    """Keep SSH connections that nobody uses any more until the end of the block: the next one to need one has it."""
    _register.keep(1)
    try:
        yield
    finally:
        _register.keep(-1)


class Tunnel:
    """The way of one resource to hosts behind an SSH server; close it after use."""

    def __init__(self, access: "SshSettings", timeout: float) -> None:
        """Keep the settings; nothing is opened yet.

        Args:
            timeout: seconds to connect, to log in, and to open a channel, each.
        """
        self._access = access
        self._timeout = timeout
        self._connection: SshConnection | None = None
        self._lock = threading.Lock()

    def open(self, host: str, port: int) -> "Way":
        """Open the way to a host and port as the SSH server sees them.

        Raises:
            SmartdietError: there is no SSH connection, and none can be had.
        """
        connection = self.ensure()
        return Way(connection, host, port, connection.forward(host, port))

    def ensure(self) -> SshConnection:
        """Open the SSH connection where there is none, or none any more.

        Raises:
            SmartdietError: none can be had.
        """
        with self._lock:
            if self._connection is None:
                self._connection = _register.take(self._access, self._timeout)
            connection = self._connection
        connection.ensure()
        return connection

    def close(self) -> None:
        """Give the connection back; the last one to do so closes it."""
        with self._lock:
            connection, self._connection = self._connection, None
        if connection is not None:
            _register.give_back(connection)


class Tunnelled:
    """Opens connections to its host and port directly, or through an SSH server."""

    # Whoever has the settings gives them; of a model, what is annotated here would become a field.
    if TYPE_CHECKING:
        host: str
        port: int
        #: Seconds.
        connect_timeout: float
        _tunnel: Tunnel | None
        _lock: threading.Lock

        @property
        def remote(self) -> SshSettings | None:
            """The SSH server in between, which host and port are then seen from; None where there is none."""

    def _open_way(self) -> "Way | None":
        """Open the way through SSH; None where the server is reached directly.

        Raises:
            SmartdietError: there is none.
        """
        if self.remote is None:
            return None
        with self._lock:
            if self._tunnel is None:
                self._tunnel = Tunnel(self.remote, self.connect_timeout)
            tunnel = self._tunnel
        return tunnel.open(self.host, self.port)

    def close(self) -> None:
        """Close the tunnel where there is one; the next connection opens another."""
        with self._lock:
            tunnel, self._tunnel = self._tunnel, None
        if tunnel is not None:
            tunnel.close()


class Way:
    """A way that is open: an address of this machine behind which the other end answers.

    Attributes:
        address: host and port to connect to.
    """

    def __init__(self, connection: SshConnection, host: str, port: int, forward: PortForward) -> None:
        self._connection = connection
        self._end = (host, port)
        self._forward = forward
        self._failures = forward.failures
        self.address = forward.address

    def probe(self) -> None:
        """Find out whether the other end takes connections.

        Raises:
            SmartdietError: it does not, or there is no SSH connection any more.
        """
        self._connection.probe(*self._end)
        self._failures = self._forward.failures

    @property
    def failure(self) -> SmartdietError | None:
        """Why a connection found no way since this one was opened or probed; None where all did."""
        return self._forward.last_failure if self._forward.failures > self._failures else None


def _close(connections: list[SshConnection]) -> None:
    for connection in connections:
        connection.close()
