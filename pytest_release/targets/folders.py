"""Folders of a deployment: walked within bounds, without following a single link.

- A name is what the system's listing says; nothing that is found is opened.
- A folder that cannot be read, or is too large to be walked, is an error and not an empty one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pytest_release.errors import TargetError
from pytest_release.targets.portions import UnfinishedError

MOST_ENTRIES = 1_000_000  # of one walk


@dataclass(frozen=True)
class Entry:
    """One name below a folder.

    Attributes:
        path: Whole.
        target: Where it leads, resolved; None for what is no symbolic link.
    """

    path: Path
    target: Path | None = None


def listing(folder: Path) -> list[Entry]:
    """What stands in a folder itself, by name.

    Raises:
        TargetError: It is no folder, or cannot be read.
    """
    with _errors(folder), os.scandir(folder) as entries:
        return sorted((_entry(entry) for entry in entries), key=lambda entry: entry.path)


def walk(
    folder: Path, most: int = MOST_ENTRIES, passed_over: Callable[[str], bool] = lambda _: False
) -> Iterator[Entry]:
    """Everything below a folder, links as links.

    Args:
        folder: Itself not told.
        most: Names that are read.
        passed_over: Whether a path relative to the folder is left out, with all below it.

    Raises:
        TargetError: A folder cannot be read.
        UnfinishedError: There is more than `most`.
    """
    waiting, seen = [folder], 0
    while waiting:
        here = waiting.pop()
        with _errors(here), os.scandir(here) as entries:
            for entry in entries:
                if passed_over(Path(entry.path).relative_to(folder).as_posix()):
                    continue
                seen += 1
                if seen > most:
                    raise UnfinishedError(f"{folder}: only the first {most} names were read")
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(Path(entry.path))
                yield _entry(entry)


def place(path: Path) -> tuple[int, int] | None:
    """Which folder it really is, by whatever name: device and inode; None when there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _entry(entry: os.DirEntry[str]) -> Entry:
    path = Path(entry.path)
    return Entry(path, path.resolve() if entry.is_symlink() else None)


@contextmanager
def _errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise TargetError(f"{folder} cannot be read: {error.strerror}") from None
