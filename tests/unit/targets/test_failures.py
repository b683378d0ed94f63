"""Tests of `pytest_release.targets.failures`: every way to fail, and what is said of it."""

from __future__ import annotations

import datetime as dt
import gzip
import re
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from pytest_release.config.cases import Request
from pytest_release.errors import TargetError
from pytest_release.redaction import Redactor
from pytest_release.targets.http import HttpTarget
from tests.unit.targets.conftest import Send, Serve, environment_at
from tests.unit.targets.scripted import CHUNKED, HEAD, Connection, Talk, chunk, chunks, plain

FAST = {"timeout_s": 0.15, "stall_s": 5}
IMPATIENT = {"timeout_s": 5, "stall_s": 0.05}
WAITING = "while waiting for the answer's head"
READING = "while reading the answer's body"


def dripping(data: bytes) -> Talk:
    """A step that sends a byte every 10 ms."""
    return lambda connection: connection.drip(data * 100, 0.01)


def flooding(data: bytes) -> Talk:
    """A step that sends something until the client hangs up."""
    return lambda connection: connection.flood(data)


@dataclass(frozen=True)
class Fault:
    """What a server does, and what the client says.

    Attributes:
        answer: Steps of the server.
        message: What is said.
        bounds: Of the request.
        kept: For what breaks after the head: the body that is kept.
    """

    answer: tuple[bytes | Talk, ...]
    message: str
    bounds: dict[str, Any]
    kept: bytes = b""


