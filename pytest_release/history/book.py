"""The history's file: locked, read, and written at its end.

- Whoever writes holds an exclusive lock of the file itself (flock), whoever reads a shared one:
  what is half written then was left by a writer that is gone.
- A record is one write, and durable (fsync) before `Book.append` returns; the time that takes does
  not depend on how long the history is.
- Locks and appending are those of a local file system; NFS promises neither.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pytest_release.errors import HistoryError
from pytest_release.history.chain import Chain, broken, read_chain
from pytest_release.history.lines import (
    READ,
    WRITE,
    LineError,
    Tail,
    Torn,
    append_bytes,
    named,
    open_file,
    read_tail,
)
from pytest_release.history.record import REPAIR, SUCCESS, Entry, Record, make_record, read_record

PATIENCE = 60  # seconds to wait for other processes' locks
PAUSE = 0.002  # seconds between two tries
ITSELF = "pytest-release"  # the stack of records that are about the history


@dataclass(frozen=True)
class Repair:
    """What a writer did about what a killed one had left.

    Attributes:
        torn: The lines that were not written to their end, which stay as they are.
        record: Names them; None when the last line was whole but for its line feed.
    """

    torn: tuple[Torn, ...] = ()
    record: Record | None = None

    def __str__(self) -> str:
        if self.record is None:
            return "the last record lacked its line feed and nothing else; it was given one"
        lines = ", ".join(f"{line.length} bytes (sha256 {line.sha256})" for line in self.torn)
        return f"a write was cut off; record {self.record.sequence} names what is left: {lines}"


@dataclass(frozen=True)
class Written:
    """What `Book.append` wrote.

    Attributes:
        record: That of the entry.
        repair: What had to be repaired before; commands print it.
    """

    record: Record
    repair: Repair | None = None


class Book:
    """A history under its lock; `History.locked` gives one."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    def chain(self) -> Chain:
        """The verified history; its end may be torn.

        Raises:
            HistoryError: The chain is broken, or the file cannot be read.
        """
        try:
            copy = os.dup(self._descriptor)
            os.lseek(copy, 0, os.SEEK_SET)
        except OSError as error:
            raise _failed(self._path, "read", error) from None
        with os.fdopen(copy, "rb") as stream:
            return read_chain(stream, self._path)

    def records(self) -> Sequence[Record]:
        """The records of `chain`."""
        return self.chain().records

    def append(self, entry: Entry, now: datetime) -> Written:
        """Write a record, after a repair where one is needed.

        Reads only the end of the file: that the rest is a chain is for `chain` to say.

        Args:
            entry: Its action is not `REPAIR`, which this writes itself.
            now: Aware.

        Raises:
            HistoryError: It was not written, not wholly, or perhaps not durably; or the last record
                was changed.
        """
        if entry.action == REPAIR:
            raise HistoryError(f"the action {REPAIR!r} is written by the history itself")
        tail = self._tail()
        record = make_record(tail.last, entry, now)  # may refuse, before anything is written
        repair = self._repair(tail, now)
        if repair is not None and repair.record is not None:
            record = make_record(repair.record, entry, now)
        self._write(record.line)
        return Written(record, repair)

    def repair(self, now: datetime) -> Repair | None:
        """End what a killed writer left, and record it; None when there is nothing of that kind.

        Raises:
            HistoryError: It cannot be written, or the last record was changed.
        """
        return self._repair(self._tail(), now)

    def _tail(self) -> Tail[Record]:
        try:
            tail = read_tail(self._descriptor, read_record)
        except LineError as error:
            raise HistoryError(f"{self._path}, at its end: changed: {error}") from None
        except OSError as error:
            raise _failed(self._path, "read", error) from None
        anchors = anchors_of(self._path)
        if tail.last is None and anchors.exists():
            message = f"{self._path} holds no record, though {anchors} says that it did"
            raise HistoryError(f"{message}: removed; bring it back before anything is written")
        return tail

    def _repair(self, tail: Tail[Record], now: datetime) -> Repair | None:
        end = b"" if tail.ended else b"\n"
        if tail.torn:
            details = {"torn": named(tail.torn)}
            notes = f"a write was cut off, {sum(line.length for line in tail.torn)} bytes are left"
            entry = Entry(
                stack=ITSELF,
                env="-",
                action=REPAIR,
                version="-",
                status=SUCCESS,
                notes=notes,
                details=details,
            )
            record = make_record(tail.last, entry, now)
            self._write(end + record.line)
            return Repair(tail.torn, record)
        if end:
            self._write(end)
            return Repair()
        return None

    def _write(self, data: bytes) -> None:
        try:
            append_bytes(self._descriptor, data, self._path.parent)
        except OSError as error:
            raise _failed(self._path, "written", error) from None

    def close(self) -> None:
        """Nothing can be read or written any more; the lock is given up."""
        descriptor, self._descriptor = self._descriptor, -1
        os.close(descriptor)


