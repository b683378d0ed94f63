"""Tests of `pytest_release.targets.http`: answers that come whole, and their figures."""

from __future__ import annotations

import contextlib
import gzip
import json
import ssl
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_release.config.cases import Request
from pytest_release.config.environment import Auth
from pytest_release.errors import ConfigError, TargetError
from pytest_release.redaction import Secret
from pytest_release.targets import turns
from pytest_release.targets._httpx import httpx
from pytest_release.targets.clock import KERNEL
from pytest_release.targets.http import SHOWN_BODY, HttpTarget, connect
from pytest_release.targets.stamps import Stamp
from tests.unit.targets.conftest import Send, Serve, environment_at
from tests.unit.targets.scripted import CHUNKED, HEAD, Connection, at_once, chunk, chunks, plain

EARLY = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"
TEXT = "data: 水\n\n".encode()


@pytest.mark.parametrize(
    "answer",
    [
        (plain(TEXT),),
        (HEAD + b"Content-Length: %d\r\n\r\n" % len(TEXT), TEXT),
        (CHUNKED, *chunks(TEXT)),
        (CHUNKED + b"".join(chunks(TEXT[:3], TEXT[3:])),),
        (CHUNKED, *chunks(*(TEXT[n : n + 1] for n in range(len(TEXT))))),
        (HEAD + b"\r\n", TEXT[:8], TEXT[8:]),
        (b"HTTP/1.0 200 OK\r\n\r\n" + TEXT,),
        (EARLY, plain(TEXT)),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + EARLY + plain(TEXT),),
    ],
)
def test_a_body_is_read_to_its_end(serve: Serve, send: Send, answer: tuple[bytes, ...]) -> None:
    """By length, by chunks, by closing, cut anywhere, with interim answers before it."""
    exchange = send(serve(*answer))

    assert (exchange.status, exchange.body, exchange.broken) == (200, TEXT, None)
    assert exchange.content_bytes == len(TEXT)
    assert exchange.wire_bytes == sum(map(len, answer))


def test_an_exchange_says_what_came(serve: Serve, send: Send) -> None:
    """Status, version, headers in lower case and in order, times of the connection apart."""
    exchange = send(serve(plain(b"no", "X-A: 1", "x-a: 2", "X-Long: " + "x" * 9000, status=404)))

    assert exchange.status == 404
    assert exchange.http_version == "HTTP/1.1"
    assert [value for name, value in exchange.headers if name == "x-a"] == ["1", "2"]
    assert len(dict(exchange.headers)["x-long"]) == 8000
    assert exchange.dns_ms is not None
    assert exchange.connect_ms is not None
    assert exchange.tls_ms is None
    assert {exchange.ttfb.clock, exchange.total.clock} == {KERNEL}


def test_an_answer_without_a_body_has_no_first_body_byte(serve: Serve, send: Send) -> None:
    """HEAD, and a length of 0."""
    head = send(
        serve(HEAD + b"Content-Length: 10\r\nContent-Encoding: gzip\r\n\r\n"), method="HEAD"
    )
    empty = send(serve(plain()))

    assert (head.first_body, head.broken) == (None, None)
    assert (empty.first_body, empty.body) == (None, b"")


def test_first_byte_first_body_and_end_are_three_figures(serve: Serve, send: Send) -> None:
    """A head that is flushed at once, a late body, a later end: a read each."""
    exchange = send(serve(CHUNKED, *chunks(b": comment\n", b"data: a\n\n"), b""))

    assert exchange.first_body is not None
    assert 0 < exchange.ttfb.value < exchange.first_body.value < exchange.total.value
    for sample in (exchange.ttfb, exchange.first_body, exchange.total):
        assert sample.exact
        assert sample.low <= sample.value <= sample.high


def test_a_head_and_body_that_come_together_have_one_stamp(serve: Serve, send: Send) -> None:
    """One read brought both."""
    exchange = send(serve(plain(b"all")))

    assert exchange.first_body is not None
    assert exchange.ttfb.value == exchange.first_body.value == exchange.total.value


