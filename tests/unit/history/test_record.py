"""Tests of `pytest_release.history.record`: what a line is, and what it is not."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from hashlib import sha256
from typing import Any

import pytest

from pytest_release.atomic import canonical_json
from pytest_release.errors import HistoryError
from pytest_release.history.lines import LARGEST, LineError
from pytest_release.history.record import NOTHING, make_record, read_record
from pytest_release.redaction import Secret
from tests.unit.history.conftest import NOW, entry


def line(**members: object) -> bytes:
    """A first record with other members, and the hash that these have."""
    value = make_record(None, entry(), NOW).unhashed() | members
    value = {name: member for name, member in value.items() if member is not ...}
    return canonical_json({**value, "hash": sha256(canonical_json(value)).hexdigest()})


def test_a_record_is_bound_to_the_one_before() -> None:
    """By number and hash; the first by 64 zeros."""
    first = make_record(None, entry("1"), NOW)
    second = make_record(first, entry("2"), NOW)

    assert (first.sequence, first.previous) == (1, NOTHING)
    assert (second.sequence, second.previous) == (2, first.hash)
    assert NOTHING == "0" * 64


def test_a_record_is_read_as_it_was_written() -> None:
    """Its line is canonical JSON, and its hash that of all the rest."""
    record = make_record(None, entry("1", "grüße |\n", nonces=["a"], deep={"er": [1, 0.5]}), NOW)

    assert read_record(record.line.removesuffix(b"\n")) == record
    assert record.line.endswith(b"\n")
    assert record.hash == sha256(canonical_json(record.unhashed())).hexdigest()


def test_details_are_what_json_makes_of_them() -> None:
    """So a tuple is a list, and the key 1 is "1", in what is returned as in the file."""
    record = make_record(None, entry(pair=(1, 2), keys={10: "a", 9: "b"}), NOW)

    assert record.details == {"pair": [1, 2], "keys": {"10": "a", "9": "b"}}


def test_times_are_utc() -> None:
    """Whatever the zone of the clock."""
    east = datetime(2026, 1, 30, 18, 15, 0, 250000, tzinfo=timezone(timedelta(hours=8)))
    record = make_record(None, entry(), east)

    assert record.time == "2026-01-30T10:15:00.250000+00:00"
    assert record.when == east


def test_a_time_without_a_zone_is_the_callers_mistake() -> None:
    """It could be any."""
    with pytest.raises(ValueError, match=r"^the time of a record needs its time zone$"):
        make_record(None, entry(), NOW.replace(tzinfo=None))


@pytest.mark.parametrize(
    ("details", "reason"),
    [
        ({"rate": float("nan")}, "Out of range float values"),
        ({"token": Secret("sesame")}, "Object of type Secret is not JSON serializable"),
        ({"text": "\ud800"}, "surrogates not allowed"),
    ],
)
def test_what_is_no_json_is_not_recorded(details: dict[str, Any], reason: str) -> None:
    """A secret among it."""
    with pytest.raises(
        HistoryError, match=f"^the entry cannot be written as JSON: .*{reason}"
    ) as caught:
        make_record(None, entry(**details), NOW)

    assert "sesame" not in str(caught.value)


def test_a_line_has_at_most_a_mebibyte() -> None:
    """With its line feed."""
    spare = LARGEST - len(make_record(None, entry(), NOW).line)
    assert len(make_record(None, entry(notes="x" * spare), NOW).line) == LARGEST

    message = r"^the entry has 1048576 bytes, a line of the history has at most 1048576$"
    with pytest.raises(HistoryError, match=message):
        make_record(None, entry(notes="x" * (spare + 1)), NOW)


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"hello", b"\0\0\0\0", b"\xff\xfe", b"[" * 100_000, b'{"a":1}{"a":1}']
)
def test_what_is_no_json_may_be_torn(raw: bytes) -> None:
    """A beginning of a record is never JSON."""
    with pytest.raises(LineError, match=r"^it is not JSON$") as caught:
        read_record(raw)

    assert caught.value.torn


@pytest.mark.parametrize(
    "raw",
    [
        b'{"b":1,"a":2}',
        b'{"a":1,"a":1}',
        b'{"a": 1}',
        b'{"a":NaN}',
        b'{"a":1e400}',
        b'{"a":1}\r',
        b'\xef\xbb\xbf{"a":1}',
        rb'{"a":"\u0041"}',
        rb'{"a":"\ud800"}',
        '{"a":1}'.encode("utf-16"),
    ],
)
def test_json_that_is_written_otherwise_was_changed(raw: bytes) -> None:
    """One value has one sequence of bytes."""
    with pytest.raises(LineError, match=r"^it is not the canonical JSON of a record$") as caught:
        read_record(raw)

    assert not caught.value.torn


@pytest.mark.parametrize(
    "raw",
    [
        b"1",
        b"[]",
        b"{}",
        line(more=1),
        line(notes=...),
        line(notes=None),
        line(sequence=True),
        line(sequence=-1),
        line(sequence=1.5),
        line(time="2026-01-30"),
        line(time="2026-01-30T10:15:00Z"),
        line(time="2026-01-30T10:15:00+01:00"),
        line(time="now"),
        line(previous="0" * 63),
        line(previous="A" * 64),
        line(previous="0" * 64 + "\n"),
        line(previous=0),
        line(details=[]),
        line(action="repair"),
        line(action="repair", details={"torn": []}),
        line(action="repair", details={"torn": [{}]}),
        line(action="repair", details={"torn": [{"sha256": "0" * 64, "length": "1"}]}),
        line(action="repair", details={"torn": [{"sha256": "0", "length": 1}]}),
        line(action="repair", details={"torn": 1}),
    ],
)
def test_other_members_are_no_record(raw: bytes) -> None:
    """Of whatever type they are, with whatever hash."""
    with pytest.raises(LineError, match=r"^its members are not those of a record$") as caught:
        read_record(raw)

    assert not caught.value.torn


def test_a_hash_is_that_of_the_content() -> None:
    """So the last line cannot be changed either."""
    raw = make_record(None, entry("1.4.2"), NOW).line.replace(b"1.4.2", b"1.4.3")

    with pytest.raises(LineError, match=r"^its hash is not that of its content$"):
        read_record(raw.removesuffix(b"\n"))


def test_no_part_of_a_record_is_json() -> None:
    """Which is what tells the torn from the changed."""
    line = make_record(None, entry(), NOW).line
    for size in range(len(line) - 1):
        with pytest.raises(LineError, match=r"^it is not JSON$"):
            read_record(line[:size])
