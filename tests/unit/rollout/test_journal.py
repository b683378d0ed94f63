"""Tests of `pytest_release.rollout.journal`."""

from __future__ import annotations

import errno
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pytest_release.errors import RolloutError
from pytest_release.rollout import journal as module
from pytest_release.rollout.journal import FILE, Journal, read_events
from pytest_release.rollout.state import SUCCESS
from tests.unit.rollout.conftest import Yard, step


def now() -> datetime:
    """A moment."""
    return datetime(2026, 11, 28, 18, tzinfo=UTC)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    """By the next driver, too, which goes on counting."""
    journal = Journal(tmp_path / "one", now)
    journal.append("begun", task="a", attempt=1)
    journal.close()
    again = Journal(tmp_path / "one", now)
    again.append("ended", task="a")
    again.close()

    assert [(e["n"], e["event"]) for e in read_events(tmp_path / "one")] == [
        (1, "begun"), (2, "ended"),
    ]  # fmt: skip
    assert (tmp_path / "one" / FILE).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("cut", [1, 20, 60])
def test_half_a_line_is_no_event(tmp_path: Path, cut: int) -> None:
    """Readers leave it out; the next driver takes it off, and says so."""
    journal = Journal(tmp_path, now)
    journal.append("begun", task="a", attempt=1)
    journal.append("ended", task="a", attempt=1)
    journal.close()
    file = tmp_path / FILE
    line = len(file.read_bytes().splitlines()[1]) + 1
    os.truncate(file, file.stat().st_size - line + cut)

    assert [event["event"] for event in read_events(tmp_path)] == ["begun"]
    again = Journal(tmp_path, now)
    again.close()
    assert again.events[1:] == [
        {"event": "repaired", "n": 2, "at": now().isoformat(), "bytes": cut}
    ]
    assert read_events(tmp_path) == again.events


@pytest.mark.parametrize("line", ["{}", "nonsense", '{"n": 2}', "[]"])
def test_a_line_that_was_changed(tmp_path: Path, line: str) -> None:
    """Is none that anybody goes on from."""
    (tmp_path / FILE).write_text(f"{line}\n")

    with pytest.raises(
        RolloutError, match=r"^line 1 of the journal was changed: it is no event 1$"
    ):
        read_events(tmp_path)


def test_there_is_no_such_rollout(tmp_path: Path) -> None:
    """It is named."""
    with pytest.raises(RolloutError, match=r"^there is no rollout nope in "):
        read_events(tmp_path / "nope")


def test_one_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is no journal."""
    monkeypatch.setattr(module, "LARGEST", 10)
    (tmp_path / FILE).write_text("x" * 11)

    with pytest.raises(RolloutError, match=r"has more than 10 bytes: that is no journal"):
        read_events(tmp_path)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """Is named, with why."""
    (tmp_path / "file").write_text("")

    with pytest.raises(
        RolloutError, match=r"^the journal .*journal\.jsonl cannot be written: File e"
    ):
        Journal(tmp_path / "file", now)
    (tmp_path / FILE).mkdir()
    with pytest.raises(RolloutError, match=r"^the journal .* cannot be read: Is a directory$"):
        read_events(tmp_path)


def test_a_full_disk_ends_the_driver_and_nothing_is_lost(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The step that could not be written down was not begun; later it goes on."""
    yard.plan(step("one"), step("two"))
    real = os.write
    full = False

    def write(descriptor: int, data: bytes) -> int:
        nonlocal full
        full = full or b'"task":"two"' in data
        if full and b'"event"' in data:
            real(descriptor, data[:10])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(RolloutError, match=r"journal\.jsonl cannot be written: No space left on d"):
        yard.run()
    monkeypatch.undo()
    monkeypatch.chdir(yard.folder)

    assert yard.log == ["one 2.0"]
    assert yard.resume().status == SUCCESS
    assert yard.log == ["one 2.0", "two 2.0"]