def test_an_interim_answer_is_not_the_first_byte(serve: Serve, send: Send) -> None:
    """With 103 Early Hints the clock runs on to the final answer's status line."""
    exchange = send(serve(EARLY, b"HTTP/1.1 200 ", b"OK\r\nContent-Length: 2\r\n\r\n", b"hi"))
    slow_head = send(serve(b"HTTP/1.1 200 ", b"OK\r\nContent-Length: 2\r\n\r\n", b"hi"))

    assert exchange.first_body is not None
    assert slow_head.first_body is not None
    assert exchange.ttfb.value < exchange.first_body.value
    assert slow_head.ttfb.value < slow_head.first_body.value


def test_the_connection_is_made_before_the_clock_starts(serve: Serve, send: Send) -> None:
    """Nothing of it is in a figure, and each exchange has one of its own."""

    def answer(connection: Connection) -> None:
        connection.send(plain(connection.request.split(b" ")[1]))

    server = serve(answer)

    assert [send(server, path).body for path in ("/a", "/b")] == [b"/a", b"/b"]
    assert len(server.requests) == 2


def test_chunks_are_handed_over_as_they_arrive(serve: Serve, send: Send) -> None:
    """Each with the stamp of its read; only the beginning of the body is kept for the report."""
    taken: list[tuple[bytes, Stamp]] = []
    parts = [b"x" * 3000, b"y" * 3000, b"z"]

    exchange = send(
        serve(CHUNKED, *chunks(*parts)), on_chunk=lambda data, at: taken.append((data, at))
    )

    assert [data for data, _ in taken] == parts
    assert [at.at_ns for _, at in taken] == sorted({at.at_ns for _, at in taken})
    assert exchange.body == b"".join(parts)[:SHOWN_BODY]
    assert exchange.content_bytes == 6001
    assert exchange.first_body is not None
    assert exchange.first_body == exchange.sample(taken[0][1])


def test_a_character_may_be_cut_by_a_chunk(serve: Serve, send: Send) -> None:
    """Bytes are handed over as they are, never decoded on the way."""
    taken: list[bytes] = []
    send(serve(CHUNKED, *chunks(b"\xe6", b"\xb0\xb4")), on_chunk=lambda data, _: taken.append(data))

    assert taken == [b"\xe6", b"\xb0\xb4"]


def test_a_callback_can_stop_the_answer(serve: Serve, send: Send) -> None:
    """0 seconds more: nothing further is read, and nothing is broken."""
    taken: list[bytes] = []

    def take(data: bytes, _: Stamp) -> float | None:
        taken.append(data)
        return 0.0 if data == b"end" else None

    exchange = send(serve(CHUNKED, *chunks(b"a", b"end", b"b")), on_chunk=take)

    assert taken == [b"a", b"end"]
    assert (exchange.broken, exchange.lingered) == (None, False)


def test_a_callback_can_give_the_rest_a_time(serve: Serve, send: Send) -> None:
    """What is still open then is no failure of the exchange, but it is said."""
    server = serve(CHUNKED, chunk(b"a"), Connection.hang)

    exchange = send(server, on_chunk=lambda *_: 0.02)

    assert (exchange.broken, exchange.lingered) == (None, True)


def test_an_answer_that_ends_in_its_rest_does_not_linger(serve: Serve, send: Send) -> None:
    """The time was enough."""
    exchange = send(serve(CHUNKED, *chunks(b"a", b"b")), on_chunk=lambda *_: 5.0)

    assert (exchange.broken, exchange.lingered, exchange.content_bytes) == (None, False, 2)


def test_what_a_callback_raises_is_its_own(serve: Serve, send: Send) -> None:
    """An error of the reader is never taken for one of the connection."""

    def take(*_: object) -> None:
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        send(serve(plain(b"a")), on_chunk=take)


def test_an_answer_that_grows_to_its_bound_is_whole(serve: Serve, send: Send) -> None:
    """Up to and including `max_bytes`."""
    exchange = send(serve(plain(b"x" * 10)), max_bytes=10)

    assert (exchange.broken, len(exchange.body)) == (None, 10)


@pytest.mark.parametrize("asked", ["identity", "gzip"])
def test_an_encoding_is_asked_for_and_undone(serve: Serve, send: Send, asked: str) -> None:
    """What came encoded is decoded, asked for or not; the request says what was asked."""
    server = serve(plain(gzip.compress(TEXT), "Content-Encoding: gzip"))

    exchange = send(server, accept_encoding=asked)

    assert (exchange.body, exchange.accept_encoding) == (TEXT, asked)
    assert b"accept-encoding: " + asked.encode() in server.requests[0]


