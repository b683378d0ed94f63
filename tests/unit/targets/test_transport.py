"""Tests of `pytest_release.targets.transport`: in an httpx client as users have it."""

from __future__ import annotations

import re
import ssl
import threading
import time
from collections.abc import Iterator

import pytest

from pytest_release.targets._httpx import httpx
from pytest_release.targets.busy import Heartbeat
from pytest_release.targets.calibration import process_clock
from pytest_release.targets.transport import TimedTransport
from pytest_release.targets.wire import Phase, Wire
from tests.unit.targets.conftest import Serve
from tests.unit.targets.scripted import CHUNKED, Connection, at_once, chunk, plain


@pytest.fixture
def client(trusted: str) -> Iterator[httpx.Client]:
    """An httpx client over the transport."""
    tls = ssl.create_default_context(cafile=trusted)
    with httpx.Client(transport=TimedTransport(tls, process_clock()), timeout=2) as client:
        yield client


def wire_of(response: httpx.Response) -> Wire:
    """The times of a response."""
    wire: Wire = response.extensions["wire"]
    return wire


def test_a_kept_connection_serves_the_next_request_with_a_wire_of_its_own(
    serve: Serve, client: httpx.Client
) -> None:
    """The first one's connecting is not the second one's."""

    def twice(connection: Connection) -> None:
        for body in (b"one", b"two"):
            connection.receive()
            connection.send(plain(body))
        connection.hang()

    url = serve(talk=twice).url
    first, second = client.get(url), client.get(url)

    assert (first.text, second.text) == ("one", "two")
    assert wire_of(first).connect_ms is not None
    assert wire_of(second).connect_ms is None
    assert wire_of(first).sent_ns < wire_of(second).started_ns
    for response in (first, second):
        assert wire_of(response).ttfb.exact
        assert wire_of(response).bytes_in > 0


def test_a_connection_that_the_server_closed_is_not_used_again(
    serve: Serve, client: httpx.Client
) -> None:
    """A new one is made, and the request is answered."""
    server = serve(plain(b"one"))
    for number in range(1, 4):
        answer = client.get(server.url)
        assert (answer.text, len(server.requests)) == ("one", number)
        ends = time.monotonic() + 5
        stream = answer.extensions["network_stream"]
        while not stream.get_extra_info("is_readable") and time.monotonic() < ends:
            pass


def test_two_answers_that_one_thread_reads_in_turn_keep_their_times(
    serve: Serve, client: httpx.Client
) -> None:
    """Each part counts for the wire that it came over."""
    parts = [at_once(CHUNKED + chunk(b"a")), at_once(chunk(b"b") + chunk(b""))]
    one, other = serve(*parts), serve(*parts)
    with client.stream("GET", one.url) as first, client.stream("GET", other.url) as second:
        together = [part for pair in zip(first.iter_raw(), second.iter_raw()) for part in pair]  # noqa: B905 - they may be merged

    assert b"".join(together) in (b"aabb", b"abab")
    assert wire_of(first).bytes_in == wire_of(second).bytes_in
    assert wire_of(first).last_read != wire_of(second).last_read


def test_the_heartbeat_ends_with_the_answer(serve: Serve, trusted: str) -> None:
    """However many there are, one beats, and none when nobody listens."""
    heartbeat = Heartbeat()
    tls = ssl.create_default_context(cafile=trusted)
    transport = TimedTransport(tls, process_clock(), heartbeat=heartbeat)

    def beating() -> int:
        return sum(thread.name == "release-heartbeat" for thread in threading.enumerate())

    with httpx.Client(transport=transport) as client:
        with client.stream("GET", serve(plain(b"x")).url):
            assert beating() == 1
        with pytest.raises(httpx.ConnectError, match="Connection refused"):
            client.get("http://127.0.0.1:1/")
    ends = time.monotonic() + 5
    while beating() and time.monotonic() < ends:
        pass

    assert beating() == 0


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (b"", httpx.RemoteProtocolError, "Server disconnected without sending a response."),
        (b"nonsense\r\n\r\n", httpx.RemoteProtocolError, "illegal status line"),
        (Connection.hang, httpx.ReadTimeout, "timed out"),
        (CHUNKED + b"zz\r\n", httpx.RemoteProtocolError, "illegal chunk header"),
    ],
    ids=["nothing", "nonsense", "silence", "bad chunk"],
)
def test_failures_are_httpxs_own(
    serve: Serve, client: httpx.Client, answer: bytes, error: type[Exception], message: str
) -> None:
    """A user's test catches what the documentation of httpx names; the request is with it."""
    url = serve(answer).url

    with pytest.raises(error, match=re.escape(message)) as raised:
        client.get(url, timeout=0.05)
    assert isinstance(raised.value, httpx.TransportError)
    assert raised.value.request.url == url


def test_a_request_can_bring_a_deadline(serve: Serve, client: httpx.Client) -> None:
    """Its wire has it; time-outs of httpx are for single steps."""
    wire = Wire(process_clock(), Heartbeat(), time.monotonic_ns() + 50_000_000)

    def drip(connection: Connection) -> None:
        connection.drip(b"x" * 1000, 0.01)

    with pytest.raises(httpx.ReadTimeout, match=r"the deadline has passed|timed out"):
        client.get(serve(drip).url, extensions={"wire": wire})
    assert wire.phase is Phase.WAITING
    assert wire.expired
