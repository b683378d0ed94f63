"""Tests of `pytest_release.targets.wire`: which bytes start an answer, what a sample knows."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_release.targets import wire as wire_module
from pytest_release.targets._httpx import httpcore
from pytest_release.targets.busy import Heartbeat
from pytest_release.targets.wire import CLOCK, RESOLUTION_MS, TimedBackend, Wire

EARLY = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
BARE = b"HTTP/1.1 102 Processing\n\n"
FINAL = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"
MS = 1_000_000


class Still(Heartbeat):
    """A heartbeat whose lateness is given."""

    def __init__(self, lateness_ms: float = 0.0) -> None:
        super().__init__()
        self._lateness_ms = lateness_ms

    def lateness_ms(self, since_ns: int, until_ns: int) -> float:
        """What was given; asked for one moment."""
        assert since_ns == until_ns
        return self._lateness_ms


def first_read(stream: bytes, cuts: list[int]) -> int:
    """The number, counted from 1, of the read that is taken for the answer's start."""
    wire = Wire(Still(), 0)
    places = [0, *cuts, len(stream)]
    for number, (start, end) in enumerate(pairwise(places), 1):
        wire.read(stream[start:end], number)
    return wire.first_read_ns


@pytest.mark.parametrize("interim", [(), (EARLY,), (CONTINUE, EARLY), (EARLY, BARE, CONTINUE)])
@pytest.mark.parametrize("final", [FINAL, SWITCH, b"HTTP/1.0 404 X\r\n\r\n", b"ICY 200 OK\r\n\r\n"])
def test_the_answer_starts_with_its_final_status_line(
    interim: tuple[bytes, ...], final: bytes
) -> None:
    """Interim answers in front of it are told apart at every split and byte by byte."""
    before = b"".join(interim)
    stream = before + final

    assert first_read(stream, [*range(1, len(stream))]) == len(before) + 1
    for cut in range(1, len(stream)):
        assert first_read(stream, [cut]) == (2 if cut <= len(before) else 1)


@given(st.lists(st.integers(1, len(EARLY + CONTINUE + FINAL) - 1), unique=True))
def test_the_answer_starts_there_at_any_split(cuts: list[int]) -> None:
    """The read that brought the final status line's first byte."""
    cuts = sorted(cuts)
    before = len(EARLY + CONTINUE)

    assert first_read(EARLY + CONTINUE + FINAL, cuts) == sum(cut <= before for cut in cuts) + 1


def test_a_slow_interim_answer_is_searched_once() -> None:
    """100 KB of interim head, byte by byte, take no quadratic time."""
    wire = Wire(Still(), 0)
    for number in range(100_000):
        wire.read(EARLY[:20] if number == 0 else b"x", number + 1)
    wire.read(b"\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", 7)

    assert wire.first_read_ns == 7


def test_an_answer_of_http2_starts_with_its_head() -> None:
    """The server's settings come before it, perhaps even before the request was written."""
    wire = Wire(Still(), 0)
    wire.read(b"\0\0\0\4\0\0\0\0\0", 1)
    wire.read(b"the head's frame", 2)
    wire.answered("HTTP/2")

    assert wire.first_read_ns == 2


def timed(lateness_ms: float = 0.0) -> Wire:
    """A wire whose request was written from 10 to 12 ms."""
    wire = Wire(Still(lateness_ms), 0)
    wire.started_ns, wire.sent_ns = 10 * MS, 12 * MS
    return wire


def test_a_sample_brackets_the_truth() -> None:
    """From before the first byte was written, down to after the last, less a stamp's error."""
    sample = timed().sample(60 * MS)

    assert (sample.value, sample.high) == (50, 50)
    assert sample.low == pytest.approx(48 - RESOLUTION_MS)
    assert (sample.clock, sample.busy_ms) == (CLOCK, 0)


def test_a_busy_client_widens_the_bracket() -> None:
    """By twice how late it was, and says so."""
    sample = timed(lateness_ms=20).sample(60 * MS)

    assert sample.low == pytest.approx(48 - RESOLUTION_MS - 2 * 20)
    assert (sample.value, sample.high, sample.busy_ms) == (50, 50, 20)


