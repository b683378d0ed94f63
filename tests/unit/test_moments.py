"""Tests of `pytest_release.moments`."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_release.errors import UsageError
from pytest_release.moments import UNITS, moment

NOW = datetime(2026, 11, 28, 10, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "away"),
    [
        ("90s", timedelta(seconds=90)),
        ("30m", timedelta(minutes=30)),
        ("12h", timedelta(hours=12)),
        ("7d", timedelta(days=7)),
        ("2w", timedelta(days=14)),
        ("0s", timedelta()),
        ("007d", timedelta(days=7)),
    ],
)
def test_a_duration_leads_back_or_ahead(text: str, away: timedelta) -> None:
    """From now: into the past for ``--since``, into the future for ``--until``."""
    assert moment("--since", text, NOW) == NOW - away
    assert moment("--until", text, NOW, ahead=True) == NOW + away


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-30", "2026-01-30T00:00:00"),
        ("2026-01-30T10:15", "2026-01-30T10:15:00"),
        ("2026-01-30 10:15:59", "2026-01-30T10:15:59"),
        ("2026-01-30T10:15:00Z", "2026-01-30T10:15:00"),
        ("2026-01-30T10:15:00+02:00", "2026-01-30T08:15:00"),
        ("2026-01-30T23:15:00-05:00", "2026-01-31T04:15:00"),
    ],
)
@pytest.mark.parametrize("ahead", [False, True])
def test_a_date_or_time_is_that_moment(text: str, expected: str, ahead: bool) -> None:
    """In UTC where it has no offset, whichever way a duration would lead."""
    found = moment("--since", text, NOW, ahead=ahead)

    assert found.isoformat() == f"{expected}+00:00"


@pytest.mark.parametrize(
    "text",
    [
        "", "soon", "7", "d", "-7d", "+7d", "7 d", "7D", "1y", "1.5h", "1e3s", "7d\n", "1h30m",
        "\u0667d", "2026-02-30", "2026-01-30T25:00", "30.01.2026", "1234567890s", "999999999w",
        "999999w", "0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00", "\ud800", "\x1b[2J",
    ],
)  # fmt: skip
@pytest.mark.parametrize("ahead", [False, True])
def test_what_is_no_moment_is_refused(text: str, ahead: bool) -> None:
    """The message names the option and shows the three forms."""
    message = (
        "--until takes a date, a time or a duration (2026-01-30, 2026-01-30T10:15:00 or 7d): "
        f"{text!r}"
    )

    with pytest.raises(UsageError, match=f"^{re.escape(message)}$"):
        moment("--until", text, NOW, ahead=ahead)


@given(st.text(max_size=30) | st.from_regex(r"\A[0-9]{1,10}[wdhms]\Z"), st.booleans())
def test_whatever_was_typed_is_a_moment_or_refused(text: str, ahead: bool) -> None:
    """Nothing else is raised."""
    try:
        found = moment("--since", text, NOW, ahead=ahead)
    except UsageError:
        return
    assert found.tzinfo is UTC


@given(
    st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1)),  # noqa: DTZ001 - hypothesis wants them so
    st.integers(-14 * 60, 14 * 60),
)
def test_a_time_as_it_is_written_is_read_back(local: datetime, minutes: int) -> None:
    """Whatever its offset."""
    given = local.replace(tzinfo=timezone(timedelta(minutes=minutes)))

    assert moment("--since", given.isoformat(), NOW) == given


@pytest.mark.parametrize("unit", UNITS)
def test_now_may_be_in_any_zone(unit: str) -> None:
    """The answer is in UTC."""
    here = NOW.astimezone(timezone(timedelta(hours=8)))

    assert moment("--since", f"3{unit}", here) == moment("--since", f"3{unit}", NOW)
    assert moment("--since", f"3{unit}", here).tzinfo is UTC
