"""Tests of `pytest_release.history.selection`."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from pytest_release.errors import UsageError
from pytest_release.history import Record, last_good, select, since
from pytest_release.history.record import make_record
from tests.unit.history.conftest import NOW, entry


def record(sequence: int, env: str, status: str, action: str = "deploy") -> Record:
    """An hour after the one before."""
    made = make_record(None, replace(entry(), env=env, status=status), NOW)
    time = (NOW + timedelta(hours=sequence)).isoformat()
    return replace(made, sequence=sequence, action=action, time=time)


RECORDS = [
    record(1, "staging", "success"),
    record(2, "prod", "success"),
    record(3, "prod", "success", "rollback"),
    record(4, "prod", "failed"),
    record(5, "prod", "success", "repair"),
    record(6, "prod", "success", "promote"),
]


def test_all_that_is_given_must_agree() -> None:
    """Nothing given selects everything."""
    assert select(RECORDS) == tuple(RECORDS)
    assert select(RECORDS, env="prod", status="success") == (
        RECORDS[1], RECORDS[2], RECORDS[4], RECORDS[5],
    )  # fmt: skip
    assert select(RECORDS, stack="shop", env="staging") == (RECORDS[0],)
    assert select(RECORDS, stack="sho") == ()
    assert select(RECORDS, since=RECORDS[3].when) == (RECORDS[3], RECORDS[4], RECORDS[5])


def test_the_last_good_is_the_newest_success_of_each() -> None:
    """Neither a repair nor a promotion is one; a rollout is, if it changed something."""
    rollout = record(7, "prod", "success", "rollout")
    changed = replace(rollout, details={"changed": True})

    assert last_good(RECORDS) == (RECORDS[0], RECORDS[2])
    assert last_good([*RECORDS, rollout]) == (RECORDS[0], RECORDS[2])
    assert last_good([*RECORDS, changed]) == (RECORDS[0], changed)


def test_the_newest_is_the_last_written() -> None:
    """A writer's clock may be slow."""
    slow = replace(RECORDS[1], sequence=8, time=NOW.isoformat())

    assert last_good([*RECORDS, slow]) == (RECORDS[0], slow)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("90s", NOW - timedelta(seconds=90)),
        ("30m", NOW - timedelta(minutes=30)),
        ("12h", NOW - timedelta(hours=12)),
        ("7d", NOW - timedelta(days=7)),
        ("2w", NOW - timedelta(days=14)),
        ("2026-01-30", datetime(2026, 1, 30, tzinfo=UTC)),
        ("2026-01-30T10:15:00", NOW),
        ("2026-01-30 10:15", NOW),
        ("2026-01-30T11:15:00+01:00", NOW),
    ],
)
def test_since_is_a_moment_or_a_duration(text: str, moment: datetime) -> None:
    """In UTC, where it does not say otherwise."""
    assert since(text, NOW) == moment


@pytest.mark.parametrize(
    "text", ["", "7", "-7d", "7y", "999999999w", "soon", "\u0667d", "7d\n", "1e3s"]
)
def test_since_takes_nothing_else(text: str) -> None:
    """The message gives examples."""
    example = r"^--since takes a date, a time or a duration \(2026-01-30, 2026-01-30T10:15:00 or 7d"
    with pytest.raises(UsageError, match=example):
        since(text, NOW)
