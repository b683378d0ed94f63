"""Scans of stores that are larger than one answer: in portions, and never without an end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

from pytest_release.errors import TargetError

T = TypeVar("T")


class UnfinishedError(TargetError):
    """A bounded scan ended before it had seen everything."""


def portions(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items in lists of at most `size`."""
    rest = iter(items)
    while portion := list(islice(rest, size)):
        yield portion
