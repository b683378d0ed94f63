"""Exchanges start in turn, so that one's preparation does not delay another's reading.

Building a request and connecting costs the interpreter milliseconds. Who has sent its request must
get to its read at once, or what arrives meanwhile is read together and has one stamp. Whoever
starts therefore holds the turn until its request is sent, but not longer than `HOLD_S`: a server
that is slow to accept must not make the others wait for it. Waiting and reading overlap freely.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition

HOLD_S = 0.05


class Turns:
    """Hands the turn from one exchange to the next."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._holder: object | None = None
        self._until = 0.0

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for the turn; the block is what must not be disturbed."""
        mine = object()
        with self._changed:
            while self._holder is not None and (left := self._until - time.monotonic()) > 0:
                self._changed.wait(left)
            self._holder = mine
            self._until = time.monotonic() + HOLD_S
        try:
            yield
        finally:
            with self._changed:
                if self._holder is mine:
                    self._holder = None
                    self._changed.notify()
