"""A port of this machine that leads to a host and port behind an SSH server.

sshtunnel, which does this too, is not used (0.5.1 was tried). It adds no port to a connection that stands, opens none
again, takes one host key and one login method a connection and no timeouts, and keeps why a login or a channel failed
to its log. With only this module left to it, two parts of it had to be replaced that are private, and as it passes both
directions in one thread, a server that answers before it reads on stopped both for good.
"""

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from typing import Protocol

from smartdiet_assets.errors import SmartdietError

_HOST = "127.0.0.1"
_CHUNK = 128 * 1024
#: How long closing waits for a thread; what holds one longer is a bug, and the process must end all the same.
_SECONDS_TO_JOIN = 5.0


class Channel(Protocol):
    """What is needed of a channel of paramiko."""

    def recv(self, nbytes: int) -> bytes: ...
    def sendall(self, s: bytes) -> None: ...
    def close(self) -> None: ...


class PortForward:
    """A listening port whose connections each become a channel.

    Attributes:
        address: where it listens.
        failures: how many connections found no way to the other end.
        last_failure: why the last one of them did not.
    """

    def __init__(self, name: str, open_channel: Callable[[], Channel]) -> None:
        """Listen from now on.

        Args:
            name: for the threads, such as "db:5432".
            open_channel: opens a channel to the other end; raises a SmartdietError where there is no way.
        """
        self._name = f"smartdiet tunnel to {name}"
        self._open_channel = open_channel
        self._lock = threading.Lock()
        self._closed = False
        self._links: set[_Link] = set()
        self._threads: set[threading.Thread] = set()
        self.failures = 0
        self.last_failure: SmartdietError | None = None
        self._listener = socket.create_server((_HOST, 0), backlog=64)
        # Not every system ends a waiting accept when the socket is closed.
        self._listener.settimeout(1.0)
        host, port = self._listener.getsockname()
        self.address: tuple[str, int] = (host, port)
        self._start(self._accept)

    def close(self) -> None:
        """Stop listening and end every connection; the threads are gone afterwards."""
        with self._lock:
            self._closed = True
            links = list(self._links)
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for link in links:
            link.close()
        deadline = time.monotonic() + _SECONDS_TO_JOIN
        # A connection that came at the last moment may start another one yet.
        while (thread := self._find_other_thread()) and (left := deadline - time.monotonic()) > 0:
            thread.join(left)

    def _find_other_thread(self) -> threading.Thread | None:
        with self._lock:
            return next(iter(self._threads - {threading.current_thread()}), None)

    def _start(self, run: Callable[..., None], *arguments: object) -> None:
        def run_and_leave() -> None:
            try:
                run(*arguments)
            finally:
                with self._lock:
                    self._threads.discard(thread)

        thread = threading.Thread(target=run_and_leave, name=self._name, daemon=True)
        with self._lock:
            # Together: only a thread that runs can be waited for.
            self._threads.add(thread)
            thread.start()

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        with client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                link = _Link(client, self._open_channel())
            except SmartdietError as error:
                # Before the client is let go: it asks why.
                self.last_failure, self.failures = error, self.failures + 1
                return
            with self._lock:
                self._links.add(link)
            try:
                # Closing looks for links after it says that it does: one of both sees the other.
                if not self._closed:
                    self._start(link.send)
                    link.receive()
            finally:
                link.close()
                self._links.discard(link)


class _Link:
    """One connection: the socket of whoever connected here, and the channel to the other end."""

    def __init__(self, client: socket.socket, channel: Channel) -> None:
        self._client = client
        self._channel = channel

    def send(self) -> None:
        """Pass on what the client sends, until one of both ends."""
        with contextlib.suppress(OSError, EOFError):
            while data := self._client.recv(_CHUNK):
                self._channel.sendall(data)
        self.close()

    def receive(self) -> None:
        """Pass on what comes for the client, until one of both ends."""
        with contextlib.suppress(OSError, EOFError):
            while data := self._channel.recv(_CHUNK):
                self._client.sendall(data)

    def close(self) -> None:
        """End both; what was passed on already still arrives."""
        with contextlib.suppress(OSError):
            # A thread that waits for the socket is not woken by closing it.
            self._client.shutdown(socket.SHUT_RDWR)
        self._client.close()
        with contextlib.suppress(OSError, EOFError):
            self._channel.close()
