"""What fires, when, and in which words; by looks and times that are given."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest

from pytest_release.rollout.triggers import Alarm, Band, Look, Trigger

START = datetime(2026, 11, 28, 19, 0, tzinfo=UTC)


def look(at: float, bad: bool | None, said: str = "seen", value: str = "7 %") -> Look:
    """One look, so many seconds after the start."""
    return Look(at, START + timedelta(seconds=at), bad, said, value)


def errors(for_s: float = 10.0, row: int = 1) -> Trigger:
    """A trigger with patience for 30 s."""
    return Trigger("errors", "above 5 %", look(0, None), 30.0, for_s, row)


def after(trigger: Trigger, *looks: Look) -> Alarm | None:
    """What there is right after the last of some looks."""
    for each in looks:
        trigger.take(each)
    return trigger.alarm(looks[-1].at)


def test_it_fires_when_it_was_bad_for_long_enough() -> None:
    """And says which trigger, what value, what limit, since when."""
    trigger = errors()

    early = after(trigger, look(1, bad=False), look(2, bad=True), look(11.9, bad=True))
    alarm = after(trigger, look(12.5, bad=True, said="7 % is above 5 %"))

    assert early is None
    assert alarm is not None
    assert alarm.why == (
        "errors fired: 7 % is above 5 %, since 2026-11-28T19:00:02Z (10.5 s; it fires after 10 s)"
    )
    assert alarm.facts == {
        "trigger": "errors",
        "value": "7 %",
        "limit": "above 5 %",
        "since": "2026-11-28T19:00:02Z",
    }


def test_what_is_well_again_begins_anew() -> None:
    """A value between that is well."""
    looks = [look(1, bad=True), look(9, bad=False), look(10, bad=True), look(19, bad=True)]

    assert after(errors(), *looks) is None


def test_time_alone_makes_nothing_worse() -> None:
    """What counts is what was seen to be bad, not how long nobody looked after."""
    trigger = errors()
    trigger.take(look(1, bad=True))

    assert trigger.alarm(20.0) is None


def test_what_cannot_be_seen_makes_nothing_well() -> None:
    """Bad, then unseen, then bad: it was bad all the while."""
    alarm = after(errors(), look(1, bad=True), look(5, bad=None), look(11, bad=True))

    assert alarm is not None


def test_three_in_a_row() -> None:
    """Two and one that is well are not three."""
    row = [look(n, bad=bad) for n, bad in enumerate((True, True, False, True, True))]
    trigger = errors(for_s=0, row=3)

    assert after(trigger, *row) is None
    alarm = after(trigger, look(5, bad=True, said="got 500"))
    assert alarm is not None
    assert alarm.why == (
        "errors fired: got 500, since 2026-11-28T19:00:03Z (3 in a row; 3 are too many)"
    )


@pytest.mark.parametrize(
    ("looks", "said"),
    [
        ([], "no answer, since 2026-11-28T19:00:00Z"),
        ([look(9, bad=None, said="0 series")], "0 series, since 2026-11-28T19:00:00Z"),
        ([look(1, bad=False), look(9, bad=None, said="0 series")], "0 series, since"),
    ],
)
def test_patience_ends(looks: list[Look], said: str) -> None:
    """Nothing at all, nothing yet, nothing any more: none of it is well."""
    trigger = errors()
    for each in looks:
        trigger.take(each)
    seen = looks[0].at if len(looks) > 1 else 0.0

    assert trigger.alarm(seen + 29.9) is None
    alarm = trigger.alarm(seen + 30)
    assert alarm is not None
    assert alarm.why.startswith(f"errors fired: nothing to be seen, {said}")
    assert alarm.why.endswith("(30.0 s; patience ends after 30 s)")
    assert alarm.facts["value"] in ("none", "7 %")


def test_changes_are_told_once() -> None:
    """What is bad, unseen or well again; what stays is not repeated."""
    trigger = errors()
    seen = (None, None, False, True, True, False, None, False)

    told = [trigger.take(look(at, bad)) for at, bad in enumerate(seen)]

    assert told == [
        "nothing seen: seen", "", "seen again", "seen", "", "well again after 2.0 s",
        "nothing seen: seen", "seen again",
    ]  # fmt: skip
    assert (trigger.looks, trigger.bad_looks) == (8, 2)


def test_well_since() -> None:
    """Only by a look that was begun then or later."""
    trigger = errors()
    assert not trigger.well_since(0)
    trigger.take(look(5, bad=False))
    assert trigger.well_since(5)
    assert not trigger.well_since(5.1)
    trigger.take(look(6, bad=None))
    assert not trigger.well_since(5)


@pytest.mark.parametrize(
    ("band", "values", "judged"),
    [
        (Band(above=5, unit="%"), [0.5, 3], (False, "3 %", "3 %")),
        (Band(above=5, unit="%"), [5], (False, "5 %", "5 %")),
        (Band(above=5, unit="%"), [1, 12.3456789], (True, "12.3457 % {n=1} is above 5 %", None)),
        (Band(below=0.5, above=1), [0.25], (True, "0.25 {n=0} is below 0.5", None)),
        (Band(below=0.5, above=1), [1.5], (True, "1.5 {n=0} is above 1", None)),
        (Band(below=10), [40, 30], (False, "30", "30")),
        (Band(above=2), [math.inf], (True, "inf {n=0} is above 2", None)),
        (Band(above=2), [math.nan, 1], (None, "the value {n=0} is not a number", "")),
        (Band(above=2), [math.nan, 3], (True, "3 {n=1} is above 2", None)),
        (Band(above=2), [], (None, "0 series where at least 1 are expected", "")),
        (Band(above=2, series=2), [1], (None, "1 series where at least 2 are expected", "")),
    ],
)
def test_bands(
    band: Band, values: list[float], judged: tuple[bool | None, str, str | None]
) -> None:
    """What is beyond a limit is bad; what is missing, and what is no number, is not well."""
    found = band.judge([(f" {{n={n}}}", value) for n, value in enumerate(values)])

    assert found[:2] == judged[:2]
    assert judged[2] is None or found[2] == judged[2]


def test_a_band_in_words() -> None:
    """As histories have it."""
    assert str(Band(above=1, below=0.5)) == "above 1 or below 0.5"
    assert str(Band(above=90, unit="%")) == "above 90 %"
