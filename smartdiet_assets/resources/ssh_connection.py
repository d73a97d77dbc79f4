"""One SSH connection of this process to a server: opened when first needed, kept alive, opened again after a cut."""

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from smartdiet_assets.errors import (
    ForwardingDeniedError,
    ForwardingFailedError,
    ServerUnreachableError,
    SmartdietError,
    TerminalError,
)
from smartdiet_assets.resources.port_forward import PortForward

if TYPE_CHECKING:
    import paramiko

    from smartdiet_assets.resources.ssh_settings import SshSettings

#: How long a failed login stands for those that try by themselves: drivers do several times a second.
_SECONDS_A_FAILURE_STANDS = 2.0
#: What is on its way to us before we say that we read it; SSH lets it grow no further.
_WINDOW = 16 * 1024 * 1024
_PROHIBITED = 1


@dataclass(frozen=True, slots=True)
class Keepalive:
    """How a connection is found to be lost, in seconds.

    Attributes:
        interval: between two questions whether the server is still there; no firewall forgets a connection that soon.
        timeout: without an answer to one, after which the connection counts as lost.
    """

    interval: float = 15.0
    timeout: float = 45.0


class SshConnection:
    """The connection to the SSH server of a configuration, shared by everything that leads through it.

    Attributes:
        users: how many tunnels lead through it; who shares it counts them.
    """

    def __init__(self, access: "SshSettings", timeout: float, keepalive: Keepalive | None = None) -> None:
        """Keep the settings; nothing is opened yet.

        Args:
            timeout: seconds to connect, to log in, and to open a channel, each.
        """
        self.users = 0
        self._access = access
        self._timeout = timeout
        self._keepalive = keepalive or Keepalive()
        self._lock = threading.RLock()
        self._transport: paramiko.Transport | None = None
        self._ended = threading.Event()
        self._keeper: threading.Thread | None = None
        self._closed = False
        self._failure: tuple[SmartdietError, float] | None = None
        self._forwards: dict[tuple[str, int], PortForward] = {}

    def ensure(self) -> None:
        """Open the connection where there is none, or none any more.

        Raises:
            SmartdietError: as `ssh_login.open_transport`.
        """
        self._get_transport(patient=True)

    def forward(self, host: str, port: int) -> PortForward:
        """The port of this machine that leads to a host and port as the SSH server sees them; the same at each call."""
        with self._lock:
            if self._closed:
                raise ServerUnreachableError(f"the connection to the {self._access.describe()} is closed")
            found = self._forwards.get((host, port))
            if found is None:
                found = PortForward(f"{host}:{port}", lambda: self._open_channel(host, port, patient=False))
                self._forwards[host, port] = found
            return found

    def probe(self, host: str, port: int) -> None:
        """Find out whether the SSH server can connect to a host and port.

        Raises:
            SmartdietError: as `ensure`, ForwardingFailedError: nothing answers there, ForwardingDeniedError: the SSH
                server does not allow it.
        """
        self._open_channel(host, port, patient=True).close()

    def close(self) -> None:
        """Close the connection and every port that leads through it; no thread of it is left."""
        with self._lock:
            self._closed = True
            forwards, self._forwards = list(self._forwards.values()), {}
            transport = self._drop()
        for forward in forwards:
            forward.close()
        for thread in (transport, self._keeper):
            if thread is not None:
                thread.join(self._timeout)

    def _get_transport(self, *, patient: bool) -> "paramiko.Transport":
        from smartdiet_assets.resources.ssh_login import open_transport

        with self._lock:
            if self._closed:
                raise ServerUnreachableError(f"the connection to the {self._access.describe()} is closed")
            if self._transport is not None and self._transport.is_active():
                return self._transport
            if not patient:
                self._repeat_failure()
            self._drop()
            try:
                transport = open_transport(self._access, self._timeout)
            except SmartdietError as error:
                self._failure = (error, time.monotonic())
                raise
            self._failure = None
            self._transport, self._ended = transport, threading.Event()
            self._keeper = threading.Thread(
                target=_keep_alive,
                args=(transport, self._ended, self._keepalive),
                name="smartdiet tunnel keepalive",
                daemon=True,
            )
            self._keeper.start()
            return transport

    def _repeat_failure(self) -> None:
        """Refuse to log in again by itself right after a failure, or at all after one that a person has to mend."""
        if self._failure is None:
            return
        error, when = self._failure
        if isinstance(error, TerminalError) or time.monotonic() - when < _SECONDS_A_FAILURE_STANDS:
            raise type(error)(str(error))

    def _open_channel(self, host: str, port: int, *, patient: bool) -> "paramiko.Channel":
        """Open a channel; on a connection that turns out to be dead, once more on a new one.

        A connection that stood already gets half of the time: whoever waits for the channel has then enough left.
        """
        with self._lock:
            existing = self._transport
        transport = self._get_transport(patient=patient)
        timeout = self._timeout / 2 if transport is existing else self._timeout
        try:
            return self._open_channel_of(transport, host, port, timeout)
        except ServerUnreachableError:
            with self._lock:
                if self._transport is transport:
                    self._drop()
            if transport is not existing:
                raise
        return self._open_channel_of(self._get_transport(patient=patient), host, port, self._timeout)

    def _open_channel_of(
        self, transport: "paramiko.Transport", host: str, port: int, timeout: float
    ) -> "paramiko.Channel":
        import paramiko

        server, end = self._access.describe(), self._access.spell_end(host, port)
        try:
            return transport.open_channel(
                "direct-tcpip", (host, port), ("127.0.0.1", 0), window_size=_WINDOW, timeout=timeout
            )
        except paramiko.ChannelException as error:
            if error.code == _PROHIBITED:
                raise ForwardingDeniedError(
                    f"the {server} does not allow connections to {end}; allow it there (AllowTcpForwarding, "
                    "PermitOpen, the options of the key)"
                ) from None
            raise ForwardingFailedError(
                f"no server answers at {end} as seen from the {server}; check its host and port, and the server"
            ) from None
        except (paramiko.SSHException, OSError, EOFError):
            raise ServerUnreachableError(f"the connection to the {server} was lost on the way to {end}") from None

    def _drop(self) -> "paramiko.Transport | None":
        """Forget the transport, and end it and what watches over it."""
        transport, self._transport = self._transport, None
        self._ended.set()
        if transport is not None:
            transport.close()
        return transport


def _keep_alive(transport: "paramiko.Transport", ended: threading.Event, keepalive: Keepalive) -> None:
    """Ask the server now and then whether it is there, and end the transport where it does not answer.

    paramiko sends such questions too, but does not wait for an answer.
    """
    import paramiko

    while not ended.wait(keepalive.interval) and transport.is_active():
        late = threading.Timer(keepalive.timeout, transport.close)
        late.daemon = True
        late.start()
        try:
            transport.global_request("keepalive@openssh.com", wait=True)
        except (paramiko.SSHException, OSError, EOFError):
            return
        finally:
            late.cancel()
