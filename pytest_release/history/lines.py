"""A file of lines that only grows: bounded reading, its tail, and appending.

Whoever writes a line is killed perhaps, and leaves a part of it. That part is no JSON, since no
beginning of a JSON object is one: what is JSON was not torn.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, Generic, TypeVar

from pytest_release.atomic import fsync_folder

MODE = 0o644
READ = os.O_RDONLY
WRITE = os.O_RDWR | os.O_APPEND | os.O_CREAT
LARGEST = 1024 * 1024  # bytes of a line, with its line feed
MOST_TORN = 1000  # lines between two that are whole
FIRST_WINDOW = 64 * 1024  # bytes of the tail that are read at first
LAST_WINDOW = 8 * LARGEST

T = TypeVar("T")


class LineError(ValueError):
    """A line is not what it should be.

    Args:
        reason: As a sentence without its full stop.
        torn: It may be a part of a line that was not written to its end.
    """

    def __init__(self, reason: str, *, torn: bool = False) -> None:
        super().__init__(reason)
        self.torn = torn


@dataclass(frozen=True)
class Torn:
    """What is left of a line that was not written to its end.

    Attributes:
        sha256: Of its bytes, without a line feed.
        length: In bytes.
    """

    sha256: str
    length: int

    @classmethod
    def of(cls, line: bytes) -> Torn:
        """These bytes."""
        return cls(sha256(line).hexdigest(), len(line))


@dataclass(frozen=True)
class Tail(Generic[T]):
    """How a file of lines ends.

    Attributes:
        last: The last whole line, as it was read; None when there is none.
        torn: The lines after it.
        ended: The file is empty, or ends with a line feed.
    """

    last: T | None
    torn: tuple[Torn, ...]
    ended: bool


def open_file(path: Path, flags: int) -> int:
    """A descriptor of a plain file.

    Args:
        path: With `WRITE`, made with `MODE` when it is not there.
        flags: `READ` or `WRITE`.

    Raises:
        OSError: There is none, or it is something else.
    """
    flags |= os.O_NONBLOCK | os.O_CLOEXEC  # opening a FIFO would wait for its other end
    try:
        descriptor = os.open(path, flags | os.O_EXCL if flags & os.O_CREAT else flags, MODE)
    except FileExistsError:
        descriptor = os.open(path, flags, MODE)
    else:
        if flags & os.O_CREAT:
            os.fchmod(descriptor, MODE)  # whatever the umask: what was released is no secret
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(None, "it is not a plain file")
    return descriptor


def read_lines(stream: BinaryIO) -> Iterator[tuple[bytes, bool]]:
    """Each line without its line feed, and whether it had one.

    Raises:
        LineError: A line has more than `LARGEST` bytes.
    """
    while line := stream.readline(LARGEST + 1):
        if len(line) > LARGEST:
            raise LineError(f"it has more than {LARGEST} bytes")
        yield line.removesuffix(b"\n"), line.endswith(b"\n")


def read_tail(descriptor: int, read: Callable[[bytes], T]) -> Tail[T]:
    """The end of a file: what `read` makes of the last whole line, and what is torn after it.

    Reads as many bytes as that takes, however long the file is.

    Raises:
        OSError: It cannot be read.
        LineError: The last line was not torn, and is none; or there is no whole line in the last
            `LAST_WINDOW` bytes.
    """
    size = os.fstat(descriptor).st_size
    window = FIRST_WINDOW
    while True:
        start = max(0, size - window)
        lines = os.pread(descriptor, size - start, start).split(b"\n")
        ended = not lines[-1]
        whole = lines[bool(start) : len(lines) - ended]  # the first may have begun before `start`
        last, torn = _last_whole(whole, read)
        if last is not None or not start:
            return Tail(last, torn, ended)
        if window >= LAST_WINDOW:
            raise LineError(f"nothing in its last {LAST_WINDOW} bytes is a whole line")
        window = min(8 * window, LAST_WINDOW)


def _last_whole(
    lines: list[bytes], read: Callable[[bytes], T]
) -> tuple[T | None, tuple[Torn, ...]]:
    torn: list[Torn] = []
    for line in reversed(lines):
        if len(line) >= LARGEST:
            raise LineError(f"it has more than {LARGEST} bytes")
        try:
            return read(line), tuple(reversed(torn))
        except LineError as error:
            if not error.torn:
                raise
        torn.append(Torn.of(line))
        if len(torn) > MOST_TORN:
            raise LineError(f"its last {MOST_TORN} lines are not whole")
    return None, tuple(reversed(torn))


def append_bytes(descriptor: int, data: bytes, folder: Path) -> None:
    """Write `data` in one call, and make it durable.

    Args:
        descriptor: Of a file that only grows.
        data: Lines.
        folder: Where the file is; made durable with the first line.

    Raises:
        OSError: It was not written, or a part of it only.
    """
    first = not os.fstat(descriptor).st_size
    written = os.write(descriptor, data)
    if written != len(data):
        raise OSError(None, f"only {written} of {len(data)} bytes were taken")
    os.fsync(descriptor)
    if first:
        fsync_folder(folder)


def named(torn: tuple[Torn, ...]) -> list[dict[str, str | int]]:
    """Torn lines, as a repair names them."""
    return [{"sha256": line.sha256, "length": line.length} for line in torn]
