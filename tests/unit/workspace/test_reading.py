"""Tests of `pytest_release.workspace.reading`."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from pytest_release.errors import TargetError
from pytest_release.workspace import reading
from pytest_release.workspace.reading import Paper, folders, papers, read_paper, shown


def test_files_are_read_in_order_without_hidden_ones_and_folders(tmp_path: Path) -> None:
    """What editors leave there is no document."""
    for name in ("b.md", "a.md", ".hidden.md", "a.md~"):
        (tmp_path / name).write_text(name)
    (tmp_path / "releases").mkdir()

    assert papers(tmp_path) == [Paper("a.md", "a.md"), Paper("b.md", "b.md")]
    assert folders(tmp_path) == ["releases"]
    assert folders(tmp_path / "nowhere") == []


def test_what_cannot_be_read_says_why_and_the_others_are_read(tmp_path: Path) -> None:
    """A link, a pipe, a file that is too large, has too long a line, or is no text."""
    (tmp_path / "a.md").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "b.md")
    (tmp_path / "c.md").write_bytes(b"x\n" * reading.LARGEST)
    (tmp_path / "d.md").write_text("x" * (reading.LONGEST_LINE + 1))
    (tmp_path / "e.md").write_bytes(b"\xff")
    (tmp_path / "f.md").write_text("# fine\n")

    said = {paper.name: paper.problem for paper in papers(tmp_path)}
    assert said == {
        "a.md": "is no plain file",
        "b.md": "is no plain file",
        "c.md": "has more than 262144 bytes",
        "d.md": "has 1 lines, the longest of 8193 characters; at most 4000 lines of 8192 "
        "characters are read",
        "e.md": "is not UTF-8: byte 0xff at 0",
        "f.md": "",
    }


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """Is one that cannot be read."""
    assert read_paper(tmp_path / "a.md").problem == "cannot be read: No such file or directory"


def test_a_file_exchanged_for_another_kind_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at it and the opening, too: a pipe must not be waited for."""
    os.mkfifo(tmp_path / "a.md")
    (tmp_path / "b.md").write_text("")
    plain = (tmp_path / "b.md").lstat()
    monkeypatch.setattr(Path, "lstat", lambda _: plain)

    assert read_paper(tmp_path / "a.md").problem == "is no plain file"


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """Is no empty workspace."""
    with pytest.raises(TargetError, match=r"the workspace .*/x cannot be read: No such file"):
        papers(tmp_path / "x")
    (tmp_path / "y").write_text("")
    with pytest.raises(TargetError, match=r"the folder .*/y cannot be read: Not a directory"):
        folders(tmp_path / "y")


def test_a_folder_has_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In files, and in all that they hold."""
    for name in "abc":
        (tmp_path / name).write_text("12345")
    monkeypatch.setattr(reading, "TOTAL", 14)
    with pytest.raises(TargetError, match=re.escape("holds more than 14 characters of documents")):
        papers(tmp_path)
    monkeypatch.setattr(reading, "MOST_FILES", 2)
    with pytest.raises(TargetError, match="holds more than 2 files"):
        papers(tmp_path)


def test_names_are_shown_harmlessly() -> None:
    """Control characters, and bytes that are no text."""
    assert shown("a\x1b[31m\n.md") == "a\\x1b[31m\\n.md"
    assert shown(os.fsdecode(b"a\xff.md")) == "a\ufffd.md"
