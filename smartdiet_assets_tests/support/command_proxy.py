"""A MongoDB that says no: a proxy on the loopback address that answers chosen commands itself, with a server's error.

Here: the proxy and what it can do to a command. Not here: tests. It understands messages, where `fault_proxy` counts
bytes. Clients connect to it directly (`directConnection=true`), uncompressed and without TLS. Everything that no rule
fits goes through unchanged.
"""

import contextlib
import itertools
import socket
import struct
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Self

import bson
from bson.codec_options import CodecOptions, DatetimeConversion

from smartdiet_assets.demo.mongo_server import EmbeddedMongo
from smartdiet_assets.demo.server_folder import HOST

_HEADER = struct.Struct("<iiii")
_REPLY, _QUERY, _MESSAGE = 1, 2004, 2013
#: The server goes on answering the same question.
_MORE_TO_COME = 1 << 1
#: What stands before the one document of an answer: flags and a section's kind, or those of the oldest protocol.
_BEFORE_ANSWER = {_MESSAGE: 5, _REPLY: 20}
_GREETINGS = frozenset({"hello", "ismaster"})
_LENIENT: CodecOptions[dict[str, Any]] = CodecOptions(
    datetime_conversion=DatetimeConversion.DATETIME_AUTO, unicode_decode_error_handler="replace"
)


@dataclass
class Rule:
    """What happens to which commands, and how often.

    Attributes:
        command: its name; `hello` is any greeting, `isMaster` too, and `*` any command that is no greeting.
        collection: the collection it is about; None is any.
        having: text that stands in the command as Python would write it, such as `$changeStream`.
        passing: how many that fit are let through first.
        times: how many it strikes after those; None is all of them.
        how: `refuse` answers with the error; `empty` with an empty batch of the cursor; `merge` puts `fields` into the
            server's answer, and takes those out that are None; `close` ends the connection; `hang` never answers.
        code, name, labels, message: the error.
        struck: how often it has struck.
    """

    command: str
    code: int = 0
    collection: str | None = None
    having: str = ""
    passing: int = 0
    times: int | None = 1
    how: Literal["refuse", "empty", "merge", "close", "hang"] = "refuse"
    name: str = "Injected"
    labels: Sequence[str] = ()
    message: str = "injected"
    fields: Mapping[str, Any] = field(default_factory=dict)
    met: int = 0
    struck: int = 0

    def fits(self, command: str, collection: object, body: Mapping[str, Any]) -> bool:
        """Whether a command is one of those the rule is about."""
        greeting = command.lower() in _GREETINGS
        named = greeting if self.command == "hello" else self.command in (command, "" if greeting else "*")
        about = self.collection is None or self.collection == collection
        return named and about and self.having in repr(body)

    def strikes(self) -> bool:
        """Count a command that fits, and tell whether it is struck."""
        self.met += 1
        struck = self.met > self.passing and (self.times is None or self.struck < self.times)
        self.struck += struck
        return struck

    def compose_error(self) -> dict[str, Any]:
        error = {"ok": 0.0, "errmsg": self.message, "code": self.code, "codeName": self.name}
        return {**error, **({"errorLabels": list(self.labels)} if self.labels else {})}


