"""What stands between the sandbox and the world: an edge that ends TLS, in a process of its own.

Its certificates are made for the run; handshakes, limits, logins and cookies are real.
"""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from pytest_release.errors import SandboxError
from pytest_release.sandbox.child import Child
from pytest_release.sandbox.room import Part, Room
from pytest_release.sandbox.rooms import _security_tokens as tokens
from pytest_release.sandbox.rooms._security_faults import FAULTS

if TYPE_CHECKING:
    from pytest_release.sandbox.stores import Stores

NAME = "security"
HOST = "127.0.0.1"
MODULE = "pytest_release.sandbox.rooms._security_edge"
ORIGIN = "https://football.example"
START_LIMIT = 15.0  # seconds for the edge's first answer


class Edge:
    """The running edge.

    Args:
        faults: Names of all faults that are on.

    Raises:
        SandboxError: It does not start.
    """

    told: Mapping[str, Any] = {}

    def __init__(self, faults: frozenset[str]) -> None:
        from pytest_release.sandbox.rooms._security_certificates import write  # noqa: PLC0415 - heavy

        self._folder = TemporaryDirectory(prefix="pytest-release-edge-")
        write(Path(self._folder.name), faults)
        key, now = secrets.token_hex(32), time.time()
        with socket.create_server((HOST, 0)) as tls, socket.create_server((HOST, 0)) as plain:
            ports = [listener.getsockname()[1] for listener in (tls, plain)]
            options = {
                "tls": tls.fileno(),
                "plain": plain.fileno(),
                "folder": self._folder.name,
                "key": key,
                "faults": sorted(faults),
            }
            self._child = Child(MODULE, options, (tls.fileno(), plain.fileno()))
        edge = {
            "url": f"https://{HOST}:{ports[0]}",
            "plain_url": f"http://{HOST}:{ports[1]}",
            "ca_file": f"{self._folder.name}/ca.pem",
            "token": tokens.make(key, now + tokens.LIFE_S),
            "expired_token": tokens.make(key, now - tokens.LIFE_S),
            "origins": [ORIGIN],
        }
        self.services: Mapping[str, Mapping[str, Any]] = {"edge": edge}
        self.secrets = frozenset({str(edge["token"]), str(edge["expired_token"])})
        self._await(ports[1])

    def stop(self) -> None:
        """End its process; its keys are deleted."""
        self._child.let_go()
        self._child.join()
        self._folder.cleanup()

    def _await(self, port: int) -> None:
        """The socket listens already, so this waits for the first answer."""
        connection = HTTPConnection(HOST, port, timeout=START_LIMIT)
        try:
            connection.request("GET", "/")
            connection.getresponse()
        except (OSError, HTTPException) as error:
            words = self._child.last_words() or str(error)
            self.stop()
            raise SandboxError(f"the sandbox's edge did not start: {words}") from None
        finally:
            connection.close()


def _start(faults: frozenset[str], _stores: Stores | None) -> Edge:
    return Edge(faults)


ROOM = Room(faults=FAULTS, parts=(Part(NAME, frozenset({NAME}), _start),))
