"""Two stand-ins over HTTP: the part of Qdrant's REST interface that is needed, and production.

Qdrant: collections, points, scroll and count, as https://api.qdrant.tech describes them, in memory
and without any search. Production's application knows its health and one path that wants a key.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from pytest_release.sandbox.child import leave_with_parent

Say = Callable[[str, str, Any, Mapping[str, str]], tuple[int, Any]]


class Collections:
    """What a Qdrant holds."""

    def __init__(self) -> None:
        self._held: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()

    def say(
        self,
        method: str,
        path: str,
        body: Any,  # noqa: ANN401 - any JSON value
        _headers: Mapping[str, str],
    ) -> tuple[int, Any]:
        """The status and the result of a request."""
        with self._lock:
            match [method, *path.partition("?")[0].strip("/").split("/")]:
                case ["GET", "collections"]:
                    return 200, {"collections": [{"name": name} for name in self._held]}
                case ["PUT", "collections", name]:
                    self._held[name] = {"vectors": body["vectors"], "points": {}}
                    return 200, True
                case [_, "collections", name, *rest] if name in self._held:
                    return self._of(self._held[name], [method, *rest], body)
        return 404, None

    def _of(self, held: dict[str, Any], asked: list[str], body: Any) -> tuple[int, Any]:  # noqa: ANN401
        points = held["points"]
        match asked:
            case ["GET"]:
                about = {"config": {"params": {"vectors": held["vectors"]}}}
                return 200, {"status": "green", "points_count": len(points), **about}
            case ["PUT", "points"]:
                points.update({point["id"]: point for point in body["points"]})
                return 200, {"status": "completed"}
            case ["POST", "points", "delete"]:
                for point in body["points"]:
                    points.pop(point, None)
                return 200, {"status": "completed"}
            case ["POST", "points", "count"]:
                return 200, {"count": sum(_matches(point, body) for point in points.values())}
            case ["POST", "points", "scroll"]:
                return 200, _page(points, body)
        return 404, None


def _matches(point: Mapping[str, Any], body: Mapping[str, Any]) -> bool:
    return all(
        point["payload"].get(one["key"]) in one["match"]["any"]
        for one in body.get("filter", {}).get("must", ())
    )


def _page(points: Mapping[str, Any], body: Mapping[str, Any]) -> dict[str, Any]:
    after = body.get("offset") or ""
    ids = sorted(n for n, point in points.items() if n >= after and _matches(point, body))
    most = body["limit"]
    page = [{"id": name, "payload": points[name]["payload"]} for name in ids[:most]]
    return {"points": page, "next_page_offset": ids[most] if len(ids) > most else None}


def production(key: str, faults: list[str]) -> Say:
    """Production's application: its files are for whoever has the key."""

    def say(
        method: str,
        path: str,
        _body: Any,  # noqa: ANN401 - any JSON value
        headers: Mapping[str, str],
    ) -> tuple[int, Any]:
        if method != "GET" or path not in ("/health", "/api/v1/files"):
            return 404, None
        right = headers.get("authorization") == f"Bearer {key}"
        if path == "/health" or right or "isolation.any-key" in faults:
            return 200, {"status": "ok"}
        return 401, None

    return say


def _handler(say: Say) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            data = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, result = say(
                self.command, self.path, json.loads(data) if data else None, headers
            )
            body = json.dumps({"result": result, "status": "ok", "time": 0.0}).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_PUT = do_POST = _answer  # noqa: N815 - http.server's names

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler


def _server(descriptor: int, say: Say) -> ThreadingHTTPServer:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(say), bind_and_activate=False)
    server.socket.close()
    server.socket = socket.socket(fileno=descriptor)
    return server


def main() -> None:
    """Serve on the two listeners that were inherited."""
    leave_with_parent()
    options = json.loads(sys.argv[1])
    stores = _server(options["qdrant"], Collections().say)
    threading.Thread(target=stores.serve_forever, daemon=True).start()
    _server(options["production"], production(options["key"], options["faults"])).serve_forever()


if __name__ == "__main__":
    main()