def test_no_answer_comes_before_its_request() -> None:
    """The lower end is at least 0, even where the stamp's error is larger than the sample."""
    sample = timed(lateness_ms=1000).sample(12 * MS)

    assert (sample.low, sample.value) == (0, 2)


def test_the_start_is_before_the_first_write_and_behind_the_last() -> None:
    """Head and body are two writes; what is written after the answer began changes nothing."""
    wire = Wire(Still(), 0)
    wire.writing()
    started = wire.started_ns
    wire.wrote()
    first = wire.sent_ns
    wire.writing()
    wire.wrote()
    sent = wire.sent_ns
    wire.read(FINAL, sent + 1)
    wire.writing()
    wire.wrote()

    assert 0 < started <= first <= sent
    assert (wire.started_ns, wire.sent_ns) == (started, sent)


@pytest.mark.parametrize(("left_s", "timeout", "most"), [(9, 1, 1), (1, 9, 1), (1, None, 1)])
def test_no_step_outlasts_the_deadline(left_s: int, timeout: float | None, most: float) -> None:
    """The shorter of the step's own time-out and what is left."""
    wire = Wire(Still(), time.monotonic_ns() + left_s * 1000 * MS)

    assert 0.001 <= wire.seconds_left(timeout) <= most
    assert not wire.expired


def test_a_step_after_the_deadline_has_a_millisecond() -> None:
    """A time-out of 0 would mean a socket that does not block."""
    wire = Wire(Still(), time.monotonic_ns() - MS)

    assert wire.seconds_left(10) == 0.001
    assert wire.expired


Resolve = Callable[[list[str]], None]


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch) -> Resolve:
    """Decides to which addresses any name resolves."""

    def resolve(addresses: list[str]) -> None:
        found: Any = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, 0)) for a in addresses]
        resolver = SimpleNamespace(getaddrinfo=lambda *_, **__: found, SOCK_STREAM=None)
        monkeypatch.setattr(wire_module, "socket", resolver)

    return resolve


def connect(port: int) -> Wire:
    """The wire of a connection to a name at a port, closed again."""
    wire = Wire(Still(), time.monotonic_ns() + 5000 * MS)
    TimedBackend(wire).connect_tcp("name.example", port, timeout=5).close()
    return wire


class Elsewhere(httpcore.SyncBackend):
    """Reaches 127.0.0.1 only; the rest of 127.0.0.0/8 refuses, or is silent."""

    tried: list[str]

    def connect_tcp(self, host: str, *args: Any, **kwargs: Any) -> httpcore.NetworkStream:  # noqa: ANN401
        """As the address deserves."""
        self.tried.append(host)
        if host == "127.0.0.2":
            raise httpcore.ConnectError(ConnectionRefusedError(111, "Connection refused"))
        if host == "127.0.0.3":
            raise httpcore.ConnectTimeout("timed out")
        return super().connect_tcp("127.0.0.1", *args, **kwargs)


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that were tried, in order."""
    Elsewhere.tried = []
    monkeypatch.setattr(httpcore, "SyncBackend", Elsewhere)
    return Elsewhere.tried


def test_addresses_are_tried_in_turn(resolve: Resolve, tried: list[str]) -> None:
    """One that refuses and one that is silent do not keep the client from the third."""
    resolve(["127.0.0.2", "127.0.0.3", "127.0.0.2", "127.0.0.4"])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        wire = connect(listener.getsockname()[1])

    assert tried == ["127.0.0.2", "127.0.0.3", "127.0.0.4"]
    assert wire.dns_ms is not None
    assert wire.connect_ms is not None


def test_the_last_failure_is_the_one_reported(resolve: Resolve, tried: list[str]) -> None:
    """When no address can be reached."""
    resolve(["127.0.0.3", "127.0.0.2"])

    with pytest.raises(httpcore.ConnectError, match="Connection refused"):
        connect(1)
    assert len(tried) == 2


def test_a_name_without_addresses(resolve: Resolve, tried: list[str]) -> None:
    """A resolver that finds nothing without an error is no crash."""
    resolve([])

    with pytest.raises(httpcore.ConnectError, match="the name has no address"):
        connect(1)
    assert tried == []
