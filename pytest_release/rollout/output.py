"""The output of a process: its head and its tail, whatever its size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from pytest_release.hostile import visible
from pytest_release.redaction import Redactor

HEAD = 16 * 1024  # bytes that are kept of the beginning
TAIL = 48 * 1024  # bytes that are kept of the end
SEAM = 2 * 1024  # characters beside a cut that are left out: a secret may lie across it


@dataclass(frozen=True)
class Output:
    """What a process wrote, both of its streams in the order in which they came.

    Attributes:
        head: The beginning, or all of it.
        tail: The end, where something lies between.
        size: In bytes.
        sha256: Of all bytes; empty when there were none.
    """

    head: str = ""
    tail: str = ""
    size: int = 0
    sha256: str = ""

    @property
    def text(self) -> str:
        """What is kept, with a line that says how much is not."""
        if not self.tail:
            return self.head
        kept = len(self.head.encode()) + len(self.tail.encode())
        return f"{self.head}\n[some {max(0, self.size - kept)} bytes were not kept]\n{self.tail}"

    @property
    def last_line(self) -> str:
        """The last line with something in it; empty when there is none."""
        lines = (self.tail or self.head).strip().splitlines()
        return lines[-1].strip() if lines else ""

    def masked(self, redact: Redactor) -> Output:
        """Without secrets, and without what steers a terminal."""
        head, tail = redact(self.head), redact(self.tail)
        if self.tail:
            head, tail = head[:-SEAM], tail[SEAM:]
        return Output(visible(head), visible(tail), self.size, self.sha256)

    def to_json(self) -> dict[str, Any]:
        """As journals and bundles have it."""
        return {"head": self.head, "tail": self.tail, "size": self.size, "sha256": self.sha256}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Output:
        """The way back."""
        return cls(**value)


class Keeper:
    """Takes output as it comes; keeps as little of it as it may."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._tail = bytearray()
        self._size = 0
        self._digest = sha256()

    def take(self, data: bytes) -> None:
        """More of it."""
        self._size += len(data)
        self._digest.update(data)
        room = HEAD - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        self._tail += data
        if len(self._tail) > 2 * TAIL:
            del self._tail[:-TAIL]

    def output(self) -> Output:
        """What is kept; where nothing was dropped, all of it is the head."""
        dropped = self._size > len(self._head) + len(self._tail) or len(self._tail) > TAIL
        digest = self._digest.hexdigest() if self._size else ""
        if not dropped:
            text = (self._head + self._tail).decode(errors="replace")
            return Output(text, "", self._size, digest)
        head, tail = (
            self._head.decode(errors="replace"),
            self._tail[-TAIL:].decode(errors="replace"),
        )
        return Output(head, tail, self._size, digest)
