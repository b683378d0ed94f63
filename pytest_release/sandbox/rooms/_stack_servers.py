"""What a stack's release asks: a registry of images, and a container engine's list of networks.

Both are stand-ins in threads of this process, for no wheel carries either: they speak the OCI
distribution protocol, and HTTP over a unix socket, as far as the preflight gate asks.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import TCPServer, ThreadingMixIn, UnixStreamServer
from threading import Thread
from typing import Any

HOST = "127.0.0.1"
OCI = "application/vnd.oci.image"
POLL_S = 0.05  # how long stopping takes at most


class _Handler(BaseHTTPRequestHandler):
    """Gives what its server has at a path."""

    protocol_version = "HTTP/1.1"
    answers: Mapping[str, tuple[str, bytes]] = {}

    def do_GET(self) -> None:
        """200 with what is there, else 404."""
        kind, body = self.answers.get(self.path, ("application/json", b""))
        status = 200 if self.path in self.answers else 404
        body = body or b'{"errors":[{"code":"MANIFEST_UNKNOWN"}],"message":"not found"}'
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


class _Tcp(ThreadingMixIn, TCPServer):
    daemon_threads = True
    block_on_close = False


class _Unix(ThreadingMixIn, UnixStreamServer):
    daemon_threads = True
    block_on_close = False


class Server:
    """Serves JSON answers by path until it is stopped.

    Args:
        answers: Media type and body by path; may be changed while it serves.
        path: Of a unix socket; None for a free TCP port.
    """

    def __init__(self, answers: Mapping[str, tuple[str, bytes]], path: Path | None = None) -> None:
        handler = type("Handler", (_Handler,), {"answers": answers})
        self._server = _Unix(str(path), handler) if path else _Tcp((HOST, 0), handler)
        self.port = 0 if path else int(self._server.socket.getsockname()[1])
        self._thread = Thread(target=self._server.serve_forever, args=(POLL_S,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Close it."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@dataclass
class Images:
    """What the registry has: images of one layer each.

    Attributes:
        answers: Served at their paths.
        digests: Of each image's manifest, by its name.
    """

    answers: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)

    def push(self, name: str, tag: str, layer: bytes = b"layer", size: int = 0) -> str:
        """Put an image under a tag; its digest."""
        parts = {"config": _part("config", b"{}"), "layers": [_part("layer", layer, size)]}
        document: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": f"{OCI}.manifest.v1+json",
            **parts,
        }
        body = json.dumps(document).encode()
        digest = sha256(body).hexdigest()
        answer = (f"{OCI}.manifest.v1+json", body)
        self.answers[_path(name, tag)] = self.answers[_path(name, f"sha256:{digest}")] = answer
        self.digests[name] = digest
        return digest

    def lose(self, name: str) -> None:
        """Forget an image, by digest and by tag."""
        for path in [path for path in self.answers if path.startswith(f"/v2/{name}/")]:
            del self.answers[path]

    def garble(self, name: str) -> None:
        """Give other bytes than the digest says."""
        path = _path(name, f"sha256:{self.digests[name]}")
        kind, body = self.answers[path]
        self.answers[path] = (kind, body + b" ")


def _path(name: str, which: str) -> str:
    return f"/v2/{name}/manifests/{which}"


def _part(kind: str, content: bytes, size: int = 0) -> Mapping[str, Any]:
    digest = f"sha256:{sha256(content).hexdigest()}"
    media = f"{OCI}.{kind}.v1{'.tar+gzip' if kind == 'layer' else '+json'}"
    return {"mediaType": media, "digest": digest, "size": size or len(content)}


def network_answers(names: Iterable[str]) -> dict[str, tuple[str, bytes]]:
    """What an engine with these networks answers."""
    networks = [
        {"Name": name, "Id": sha256(name.encode()).hexdigest(), "Driver": "bridge"}
        for name in names
    ]
    return {"/networks": ("application/json", json.dumps(networks).encode())}
