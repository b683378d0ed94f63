"""The usual rows of a table of vectors, a block at a time, without an object for each field.

Such rows are long, and nearly all of a package. A block of them is either right as a whole (ASCII
without escapes, all columns there, the package's own UUID, vectors of the usual shape), or it is
read again by `tables.TableReader`, row by row, which then says what is wrong, or that nothing is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from itertools import pairwise

from pytest_release.packages.vectors import DROPPED, Vectors

NEAR = 64 * 1024  # bytes at a time, which stay in the cache of the processor
UNUSUAL = (b"\\", b"\r", b"\0")


class WideRows:
    """Knows the usual row.

    Args:
        columns: Of the COPY statement.
        uuid: Column, and the value that it must have.
        vectors: By column.
    """

    def __init__(
        self, columns: Sequence[str], uuid: tuple[str, bytes], vectors: Mapping[str, Vectors]
    ) -> None:
        self._width = len(columns)
        self._uuid_at, self._uuid = columns.index(uuid[0]), uuid[1]
        self._vectors = [(columns.index(name), column) for name, column in vectors.items()]

    def digests(self, data: bytes) -> list[bytes] | None:
        """The first 8 bytes of each row's SHA-256; None when a row is unusual.

        Args:
            data: Whole lines.
        """
        if not data.isascii() or any(byte in data for byte in UNUSUAL):
            return None
        pieces = (data[at : at + NEAR] for at in range(0, len(data), NEAR))
        shape = b"".join([piece.translate(None, DROPPED) for piece in pieces])
        shapes = [line.split(b"\t") for line in shape.split(b"\n")]
        shapes.pop()
        if {*map(len, shapes)} != {self._width}:
            return None
        ends = self._ends(data, len(shapes))
        if not self._uuids_are_usual(data, ends):
            return None
        for place, vectors in self._vectors:
            if not self._vectors_are_usual(data, ends, place, vectors, shapes):
                return None
        for _, vectors in self._vectors:
            vectors.seen[vectors.dimensions] += len(ends)
        with memoryview(data) as view:
            return [
                sha256(view[start + 1 : end]).digest()[:8] for start, end in pairwise((-1, *ends))
            ]

    @staticmethod
    def _ends(data: bytes, count: int) -> list[int]:
        """Where each line ends."""
        end, ends = -1, []
        for _ in range(count):
            end = data.find(b"\n", end + 1)
            ends.append(end)
        return ends

    def _uuids_are_usual(self, data: bytes, ends: list[int]) -> bool:
        uuid, before = self._uuid + (b"\n" if self._uuid_at == self._width - 1 else b"\t"), 0
        start = 0
        for end in ends:
            before = start
            for _ in range(self._uuid_at):
                before = data.find(b"\t", before) + 1
            if not data.startswith(uuid, before):
                return False
            start = end + 1
        return True

    def _vectors_are_usual(
        self, data: bytes, ends: list[int], place: int, vectors: Vectors, shapes: list[list[bytes]]
    ) -> bool:
        behind = range(self._width - 1 - place)
        for end, shape in zip(ends, shapes, strict=True):
            last = end
            for _ in behind:
                last = data.rfind(b"\t", 0, last)
            first = data.rfind(b"\t", 0, last) + 1 if place else data.rfind(b"\n", 0, last) + 1
            if not vectors.is_usual(shape[place], data, first, last):
                return False
        return True