HEADLESS = {
    "closes": Fault((), "closed the connection without an answer", {}),
    "closes in the head": Fault(
        (HEAD + b"Content-",), "closed the connection in its answer's head", {}
    ),
    "resets": Fault((Connection.reset,), f"was cut off {WAITING}: Connection reset by peer", {}),
    "is silent": Fault((Connection.hang,), f"stalled for 0.05 s {WAITING}", IMPATIENT),
    "is silent in the head": Fault(
        (HEAD, Connection.hang), f"stalled for 0.05 s {WAITING}", IMPATIENT
    ),
    "sends a byte every 10 ms": Fault(
        (HEAD, dripping(b"X-A: b\r\n")), f"timed out after 0.15 s {WAITING}", FAST
    ),
    "sends interim answers for ever": Fault(
        (flooding(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100),),
        f"timed out after 0.15 s {WAITING}",
        FAST,
    ),
    "sends headers for ever": Fault(
        (HEAD, flooding(b"X-A: " + b"b" * 1000 + b"\r\n")),
        "sends a head, or a line between chunks, of more than 100 KB",
        {},
    ),
    "sends one header for ever": Fault(
        (HEAD + b"X-A: ", flooding(b"b" * 65536)),
        "sends a head, or a line between chunks, of more than 100 KB",
        {},
    ),
    "speaks another protocol": Fault(
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n",),
        "does not speak HTTP as it should: illegal status line",
        {},
    ),
    "sends a broken header": Fault(
        (HEAD + b"no colon\r\n\r\n",), "does not speak HTTP as it should: illegal header line", {}
    ),
    "sends two lengths": Fault(
        (HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",),
        "does not speak HTTP as it should: conflicting Content-Length headers",
        {},
    ),
}

HALF_GZIP = gzip.compress(b"data: a\n\n" * 10_000)[:-9]
BOMB = gzip.compress(bytes(8 * 1024 * 1024), compresslevel=1)

HEADED = {
    "cuts a length": Fault(
        (HEAD + b"Content-Length: 10\r\n\r\n", b"12345"),
        "was cut off: peer closed connection without sending complete message body "
        "(received 5 bytes, expected 10)",
        {},
        b"12345",
    ),
    "cuts a chunk": Fault(
        (CHUNKED, chunk(b"one"), b"5\r\ntw"),
        "was cut off: peer closed connection without sending complete message body "
        "(incomplete chunked read)",
        {},
        b"onetw",
    ),
    "cuts between chunks": Fault(
        (CHUNKED, chunk(b"one")), "was cut off: peer closed connection", {}, b"one"
    ),
    "resets in the body": Fault(
        (CHUNKED, chunk(b"one"), Connection.reset),
        f"was cut off {READING}: Connection reset by peer",
        {},
        b"one",
    ),
    "stalls in the body": Fault(
        (CHUNKED, chunk(b"one"), Connection.hang),
        f"stalled for 0.05 s {READING}",
        IMPATIENT,
        b"one",
    ),
    "sends a byte of body every 10 ms": Fault(
        (CHUNKED, chunk(b"one"), dripping(b"5\r\nabcde\r\n")),
        f"timed out after 0.15 s {READING}",
        FAST,
        b"one",
    ),
    "sends a body for ever": Fault(
        (CHUNKED, flooding(chunk(b"x" * 10_000))),
        "its body has more than 100000 bytes",
        {"max_bytes": 100_000},
        b"x" * 100_000,
    ),
    "sends a bomb": Fault(
        (plain(BOMB, "Content-Encoding: gzip"),),
        "its body has more than 100000 bytes",
        {"max_bytes": 100_000},
        bytes(100_000),
    ),
    "sends no chunks": Fault(
        (CHUNKED, chunk(b"one"), b"zz\r\n"),
        r"does not speak HTTP as it should: illegal chunk header: bytearray(b'zz\r\n')",
        {},
        b"one",
    ),
    "sends a chunk header for ever": Fault(
        (CHUNKED, chunk(b"one"), b"5;", flooding(b"x" * 65536)),
        "sends a head, or a line between chunks, of more than 100 KB",
        {},
        b"one",
    ),
    "says gzip and sends none": Fault(
        (plain(b"data: a\n\n", "Content-Encoding: gzip"),),
        "its body is not gzip: incorrect header check",
        {},
    ),
    "cuts gzip": Fault(
        (plain(HALF_GZIP, "Content-Encoding: gzip"),),
        "its gzip body ends too early",
        {},
        b"data: a",
    ),
    "sends an encoding nobody asked for": Fault(
        (plain(b"data", "Content-Encoding: br"),),
        "its content encoding 'br' was not asked for",
        {},
    ),
}


@pytest.mark.parametrize("fault", HEADLESS.values(), ids=HEADLESS)
def test_without_a_head_there_is_no_exchange(serve: Serve, send: Send, fault: Fault) -> None:
    """One sentence: the request, and why it had no answer."""
    server = serve(*fault.answer)

    with pytest.raises(TargetError, match=re.escape(f"GET {server.url}/x: {fault.message}")):
        send(server, "/x", **fault.bounds)


@pytest.mark.parametrize("fault", HEADED.values(), ids=HEADED)
def test_behind_the_head_an_exchange_breaks(serve: Serve, send: Send, fault: Fault) -> None:
    """It says how, and keeps what had arrived."""
    exchange = send(serve(*fault.answer), **fault.bounds)

    assert exchange.broken is not None
    assert exchange.broken.startswith(fault.message)
    assert exchange.status == 200
    assert exchange.body.startswith(fault.kept)
    assert exchange.total.value >= exchange.ttfb.value


def test_a_message_quotes_no_more_than_a_line(serve: Serve, send: Send) -> None:
    """What a server sends in place of a chunk's size may be 100 KB."""
    exchange = send(serve(CHUNKED + b"z" * 50_000 + b"\r\n"))

    assert exchange.broken is not None
    assert len(exchange.broken) < 400


def test_what_is_sent_behind_the_length_is_no_part_of_the_answer(serve: Serve, send: Send) -> None:
    """As every client has it."""
    exchange = send(serve(HEAD + b"Content-Length: 2\r\n\r\nhi and more"))

    assert (exchange.body, exchange.broken) == (b"hi", None)


def test_a_body_that_is_not_utf8_is_handed_over_as_it_is(serve: Serve, send: Send) -> None:
    """What it should have been is the gate's business."""
    assert send(serve(plain(b"\xff\xfe"))).body == b"\xff\xfe"


def refused() -> str:
    """An address that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_nobody_listens() -> None:
    """The address, without its password, and what the system says."""
    url = refused()
    target = HttpTarget(environment_at(url.replace("//", "//me:hidden@")))

    message = f"GET {url}/: cannot be reached: Connection refused"
    with pytest.raises(TargetError, match=f"^{re.escape(message)}$"):
        target.send(Request("GET", "/"))


def test_a_name_that_does_not_resolve(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name, and what the resolver says."""

    def resolver(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    message = "GET http://a.example/: cannot be reached: "
    message += "the name a.example was not resolved: Name or service not known"
    with pytest.raises(TargetError, match=re.escape(message)):
        HttpTarget(environment_at("http://a.example")).send(Request("GET", "/"))


@pytest.mark.parametrize("name", ["a..example", "a" * 64 + ".example", ".example"])
def test_a_name_that_cannot_be_one(name: str) -> None:
    """No label may be empty or longer than 63 characters."""
    target = HttpTarget(environment_at(f"http://{name}"))

    with pytest.raises(TargetError, match="was not resolved: a part of it is empty or too long"):
        target.send(Request("GET", "/"))


def test_a_request_that_http_does_not_allow(serve: Serve, send: Send) -> None:
    """A line break in a header is refused before anything is sent."""
    with pytest.raises(TargetError, match=r"/: cannot be sent: Illegal header value b'a\\nb'"):
        send(serve(plain()), headers={"X-A": "a\nb"})


def test_a_server_that_reads_nothing(serve: Serve, send: Send) -> None:
    """The request does not fit into what the system takes on its own."""
    server = serve(talk=Connection.ignore)

    with pytest.raises(TargetError, match=r"/: stalled for 0\.05 s while sending the request"):
        send(server, method="POST", json="x" * 12_000_000, **IMPATIENT)


def test_a_server_that_refuses_to_read(serve: Serve, send: Send) -> None:
    """It may hang up in the middle of a request: what counts is that there was no answer."""
    server = serve(talk=lambda connection: connection.socket.recv(1) and None)

    with pytest.raises(TargetError, match=r"Connection reset by peer|without an answer"):
        send(server, method="POST", json="x" * 12_000_000)


def test_a_secret_that_is_echoed_is_not_repeated(serve: Serve, send: Send) -> None:
    """A foreign message may quote the server, and the server the client."""
    server = serve(CHUNKED + b"hidden-token\r\n")

    exchange = send(server, settings={"redactor": Redactor(frozenset({"hidden-token"}))})

    assert exchange.broken is not None
    assert "hidden" not in exchange.broken
    assert "***" in exchange.broken


Certified = Callable[..., ssl.SSLContext]
LONG_AGO = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)


def test_tls_is_timed_apart(serve: Serve, send: Send, certified: Certified, trusted: str) -> None:
    """A handshake before the clock starts."""
    exchange = send(serve(plain(b"ok"), tls=certified()), settings={"verify_tls": trusted})

    assert exchange.body == b"ok"
    assert exchange.tls_ms is not None


def test_tls_that_nobody_vouches_for_can_be_accepted(
    serve: Serve, send: Send, certified: Certified
) -> None:
    """With ``verify_tls: false``, whatever the name."""
    server = serve(plain(b"ok"), tls=certified("elsewhere.example"))

    assert send(server, settings={"verify_tls": False}).body == b"ok"


@pytest.mark.parametrize(
    ("names", "certificate", "believed", "reason"),
    [
        ((), {}, False, "unable to get local issuer certificate"),
        ((), {"not_before": LONG_AGO, "not_after": LONG_AGO}, True, "certificate has expired"),
        (
            ("elsewhere.example",),
            {},
            True,
            "IP address mismatch, certificate is not valid for '127.0.0.1'",
        ),
    ],
)
def test_a_certificate_is_refused(
    serve: Serve,
    send: Send,
    certified: Certified,
    trusted: str,
    names: tuple[str, ...],
    certificate: dict[str, Any],
    believed: bool,
    reason: str,
) -> None:
    """The message says what is wrong with it."""
    server = serve(plain(), tls=certified(*names, **certificate))
    settings = {"verify_tls": trusted if believed else True}

    message = f"GET {server.url}/: TLS was refused: certificate verify failed: {reason}"
    with pytest.raises(TargetError, match=re.escape(message)):
        send(server, settings=settings)


@pytest.mark.parametrize(
    ("talk", "reason"),
    [
        (lambda c: c.socket.sendall(b"HTTP/1.1 400 X\r\n\r\n"), "TLS was refused: "),
        (lambda c: (c.socket.recv(1), c.reset()), "TLS was refused: Connection reset by peer"),
        (lambda c: c.socket.recv(65536) and None, "TLS was refused: "),
        (Connection.hang, "stalled for 0.05 s while negotiating TLS"),
    ],
    ids=["plain HTTP", "reset", "closed", "silent"],
)
def test_a_server_without_tls(serve: Serve, trusted: str, talk: Talk, reason: str) -> None:
    """Plain HTTP behind ``https:``, and servers that hang up or say nothing."""
    url = serve(talk=talk).url.replace("http:", "https:")
    target = HttpTarget(environment_at(url, verify_tls=trusted))

    with pytest.raises(TargetError, match=f"^GET https://127.0.0.1:[0-9]+/: {re.escape(reason)}"):
        target.send(Request("GET", "/", **IMPATIENT))  # type: ignore[arg-type]


def test_the_body_is_read_in_chunks(serve: Serve, send: Send) -> None:
    """The pieces of this file put together as they should be."""
    assert send(serve(CHUNKED, *chunks(b"one", b"two"))).body == b"onetwo"
