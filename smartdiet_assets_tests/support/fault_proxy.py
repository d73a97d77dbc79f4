"""A broken network between us and a server: a TCP proxy on the loopback address that fails as it is told.

Here: the proxy and its faults. Not here: tests. A fault strikes connections, at most `times` of them, and says how
often it did, so that a test can tell that what it asked for has happened.
"""

import contextlib
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal, Self

from smartdiet_assets.demo.server_folder import HOST

#: `up` is from us to the server.
Direction = Literal["up", "down"]
_CHUNK = 16 * 1024
#: A letter, the length, the text and its end: PostgreSQL's simple query message, and the one that goes with others, the
#: text between the empty name of the statement and the number of its parameters.
COMMIT_MESSAGES = (
    b"Q" + struct.pack("!I", 4 + 7) + b"COMMIT\0",
    b"P" + struct.pack("!I", 4 + 1 + 7 + 2) + b"\0COMMIT\0\0\0",
)
_LONGEST_COMMIT = max(map(len, COMMIT_MESSAGES))
#: Closing then sends a RST instead of a FIN.
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass
class Fault:
    """What goes wrong, and when: after `after` bytes in `direction`, or at the first COMMIT after as many sent.

    Attributes:
        how: `reset` ends the connection with a RST; `stall` swallows every further byte, while TCP stays content.
        after: bytes of a connection that still go through.
        direction: whose bytes are counted.
        commit: wait for a COMMIT: `unsent` strikes before it reaches the server, `unanswered`
            when the server has answered it.
        one_way: a stall swallows the bytes of `direction` only.
        times: how many connections it strikes; None is all of them.
        struck: how many it has struck.
    """

    how: Literal["reset", "stall"]
    after: int = 0
    direction: Direction = "down"
    commit: Literal["", "unsent", "unanswered"] = ""
    one_way: bool = False
    times: int | None = 1
    struck: int = 0

    @property
    def spent(self) -> bool:
        return self.times is not None and self.struck >= self.times


@dataclass
class _Link:
    """One connection through the proxy: its two sockets and what it has seen."""

    client: socket.socket
    server: socket.socket
    passed: dict[Direction, int] = field(default_factory=lambda: {"up": 0, "down": 0})
    swallows: set[Direction] = field(default_factory=set)
    committing: bool = False
    tail: bytes = b""

    def reset(self) -> None:
        for end in (self.client, self.server):
            with contextlib.suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
                # Wakes the thread that reads it; closing alone would not.
                end.shutdown(socket.SHUT_RD)
            end.close()

    def close(self) -> None:
        for end in (self.client, self.server):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


class FaultProxy:
    """Forwards to a server until it is told to fail; a context manager.

    Attributes:
        port: where it listens; stays the same when it refuses and accepts again.
        connections: how many it has taken.
    """

    host = HOST

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._fault: Fault | None = None
        self._bytes_per_second: float | None = None
        self._lock = threading.RLock()
        self._links: list[_Link] = []
        self._listener: socket.socket | None = None
        self.port = 0
        self.connections = 0

    def __enter__(self) -> Self:
        self.accept()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.refuse()
        with self._lock:
            for link in self._links:
                link.close()

    def strike(self, fault: Fault) -> Fault:
        """Fail like this from now on, on connections that are there too."""
        self._fault = fault
        return fault

    def slow_down(self, bytes_per_second: float) -> None:
        """Let bytes through at a pace, each connection and direction its own."""
        self._bytes_per_second = bytes_per_second

    def refuse(self) -> None:
        """Refuse connections, as a host without the server does; those that are there stay."""
        with self._lock:
            listener, self._listener = self._listener, None
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()

    def accept(self) -> None:
        """Take connections (again)."""
        with self._lock:
            if self._listener is not None:
                return
            listener = socket.socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((HOST, self.port))
            listener.listen()
            self.port = listener.getsockname()[1]
            self._listener = listener
        threading.Thread(target=self._take, args=[listener], daemon=True).start()

    def _take(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection((HOST, self._server_port))
            except OSError:
                client.close()
                continue
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            link = _Link(client, server)
            with self._lock:
                self.connections += 1
                self._links.append(link)
            for source, target, direction in ((client, server, "up"), (server, client, "down")):
                threading.Thread(target=self._pump, args=[link, source, target, direction], daemon=True).start()

    def _pump(self, link: _Link, source: socket.socket, target: socket.socket, direction: Direction) -> None:
        """Forward one direction until either side ends."""
        with contextlib.suppress(OSError):
            while data := source.recv(_CHUNK):
                with self._lock:
                    data = self._filter(link, direction, data)
                while data:
                    piece = data if self._bytes_per_second is None else data[: max(1, int(self._bytes_per_second / 20))]
                    target.sendall(piece)
                    data = data[len(piece) :]
                    if self._bytes_per_second is not None:
                        time.sleep(len(piece) / self._bytes_per_second)
        # While one way is swallowed, the far side must not learn that this one has ended.
        if not link.swallows:
            link.close()

    def _filter(self, link: _Link, direction: Direction, data: bytes) -> bytes:
        """Let the fault strike where its moment has come; return the bytes that still go through."""
        if direction in link.swallows:
            return b""
        fault, before = self._fault, link.passed[direction]
        link.passed[direction] += len(data)
        if fault is None or fault.spent:
            return data
        if not fault.commit:
            if direction != fault.direction or link.passed[direction] <= fault.after:
                return data
            data = data[: max(0, fault.after - before)]
        elif direction == "up":
            committing = any(message in link.tail + data for message in COMMIT_MESSAGES)
            link.tail = data[-_LONGEST_COMMIT:]
            committing = committing and link.passed["up"] > fault.after
            if not committing or fault.commit == "unanswered":
                # What follows it on the way up, such as the end of what is sent together, may come by itself.
                link.committing = link.committing or committing
                return data
            data = b""
        elif not link.committing:
            return data
        else:
            data = b""
        fault.struck += 1
        if fault.how == "stall":
            link.swallows |= {direction} if fault.one_way else {"up", "down"}
            return data
        with contextlib.suppress(OSError):
            (link.server if direction == "up" else link.client).sendall(data)
        link.reset()
        return b""
