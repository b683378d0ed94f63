"""Tests of `pytest_release.targets.busy`: lateness, on a clock that tests turn by hand."""

from __future__ import annotations

import threading
from collections import deque
from types import SimpleNamespace

import pytest

from pytest_release.targets import busy
from pytest_release.targets.busy import PERIOD_NS, Heartbeat

MS = 1_000_000


class Clock:
    """Stands in for `time`: sleeping moves it, and sometimes oversleeps."""

    def __init__(self, *oversleeps_ms: float) -> None:
        self.now_ns = 0
        self._oversleeps = list(oversleeps_ms)
        self.stop = threading.Event()

    def monotonic_ns(self) -> int:
        """The time as it was turned."""
        return self.now_ns

    def sleep(self, seconds: float) -> None:
        """Return at once, late by the next oversleep; after the last one the heart stops."""
        self.now_ns += round(seconds * 1e9)
        if self._oversleeps:
            self.now_ns += round(self._oversleeps.pop(0) * MS)
        else:
            self.stop.set()


def beat(monkeypatch: pytest.MonkeyPatch, *oversleeps_ms: float) -> Heartbeat:
    """A heart that has beaten so many times, each so late."""
    clock = Clock(*oversleeps_ms)
    monkeypatch.setattr(busy, "time", clock)
    heartbeat = Heartbeat()
    heartbeat._beat(clock.stop)
    heartbeat._due = None
    return heartbeat


def test_a_beat_is_as_late_as_it_was_woken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each oversleep is found around its moment, and is no debt of the next beat."""
    heartbeat = beat(monkeypatch, 0.1, 0.2, 40, *[0.1] * 20)

    assert heartbeat.lateness_ms(0, 0) == pytest.approx(0.2)
    assert heartbeat.lateness_ms(30 * MS, 30 * MS) == pytest.approx(40)
    assert heartbeat.lateness_ms(100 * MS, 100 * MS) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("since", "until", "expected"),
    [
        (100, 100, 30),  # while it was late
        (125, 125, 30),  # just after
        (81, 81, 30),  # it was due within 10 ms
        (79, 79, 0),  # it was not
        (131, 200, 0),  # long after
        (0, 300, 30),  # a window around it
    ],
)
def test_a_late_beat_counts_near_the_time_it_was_missed(
    since: int, until: int, expected: float
) -> None:
    """Due at 90 ms, woken at 120 ms; others, on time, long before and after."""
    heartbeat = Heartbeat()
    heartbeat._beats.extend(
        (due * MS, woken * MS) for due, woken in [(10, 10), (90, 120), (160, 160)]
    )

    assert heartbeat.lateness_ms(since * MS, until * MS) == expected


def test_what_was_forgotten_may_have_been_late_all_the_time_since() -> None:
    """Nobody vouches for a moment before the oldest beat that is kept."""
    heartbeat = Heartbeat()
    heartbeat._beats = deque([(100 * MS, 100 * MS), (105 * MS, 105 * MS)], maxlen=2)

    assert heartbeat.lateness_ms(40 * MS, 40 * MS) == 70
    assert heartbeat.lateness_ms(112 * MS, 112 * MS) == 0


def test_a_beat_that_has_not_come_yet_is_late_already(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is woken before the heartbeat thread still learns how late both are."""
    monkeypatch.setattr(busy, "time", SimpleNamespace(monotonic_ns=lambda: 80 * MS))
    heartbeat = Heartbeat()
    heartbeat._due = 50 * MS

    assert heartbeat.lateness_ms(80 * MS, 80 * MS) == 30
    assert heartbeat.lateness_ms(45 * MS, 45 * MS) == 30
    assert heartbeat.lateness_ms(30 * MS, 30 * MS) == 0
    heartbeat._due = 85 * MS
    assert heartbeat.lateness_ms(80 * MS, 80 * MS) == 0


def test_the_heart_beats_while_anybody_listens() -> None:
    """One thread for all, from the first user to the last; then it is silent, and has no debt."""
    heartbeat = Heartbeat()
    with heartbeat:
        with heartbeat:
            running = [t for t in threading.enumerate() if t.name == "release-heartbeat"]
        assert heartbeat._due is not None
    for thread in running:
        thread.join(5)

    assert len([thread for thread in running if thread.is_alive()]) == 0
    assert heartbeat._due is None
    assert heartbeat.lateness_ms(0, 2**62) < 5_000


def test_the_period_is_what_the_cost_was_measured_at() -> None:
    """200 beats a second: 0.7 % of a core; more often would be more."""
    assert PERIOD_NS >= 5 * MS
