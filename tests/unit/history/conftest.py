"""A history of every kind of line: records, a torn line and its repair, hostile text."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pytest_release.history import Chain, Entry, History
from pytest_release.history.chain import read_chain

NOW = datetime(2026, 1, 30, 10, 15, tzinfo=UTC)


def entry(version: str = "1.4.2", notes: str = "", **details: object) -> Entry:
    """A promotion of the shop to production."""
    return Entry(
        stack="shop",
        env="prod",
        action="promote",
        version=version,
        status="success",
        notes=notes,
        details=details,
    )


def read(content: bytes) -> Chain:
    """What `read_chain` makes of these bytes."""
    return read_chain(io.BytesIO(content), Path("history.jsonl"))


def joined(lines: Sequence[bytes]) -> bytes:
    """The lines, each with its line feed."""
    return b"".join(line + b"\n" for line in lines)


def spy(monkeypatch: pytest.MonkeyPatch, *names: str) -> list[tuple[str, tuple[object, ...]]]:
    """The calls of these functions of `os`, which do what they do, in their order."""
    calls: list[tuple[str, tuple[object, ...]]] = []

    def watch(name: str) -> None:
        original = getattr(os, name)

        def call(*arguments: object) -> object:
            calls.append((name, arguments))
            return original(*arguments)

        monkeypatch.setattr(os, name, call)

    for name in names:
        watch(name)
    return calls


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a history may be."""
    return tmp_path / "history.jsonl"


@pytest.fixture
def lines(path: Path) -> list[bytes]:
    """Six lines of a history: two records, a torn line, its repair, two records."""
    history = History(path)
    history.append(entry("1", nonces=["a", "b"]), NOW)
    history.append(entry("2", "grüße \u202e| \n"), NOW)
    with path.open("ab") as stream:
        stream.write(b'{"action":"promote","det')
    history.append(entry("3"), NOW)
    history.append(entry("4", rate=0.25), NOW)
    found = path.read_bytes().splitlines()
    assert len(found) == 6
    return found
