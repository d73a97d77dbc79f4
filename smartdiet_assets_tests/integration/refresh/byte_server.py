"""A server that speaks just enough of MongoDB's protocol to hand out and take documents byte by byte.

For what no stand-in can do: the embedded server decodes every document, refuses what Python cannot decode, and shows no
moment but the present one. Here: `hello`, `find` with one batch, `insert`, whose documents are kept as they came, and
refusals by error code.
"""

import socketserver
import struct
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import bson
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from bson.timestamp import Timestamp

_HEADER = struct.Struct("<iiii")
_OP_MSG = 2013
#: The moment of every snapshot.
NOW = Timestamp(1_700_000_000, 1)
_HELLO = {
    "ok": 1.0, "isWritablePrimary": True, "ismaster": True, "helloOk": True, "maxBsonObjectSize": 16777216,
    "maxMessageSizeBytes": 48000000, "maxWriteBatchSize": 100000, "minWireVersion": 0, "maxWireVersion": 21,
    "logicalSessionTimeoutMinutes": 30,
}  # fmt: skip


class ByteServer(socketserver.ThreadingTCPServer):
    """Hands out `documents`, and keeps in `received` what it is given."""

    daemon_threads = True

    def __init__(self, documents: Sequence[bytes], refuse: Callable[[Mapping[str, Any]], int]) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.documents = documents
        self.refuse = refuse
        self.received = b""

    @property
    def uri(self) -> str:
        return f"mongodb://127.0.0.1:{self.server_address[1]}/?directConnection=true"


class _Connection(socketserver.StreamRequestHandler):
    server: ByteServer

    def handle(self) -> None:
        while head := self.rfile.read(_HEADER.size):
            length, request, _, operation = _HEADER.unpack(head)
            body = self.rfile.read(length - _HEADER.size)
            if operation == _OP_MSG:
                size = struct.unpack_from("<i", body, 5)[0]
                answer = self._answer(bson.decode(body[5 : 5 + size]), body[5 + size :])
                content = struct.pack("<ib", 0, 0) + answer
                code = _OP_MSG
            else:
                # The first hello of a connection comes in the protocol's older form.
                content = struct.pack("<iqii", 0, 0, 0, 1) + bson.encode(_HELLO)
                code = 1
            self.wfile.write(_HEADER.pack(_HEADER.size + len(content), 0, request, code) + content)

    def _answer(self, command: dict[str, Any], sections: bytes) -> bytes:
        name = next(iter(command))
        if code := self.server.refuse(command):
            return bson.encode({"ok": 0.0, "code": code, "errmsg": "refused"})
        if name in ("hello", "ismaster", "isMaster"):
            return bson.encode(_HELLO)
        if name == "find":
            return _build_first_batch(command, self.server.documents)
        if name == "insert":
            # A section of documents: its kind, its length, its name, then nothing but documents.
            documents = sections[sections.index(b"\0", 5) + 1 :]
            self.server.received += documents
            count = len(bson.decode_all(documents, CodecOptions(RawBSONDocument)))
            return bson.encode({"ok": 1.0, "n": count})
        return bson.encode({"ok": 1.0})


def _build_first_batch(command: Mapping[str, Any], documents: Sequence[bytes]) -> bytes:
    items = b"".join(b"\x03" + str(n).encode() + b"\0" + document for n, document in enumerate(documents))
    batch = struct.pack("<i", len(items) + 5) + items + b"\0"
    rest: dict[str, Any] = {"id": bson.Int64(0), "ns": f"{command['$db']}.{command['find']}"}
    if command.get("readConcern", {}).get("level") == "snapshot":
        rest["atClusterTime"] = NOW
    fields = b"\x04firstBatch\0" + batch + bson.encode(rest)[4:-1]
    cursor = struct.pack("<i", len(fields) + 5) + fields + b"\0"
    fields = b"\x03cursor\0" + cursor + bson.encode({"ok": 1.0})[4:-1]
    return struct.pack("<i", len(fields) + 5) + fields + b"\0"


@contextmanager
def serve_bytes(
    documents: Sequence[bytes] = (), refuse: Callable[[Mapping[str, Any]], int] = lambda command: 0
) -> Iterator[ByteServer]:
    """Serve documents for a block.

    Args:
        refuse: gives the error code that a command is refused with, 0 for none.
    """
    with ByteServer(documents, refuse) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
