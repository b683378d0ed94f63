"""The sandbox's stand-in for Prometheus with other targets: ``prometheus.py FD JSON``.

It ends with its standard input.
"""

import json
import socket
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from urllib.parse import parse_qsl, urlsplit

from pytest_release.sandbox.rooms._prometheus import Prometheus

SERVER = Prometheus(json.loads(sys.argv[2]), [], "", frozenset())


class Api(BaseHTTPRequestHandler):
    """Its HTTP API."""

    def do_GET(self) -> None:
        """One answer."""
        parts = urlsplit(self.path)
        if parts.path == "/-/healthy":
            status, data = 200, b"Prometheus is Healthy.\n"
        else:
            asked = dict(parse_qsl(parts.query))
            status, told = SERVER.answer(parts.path.removeprefix("/api/v1/"), asked)
            data = json.dumps(told).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
        """Say nothing."""


if __name__ == "__main__":
    server = HTTPServer(("127.0.0.1", 0), Api, bind_and_activate=False)
    server.socket.close()
    server.socket = socket.socket(fileno=int(sys.argv[1]))
    for serve in (SERVER.watch, server.serve_forever):
        Thread(target=serve, daemon=True).start()
    sys.stdin.read()
