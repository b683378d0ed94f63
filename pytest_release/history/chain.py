"""Proves that the lines of a history are one chain.

What holds, record by record; the first that does not is named with its line:

1. A line is a record (`read_record`), or it is torn and the next record is a repair that names it.
2. Records are numbered from 1, without a gap or a repetition.
3. Each carries the hash of the one before.
4. A repair names exactly the lines between the record before and itself.

What the chain cannot show is that its end was cut off, or that all of it was written anew: that is
what anchors are for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pytest_release.errors import HistoryError
from pytest_release.history.lines import MOST_TORN, LineError, Torn, read_lines
from pytest_release.history.record import NOTHING, REPAIR, Record, read_record


@dataclass(frozen=True)
class Chain:
    """A history that was verified.

    Attributes:
        records: In the order of their numbers.
        torn: The lines after the last record that no repair names yet.
        ended: The file is empty, or ends with a line feed.
    """

    records: tuple[Record, ...]
    torn: tuple[Torn, ...] = ()
    ended: bool = True

    @property
    def count(self) -> int:
        """How many records there are."""
        return len(self.records)

    @property
    def head(self) -> str:
        """The hash of the last record."""
        return self.records[-1].hash if self.records else NOTHING

    @property
    def repairs(self) -> tuple[Record, ...]:
        """The records that name torn lines."""
        return tuple(record for record in self.records if record.action == REPAIR)


@dataclass(frozen=True)
class _Placed:
    """A record or a torn line, where it stands, and whether it has its line feed."""

    number: int
    what: Record | Torn
    ended: bool


def read_chain(stream: BinaryIO, path: Path) -> Chain:
    """Read and verify a history; its end may be torn.

    Args:
        stream: At its beginning, under a lock.
        path: For messages.

    Raises:
        HistoryError: The chain is broken; or the file cannot be read.
    """
    placed: list[_Placed] = []
    try:
        for line, ended in read_lines(stream):
            placed.append(_Placed(len(placed) + 1, _read(line), ended))
    except LineError as error:
        raise broken(path, len(placed) + 1, "changed", str(error)) from None
    except OSError as error:
        raise HistoryError(f"{path} cannot be read: {error.strerror}") from None
    records, torn = _connect(placed, path)
    return Chain(records, torn, ended=not placed or placed[-1].ended)


def broken(path: Path, number: int, how: str, why: str) -> HistoryError:
    """The error of a broken chain.

    Args:
        path: The history's.
        number: Of the line, from 1.
        how: changed, removed, inserted, reordered, not JSON or torn.
        why: As a sentence without its full stop.
    """
    return HistoryError(f"{path}, line {number}: {how}: {why}")


def _read(line: bytes) -> Record | Torn:
    try:
        return read_record(line)
    except LineError as error:
        if not error.torn:
            raise
    return Torn.of(line)


def _connect(placed: Sequence[_Placed], path: Path) -> tuple[tuple[Record, ...], tuple[Torn, ...]]:
    records: list[Record] = []
    torn: list[_Placed] = []
    for index, here in enumerate(placed):
        if isinstance(here.what, Torn):
            torn.append(here)
            if len(torn) > MOST_TORN:
                why = f"and so are the {MOST_TORN} lines before it"
                raise broken(path, here.number, "not JSON", why)
            continue
        record = here.what
        _check_repair(torn, record, here.number, path)  # 1, 4
        _check_sequence(len(records), record, placed[index:], path)  # 2
        if record.previous != (records[-1].hash if records else NOTHING):  # 3
            why = "the record before it is not the one that it was written after"
            raise broken(path, here.number, "changed", why)
        records.append(record)
        torn.clear()
    return tuple(records), tuple(line.what for line in torn if isinstance(line.what, Torn))


def _check_repair(torn: Sequence[_Placed], record: Record, number: int, path: Path) -> None:
    found, named = [line.what for line in torn], record.torn
    for line in torn:
        if line.what not in named:
            why = "and the next record is no repair that names it"
            raise broken(path, line.number, "not JSON", why)
    if any(line not in found for line in named):
        raise broken(path, number, "removed", "a torn line that this repair names is not before it")
    if found != list(named):
        why = "the torn lines before it are not in the order in which this repair names them"
        raise broken(path, number, "reordered", why)


def _check_sequence(count: int, record: Record, rest: Sequence[_Placed], path: Path) -> None:
    expected = count + 1
    if record.sequence == expected:
        return
    number = rest[0].number
    if record.sequence < expected:
        why = f"a record {record.sequence} stands before it already"
        raise broken(path, number, "inserted", why)
    later = {line.what.sequence for line in rest if isinstance(line.what, Record)}
    how = "reordered" if expected in later else "removed"
    why = f"here stands record {record.sequence}, and not record {expected}"
    raise broken(path, number, how, why)
