"""One driver an environment.

- The lock is the kernel's (flock): it goes with its process, whatever ends it, and of two that ask
  at the same moment one gets it.
- The file says who holds it, or held it last: rollout, pid with its start time, host, boot, person.
  It stays when a driver is killed, so that the next one knows what was not finished.
- Where the kernel's lock does not reach, as on folders shared by machines, what the file says still
  holds: a driver of another host is believed to live.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pytest_release.atomic import canonical_json
from pytest_release.errors import RolloutError
from pytest_release.rollout.processes import boot_id, start_time

LARGEST = 16 * 1024  # bytes of a lock's file


@dataclass(frozen=True)
class Owner:
    """Who drives.

    Attributes:
        who: The person, as ``user@host`` or as the command names them.
        started: Of the process, in clock ticks since boot.
        since: ISO 8601.
    """

    rollout: str
    who: str
    pid: int
    started: int
    host: str
    boot: str
    since: str

    @classmethod
    def here(cls, rollout: str, who: str, since: str) -> Owner:
        """This process."""
        pid = os.getpid()
        return cls(rollout, who, pid, start_time(pid) or 0, socket.gethostname(), boot_id(), since)

    @property
    def process(self) -> tuple[str, str, int, int]:
        """Which process of which machine it is."""
        return self.host, self.boot, self.pid, self.started

    @property
    def elsewhere(self) -> bool:
        """It is a process of another machine."""
        return self.host != socket.gethostname()

    @property
    def lives(self) -> bool:
        """It runs; of another machine's nobody here can tell, and it is believed to."""
        if self.elsewhere:
            return True
        return self.boot == boot_id() and start_time(self.pid) == self.started

    def __str__(self) -> str:
        return f"rollout {self.rollout} by {self.who} (pid {self.pid} on {self.host})"


def owner_of(folder: Path, environment: str) -> Owner | None:
    """Who holds an environment's lock, or held it when it was killed; None when nobody."""
    try:
        return _owner((folder / f"{environment}.lock").read_bytes()[:LARGEST])
    except OSError:
        return None


def _owner(data: bytes) -> Owner | None:
    try:
        return owner_from(json.loads(data))
    except (ValueError, RecursionError):
        return None  # nobody, or half of a line: whoever wrote that is gone


def owner_from(value: Any) -> Owner | None:  # noqa: ANN401 - any JSON value
    """The owner that stands in a file; None when it is none."""
    try:
        owner = Owner(**value)
    except TypeError:
        return None
    return owner if isinstance(owner.pid, int) and isinstance(owner.started, int) else None


class _File:
    """A lock's file, held."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def hold(self) -> bool:
        """Whether the kernel gave the lock."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def read(self) -> bytes:
        return os.pread(self._descriptor, LARGEST, 0)

    def write(self, data: bytes) -> None:
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, data, 0)
        os.fsync(self._descriptor)

    def close(self) -> None:
        os.close(self._descriptor)


class Locks:
    """The locks of some environments, held by this process until `close`.

    Args:
        folder: Of the lock files.
        environments: Their names; taken in one order, so that no two wait for each other.
        owner: This process.

    Raises:
        RolloutError: Another driver holds one, or the folder cannot be written; nothing is held
            then.
    """

    def __init__(self, folder: Path, environments: Sequence[str], owner: Owner) -> None:
        self._files: dict[str, _File] = {}
        self.left: tuple[Owner, ...] = ()
        self.owner = owner
        self._signed = False
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name in sorted(environments):
                self._take(folder, name)
        except OSError as error:
            self.close()
            raise RolloutError(f"the lock in {folder} cannot be taken: {error.strerror}") from None
        except BaseException:
            self.close()
            raise

    def _take(self, folder: Path, name: str) -> None:
        path = folder / f"{name}.lock"
        file = self._files[name] = _File(path)
        if not file.hold():
            raise RolloutError(_taken(name, _owner(file.read())))
        last = _owner(file.read())
        if last is None:
            return
        if last.lives and last.process != self.owner.process:
            advice = f"; if that machine is gone, remove {path}" if last.elsewhere else ""
            raise RolloutError(_taken(name, last) + advice)
        if last.rollout not in (owner.rollout for owner in self.left):
            self.left = (*self.left, last)

    def sign(self) -> None:
        """Write into the files who holds them now."""
        for file in self._files.values():
            file.write(canonical_json(asdict(self.owner)))

        self._signed = True

    def clear(self) -> None:
        """Nothing is left to be finished."""
        for file in self._files.values():
            file.write(b"")
        self._signed = False

    def close(self) -> None:
        """Let go; of what is not finished the files say who left it."""
        if self._signed:
            self.owner = replace(self.owner, started=0)  # it drives no more, though it may live
            self.sign()
        for file in self._files.values():
            file.close()
        self._files.clear()


def _taken(environment: str, owner: Owner | None) -> str:
    by = str(owner) if owner else "another driver, which has not yet said who it is"
    since = f" since {owner.since[:19].replace('T', ' ')} UTC" if owner else ""
    return f"{environment} is being driven by {by}{since}"
