"""Tests of `pytest_release.targets.stamps`: what the kernel says, and what becomes of it."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from pytest_release.targets import stamps
from pytest_release.targets.stamps import SANDWICH_NS, SO_TIMESTAMPNS, Stamp, to_monotonic


@pytest.fixture(params=["127.0.0.1", "::1"])
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends of a connection, the first one asking for stamps."""
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    with (
        socket.create_server((request.param, 0), family=family) as listener,
        socket.create_connection(listener.getsockname()[:2]) as ours,
        closing(listener.accept()[0]) as theirs,
    ):
        stamps.ask_for_receive_stamps(ours)
        stamps.ask_for_send_stamps(ours)
        yield ours, theirs


def test_a_read_has_the_moment_of_arrival(pair: tuple[socket.socket, socket.socket]) -> None:
    """Between the sending and the reading; the end of the stream has none."""
    ours, theirs = pair
    before = time.monotonic_ns()
    theirs.sendall(b"one")
    data, at = stamps.receive(ours, 100)
    theirs.close()

    assert data == b"one"
    assert at is not None
    assert before - SANDWICH_NS <= at <= time.monotonic_ns()
    assert stamps.receive(ours, 100) == (b"", None)


def test_a_write_has_the_moment_at_which_its_last_byte_left(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    """Bytes are counted over all writes; what was asked for once is not kept."""
    ours, _ = pair
    ours.sendall(b"head")
    before = time.monotonic_ns()
    ours.sendall(b"body")

    left = stamps.sent(ours, 7)
    assert left is not None
    assert before - SANDWICH_NS <= left <= time.monotonic_ns()
    assert stamps.sent(ours, 7) is None


def test_the_stamp_of_another_byte_is_none(pair: tuple[socket.socket, socket.socket]) -> None:
    """Half a request has not left."""
    ours, _ = pair
    ours.sendall(b"head")

    assert stamps.sent(ours, 7) is None


def test_the_kernel_counts_bytes_and_segments(pair: tuple[socket.socket, socket.socket]) -> None:
    """One for each write that came by itself, and a byte for the farewell."""
    ours, theirs = pair
    assert stamps.counters(ours) == (0, 0)
    for number in range(3):
        theirs.sendall(b"four")
        stamps.receive(ours, 100)
        assert stamps.counters(ours) == (4 * (number + 1), number + 1)
    theirs.close()
    stamps.receive(ours, 100)

    assert stamps.counters(ours) == (13, 3)


def test_an_older_kernel_counts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its TCP_INFO is shorter than what is asked for."""

    class Old:
        def getsockopt(self, _: int, __: int, size: int) -> bytes:
            return bytes(size - 4)

    assert stamps.counters(Old()) == (0, 0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "ancillary",
    [
        [],
        [(socket.SOL_SOCKET, SO_TIMESTAMPNS, b"short")],
        [(socket.SOL_SOCKET, SO_TIMESTAMPNS, bytes(16))],
        [(socket.IPPROTO_IP, SO_TIMESTAMPNS, struct.pack("@ll", 1, 2))],
    ],
    ids=["nothing", "short", "zero", "of another protocol"],
)
def test_what_is_no_stamp(ancillary: list[tuple[int, int, bytes]]) -> None:
    """Then the read has none, and the moment of reading counts."""

    class Odd:
        def recvmsg(self, _: int, __: int) -> tuple[bytes, list[tuple[int, int, bytes]], int, None]:
            return b"x", ancillary, 0, None

    assert stamps.receive(Odd(), 1) == (b"x", None)  # type: ignore[arg-type]


def test_a_moment_is_converted_to_the_other_clock() -> None:
    """Now is now on both."""
    before = time.monotonic_ns()
    now = to_monotonic(time.time_ns())

    assert before - SANDWICH_NS <= now <= time.monotonic_ns() + SANDWICH_NS


def test_an_interrupted_conversion_is_done_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The closest pair of readings counts."""
    ticks = iter([0, 10_000_000, 20_000_000, 20_000_100])
    monkeypatch.setattr(time, "monotonic_ns", lambda: next(ticks))
    wall = iter([1_000, 2_000])
    monkeypatch.setattr(time, "time_ns", lambda: next(wall))

    assert to_monotonic(2_000) == 20_000_050


def test_a_process_that_is_always_interrupted_takes_the_best_pair(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It does not try for ever."""
    ticks = iter(range(0, 10**9, 1_000_000))
    monkeypatch.setattr(time, "monotonic_ns", lambda: next(ticks))
    monkeypatch.setattr(time, "time_ns", lambda: 5)

    assert to_monotonic(5) == 500_000


@pytest.mark.parametrize(
    ("seconds", "timeval"), [(1.5, (1, 500_000)), (0.25, (0, 250_000)), (0.0, (0, 1000))]
)
def test_waiting_is_limited(
    pair: tuple[socket.socket, socket.socket], seconds: float, timeval: tuple[int, int]
) -> None:
    """To a millisecond at least: zero would mean for ever."""
    ours, _ = pair
    stamps.limit_waiting(ours, socket.SO_RCVTIMEO, seconds)

    set_to = struct.unpack("@ll", ours.getsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, 16))
    assert set_to[0] == timeval[0]
    assert abs(set_to[1] - timeval[1]) <= 10_000, "a kernel counts in jiffies"


def test_only_one_segment_with_a_stamp_is_exact() -> None:
    """Neither several, nor an unknown number, nor a moment of reading."""
    exact = Stamp(1, 1, 1, waited=True, segments=1, kernel=True)

    assert exact.exact
    assert not exact._replace(segments=2).exact
    assert not exact._replace(segments=0).exact
    assert not exact._replace(kernel=False).exact
