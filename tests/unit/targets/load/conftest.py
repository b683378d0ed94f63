"""A deployment that misbehaves by path, and counts what it is asked."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pytest_release.config.environment import Auth, Environment
from pytest_release.redaction import Secret


class Deployment(ThreadingHTTPServer):
    """Answers by path; after `freezes_at` it answers nothing for `freezes_s`."""

    daemon_threads = True
    request_queue_size = 1024

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: Counter[str] = Counter()
        self.heads: list[dict[str, str]] = []
        self.bodies: list[bytes] = []
        self.first: float | None = None
        self.freezes_at = self.freezes_s = 0.0

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def environment(self) -> Environment:
        """One whose deployment it is."""
        here, auth = Path("here.yaml"), Auth("bearer", token=Secret("sesame-sesame"))
        return Environment("here", "staging", "shop", self.url, here, "", {}, auth=auth)

    def take(self, path: str) -> None:
        """Count a request, and wait while everything is frozen."""
        self.asked[path] += 1
        now = time.monotonic()
        self.first = self.first or now
        start = self.first + self.freezes_at
        if start <= now < start + self.freezes_s:
            time.sleep(start + self.freezes_s - now)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Deployment

    def log_message(self, *_: object) -> None:
        """Nothing."""

    def do_POST(self) -> None:
        self.server.bodies.append(self.rfile.read(int(self.headers["content-length"])))
        self.do_GET()

    def do_GET(self) -> None:
        self.server.heads.append({k.lower(): v for k, v in self.headers.items()})
        self.server.take(self.path)
        self.close_connection = self.path != "/ok"
        if self.path == "/hangs-up":
            return
        if self.path == "/slow":
            time.sleep(0.5)
        status = {"/fails": 500, "/elsewhere": 302}.get(self.path, 200)
        length = {"/cut": 400, "/large": 200_000}.get(self.path, 2)
        lines = [f"HTTP/1.1 {status} Said", "location: /ok"]
        lines += ["connection: close"] if self.close_connection else []
        lines += ["transfer-encoding: chunked"] if self.path == "/chunks" else []
        lines += [f"content-length: {length}"] if self.path != "/chunks" else []
        said = {"/large": b"x" * length, "/chunks": b"5\r\nab"}.get(self.path, b"ok")
        try:
            self.wfile.write("\r\n".join(lines).encode() + b"\r\n\r\n" + said)
        except OSError:
            self.close_connection = True


@pytest.fixture
def deployment() -> Iterator[Deployment]:
    """Running."""
    with Deployment() as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server
        server.shutdown()
