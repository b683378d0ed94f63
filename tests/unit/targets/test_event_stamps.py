"""Events over real connections: each has the arrival of the bytes that completed it.

The server sends the second half of a part only when the first half has been read, so that the
moments before its sending and before the next one's enclose the only right answer.
"""

from __future__ import annotations

import ssl
import time
import zlib
from collections.abc import Callable, Iterator

import pytest

from pytest_release.targets.events import Event, EventParser
from pytest_release.targets.stamps import SANDWICH_NS, Stamp
from tests.unit.targets.conftest import Send, Serve
from tests.unit.targets.scripted import CHUNKED, HEAD, Connection, Server, Talk, chunk
from tests.unit.targets.test_events import SCRIPTS, Script, seen

Frame = Callable[[bytes], bytes]
GZIP = 16 + zlib.MAX_WBITS
COMPRESSED = CHUNKED.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n")
MOMENTS: list[tuple[int, bool]] = []  # before each piece: ns, and whether it completes an event


def halves(script: Script) -> Iterator[tuple[bytes, bool]]:
    """Each part in two, and whether an event is complete with the piece."""
    for number, part in enumerate(script.parts):
        middle = len(part) // 2
        yield part[:middle], False
        yield part[middle:], number < len(script.events)


def play(script: Script, head: bytes, frame: Frame, end: Callable[[], bytes]) -> Talk:
    """Sends it piece by piece; the connection remembers when each began."""

    def talk(connection: Connection) -> None:
        connection.receive()
        connection.send(head)
        for piece, completes in halves(script):
            MOMENTS.append((time.monotonic_ns(), completes))
            if piece:
                connection.send(frame(piece))
        MOMENTS.append((time.monotonic_ns(), False))
        if last := end():
            connection.send(last)

    return talk


def listen(server: Server, send: Send) -> list[Event]:
    """The events of the stream that a server plays."""
    parser, events = EventParser(), list[Event]()

    def take(data: bytes, at: Stamp) -> None:
        events.extend(parser.feed(data, at))

    exchange = send(server, on_chunk=take, accept_encoding="gzip")
    assert exchange.broken is None
    return events


def assert_stamped(script: Script, events: list[Event]) -> None:
    """Every event arrived after its last bytes were sent and before anything else was."""
    assert seen(events) == script.events
    completing = [i for i, (_, completes) in enumerate(MOMENTS) if completes]
    for event, index in zip(events, completing, strict=True):
        assert event.at.exact
        assert MOMENTS[index][0] - SANDWICH_NS <= event.at.at_ns <= MOMENTS[index + 1][0]


@pytest.fixture(autouse=True)
def moments() -> None:
    """Nothing has been sent."""
    MOMENTS.clear()


def nothing() -> bytes:
    """No end but the connection's."""
    return b""


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "TLS"])
@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_chunked(
    script: Script,
    serve: Serve,
    send: Send,
    certified: Callable[..., ssl.SSLContext],
    *,
    encrypted: bool,
) -> None:
    """The framing of nearly every stream."""
    tls = certified() if encrypted else None
    if tls:
        tls.num_tickets = 0  # they would be read together with the head, at times
    server = serve(talk=play(script, CHUNKED, chunk, lambda: chunk(b"")), tls=tls)

    assert_stamped(script, listen(server, send))


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_until_the_connection_closes(script: Script, serve: Serve, send: Send) -> None:
    """As HTTP/1.0 servers, and some proxies, do it."""
    server = serve(talk=play(script, HEAD + b"\r\n", bytes, nothing))

    assert_stamped(script, listen(server, send))


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_gzip_that_is_flushed(script: Script, serve: Serve, send: Send) -> None:
    """Each event is decodable when its bytes are there."""
    gzip = zlib.compressobj(wbits=GZIP)

    def frame(piece: bytes) -> bytes:
        return chunk(gzip.compress(piece) + gzip.flush(zlib.Z_SYNC_FLUSH))

    server = serve(talk=play(script, COMPRESSED, frame, lambda: chunk(gzip.flush()) + chunk(b"")))

    assert_stamped(script, listen(server, send))


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_gzip_that_is_not_flushed(script: Script, serve: Serve, send: Send) -> None:
    """What the compressor holds back has not arrived: every event is as late as its end."""
    gzip = zlib.compressobj(wbits=GZIP)
    body = gzip.compress(script.stream) + gzip.flush()

    def talk(connection: Connection) -> None:
        connection.receive()
        connection.send(COMPRESSED, chunk(body[:10]))  # gzip's own head
        MOMENTS.append((time.monotonic_ns(), True))
        connection.send(chunk(body[10:]) + chunk(b""))

    events = listen(serve(talk=talk), send)

    assert seen(events) == script.events
    assert all(event.at.at_ns >= MOMENTS[0][0] - SANDWICH_NS for event in events)


def test_the_table_is_long() -> None:
    """At least thirty corner cases of the standard."""
    assert len(SCRIPTS) >= 30
