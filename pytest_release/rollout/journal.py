"""The write-ahead journal of one rollout: JSON Lines, durable before anything goes on.

- A line is one event; `begun` stands there before a step is begun, `ended` before anything else is.
- A line that a killed driver did not finish is no event: the next driver takes it off, and says so.
- Every line is a boundary: the hook `at` is called before and after each, by a name like
  ``begun deploy/1, before``. Tests kill the driver there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from pytest_release.atomic import canonical_json, fsync_folder
from pytest_release.errors import RolloutError

FILE = "journal.jsonl"
MODE = 0o600  # outputs of commands stand there
LARGEST = 64 * 1024 * 1024  # bytes of a journal that is read

At = Callable[[str], None]
Event = Mapping[str, Any]


class Journal:
    """A journal that this process writes.

    Args:
        folder: Of the rollout.
        now: The time on the wall.
        at: The hook of the module's docstring.
    """

    def __init__(self, folder: Path, now: Callable[[], datetime], at: At = lambda _: None) -> None:
        self.path = folder / FILE
        self._now = now
        self._at = at
        self.events: list[Event] = []
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.events, whole = _parsed(_read(self.path))
            self._descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, MODE)
            torn = os.fstat(self._descriptor).st_size - whole
            os.ftruncate(self._descriptor, whole)
            os.lseek(self._descriptor, 0, os.SEEK_END)
            fsync_folder(folder)
            fsync_folder(folder.parent)
        except OSError as error:
            raise _failed(self.path, error) from None
        if torn:
            self.append("repaired", bytes=torn)

    def append(
        self,
        event: str,
        *,
        durable: bool = True,
        **members: Any,  # noqa: ANN401 - JSON values
    ) -> Event:
        """Write an event.

        Args:
            event: Its name.
            durable: It survives the machine, too; what speaks of a process need not.
            members: What is to be told.

        Raises:
            RolloutError: It was not written.
        """
        number = len(self.events) + 1
        line = {"event": event, "n": number, "at": self._now().isoformat(), **members}
        name = " ".join(filter(None, (event, _subject(members))))
        self._at(f"{name}, before")
        try:
            _write(self._descriptor, canonical_json(line) + b"\n", durable=durable)
        except OSError as error:
            raise _failed(self.path, error) from None
        self.events.append(line)
        self._at(f"{name}, after")
        return line

    def close(self) -> None:
        """Nothing is written any more."""
        os.close(self._descriptor)


def _subject(members: Mapping[str, Any]) -> str:
    task, attempt = members.get("task"), members.get("attempt")
    return f"{task}/{attempt}" if task and attempt else str(task or "")


def _write(descriptor: int, data: bytes, *, durable: bool) -> None:
    end = os.lseek(descriptor, 0, os.SEEK_END)
    try:
        while data:
            data = data[os.write(descriptor, data) :]
        if durable:
            os.fsync(descriptor)
    except OSError:
        os.ftruncate(descriptor, end)  # the next event begins a line of its own
        raise


def read_events(folder: Path) -> list[Event]:
    """The events of a rollout that is perhaps being written.

    Raises:
        RolloutError: There is no such journal, or a line of it is no event.
    """
    path = folder / FILE
    try:
        if not path.exists():
            raise RolloutError(f"there is no rollout {folder.name} in {folder.parent}")
        return _parsed(_read(path))[0]
    except OSError as error:
        raise _failed(path, error, "read") from None


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            data = stream.read(LARGEST + 1)
    except FileNotFoundError:
        return b""
    if len(data) > LARGEST:
        raise RolloutError(f"{path} has more than {LARGEST} bytes: that is no journal of a rollout")
    return data


def _parsed(data: bytes) -> tuple[list[Event], int]:
    """The events, and how many bytes they are; what follows was not finished."""
    whole = data.rfind(b"\n") + 1
    events: list[Event] = []
    for number, line in enumerate(data[:whole].splitlines(), 1):
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            event = None
        if not isinstance(event, dict) or event.get("n") != number:
            raise RolloutError(f"line {number} of the journal was changed: it is no event {number}")
        events.append(event)
    return events, whole


def _failed(path: Path, error: OSError, verb: str = "written") -> RolloutError:
    return RolloutError(f"the journal {path} cannot be {verb}: {error.strerror}")
