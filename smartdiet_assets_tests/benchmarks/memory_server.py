"""Documents of one collection served from memory, over MongoDB's wire protocol, by a process of its own.

The embedded server has no index of ids that serves ranges, and is busy for as long as we are; a real one is neither. So
what readers side by side gain is measured with this: it answers at once, or after a delay as of a network both ways.
"""

import asyncio
import bisect
import multiprocessing
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import bson
from bson import ObjectId

_HEADER = struct.Struct("<iiii")
_QUERY, _REPLY, _MESSAGE = 2004, 1, 2013
_HELLO = {
    "ismaster": True, "isWritablePrimary": True, "helloOk": True, "maxBsonObjectSize": 16 << 20,
    "maxMessageSizeBytes": 48_000_000, "maxWriteBatchSize": 100_000, "minWireVersion": 0, "maxWireVersion": 21,
    "readOnly": True,
}  # fmt: skip


@contextmanager
def serve(collection: str, documents: Sequence[bytes], ids: Sequence[ObjectId], delay: float) -> Iterator[str]:
    """Serve documents, in the order of their ids, for the block; give the server's URL.

    Args:
        delay: seconds that a message takes each way.
    """
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=_run, args=(theirs, _Collection(collection, documents, ids), delay), daemon=True)
    process.start()
    try:
        yield f"mongodb://127.0.0.1:{ours.recv()}/?directConnection=true"
    finally:
        process.kill()
        process.join()


class _Collection:
    def __init__(self, name: str, documents: Sequence[bytes], ids: Sequence[ObjectId]) -> None:
        self.name = name
        self._documents = documents
        self._ids = ids
        self._cursors: dict[int, tuple[int, int]] = {}

    def answer(self, command: dict[str, Any]) -> bytes:
        """Answer a command, as the bytes of a document."""
        verb = next(iter(command))
        now = datetime.now(UTC).replace(tzinfo=None)
        match verb:
            case "find":
                first, last = self._select(command["filter"])
                last = min(last, first + command["limit"]) if command.get("limit") else last
                return self._send("firstBatch", len(self._cursors) + 1, first, last, command.get("batchSize", 101))
            case "getMore":
                first, last = self._cursors[command["getMore"]]
                return self._send("nextBatch", command["getMore"], first, last, command.get("batchSize", 1_000))
            case "aggregate":
                size = next((stage["$sample"]["size"] for stage in command["pipeline"] if "$sample" in stage), 0)
                step = max(1, len(self._ids) // max(size, 1))
                found = [{"_id": id_} for id_ in self._ids[::step]] if size else []
                return bson.encode({"cursor": {"id": 0, "ns": f"b.{self.name}", "firstBatch": found}, "ok": 1})
            case "listCollections":
                return bson.encode({"cursor": {"id": 0, "ns": "b.$cmd", "firstBatch": []}, "ok": 1})
            case "count":
                return bson.encode({"n": len(self._ids), "ok": 1})
        return bson.encode({**_HELLO, "localTime": now, "ok": 1})

    def _select(self, query: dict[str, Any]) -> tuple[int, int]:
        """Give the places of the first document found, and of the first one behind."""
        if not query:
            return 0, len(self._ids)
        bounds = query.get("_id")
        if not isinstance(bounds, dict) or not bounds.keys() <= {"$gte", "$lt"}:
            return 0, 0
        first = bisect.bisect_left(self._ids, bounds["$gte"]) if "$gte" in bounds else 0
        return first, bisect.bisect_left(self._ids, bounds["$lt"]) if "$lt" in bounds else len(self._ids)

    def _send(self, name: str, cursor: int, first: int, last: int, size: int) -> bytes:
        end = min(last, first + size)
        self._cursors[cursor] = (end, last)
        items = b"".join(b"\x03%d\0%b" % (place, document) for place, document in enumerate(self._documents[first:end]))
        array = struct.pack("<i", len(items) + 5) + items + b"\0"
        fields = b"\x12id\0" + struct.pack("<q", cursor if end < last else 0)
        fields += b"\x02ns\0" + struct.pack("<i", len(self.name) + 3) + f"b.{self.name}".encode() + b"\0"
        fields += b"\x04" + name.encode() + b"\0" + array
        inner = struct.pack("<i", len(fields) + 5) + fields + b"\0"
        outer = b"\x03cursor\0" + inner + b"\x01ok\0" + struct.pack("<d", 1.0)
        return struct.pack("<i", len(outer) + 5) + outer + b"\0"


def _run(pipe: Any, collection: _Collection, delay: float) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                length, request, _, kind = _HEADER.unpack(await reader.readexactly(_HEADER.size))
                body = await reader.readexactly(length - _HEADER.size)
                if kind == _QUERY:
                    command = bson.decode(body[body.index(b"\0", 4) + 9 :])
                    start, code = struct.pack("<iqii", 8, 0, 0, 1), _REPLY
                else:
                    [size] = struct.unpack_from("<i", body, 5)
                    command, start, code = bson.decode(body[5 : 5 + size]), b"\0\0\0\0\0", _MESSAGE
                answer = start + collection.answer(command)
                # There and back.
                await asyncio.sleep(2 * delay)
                writer.write(_HEADER.pack(_HEADER.size + len(answer), 0, request, code) + answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def main() -> None:
        server = await asyncio.start_server(talk, "127.0.0.1", 0, limit=1 << 20)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(main())
