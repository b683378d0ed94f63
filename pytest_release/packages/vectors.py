"""Vectors as pgvector writes them: ``[0.0123,-0.0456,7.1e-05]``, a lot of them, quickly.

Each vector is first looked at without its digits and minus signs. What is left of the usual one is
``[.,.,.e,.]``: so many numbers, each with one point, nothing but digits and signs beside it. That
costs a nanosecond a byte. Whatever looks otherwise is read number by number.

Left to PostgreSQL is a number of the right characters in the wrong order (``0.1-2``).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from pytest_release.packages.flaws import shown

LARGEST = 3.4028235677973366e38  # what rounds to an infinite float4
OPEN, CLOSE = b"[]"
DROPPED = b"0123456789-"
_NUMBER = rb"[+-]?(?:\d++(?:\.\d*+)?+|\.\d++)(?:[eE][+-]?\d++)?+"
_VECTOR = re.compile(rb"\s*\[\s*(?:%b\s*,\s*)*+%b\s*\]\s*" % (_NUMBER, _NUMBER))
_ONE = re.compile(rb"\s*%b\s*" % _NUMBER)
_NOT_FINITE = re.compile(rb"\s*[+-]?(?:nan|inf|infinity)\s*", re.IGNORECASE)
_LARGE = re.compile(rb"[eE]\+?\d|\d{38}")


class Vectors:
    """One column of vectors.

    Args:
        dimensions: That each is expected to have.

    Attributes:
        seen: Vectors by number of dimensions.
    """

    def __init__(self, dimensions: int) -> None:
        self.dimensions = dimensions
        self.seen: Counter[int] = Counter()
        self._usual = b"[" + b",".join([b"."] * dimensions) + b"]"

    def add(self, values: Sequence[bytes]) -> list[tuple[int, str, str]]:
        """Look at vectors.

        Returns:
            Those that are wrong: place in `values`, code, and what is wrong as the end of a
            sentence.
        """
        shapes = [value.translate(None, DROPPED) for value in values]
        wrong = []
        for place, (shape, value) in enumerate(zip(shapes, values, strict=True)):
            if self.is_usual(shape, value, 0, len(value)):
                self.seen[self.dimensions] += 1
            elif problem := self._read(value):
                wrong.append((place, *problem))
        return wrong

    def is_usual(self, shape: bytes, data: bytes, start: int, end: int) -> bool:
        """A vector has the dimensions and the numbers that it should have, at first sight.

        Args:
            shape: What is left of it without the characters that are `DROPPED`.
            data: In which it stands.
            start: Where.
            end: And where it ends.
        """
        if start == end or data[start] != OPEN or data[end - 1] != CLOSE:
            return False
        if shape == self._usual:
            return True
        return shape.replace(b"e", b"") == self._usual and _small(data[start:end])

    def _read(self, value: bytes) -> tuple[str, str] | None:
        """Read one number by number."""
        if value.strip()[:1] != b"[" or value.strip()[-1:] != b"]":
            return "not-a-vector", f"is no vector: {shown(value)!r}"
        count = value.count(b",") + 1
        self.seen[count] += 1
        if not _VECTOR.fullmatch(value):
            return _broken(value)
        if _LARGE.search(value):
            for number in _numbers(value):
                if abs(float(number)) >= LARGEST:
                    return "not-finite", f"holds {shown(number)}, which no vector can hold"
        if count != self.dimensions:
            return "vector-dimensions", f"has {count} dimensions, expected {self.dimensions}"
        return None


def _small(value: bytes) -> bool:
    """Every exponent of a bracketed value is negative and follows a digit."""
    at = value.find(b"e")
    while at > 0:
        exponent = value[at + 1 : at + 3]
        if not (value[at - 1 : at].isdigit() and exponent[:1] == b"-" and exponent[1:].isdigit()):
            return False
        at = value.find(b"e", at + 1)
    return True


def _broken(value: bytes) -> tuple[str, str]:
    for place, number in enumerate(_numbers(value), 1):
        if _NOT_FINITE.fullmatch(number):
            return "not-finite", f"holds {shown(number)} at place {place}, expected a finite number"
        if not _ONE.fullmatch(number):
            return "not-a-vector", f"holds {shown(number)!r} at place {place}, expected a number"
    return "not-a-vector", f"is no vector: {shown(value)!r}"


def _numbers(value: bytes) -> Iterator[bytes]:
    """One after the other: a line may hold millions."""
    inner = value.strip()[1:-1]
    start = 0
    while (end := inner.find(b",", start)) >= 0:
        yield inner[start:end]
        start = end + 1
    yield inner[start:]
