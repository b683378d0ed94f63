"""HTTP/2: the same exchange over another framing, told by a server made of h2's state machine."""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived, StreamEnded
from hpack import Encoder

from pytest_release.config.cases import Request
from pytest_release.errors import TargetError
from pytest_release.targets.http import HttpTarget
from pytest_release.targets.stamps import Stamp
from pytest_release.targets.wire import Wire
from tests.unit.targets.conftest import Send, Serve, environment_at
from tests.unit.targets.scripted import Connection, Server, plain

# Its acknowledgements were never read, so that the client may be told of a reset.
CLOSED = "was cut off(: Server disconnected| while .*: Connection reset by peer)"
OK = [(":status", "200"), ("content-type", "text/event-stream")]
Script = Callable[["Stream"], None]


class Stream:
    """The server's side of the first request's stream."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.h2 = H2Connection(H2Configuration(client_side=False))
        self.h2.initiate_connection()
        self.flush()  # a read of its own, before the client has said anything
        self.id = self._receive()

    def _receive(self) -> int:
        ended, stream_id = False, 0
        while not ended:
            for event in self.h2.receive_data(self.connection.socket.recv(65536)):
                if isinstance(event, RequestReceived):
                    stream_id = event.stream_id or 0
                ended = ended or isinstance(event, StreamEnded)
            self.flush()
        return stream_id

    def flush(self) -> None:
        """Send what has been prepared, as a read of its own."""
        data = self.h2.data_to_send()
        if data:
            self.connection.send(data)

    def head(self, headers: list[tuple[str, str]] | None = None) -> None:
        """An answer's head, an interim one with a status of 1xx."""
        self.h2.send_headers(self.id, headers or OK)
        self.flush()

    def data(self, *parts: bytes) -> None:
        """Parts of the body, a frame each."""
        for part in parts:
            self.h2.send_data(self.id, part)
            self.flush()

    def end(self) -> None:
        """The end of the body."""
        self.h2.end_stream(self.id)
        self.flush()


Serve2 = Callable[[Script], Server]


@pytest.fixture
def serve2(serve: Serve, certified: Callable[..., ssl.SSLContext]) -> Serve2:
    """Starts a server that speaks HTTP/2 over TLS and plays a script on the first stream."""
    tls = certified()
    tls.set_alpn_protocols(["h2"])
    return lambda script: serve(talk=lambda connection: script(Stream(connection)), tls=tls)


def events(stream: Stream) -> None:
    """Two events and an end."""
    stream.head()
    stream.data(b"data: a\n\n", b"data: b\n\n")
    stream.end()


def test_an_answer_over_http2(serve2: Serve2, send: Send) -> None:
    """Offered during the handshake, and used when the server takes it."""
    exchange = send(serve2(events), http2=True)

    assert exchange.http_version == "HTTP/2"
    assert (exchange.status, exchange.broken) == (200, None)
    assert exchange.body == b"data: a\n\ndata: b\n\n"
    assert ("content-type", "text/event-stream") in exchange.headers


