"""Between ASGI and our values: reads a `Request`, sends an `Answer`.

Each piece is flushed at its time, and nothing is sent to a client that has left.

A raw answer, and one that breaks off, is written to the connection itself, which the server hands
over as the ASGI extension `CONNECTION`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from itertools import chain, repeat
from typing import Any
from urllib.parse import parse_qsl

from pytest_release.sandbox.answers import Answer, Ending, Piece
from pytest_release.sandbox.requests import MAX_BODY, Refused, Request

CONNECTION = "pytest_release.connection"
WRITE_AHEAD = 256 * 1024  # bytes a raw answer may be ahead of the client

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


async def read_request(scope: Message, receive: Receive) -> Request:
    """Read a request to its end.

    Raises:
        Refused: 413, the body is larger than `MAX_BODY`.
    """
    body = bytearray()
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > MAX_BODY:
            raise Refused(413, f"the body must not exceed {MAX_BODY} bytes")
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    return Request(
        scope["method"],
        scope["path"],
        dict(parse_qsl(scope["query_string"].decode("latin-1"))),
        headers.get("content-type", ""),
        bytes(body),
        headers,
    )


async def deliver(
    answer: Answer, receive: Receive, send: Send, connection: asyncio.Transport
) -> None:
    """Send the whole answer, or as much of it as the client waits for."""
    left = asyncio.ensure_future(_until_client_leaves(receive))
    try:
        await asyncio.wait({left}, timeout=answer.wait)
        if not answer.raw:
            await send(_head(answer))
        again = repeat(Piece(answer.forever)) if answer.forever else ()
        for piece in chain(answer.pieces, again):
            await asyncio.wait({left}, timeout=piece.wait)
            if left.done():
                return
            if answer.raw:
                await _write(piece.data, connection)
            else:
                await send(_body(piece.data, more=True))
        await _end(answer, send, connection, left)
    finally:
        left.cancel()


async def _until_client_leaves(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _head(answer: Answer) -> Message:
    headers = dict(answer.headers)
    if answer.length is not None:
        headers["content-length"] = str(answer.length)
    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http.response.start", "status": answer.status, "headers": encoded}


def _body(data: bytes, *, more: bool) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more}


async def _write(data: bytes, connection: asyncio.Transport) -> None:
    connection.write(data)
    while connection.get_write_buffer_size() > WRITE_AHEAD and not connection.is_closing():
        await asyncio.sleep(0.01)


async def _end(
    answer: Answer, send: Send, connection: asyncio.Transport, left: asyncio.Future[None]
) -> None:
    if answer.ending is Ending.CLOSE and not answer.raw:
        await send(_body(b"", more=False))
        return
    if answer.ending is Ending.ABORT:
        connection.abort()
    elif answer.ending is Ending.CLOSE:
        connection.close()
    await left  # the server must learn of the end before the application returns