def test_a_header_that_is_not_shown_still_counts(serve: Serve, send: Send) -> None:
    """The encoding may be the 200th header."""
    body = gzip.compress(TEXT)
    many = [f"X-{n}: 1" for n in range(200)]

    exchange = send(serve(plain(body, *many, "Content-Encoding: gzip")))

    assert exchange.body == TEXT
    assert len(exchange.headers) == 100


def test_variables_of_the_process_change_nothing(
    serve: Serve, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No proxy is asked, whatever the environment says."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")

    assert send(serve(plain(b"direct"))).body == b"direct"


def test_a_request_that_had_no_answer_can_be_described() -> None:
    """Also one that cannot even be built."""
    target = HttpTarget(environment_at("http://u:p@127.0.0.1:1"))

    assert target.describe(Request("GET", "/a"), {}).url == "http://127.0.0.1:1/a"
    assert target.describe(Request("GET", "/{{x}}"), {}).url == "/{{x}}"


@given(st.binary(max_size=300))
def test_no_answer_whatever_makes_a_foreign_exception(
    serve: Serve, send: Send, noise: bytes
) -> None:
    """Random bytes behind a plausible beginning end in an exchange or in a TargetError."""
    server = serve(HEAD[: len(noise) % len(HEAD)] + noise)

    with contextlib.suppress(TargetError):
        assert send(server).http_version == "HTTP/1.1"


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "cannot be used: No such file or directory"), ("no certificate", "cannot be used: ")],
)
def test_a_ca_file_must_hold_a_certificate(
    tmp_path_factory: pytest.TempPathFactory,
    content: str | None,
    message: str,
) -> None:
    """A wrong ``verify_tls`` is the fault of the environment's file."""
    file = tmp_path_factory.mktemp("ca") / "ca.pem"
    if content is not None:
        file.write_text(content)

    with pytest.raises(ConfigError, match=rf"here\.yaml: verify_tls: the CA file {file} {message}"):
        HttpTarget(environment_at("https://127.0.0.1", verify_tls=str(file)))


def test_the_client_for_users_knows_the_environment(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Base URL, authorisation, no proxy."""
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    server = serve(at_once(plain(json.dumps({"a": 1}).encode())))
    auth = Auth("header", token=Secret("hidden"), header="X-Key")

    with connect(environment_at(server.url + "/api", auth=auth)) as client:
        assert client.get("/v1").json() == {"a": 1}

    assert server.requests[0].startswith(b"GET /api/v1 HTTP/1.1\r\n")
    assert b"x-key: hidden\r\n" in server.requests[0].lower()


def test_the_client_for_users_takes_the_password_of_the_address(serve: Serve) -> None:
    """As basic authorisation, and not as part of an address that httpx logs."""
    server = serve(at_once(plain()))

    with connect(environment_at(server.url.replace("//", "//me:hidden@"))) as client:
        client.get("/")

        assert "hidden" not in str(client.base_url)
    assert b"authorization: basic bwu6aglkzgvu\r\n" in server.requests[0].lower()


def test_the_client_for_users_believes_the_environments_authority(
    serve: Serve, certified: Callable[..., ssl.SSLContext], trusted: str
) -> None:
    """And no other."""
    server = serve(at_once(plain(b"ok")), tls=certified())

    with connect(environment_at(server.url, verify_tls=trusted)) as client:
        assert client.get("/").text == "ok"
    with (
        connect(environment_at(server.url)) as client,
        pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"),
    ):
        client.get("/")


def test_requests_wait_for_their_answers_together(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They start in turn, but the turn ends when a request is sent, not when it is answered."""
    monkeypatch.setattr(turns, "HOLD_S", 60.0)
    both = threading.Barrier(2)

    def answer(connection: Connection) -> None:
        connection.receive()
        both.wait(10)
        connection.socket.sendall(plain(b"x"))

    target = HttpTarget(environment_at(serve(talk=answer).url))
    with ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(target.send, [Request("GET", "/")] * 2))

    assert [exchange.body for exchange in answers] == [b"x", b"x"]