def test_the_first_byte_is_the_answers(
    serve2: Serve2, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the settings that the server sends first nor an interim answer count."""
    heads, last, read = list[int](), [0], Wire.read

    def spy(wire: Wire, data: bytes, stamp: Stamp) -> None:
        if data[3:4] == b"\1":  # the type of a frame with headers
            heads.append(stamp.at_ns)
        last[0] = stamp.at_ns
        read(wire, data, stamp)

    def answer(stream: Stream) -> None:
        stream.head([(":status", "103"), ("link", "</a.css>")])
        stream.h2.ping(b"12345678")
        stream.flush()
        events(stream)

    monkeypatch.setattr(Wire, "read", spy)
    exchange = send(serve2(answer), http2=True)

    assert exchange.first_body is not None
    assert exchange.ttfb.value < exchange.first_body.value
    assert len(heads) == 2
    before_the_end = (last[0] - heads[1]) / 1e6
    assert exchange.total.value - exchange.ttfb.value == pytest.approx(before_the_end)


def test_http2_is_not_offered_unless_asked_for(
    serve: Serve, send: Send, certified: Callable[..., ssl.SSLContext]
) -> None:
    """A server that speaks both gets HTTP/1.1; one context for each, so that threads may differ."""
    tls = certified()
    tls.set_alpn_protocols(["h2", "http/1.1"])

    assert send(serve(plain(b"ok"), tls=tls)).http_version == "HTTP/1.1"
    target = HttpTarget(environment_at("https://a.example", verify_tls=False))
    assert target._tls is not target._tls_http2
    assert target._tls_http2 is target._tls_http2


def test_a_server_without_http2_is_spoken_to_all_the_same(
    serve: Serve, send: Send, certified: Callable[..., ssl.SSLContext]
) -> None:
    """The offer is one."""
    assert send(serve(plain(b"ok"), tls=certified()), http2=True).http_version == "HTTP/1.1"


def test_a_body_can_be_sent(serve2: Serve2, send: Send) -> None:
    """Frame by frame."""
    assert send(serve2(events), http2=True, method="POST", json={"a": 1}).status == 200


def frame(kind: int, flags: int, stream_id: int, payload: bytes) -> bytes:
    """A frame that h2 would refuse to make."""
    return (
        len(payload).to_bytes(3, "big")
        + bytes((kind, flags))
        + stream_id.to_bytes(4, "big")
        + payload
    )


def no_status(stream: Stream) -> None:
    """A head whose status is no number."""
    block = Encoder().encode([(":status", "abc")])
    stream.connection.send(frame(1, 0x4, stream.id, block))


def noise(stream: Stream) -> None:
    """A frame of impossible size."""
    stream.connection.send(b"\xff" * 100)


def reset(stream: Stream) -> None:
    """The server gives the stream up."""
    stream.h2.reset_stream(stream.id, 2)
    stream.flush()


def silence(stream: Stream) -> None:
    """Nothing more comes."""
    stream.connection.hang()


def goodbye(stream: Stream) -> None:
    """The server ends the connection, in an orderly way."""
    stream.h2.close_connection(error_code=2)
    stream.flush()


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (no_status, "does not speak HTTP as it should: invalid literal for int"),
        (noise, "(does not speak HTTP as it should|was cut off)"),
        (goodbye, "was cut off: <ConnectionTerminated error_code:"),
        (lambda _: None, CLOSED),
        (reset, "was cut off: <StreamReset "),
        (silence, r"stalled for 0\.05 s while waiting for the answer's head"),
    ],
    ids=["no status", "noise", "goodbye", "closed", "reset", "silent"],
)
def test_no_head(serve2: Serve2, send: Send, script: Script, message: str) -> None:
    """One sentence, as with HTTP/1.1."""
    server = serve2(script)

    with pytest.raises(TargetError, match=f"^GET {re.escape(server.url)}/: {message}"):
        send(server, http2=True, stall_s=0.05)


def broken(end: Script) -> Script:
    """A head and a part of the body, then something else."""

    def script(stream: Stream) -> None:
        stream.head()
        stream.data(b"one")
        end(stream)

    return script


@pytest.mark.parametrize(
    ("end", "message"),
    [
        (
            lambda stream: stream.connection.send(frame(8, 0, 0, bytes(4))),
            "does not speak HTTP as it should: ",
        ),
        (reset, "was cut off: <StreamReset "),
        (lambda _: None, CLOSED),
        (silence, "stalled for 0.05 s while reading the answer's body"),
    ],
    ids=["a window of nothing", "reset", "closed", "silent"],
)
def test_a_broken_body(serve2: Serve2, send: Send, end: Script, message: str) -> None:
    """What had arrived is kept."""
    exchange = send(serve2(broken(end)), http2=True, stall_s=0.05)

    assert exchange.broken is not None
    assert re.match(message, exchange.broken)
    assert (exchange.status, exchange.body) == (200, b"one")


def test_a_request_is_the_same_in_both_versions(serve2: Serve2) -> None:
    """What is sent does not depend on the version; what reports show does not either."""
    target = HttpTarget(environment_at(serve2(events).url, verify_tls=False))
    shown = [target.describe(Request("GET", "/", http2=http2), {}) for http2 in (False, True)]

    assert shown[0].headers == shown[1].headers
    assert ("--http1.1" in shown[0].curl, "--http2" in shown[1].curl) == (True, True)
