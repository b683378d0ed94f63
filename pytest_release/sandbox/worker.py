"""One worker process of the sandbox: uvicorn on a socket it inherited, until its parent is gone.

It owns nothing to clean up.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from asyncio import Transport

from uvicorn import Config, Server
from uvicorn.protocols.http.h11_impl import H11Protocol

from pytest_release.sandbox.app import App
from pytest_release.sandbox.asgi import CONNECTION, Message, Receive, Send
from pytest_release.sandbox.child import leave_with_parent
from pytest_release.sandbox.endpoint import Setting
from pytest_release.sandbox.faults import switches
from pytest_release.sandbox.state import SharedState

KEEP_ALIVE = 75  # seconds; longer than a run pauses between two requests


class OpenHttp(H11Protocol):
    """uvicorn's HTTP/1.1 that hands the connection to the application as an ASGI extension."""

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Remember the connection for every request that comes over it."""
        super().connection_made(transport)
        app = self.app

        async def with_connection(scope: Message, receive: Receive, send: Send) -> None:
            """The application, told its connection."""
            scope["extensions"] = {CONNECTION: {"transport": transport}}
            await app(scope, receive, send)

        self.app = with_connection


def main(options: str) -> None:
    """Serve until the parent is gone.

    Args:
        options: JSON object: listener, state (descriptors), faults, stream_seconds, dsn,
            parts.
    """
    asked = json.loads(options)
    leave_with_parent()
    app = App(
        Setting(
            SharedState(asked["state"]),
            asked["stream_seconds"],
            asked["dsn"],
            frozenset(asked["faults"]),
            asked["parts"],
        ),
        switches(asked["faults"]),
        worker=str(os.getpid()),
    )
    config = Config(
        app,
        http=OpenHttp,
        loop="asyncio",
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        timeout_keep_alive=KEEP_ALIVE,
    )
    Server(config).run(sockets=[socket.socket(fileno=asked["listener"])])


if __name__ == "__main__":
    main(sys.argv[1])
