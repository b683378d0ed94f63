"""Servers that nobody here wrote, each in a process of its own: ``servers.py NAME DESCRIPTOR``.

- The descriptor is an inherited socket that listens already: no port is chosen twice.
- The process ends with its standard input, so that it never outlives whoever started it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
import threading
from collections.abc import AsyncIterator
from importlib import import_module
from typing import Any


def httpbin(listener: socket.socket) -> None:
    """httpbin under werkzeug."""
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    host, port = listener.getsockname()
    app = import_module("httpbin").app
    make_server(host, port, app, threaded=True, fd=listener.fileno()).serve_forever()


def localstripe(listener: socket.socket) -> None:
    """localstripe, a Stripe with a memory, under aiohttp; it writes none of it to a file."""
    from aiohttp import web

    store = import_module("localstripe.resources").store
    type(store).dump_to_disk = lambda _store: None  # its path is the same for every process
    web.run_app(import_module("localstripe.server").app, sock=listener, print=None)


def events(listener: socket.socket) -> None:
    """Streams made by sse-starlette under uvicorn; ``?line_end=`` as it goes over the wire."""
    from sse_starlette import EventSourceResponse
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.routing import Route
    from uvicorn import Config, Server

    async def told(request: Request) -> EventSourceResponse:
        line_end = request.query_params.get("line_end")
        return EventSourceResponse(_poem(), sep=line_end, ping=0.02)

    async def broken(_request: Request) -> EventSourceResponse:
        return EventSourceResponse(_broken_off(), ping=0)

    app = Starlette(routes=[Route("/poem", told), Route("/broken", broken)])
    config = Config(app, log_level="critical", lifespan="off")
    Server(config).run(sockets=[listener])


async def _poem() -> AsyncIterator[dict[str, Any]]:
    """Every field that the standard knows, with time for pings between the events."""
    yield {"event": "opened", "id": "1", "retry": 3000, "data": '{"title": "静夜思"}'}
    await asyncio.sleep(0.1)
    yield {"event": "verse", "id": "2", "data": "床前明月光\n疑是地上霜"}
    await asyncio.sleep(0.1)
    yield {"data": '{"type": "verse", "lines": [3, 4]}', "comment": "named by its data"}
    yield {"comment": "no event: nothing but a comment"}
    yield {"event": "closed", "id": "4", "data": ""}


async def _broken_off() -> AsyncIterator[dict[str, Any]]:
    async for event in _poem():
        yield event
        if event["event"] == "verse":
            raise RuntimeError("the poet is gone")


def _leave_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    serve = {"httpbin": httpbin, "localstripe": localstripe, "events": events}[sys.argv[1]]
    serve(socket.socket(fileno=int(sys.argv[2])))
