"""Tests of `pytest_release.targets.wire`: which bytes start an answer, what a sample knows."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_release.targets.busy import Heartbeat
from pytest_release.targets.clock import KERNEL, Clock
from pytest_release.targets.stamps import SANDWICH_NS, Stamp
from pytest_release.targets.wire import Wire

EARLY = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
BARE = b"HTTP/1.1 102 Processing\n\n"
FINAL = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"
MS = 1_000_000
CLOCK = Clock(kernel=True, uncertainty_ms=0.25)
CONVERSION_MS = SANDWICH_NS / MS


class Still(Heartbeat):
    """A heartbeat whose lateness is given."""

    def __init__(self, lateness_ms: float = 0.0) -> None:
        super().__init__()
        self._lateness_ms = lateness_ms

    def lateness_ms(self, since_ns: int, until_ns: int) -> float:
        """What was given, for a stretch of time."""
        assert since_ns <= until_ns
        return self._lateness_ms


def stamp(number: int) -> Stamp:
    """One that tells reads apart."""
    return Stamp(number, number, number)


def first_read(stream: bytes, cuts: list[int]) -> int:
    """The number, counted from 1, of the read that is taken for the answer's start."""
    wire = Wire(CLOCK, Still())
    places = [0, *cuts, len(stream)]
    for number, (start, end) in enumerate(pairwise(places), 1):
        wire.read(stream[start:end], stamp(number))
    assert wire.first_read is not None
    return wire.first_read.at_ns


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
    wire = Wire(CLOCK, Still())
    for number in range(100_000):
        wire.read(EARLY[:20] if number == 0 else b"x", stamp(1))
    wire.read(b"\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", stamp(7))

    assert wire.first_read == stamp(7)


def test_an_answer_of_http2_starts_with_its_head() -> None:
    """The server's settings come before it, perhaps even before the request was written."""
    wire = Wire(CLOCK, Still())
    wire.read(b"\0\0\0\4\0\0\0\0\0", stamp(1))
    wire.read(b"the head's frame", stamp(2))
    wire.answered("HTTP/2")

    assert wire.first_read == stamp(2)


def timed(*, left_ms: float | None = None, writes: int = 1, lateness_ms: float = 0.0) -> Wire:
    """A wire whose request was written from 10 to 12 ms."""
    wire = Wire(CLOCK, Still(lateness_ms))
    for _ in range(writes):
        wire.wrote()
    wire.started_ns, wire.sent_ns = 10 * MS, 12 * MS
    wire.left_ns = None if left_ms is None else int(left_ms * MS)
    return wire


def exactly(ms: float, seen_ms: float | None = None) -> Stamp:
    """One segment, stamped by the kernel."""
    at, seen = int(ms * MS), int((seen_ms or ms) * MS)
    return Stamp(at, at, seen, waited=True, segments=1, kernel=True)


def test_with_both_stamps_the_sample_is_known_to_the_conversion_between_clocks() -> None:
    """From when the request left to the arrival; it did not leave before it was written."""
    sample = timed(left_ms=10.5).sample(exactly(60.5))

    assert (sample.value, sample.clock, sample.exact, sample.flags) == (50, KERNEL, True, ())
    assert sample.low == pytest.approx(50 - CONVERSION_MS)
    assert sample.high == pytest.approx(50.5 + CONVERSION_MS)


def test_without_a_stamp_of_the_request_its_start_is_bracketed() -> None:
    """The value is never too small, `low` counts from when the write had returned."""
    sample = timed().sample(exactly(60))

    assert (sample.value, sample.exact) == (50, True)
    assert sample.low == pytest.approx(48 - CONVERSION_MS)


def test_a_request_in_several_pieces_counts_from_the_first() -> None:
    """That is how long its sender waits; `low` counts from when the last had left."""
    sample = timed(left_ms=11.5, writes=2).sample(exactly(60))

    assert sample.value == 50
    assert sample.low == pytest.approx(48.5 - CONVERSION_MS)


def test_a_client_that_sees_bytes_late_says_so() -> None:
    """An exact stamp is no less exact for it."""
    sample = timed(left_ms=10).sample(exactly(60, seen_ms=75))

    assert (sample.value, sample.busy_ms, sample.exact) == (50, 15, True)


