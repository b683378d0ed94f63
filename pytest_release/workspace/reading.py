"""A folder of documents -> its files' names and texts, within bounds and without following links.

Whatever is wrong with a file is said of that file; the others are read all the same.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pytest_release.errors import TargetError
from pytest_release.hostile import one_line

MOST_FILES = 2_000  # in one folder
LARGEST = 256 * 1024  # bytes of a document
TOTAL = 32 * 1024 * 1024  # bytes of all documents of a folder
LONGEST_LINE = 8_192  # characters
MOST_LINES = 4_000
IGNORED = (".", "~")  # how the names of what editors and synchronisers leave begin or end


@dataclass(frozen=True)
class Paper:
    """One file of a folder.

    Attributes:
        name: As it stands there.
        text: Empty when it could not be read.
        problem: Why it could not be read; empty when it was.
    """

    name: str
    text: str = ""
    problem: str = ""


def papers(folder: Path) -> list[Paper]:
    """Every file of a folder but hidden ones, in the order of their names.

    Raises:
        TargetError: The folder cannot be listed, or holds more than can be read.
    """
    read, total = [], 0
    for name in sorted(_names(folder)):
        paper = read_paper(folder / name)
        total += len(paper.text)
        if total > TOTAL:
            raise TargetError(f"{folder} holds more than {TOTAL} characters of documents")
        read.append(paper)
    return read


def _names(folder: Path) -> Iterator[str]:
    """Names of files; a link is one, whatever it leads to, and a folder is none."""
    try:
        with os.scandir(folder) as entries:
            for count, entry in enumerate(entries):
                if count >= MOST_FILES:
                    raise TargetError(f"{folder} holds more than {MOST_FILES} files")
                hidden = entry.name.startswith(IGNORED[0]) or entry.name.endswith(IGNORED[1])
                if not hidden and not entry.is_dir(follow_symlinks=False):
                    yield entry.name
    except OSError as error:
        raise TargetError(f"the workspace {folder} cannot be read: {error.strerror}") from None


def folders(folder: Path) -> list[str]:
    """Names of the folders in a folder, sorted; none where it does not exist.

    Raises:
        TargetError: It cannot be listed.
    """
    try:
        with os.scandir(folder) as entries:
            return sorted(e.name for e in entries if e.is_dir(follow_symlinks=False))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise TargetError(f"the folder {folder} cannot be read: {error.strerror}") from None


def read_paper(path: Path) -> Paper:
    """One file, or why it could not be read."""
    name = path.name
    try:
        data = _bytes(path)
    except OSError as error:
        return Paper(name, problem=f"cannot be read: {error.strerror}")
    if data is None:
        return Paper(name, problem="is no plain file")
    if len(data) > LARGEST:
        return Paper(name, problem=f"has more than {LARGEST} bytes")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        where = f"byte {data[error.start]:#04x} at {error.start}"
        return Paper(name, problem=f"is not UTF-8: {where}")
    lines = text.splitlines()
    longest = max(map(len, lines), default=0)
    if len(lines) > MOST_LINES or longest > LONGEST_LINE:
        bounds = f"at most {MOST_LINES} lines of {LONGEST_LINE} characters"
        said = f"has {len(lines)} lines, the longest of {longest} characters; {bounds} are read"
        return Paper(name, problem=said)
    return Paper(name, text)


def _bytes(path: Path) -> bytes | None:
    """At most a byte more than is allowed; None for what is no plain file, a pipe for one."""
    if not stat.S_ISREG(path.lstat().st_mode):
        return None
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):  # exchanged in between
            return None
        return stream.read(LARGEST + 1)


def shown(name: str) -> str:
    """A file's name for a message, whatever is in it."""
    return one_line(name.encode(errors="surrogateescape").decode(errors="replace"))
