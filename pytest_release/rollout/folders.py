"""Release folders: ``<root>/<release>__<UTC time>``, and a symlink that names the one in use.

- A copy is made under another name, is durable, and gets its own name whole; it cannot be written
  afterwards, and a list of its files' digests shows whether somebody did all the same.
- The switch is the rename of a new symlink over the old one: at every moment one of both is there.
- Nothing here removes a release: the older ones are what one goes back to.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from pytest_release.atomic import canonical_json, fsync_folder, sha256_of
from pytest_release.errors import RolloutError

NOTE = ".release.json"  # in every folder: what it is a copy of
CURRENT = "current"
TIME = "%Y%m%dT%H%M%S.%fZ"  # two copies may be made in one second
MOST_FILES = 10_000
LARGEST_NOTE = 16 * 1024 * 1024  # bytes
_UNDER_WAY = ".copying-"
_NAME = re.compile(
    r"(?P<release>[A-Za-z0-9][A-Za-z0-9._+-]*)__(?P<time>\d{8}T\d{6}\.\d{6}Z)", re.ASCII
)
_RELEASE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.+-]|_(?!_))*(?<!_)", re.ASCII)


@dataclass(frozen=True)
class Release:
    """A release folder.

    Attributes:
        release: The version that it is of.
        at: When it was copied, in UTC.
    """

    path: Path
    release: str
    at: datetime


@dataclass(frozen=True)
class Shelf:
    """The folder that release folders lie in.

    Attributes:
        root: It.
        name: Of the symlink in it.
    """

    root: Path
    name: str = CURRENT

    @property
    def link(self) -> Path:
        """The symlink that names the release in use."""
        return self.root / self.name

    def releases(self) -> tuple[Release, ...]:
        """All of them, the newest copy first."""
        if not self.root.is_dir():
            return ()
        found = (_release(path) for path in self.root.iterdir())
        return tuple(sorted(filter(None, found), key=lambda r: (r.at, r.path.name), reverse=True))

    def current(self) -> Release | None:
        """The one in use; None before the first switch.

        Raises:
            RolloutError: Something else stands in the symlink's place, or it leads nowhere.
        """
        if not os.path.lexists(self.link):
            return None
        if not self.link.is_symlink():
            raise RolloutError(f"{self.link} is no symlink: it is not replaced")
        path = self.root / self.link.readlink()
        found = _release(path) if path.parent == self.root else None
        if found is None:
            raise RolloutError(f"{self.link} leads to {path}, which is no release folder")
        return found

    def copy(self, source: Path, release: str, now: datetime, order: str = "") -> Release:
        """Copy what a release consists of into a folder of its own.

        Args:
            source: A folder.
            release: Its version.
            now: The time in its name.
            order: Of whom; `copied` finds it again.

        Raises:
            RolloutError: It cannot be copied as it is; nothing is left of it then.
            OSError: The disk is full, or the like; nothing is left of it, either.
        """
        path = self.root / f"{checked(release)}__{now.astimezone(UTC).strftime(TIME)}"
        if not source.is_dir():
            raise RolloutError(f"{source} is no folder: there is nothing to copy")
        self.root.mkdir(parents=True, exist_ok=True)
        for left in self.root.glob(f"{_UNDER_WAY}*"):  # of one that was killed
            _remove(left)
        if path.exists():
            raise RolloutError(f"{path} is there already: a release folder is never overwritten")
        place = Path(mkdtemp(prefix=_UNDER_WAY, dir=self.root))
        try:
            note = {"release": release, "order": order, "source": str(source),
                    "files": dict(_copied(source, place))}  # fmt: skip
            _write(place / NOTE, canonical_json(note))
            _seal(place)
            place.rename(path)
        except BaseException:
            _remove(place)
            raise
        fsync_folder(self.root)
        return Release(path, release, now.astimezone(UTC))

    def copied(self, order: str) -> Release | None:
        """What was copied for an order, if it was."""
        return next((r for r in self.releases() if _note(r.path).get("order") == order), None)

    def of(self, release: str) -> Release:
        """The newest copy of a release.

        Raises:
            RolloutError: There is none; says which there are.
        """
        found = next((r for r in self.releases() if r.release == release), None)
        if found is None:
            raise RolloutError(
                f"{self.root} has no folder of release {release}; there are: {self._known()}"
            )
        return found

    def earlier(self, steps: int) -> Release:
        """The release so many steps before the one in use, each release counted once.

        Raises:
            RolloutError: There are not so many.
        """
        current = self.current()
        if current is None:
            raise RolloutError(f"{self.link} is missing: no release is in use, so none is earlier")
        older: dict[str, Release] = {}
        for found in self.releases():
            if found.at < current.at and found.release != current.release:
                older.setdefault(found.release, found)
        if len(older) < steps:
            raise RolloutError(
                f"{self.root} has {len(older)} releases before {current.release}, "
                f"not {steps}; there are: {self._known()}"
            )
        return list(older.values())[steps - 1]

    def switch(self, release: Release) -> None:
        """Make a release the one in use; it was or it is, whatever happens.

        Raises:
            RolloutError: Its folder is not as it was copied, or the symlink's place is taken.
            OSError: The symlink cannot be made; the old one is then as it was.
        """
        if os.path.lexists(self.link) and not self.link.is_symlink():
            raise RolloutError(f"{self.link} is no symlink: it is not replaced")
        unchanged(release)
        fresh = self.root / f".{self.name}.new"
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(release.path.name, target_is_directory=True)
        try:
            fresh.replace(self.link)
        except BaseException:
            fresh.unlink(missing_ok=True)
            raise
        fsync_folder(self.root)

    def _known(self) -> str:
        return ", ".join(dict.fromkeys(r.release for r in self.releases())) or "none"


def checked(release: str) -> str:
    """A version that can be part of a folder's name.

    Raises:
        RolloutError: It cannot.
    """
    if len(release) > 100 or not _RELEASE.fullmatch(release):
        raise RolloutError(
            f"{release!a} cannot name a folder: expected letters, digits and '.', '-', '+', '_'"
        )
    return release


def unchanged(release: Release) -> None:
    """Compare a folder with what was copied into it.

    Raises:
        RolloutError: Something was changed, added or removed; says what.
    """
    written = _note(release.path).get("files")
    if not isinstance(written, dict):
        raise RolloutError(f"{release.path / NOTE} does not say what was copied")
    found = dict(_digests(release.path))
    found.pop(NOTE, None)
    different = sorted(n for n in written.keys() | found if written.get(n) != found.get(n))
    if different:
        name = different[0]
        what = "gone" if name not in found else "new" if name not in written else "changed"
        more = f", and {len(different) - 1} more differ" if len(different) > 1 else ""
        raise RolloutError(
            f"{release.path} is not as it was copied: {name} is {what}{more}; copy it again"
        )


def _release(path: Path) -> Release | None:
    match = _NAME.fullmatch(path.name)
    if match is None or path.is_symlink() or not (path / NOTE).is_file():
        return None
    try:
        at = datetime.strptime(match["time"], TIME).replace(tzinfo=UTC)
    except ValueError:
        return None
    return Release(path, match["release"], at)


def _note(path: Path) -> Mapping[str, Any]:
    try:
        with (path / NOTE).open("rb") as stream:
            note = json.loads(stream.read(LARGEST_NOTE))
    except (OSError, ValueError, RecursionError):
        return {}
    return note if isinstance(note, dict) else {}


def _walk(folder: Path) -> Iterator[Path]:
    """Everything in it, folders before what they hold."""
    for path in sorted(folder.iterdir()):
        yield path
        if path.is_dir() and not path.is_symlink():
            yield from _walk(path)


def _copied(source: Path, place: Path) -> Iterator[tuple[str, str]]:
    """Copy everything; by path what `_digests` says of it."""
    for number, path in enumerate(_walk(source), 1):
        relative = path.relative_to(source)
        if number > MOST_FILES:
            raise RolloutError(f"{source} holds more than {MOST_FILES} files: is it a release?")
        mode = path.lstat().st_mode
        there = place / relative
        if stat.S_ISDIR(mode):
            there.mkdir()
            continue
        if stat.S_ISLNK(mode):
            _refuse_to_leave(path, source)
            there.symlink_to(path.readlink())
        elif stat.S_ISREG(mode):
            shutil.copyfile(path, there)
            there.chmod(stat.S_IMODE(mode) & ~0o222)
            _flush(there)
        else:
            raise RolloutError(f"{path} is neither file nor folder: it cannot be copied")
        yield str(relative), _digest(there)


def _refuse_to_leave(path: Path, source: Path) -> None:
    """A release that leads out of its folder could be changed from outside."""
    target = path.readlink()
    inside = not target.is_absolute() and path.resolve().is_relative_to(source.resolve())
    if not inside:
        raise RolloutError(f"{path} leads out of the folder, to {target}: it cannot be copied")


def _digests(folder: Path) -> Iterator[tuple[str, str]]:
    for path in _walk(folder):
        if path.is_symlink() or not path.is_dir():
            yield str(path.relative_to(folder)), _digest(path)


def _digest(path: Path) -> str:
    return f"-> {path.readlink()}" if path.is_symlink() else sha256_of(path)


def _write(path: Path, data: bytes) -> None:
    with path.open("xb") as stream:
        stream.write(data)
    _flush(path)


def _flush(path: Path) -> None:
    """Durable: a full disk may say so only now."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _seal(folder: Path) -> None:
    """Nobody but root can change it from here on; `unchanged` notices root."""
    (folder / NOTE).chmod(0o444)
    for path in [folder, *_walk(folder)]:
        if path.is_dir() and not path.is_symlink():
            fsync_folder(path)
            path.chmod(0o555)


def _remove(folder: Path) -> None:
    """All of it, though it cannot be written."""
    for path in [folder, *_walk(folder)]:
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)
    shutil.rmtree(folder, ignore_errors=True)