class History:
    """A history by its path.

    Args:
        path: Made (mode 0644) by the first who locks it; its folder exists.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def locked(self) -> Iterator[Book]:
        """Exclusive access, for those who read and then append.

        Raises:
            HistoryError: The file cannot be opened for writing, or others hold it for `PATIENCE`
                seconds.
        """
        with _opened(self.path, WRITE, fcntl.LOCK_EX) as book:
            yield book

    @contextmanager
    def reading(self, *, alone: bool = False) -> Iterator[Chain]:
        """The verified history, every line of it proven, which nobody writes meanwhile.

        Args:
            alone: Nobody reads it meanwhile either.

        Raises:
            HistoryError: There is none, it cannot be read, its chain is broken, or its end is torn.
        """
        with _opened(self.path, READ, fcntl.LOCK_EX if alone else fcntl.LOCK_SH) as book:
            chain = book.chain()
            _refuse_torn(chain, self.path)
            yield chain

    def append(self, entry: Entry, now: datetime) -> Written:
        """`Book.append` under a lock."""
        with self.locked() as book:
            return book.append(entry, now)

    def repair(self, now: datetime) -> Repair | None:
        """`Book.repair` under a lock."""
        with self.locked() as book:
            return book.repair(now)


def anchors_of(path: Path) -> Path:
    """The file of a history's anchors, beside it."""
    return path.with_name(f"{path.name}.anchors")


def verify(path: Path) -> Chain:
    """The whole history, every line of it proven.

    Raises:
        HistoryError: There is none, it cannot be read, its chain is broken, or its end is torn.
    """
    with History(path).reading() as chain:
        return chain


def _refuse_torn(chain: Chain, path: Path) -> None:
    advice = "run: pytest-release history repair, or let the next writer do it"
    lines = chain.count + sum(len(record.torn) for record in chain.records)
    if chain.torn:
        why = f"a write was cut off after {chain.torn[0].length} bytes; {advice}"
        raise broken(path, lines + 1, "torn", why)
    if not chain.ended:
        raise broken(path, lines, "torn", f"it lacks its line feed; {advice}")


@contextmanager
def _opened(path: Path, flags: int, lock: int) -> Iterator[Book]:
    verb = "read" if flags == READ else "written"
    try:
        descriptor = open_file(path, flags)
    except OSError as error:
        raise _failed(path, verb, error) from None
    book = Book(path, descriptor)
    try:
        _lock(path, descriptor, lock)
        yield book
    finally:
        book.close()


def _lock(path: Path, descriptor: int, lock: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return fcntl.flock(descriptor, lock | fcntl.LOCK_NB)
        except OSError as error:
            if not isinstance(error, BlockingIOError):
                raise _failed(path, "locked", error) from None
            if time.monotonic() >= deadline:
                message = f"{path} is locked by another process, for more than {PATIENCE} seconds"
                raise HistoryError(message) from None
        time.sleep(PAUSE)


def _failed(path: Path, verb: str, error: OSError) -> HistoryError:
    return HistoryError(f"{path} cannot be {verb}: {error.strerror}")
