"""A stand-in for a container engine, whose containers are processes: Docker's API, as far as asked.

``python -m pytest_release.sandbox.rooms._smoke_engine OPTIONS``, by `sandbox.child`.

- No engine can be had by pip. This one answers the questions of Docker Engine API 1.44 that a look
  needs, on a unix socket, in its JSON; to anything else it says 404, and 405 to what is no GET.
- What it tells of its containers is true of processes that run: their state, exit codes, starts and
  restarts. It starts two services itself, and knows the sandbox's workers and its PostgreSQL.
- One thread: a process that forks must have no other.
"""

from __future__ import annotations

import json
import os
import re
import select
import socketserver
import sys
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from pytest_release.sandbox.rooms._smoke_stack import Stack

API = "1.44"
TEND_S = 0.02  # seconds between two looks at the processes
CLIENT_S = 2.0  # that a client may take to ask
ENDLESS = 64 * 1024 * 1024  # bytes of an answer without an end

Told = tuple[int, Any]


class Engine:
    """Answers questions about a stack.

    Args:
        stack: What runs.
        faults: Names of those that are on.
    """

    def __init__(self, stack: Stack, faults: frozenset[str]) -> None:
        self.stack = stack
        self.faults = faults

    def answer(self, method: str, target: str) -> Told:
        """Status and JSON."""
        parts = urlsplit(target)
        path = unquote(parts.path)
        if method != "GET":
            return 405, {"message": f"{method} is not answered here"}
        if path == "/version":
            return 200, {"ApiVersion": API, "MinAPIVersion": "1.24", "Version": "27.0.0"}
        for pattern, say in self._routes.items():
            if match := re.fullmatch(f"/v{re.escape(API)}{pattern}", path):
                return say(self, parse_qs(parts.query), *match.groups())
        return 404, {"message": "page not found"}

    def _listed(self, query: Mapping[str, list[str]]) -> Told:
        filters = json.loads(query.get("filters", ["{}"])[0])
        wanted = set(filters.get("label", []))
        self.stack.between()
        every = query.get("all", ["0"])[0] in ("1", "true")
        found = [
            {"Id": c.id, "Names": [f"/{c.name}"], "Image": c.image, "Labels": c.labels}
            for c in self.stack.containers()
            if wanted <= {f"{name}={value}" for name, value in c.labels.items()}
            and (every or c.state["Status"] == "running")
        ]
        return 200, found

    def _inspected(self, _query: Mapping[str, list[str]], identity: str) -> Told:
        for container in self.stack.containers():
            if container.id == identity:
                return 200, container.inspected()
        return 404, {"message": f"No such container: {identity}"}

    def _image(self, _query: Mapping[str, list[str]], identity: str) -> Told:
        for container in self.stack.containers():
            if container.image_id == identity:
                return 200, {"Id": identity, "RepoDigests": container.repo_digests}
        return 404, {"message": f"No such image: {identity}"}

    _routes: Mapping[str, Callable[..., Told]] = {
        "/containers/json": _listed,
        "/containers/([^/]+)/json": _inspected,
        "/images/(.+)/json": _image,
    }


class _Server(socketserver.UnixStreamServer):
    engine: Engine


class _Handler(BaseHTTPRequestHandler):
    timeout = CLIENT_S
    server: _Server

    def _any(self) -> None:
        engine = self.server.engine
        if "smoke.endless-engine" in engine.faults:
            self._head(200, ENDLESS)
            self.wfile.write(b'{"ApiVersion": "')
            for _ in range(ENDLESS // 65_536):
                self.wfile.write(b"1" * 65_536)
            return
        status, value = engine.answer(self.command, self.path)
        content = json.dumps(value).encode()
        if "smoke.no-engine" in engine.faults:
            content = b"<html><h1>It works!</h1></html>"
        self._head(status, len(content))
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _any  # noqa: N815 - as its base names them

    def _head(self, status: int, length: int) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def address_string(self) -> str:
        """A unix socket's client has no address."""
        return "client"

    def log_message(self, *_: Any) -> None:  # noqa: ANN401 - as its base has it
        """Nothing."""


def main(options: str) -> None:
    """Run the stack, and answer, until the parent is gone.

    Args:
        options: JSON object: socket, workers (paths), postmaster (its process), ocr, store
            (descriptors of listeners), project, faults.
    """
    asked = json.loads(options)
    faults = frozenset(asked["faults"])
    stack = Stack(asked, faults)
    try:
        with _Server(asked["socket"], _Handler) as server:
            server.engine = Engine(stack, faults)
            _serve(server, stack)
    finally:
        stack.stop()


def _serve(server: _Server, stack: Stack) -> None:
    parent = sys.stdin.fileno()
    while True:
        ready, _, _ = select.select([server, parent], [], [], TEND_S)
        if parent in ready and not os.read(parent, 1):
            return
        if server in ready:
            server.handle_request()
        stack.tend()


if __name__ == "__main__":
    main(sys.argv[1])