def test_merged_segments_may_have_come_earlier() -> None:
    """By no more than a waiting reader is woken late."""
    stamp = Stamp(60 * MS, 20 * MS, 60 * MS, waited=True, segments=2, kernel=True)
    idle, busy = timed(left_ms=10).sample(stamp), timed(left_ms=10, lateness_ms=5).sample(stamp)

    assert (idle.value, idle.exact, idle.flags) == (50, False, ("merged",))
    assert idle.low == pytest.approx(50 - CLOCK.uncertainty_ms - CONVERSION_MS)
    assert busy.low == pytest.approx(50 - CLOCK.uncertainty_ms - 2 * 5 - CONVERSION_MS)
    assert busy.busy_ms == 5


def test_nothing_came_before_what_was_read_before() -> None:
    """However busy the client was."""
    stamp = Stamp(60 * MS, 59 * MS, 60 * MS, waited=True, segments=2, kernel=True)

    assert timed(left_ms=10, lateness_ms=30).sample(stamp).low == pytest.approx(49 - CONVERSION_MS)


def test_what_nobody_waited_for_may_have_come_at_any_time_since_the_read_before() -> None:
    """However idle the client was afterwards."""
    stamp = Stamp(60 * MS, 20 * MS, 60 * MS, waited=False, segments=3, kernel=True)
    sample = timed(left_ms=10).sample(stamp)

    assert (sample.value, sample.exact, sample.flags) == (50, False, ("merged", "late"))
    assert sample.low == pytest.approx(10 - CONVERSION_MS)


def test_one_segment_is_exact_even_if_nobody_waited_for_it() -> None:
    """Its stamp can only be its own; that it lay there is said."""
    stamp = Stamp(60 * MS, 60 * MS, 90 * MS, waited=False, segments=1, kernel=True)
    sample = timed(left_ms=10).sample(stamp)

    assert (sample.value, sample.exact, sample.flags) == (50, True, ("late",))


def test_a_stamp_of_read_is_as_late_as_the_clock_says() -> None:
    """The uncertainty widens the interval and is never subtracted from the value."""
    wire = timed()
    wire.clock = Clock(kernel=False, uncertainty_ms=0.8, why="a test says so")
    sample = wire.sample(Stamp(60 * MS, 20 * MS, 60 * MS))

    assert (sample.value, sample.exact) == (50, False)
    assert sample.low == pytest.approx(48 - 0.8 - CONVERSION_MS)
    assert sample.clock == "read() return, up to 0.8 ms late: a test says so"


def test_a_moment_that_the_kernel_did_not_stamp_is_not_called_so() -> None:
    """The end of a stream that its connection's end is, and the moment of giving up."""
    wire = timed(left_ms=10)

    assert wire.sample(Stamp(60 * MS, 20 * MS, 60 * MS)).clock == "read() return"
    assert wire.now().clock == "read() return"


def test_no_answer_comes_before_its_request() -> None:
    """The lower end is at least 0, even where the stamp's error is larger than the sample."""
    sample = timed(lateness_ms=1000).sample(Stamp(12 * MS, 0, 12 * MS))

    assert (sample.low, sample.value) == (0, 2)


def test_the_start_is_before_the_first_write_and_behind_the_last() -> None:
    """Head and body are two writes; what is written after the answer began changes nothing."""
    wire = Wire(CLOCK, Still())
    wire.writing()
    started = wire.started_ns
    wire.wrote()
    first = wire.sent_ns
    wire.writing()
    wire.wrote()
    sent = wire.sent_ns
    wire.read(FINAL, stamp(sent + 1))
    wire.writing()
    wire.wrote()

    assert 0 < started <= first <= sent
    assert (wire.started_ns, wire.sent_ns) == (started, sent)


@pytest.mark.parametrize(("left_s", "timeout", "most"), [(9, 1, 1), (1, 9, 1), (1, None, 1)])
def test_no_step_outlasts_the_deadline(left_s: int, timeout: float | None, most: float) -> None:
    """The shorter of the step's own time-out and what is left."""
    wire = Wire(CLOCK, Still(), time.monotonic_ns() + left_s * 1000 * MS)

    assert 0.001 <= wire.seconds_left(timeout) <= most
    assert not wire.expired


def test_a_step_after_the_deadline_has_a_millisecond() -> None:
    """A time-out of 0 would mean a socket that does not block."""
    wire = Wire(CLOCK, Still(), time.monotonic_ns() - MS)

    assert wire.seconds_left(10) == 0.001
    assert wire.expired


def test_without_a_deadline_only_the_steps_own_time_out_counts() -> None:
    """A client for users has httpx's time-outs and no other."""
    wire = Wire(CLOCK, Still())

    assert wire.seconds_left(3) == 3
    assert wire.seconds_left(None) > 3600
    assert not wire.expired
