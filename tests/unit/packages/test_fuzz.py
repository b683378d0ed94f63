"""Whatever bytes a package has: it ends in findings, never in an exception, and never unnoticed."""

from __future__ import annotations

import functools
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_release.packages.contents import Package
from pytest_release.packages.limits import Limits
from tests.unit.packages.forge import UUID, archive, comparable, compressed, members, read

LIMITS = Limits(content=1 << 24, item=1 << 16, line=1 << 18, members=100)
PLACES = st.integers(0, 1 << 20)
EDITS = st.lists(
    st.tuples(
        st.sampled_from(["flip", "set", "insert", "delete", "cut", "double"]),
        PLACES,
        st.binary(min_size=1, max_size=12),
    ),
    min_size=1,
    max_size=4,
)
Edits = list[tuple[str, int, bytes]]


@functools.cache
def good(suffix: str) -> bytes:
    """A small good archive; its SQLite file has a test of its own."""
    return compressed(archive({**members(), f"{UUID}.sqlite": b""}), suffix)


@functools.cache
def expected() -> Package:
    """What is found out about it."""
    with tempfile.TemporaryDirectory() as folder:
        return read(Path(folder), good(""), limits=LIMITS)


def edited(data: bytes, edits: Edits) -> bytes:
    """The data after some edits."""
    changed = bytearray(data)
    for kind, place, value in edits:
        at = place % (len(changed) or 1)
        match kind:
            case "flip" if changed:
                changed[at] ^= 1 << (value[0] % 8)
            case "set":
                changed[at : at + len(value)] = value
            case "insert":
                changed[at:at] = value
            case "delete":
                del changed[at : at + len(value)]
            case "cut":
                del changed[at:]
            case _:
                changed[at:at] = changed[at : at + 600]
    return bytes(changed)


def verdict(package: Package) -> Package:
    """What is found out but for what a header says besides: modes of files that are not run."""
    members_of = {name: replace(m, mode=0) for name, m in package.members.items()}
    return comparable(replace(package, members=members_of))


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
@settings(max_examples=150)
@given(EDITS)
def test_changed_bytes_are_noticed(suffix: str, edits: Edits) -> None:
    """By a flaw, or by another digest of a member; where nothing is found, nothing changed."""
    data = edited(good(suffix), edits)
    with tempfile.TemporaryDirectory() as folder:
        package = read(Path(folder), data, suffix, LIMITS)

    if package.flaws == expected().flaws and package.members == expected().members:
        assert verdict(package) == verdict(expected())
    assert package.complete or package.flaws
    assert all(flaw.message.isprintable() for flaw in package.flaws)


@settings(max_examples=100)
@given(st.integers(0, 40), EDITS)
def test_changed_members_are_noticed(which: int, edits: Edits) -> None:
    """With a good archive around them: the parsers of the members see the bytes."""
    content = {**members(), f"{UUID}.sqlite": b""}
    name = [*content][which % len(content)]
    content[name] = edited(content[name], edits)
    with tempfile.TemporaryDirectory() as folder:
        package = read(Path(folder), archive(content), limits=LIMITS)

    assert package.complete
    assert [*package.members] == [*content]


@settings(max_examples=25)
@given(EDITS)
def test_a_changed_sqlite_file_harms_nobody(edits: Edits) -> None:
    """Whatever it does to the process that looks into it."""
    content = members()
    content[f"{UUID}.sqlite"] = edited(content[f"{UUID}.sqlite"], edits)
    with tempfile.TemporaryDirectory() as folder:
        package = read(Path(folder), archive(content))

    assert package.complete
    assert {flaw.aspect for flaw in package.flaws} <= {"sqlite"}