class CommandProxy:
    """Forwards to a server, and acts on commands by its rules; a context manager.

    Attributes:
        port: where it listens.
        seen: name and collection of every command, "" where it is about none, in the order they came.
    """

    def __init__(self, server: EmbeddedMongo) -> None:
        self._server = server
        self._rules: Sequence[Rule] = ()
        self._lock = threading.Lock()
        self._listener = socket.create_server((HOST, 0))
        self._sockets: list[socket.socket] = [self._listener]
        self.port = self._listener.getsockname()[1]
        self.seen: list[tuple[str, str]] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self._take, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for end in self._sockets:
            _close(end)

    @property
    def uri(self) -> str:
        """The server's URL, through the proxy."""
        return self._server.uri.replace(f":{self._server.port}/", f":{self.port}/")

    def act(self, *rules: Rule) -> tuple[Rule, ...]:
        """Act by these rules from now on, the first that fits; without any, let everything through."""
        self._rules = rules
        return rules

    def choose(self, command: str, collection: object, body: Mapping[str, Any]) -> Rule | None:
        """Choose the rule that strikes a command."""
        with self._lock:
            self.seen.append((command, collection if isinstance(collection, str) else ""))
            return next((r for r in self._rules if r.fits(command, collection, body) and r.strikes()), None)

    def _take(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                try:
                    server = socket.create_connection((HOST, self._server.port))
                except OSError:
                    client.close()
                    continue
                for end in (client, server):
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._sockets += (client, server)
                link = _Link(self, client, server)
                for pump in (link.pump_up, link.pump_down):
                    threading.Thread(target=pump, daemon=True).start()


class _Link:
    """One connection through the proxy."""

    def __init__(self, proxy: CommandProxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._writing = threading.Lock()
        self._numbers = itertools.count(1)
        #: What is merged into the answer to a request, by its number.
        self._merges: dict[int, Mapping[str, Any]] = {}
        #: The last token of a change stream, by its cursor.
        self._tokens: dict[int, Any] = {}

    def pump_up(self) -> None:
        """Pass the client's messages on, but for those a rule strikes."""
        with contextlib.suppress(OSError):
            while (message := _receive(self._client)) is not None:
                number, _, kind, data = message
                body = _read_request(kind, data)
                command = next(iter(body), "")
                collection = body.get("collection" if command == "getMore" else command)
                rule = self._proxy.choose(command, collection, body)
                match rule.how if rule else "":
                    case "refuse" if rule:
                        self._answer(number, kind, rule.compose_error())
                    case "empty":
                        self._answer(number, kind, self._compose_empty(body))
                    case "hang":
                        pass
                    case "close":
                        break
                    case how:
                        if how == "merge" and rule:
                            self._merges[number] = rule.fields
                        self._server.sendall(_frame(number, 0, kind, data))
        self._end()

    def pump_down(self) -> None:
        """Pass the server's answers on."""
        with contextlib.suppress(OSError):
            while (message := _receive(self._server)) is not None:
                number, answered, kind, data = message
                if b"postBatchResumeToken" in data:
                    cursor = _read_answer(kind, data)["cursor"]
                    self._tokens[int(cursor["id"])] = cursor["postBatchResumeToken"]
                if (fields := self._merges.pop(answered, None)) is not None:
                    start = _BEFORE_ANSWER[kind]
                    merged = {**_read_answer(kind, data), **fields}
                    if int.from_bytes(data[:4], "little") & _MORE_TO_COME and kind == _MESSAGE:
                        self._merges[number] = fields
                    data = data[:start] + bson.encode(
                        {key: value for key, value in merged.items() if value is not None}
                    )
                self._send(_frame(number, answered, kind, data))
        self._end()

    def _compose_empty(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Compose what a router answers whose shards have not said anything yet."""
        number = int(body["getMore"])
        cursor = {"id": bson.Int64(number), "ns": f"{body['$db']}.{body['collection']}", "nextBatch": []}
        if number in self._tokens:
            cursor["postBatchResumeToken"] = self._tokens[number]
        return {"cursor": cursor, "ok": 1.0}

    def _answer(self, number: int, kind: int, document: Mapping[str, Any]) -> None:
        encoded = bson.encode(document)
        if kind == _MESSAGE:
            self._send(_frame(next(self._numbers), number, _MESSAGE, bytes(5) + encoded))
        else:
            # Flags, cursor, where it begins, and how many documents there are.
            self._send(_frame(next(self._numbers), number, _REPLY, bytes(16) + struct.pack("<i", 1) + encoded))

    def _send(self, data: bytes) -> None:
        with self._writing:
            self._client.sendall(data)

    def _end(self) -> None:
        _close(self._client)
        _close(self._server)


def _receive(end: socket.socket) -> tuple[int, int, int, bytes] | None:
    """Receive one message: its number, the one it answers, its kind, what follows; None where there is no more."""
    head = _receive_exactly(end, _HEADER.size)
    if head is None:
        return None
    size, number, answered, kind = _HEADER.unpack(head)
    data = _receive_exactly(end, size - _HEADER.size)
    return None if data is None else (number, answered, kind, data)


def _receive_exactly(end: socket.socket, size: int) -> bytes | None:
    data = bytearray()
    while len(data) < size:
        piece = end.recv(size - len(data))
        if not piece:
            return None
        data += piece
    return bytes(data)


def _frame(number: int, answered: int, kind: int, data: bytes) -> bytes:
    return _HEADER.pack(_HEADER.size + len(data), number, answered, kind) + data


def _read_request(kind: int, data: bytes) -> dict[str, Any]:
    """Read the command of a message, without the documents that a write sends beside it."""
    if kind == _QUERY:
        # Flags, the collection's name with its end, and two numbers.
        start = data.index(0, 4) + 9
        return bson.decode(_cut(data, start), _LENIENT)
    position = 4
    while kind == _MESSAGE and position < len(data):
        section = _cut(data, position + 1)
        if data[position] == 0:
            return bson.decode(section, _LENIENT)
        position += 1 + len(section)
    return {}


def _read_answer(kind: int, data: bytes) -> dict[str, Any]:
    return bson.decode(_cut(data, _BEFORE_ANSWER[kind]), _LENIENT)


def _cut(data: bytes, start: int) -> bytes:
    """Cut out what begins with its own size."""
    return data[start : start + int.from_bytes(data[start : start + 4], "little")]


def _close(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
