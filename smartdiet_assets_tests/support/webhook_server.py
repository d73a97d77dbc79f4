"""A webhook of the test's own: takes what is posted, or behaves as badly as it is told."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any


@dataclass
class WebhookServer:
    """What was taken, and how the next posts are answered.

    Attributes:
        port: stays the same while it is down.
        bodies: of the posts that were taken, in order.
        identities: their Idempotency-Key.
        tried: the paths of all posts, of those that were refused too.
        status: of the next answers; `text` and `headers` likewise.
        hangs: whether an answer begins, and goes on for ever, a byte now and then.
    """

    port: int = 0
    bodies: list[dict[str, Any]] = field(default_factory=list)
    identities: list[str] = field(default_factory=list)
    tried: list[str] = field(default_factory=list)
    status: int = 200
    text: str = "ok"
    headers: dict[str, str] = field(default_factory=dict)
    hangs: bool = False
    _server: ThreadingHTTPServer | None = None
    _closed: Event = field(default_factory=Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/Marked-Webhook-1a2B/services"

    def start(self) -> None:
        """Listen; again where it was stopped before."""
        taking = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                taking.tried.append(self.path)
                if taking.hangs:
                    while not taking._closed.is_set():
                        self.wfile.write(b"x")
                        time.sleep(0.2)
                    return
                if taking.status < 300:
                    taking.bodies.append(body)
                    taking.identities.append(self.headers["Idempotency-Key"])
                self.send_response(taking.status)
                for name, value in taking.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(taking.text.encode())

            def log_message(self, *args: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """Refuse connections from now on."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def take(self) -> list[dict[str, Any]]:
        """Take the bodies that came since the last time."""
        taken, self.bodies = self.bodies, []
        return taken


@contextmanager
def serve_webhook() -> Iterator[WebhookServer]:
    """Serve a webhook until the end of the block."""
    server = WebhookServer()
    server.start()
    try:
        yield server
    finally:
        server._closed.set()
        server.stop()
