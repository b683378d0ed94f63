"""The settings file of an application: what is read, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pytest_release.errors import TargetError
from pytest_release.targets.settings import LARGEST, read_lines, read_settings


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("NAME=value", "value"),
        ("export NAME = value ", "value"),
        ("NAME=", ""),
        ('NAME="a b # c" # comment', "a b # c"),
        ("NAME='momentry_dev:'", "momentry_dev:"),
        ("NAME=a#b # comment", "a#b"),
        ("NAME=first\nNAME=last", "last"),
        ("# comment\n\nNAME=$OTHER\r\n", "$OTHER"),
    ],
)
def test_a_line_is_a_setting(tmp_path: Path, line: str, value: str) -> None:
    """Quotes and comments are taken off, nothing is expanded, the last of two counts."""
    file = tmp_path / ".env"
    file.write_text(line)

    assert read_settings(file) == {"NAME": value}


def test_a_line_that_is_no_setting_is_named(tmp_path: Path) -> None:
    """By its number, and without what it says: it may be a part of a secret."""
    file = tmp_path / ".env"
    file.write_text("A=1\nhunter2 hunter2\n")

    with pytest.raises(TargetError, match=re.escape(f"{file}:2 is no setting: expected NAME=va")):
        read_settings(file)


def test_a_file_is_bounded(tmp_path: Path) -> None:
    """A device, or a log that is mistaken for it, does not fill the memory."""
    file = tmp_path / ".env"
    file.write_bytes(b"#" * (LARGEST + 1))

    with pytest.raises(TargetError, match=re.escape(f"{file} is larger than {LARGEST} bytes")):
        read_settings(file)


def test_a_missing_file(tmp_path: Path) -> None:
    """Is said, and is not an empty one."""
    with pytest.raises(TargetError, match="nowhere cannot be read: No such file or directory"):
        read_settings(tmp_path / "nowhere")


def test_lines_say_what_is_written_twice(tmp_path: Path) -> None:
    """Each with its number and its quotes; no value is in its repr."""
    file = tmp_path / ".env"
    file.write_text("# of the stack\nA=1\nA='s3cr3t' # again\n")

    first, second = read_lines(file)

    assert (first.name, first.value, first.line) == ("A", "1", 2)
    assert (second.raw, second.value, second.line) == ("'s3cr3t' # again", "s3cr3t", 3)
    assert "s3cr3t" not in repr(second)
