"""Backups of a stack: ``<root>/<UTC time>/`` with its files and a dump of its database.

- A backup is made under another name and gets its own once everything in it was read again.
- The dump is PostgreSQL's custom format, written by ``pg_dump`` itself: no pipe hides its status.
  It is listed, its tables are counted against the database's, and it is read to its end.
- The password is in no argument, no variable and no file: libpq reads it from standard input.
- Older backups are removed only after a new one is there, and ten are always kept.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from pytest_release.atomic import canonical_json, fsync_folder, sha256_of
from pytest_release.errors import RolloutError
from pytest_release.rollout.folders import TIME

NOTE = "backup.json"
DUMP = "database.dump"
LIST = "database.list"
KEPT = 10  # backups that are never removed
LARGEST_NOTE = 1024 * 1024  # bytes
_NAME = re.compile(r"\d{8}T\d{6}\.\d{6}Z", re.ASCII)
_UNDER_WAY = ".making-"


@dataclass(frozen=True)
class Backup:
    """A backup that is whole.

    Attributes:
        environment: Of which it is.
        release: That ran there, as the rollout knew it.
        files: SHA-256 by name.
        tables: With rows in the dump; None without a database.
        order: For whom it was made.
    """

    path: Path
    environment: str
    release: str
    files: Mapping[str, str]
    tables: int | None
    order: str

    def read_again(self) -> None:
        """Compare its files with what was written.

        Raises:
            RolloutError: One is gone or is another; says which.
        """
        for name, digest in self.files.items():
            file = self.path / name
            if not file.is_file():
                raise RolloutError(f"{file} is gone: the backup is not whole")
            if sha256_of(file) != digest:
                raise RolloutError(f"{file} is not as it was written: the backup is not whole")


def backups(root: Path) -> tuple[Backup, ...]:
    """All that are whole by their note, the newest first."""
    if not root.is_dir():
        return ()
    paths = sorted((p for p in root.iterdir() if _NAME.fullmatch(p.name)), reverse=True)
    return tuple(filter(None, map(_backup, paths)))


def backup_named(root: Path, name: str) -> Backup:
    """One of them, by its time, or the newest as ``latest``.

    Raises:
        RolloutError: There is none; says which there are.
    """
    found = backups(root)
    wanted = [b for b in found if name in ("latest", b.path.name)]
    if not wanted:
        there_are = ", ".join(b.path.name for b in found[:KEPT]) or "none"
        raise RolloutError(f"{root} has no backup {name!a}; there are: {there_are}")
    return wanted[0]


def make_backup(
    root: Path,
    note: Mapping[str, Any],
    files: Sequence[Path],
    dump: Callable[[Path], int] | None,
    now: datetime,
    keep: int = KEPT,
) -> Backup:
    """Make one, then remove what is older than those that are kept.

    Args:
        root: Where backups of this stack lie.
        note: ``environment``, ``release`` and ``order``.
        files: Are copied.
        dump: Writes the database's dump into a folder; says how many tables it holds.
        now: The time in its name.
        keep: How many stay, 10 at least.

    Raises:
        RolloutError: It cannot be made; nothing is left of it, and nothing was removed.
        OSError: The disk is full, or the like; the same.
    """
    path = root / now.astimezone(UTC).strftime(TIME)
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    for left in root.glob(f"{_UNDER_WAY}*"):  # of one that was killed
        shutil.rmtree(left, ignore_errors=True)
    if path.exists():
        raise RolloutError(f"{path} is there already: a backup is never overwritten")
    place = Path(mkdtemp(prefix=_UNDER_WAY, dir=root))
    try:
        _copy(files, place)
        tables = dump(place) if dump is not None else None
        written = {**note, "files": _digests(place), "tables": tables, "at": path.name}
        (place / NOTE).write_bytes(canonical_json(written))
        _flush(place)
        place.rename(path)
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise
    fsync_folder(root)
    for old in backups(root)[max(keep, KEPT) :]:
        shutil.rmtree(old.path)
    return backup_named(root, path.name)


def tables_listed(file: Path) -> int:
    """How many tables' rows a dump holds, by what ``pg_restore --list`` wrote."""
    with file.open(encoding="utf-8", errors="replace") as stream:
        return sum(" TABLE DATA " in line for line in stream if not line.startswith(";"))


def _copy(files: Sequence[Path], place: Path) -> None:
    for file in files:
        if not file.is_file():
            raise RolloutError(f"{file} is missing: a backup without it would not be one")
        if file.name in (NOTE, DUMP, LIST) or (place / file.name).exists():
            raise RolloutError(f"{file} cannot be in a backup: it has another file's name")
        shutil.copyfile(file, place / file.name)
        (place / file.name).chmod(0o600)


def _digests(place: Path) -> dict[str, str]:
    digests = {file.name: sha256_of(file) for file in sorted(place.iterdir())}
    if not digests:
        raise RolloutError("there is nothing to back up: neither files nor a database")
    return digests


def _flush(folder: Path) -> None:
    """Durable: a full disk may say so only now."""
    for path in _within(folder):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _within(folder: Path) -> Iterator[Path]:
    yield from folder.iterdir()
    yield folder


def _backup(path: Path) -> Backup | None:
    try:
        with (path / NOTE).open("rb") as stream:
            note = json.loads(stream.read(LARGEST_NOTE))
        return Backup(
            path=path,
            environment=str(note["environment"]),
            release=str(note["release"]),
            files={str(name): str(digest) for name, digest in note["files"].items()},
            tables=note["tables"],
            order=str(note["order"]),
        )
    except (OSError, ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return None
