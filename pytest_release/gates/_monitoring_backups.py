"""The folder of a stack's backups: the newest recent and whole, and enough of them kept."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from statistics import median
from zoneinfo import ZoneInfo

from pytest_release.errors import TargetError
from pytest_release.evidence import Finding
from pytest_release.gates._monitoring_watch import Watch, some
from pytest_release.redaction import reveal

STAMP = "%Y%m%d_%H%M%S"  # of a backup's folder, without one of the case
MOST_FOLDERS = 10_000
KEPT = 10  # backups, without a limit of the case
AGE_H = 26.0  # a day and two hours
SHARE = 0.5  # of the median size of those before, below which a file is suspicious
AHEAD = timedelta(minutes=5)  # that a backup's name may lie in the future
LARGEST_ENV = 1024 * 1024  # bytes of a .env that are read
PLACEHOLDER = re.compile(
    r"^\s*(?:export\s+)?(?P<name>\w+)\s*=\s*[\"']?(?P<value>\*{3}.*|.*\bREDACTED\b.*|CHANGE_?ME\b.*|<[^<>]*>)[\"']?\s*$",
    re.IGNORECASE,
)

Wanted = str | Sequence[str]


@dataclass(frozen=True)
class Backup:
    """One backup: a folder that is named for its time."""

    folder: Path
    at: datetime

    def file(self, wanted: Wanted) -> Path | None:
        """A regular file whose name is like one of the patterns; no link."""
        patterns = [wanted] if isinstance(wanted, str) else wanted
        found = (
            file
            for pattern in patterns
            for file in sorted(self.folder.iterdir())
            if fnmatchcase(file.name, pattern) and file.is_file() and not file.is_symlink()
        )
        return next(found, None)


class Shelf:
    """The backups of one stack.

    Args:
        watch: The check.

    Raises:
        TargetError: The environment names no folder, or there is none.
    """

    def __init__(self, watch: Watch) -> None:
        options = watch.case.options
        given = watch.options("backups")
        place = given.get("directory") or watch.options("files").get("backup")
        source = watch.scene.environment.source
        if not place:
            raise TargetError(
                f"{source} names no folder of backups: add services.backups.directory"
            )
        stack = options.get("stack", given.get("stack", ""))
        self.folder = Path(reveal(place)) / reveal(stack)
        self.files: Sequence[Wanted] = options.get("files", [])
        self._stamp = options.get("stamp", STAMP)
        self._zone = ZoneInfo(options.get("timezone", "UTC"))
        self.strays: list[str] = []

    @cached_property
    def backups(self) -> tuple[Backup, ...]:
        """The oldest first."""
        try:
            names = [entry.name for entry in self.folder.iterdir() if entry.is_dir()]
        except OSError as error:
            raise TargetError(f"{self.folder} cannot be read: {error.strerror}") from None
        if len(names) > MOST_FOLDERS:
            raise TargetError(f"{self.folder} holds more than {MOST_FOLDERS} folders")
        found = []
        for name in sorted(names):
            try:
                at = datetime.strptime(name, self._stamp)  # noqa: DTZ007 - the zone follows
            except ValueError:
                self.strays.append(name)
                continue
            own = at if at.tzinfo else at.replace(tzinfo=self._zone)
            found.append(Backup(self.folder / name, own.astimezone(UTC)))
        return tuple(sorted(found, key=lambda backup: backup.at))

    @property
    def newest(self) -> Backup:
        """The newest backup.

        Raises:
            TargetError: There is none.
        """
        if not self.backups:
            raise TargetError(
                f"{self.folder} holds no backup: expected folders named {self._stamp}"
            )
        return self.backups[-1]


def backups(watch: Watch) -> Iterator[Finding]:
    """The newest is recent and whole, all its files have their size, and enough are kept."""
    shelf, expect = Shelf(watch), watch.case.expect
    every = shelf.backups
    for name in shelf.strays:
        message = f"{shelf.folder / name} is named for no time"
        yield watch.found("backup-name", message, watch.case.options.get("stamp", STAMP), name)
    keep = expect.get("keep", KEPT)
    whole = [backup for backup in every if not _lacks(shelf, backup)]
    if not every:
        message = f"{shelf.folder} holds no backup"
        yield watch.found("no-backup", message, f"at least {keep}", "0")
        return
    if len(whole) < keep:
        lacking = f", {len(every) - len(whole)} of them not whole" if whole != [*every] else ""
        message = f"{shelf.folder} holds {len(every)} backups{lacking}, {keep} were expected"
        yield watch.found("too-few-backups", message, f"at least {keep}", str(len(whole)))
    newest = shelf.newest
    yield from _time(watch, newest)
    for lack in _lacks(shelf, newest):
        message = f"{newest.folder} has no {lack}; it has {some(_names(newest))}"
        yield watch.found("backup-incomplete", message, lack)
    yield from _sizes(watch, shelf)
    yield from _placeholders(watch, newest)
    watch.figures["backups"] = [float(len(whole))]


def _names(backup: Backup) -> list[str]:
    kinds = {True: " (a link)", False: ""}
    return [f"{file.name}{kinds[file.is_symlink()]}" for file in sorted(backup.folder.iterdir())]


def _lacks(shelf: Shelf, backup: Backup) -> list[str]:
    return [
        wanted if isinstance(wanted, str) else " or ".join(wanted)
        for wanted in shelf.files
        if backup.file(wanted) is None
    ]


def _time(watch: Watch, newest: Backup) -> Iterator[Finding]:
    age = datetime.now(UTC) - newest.at
    hours, limit = age / timedelta(hours=1), watch.case.expect.get("max_age_h", AGE_H)
    watch.figures["backup_age_h"] = [max(hours, 0.0)]
    if age < -AHEAD:
        message = f"{newest.folder} is named for a time {-hours:.1f} h ahead of this machine's"
        yield watch.found("backup-in-future", message, "not in the future", f"{-hours:.1f} h")
    elif hours > limit:
        message = (
            f"the newest backup is {newest.folder}, {hours:.1f} h old, {limit:g} h are allowed"
        )
        yield watch.found("backup-too-old", message, f"at most {limit:g} h", f"{hours:.1f} h")


def _sizes(watch: Watch, shelf: Shelf) -> Iterator[Finding]:
    """An empty file, or one far smaller than its forerunners."""
    share = watch.case.expect.get("min_share", SHARE)
    newest, earlier = shelf.newest, shelf.backups[:-1]
    for wanted in shelf.files:
        file = newest.file(wanted)
        if file is None:
            continue
        size = file.stat().st_size
        if not size:
            yield watch.found("backup-empty", f"{file} is empty", "some bytes", "0")
            continue
        before = [old.stat().st_size for one in earlier if (old := one.file(wanted)) is not None]
        if before and size < share * median(before):
            usual = median(before)
            message = (
                f"{file} has {size} bytes, {size / usual:.0%} of the {usual:.0f} that the "
                f"{len(before)} before it have by median; at least {share:.0%} were expected"
            )
            yield watch.found("backup-too-small", message, f"at least {share:.0%}", str(size))


def _placeholders(watch: Watch, newest: Backup) -> Iterator[Finding]:
    """Settings that were saved behind a mask cannot be restored."""
    file = newest.file(".env")
    if file is None:
        return
    with file.open("rb") as opened:
        text = opened.read(LARGEST_ENV).decode(errors="replace")
    masked = [match["name"] for line in text.splitlines() if (match := PLACEHOLDER.match(line))]
    if masked:
        message = f"{file} has placeholders instead of values: {some(masked)}"
        yield watch.found("backup-placeholder", message, "values", f"{len(masked)} placeholders")
