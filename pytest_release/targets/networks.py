"""The networks that a container engine has: ``GET /networks`` of its API, over its socket.

Docker Engine API, "List networks"; podman answers the same. Nothing is made or changed. http.client
speaks it: httpx leaves the socket of a connection that is refused to the garbage collector.
"""

from __future__ import annotations

import json
import socket
from contextlib import closing
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from time import monotonic

from pytest_release.errors import TargetError

LARGEST = 4 * 1024 * 1024  # bytes of the answer
TIMEOUT_S = 10.0  # for each read, and again for the whole answer
PIECE = 64 * 1024


def read_networks(path: Path) -> frozenset[str]:
    """The names of all networks.

    Args:
        path: Of the engine's socket.

    Raises:
        TargetError: The engine cannot be asked, or answers something else.
    """
    where = f"the engine at {path}"
    try:
        with closing(_Engine(path)) as engine:
            body = _body(engine, where)
    except (OSError, HTTPException) as error:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise TargetError(f"{where} cannot be asked for its networks: {why}") from None
    try:
        return frozenset(str(network["Name"]) for network in json.loads(body))
    except (ValueError, RecursionError, TypeError, KeyError):
        raise TargetError(f"{where} answers no list of networks") from None


class _Engine(HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("engine", timeout=TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        """To the socket instead of the host."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT_S)
        self.sock.connect(str(self._path))


def _body(engine: _Engine, where: str) -> bytes:
    ends = monotonic() + TIMEOUT_S
    engine.request("GET", "/networks")
    answer = engine.getresponse()
    if answer.status != 200:
        raise TargetError(f"{where} answers {answer.status} to GET /networks")
    body = b""
    while piece := answer.read1(PIECE):
        body += piece
        if len(body) > LARGEST:
            raise TargetError(f"{where} answers more than {LARGEST} bytes")
        if monotonic() > ends:
            raise TargetError(f"{where} has not told its networks within {TIMEOUT_S:g} s")
    return body
