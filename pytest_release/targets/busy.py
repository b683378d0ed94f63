"""How late this client itself is: what a starved machine adds to a time stamp.

A thread asks to be woken every `PERIOD_S` and notes how late it is. When the interpreter or the
machine is busy with something else, whoever waits for a socket is woken as late as this thread; the
lateness around a stamp is therefore part of its uncertainty, and is never the server's.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Self

PERIOD_S = 0.005
KEPT = 20_000  # beats: the last 100 s
NEAR_NS = 10_000_000  # a stamp is judged by the beats within 10 ms before it


class Heartbeat:
    """Beats while at least one ``with`` block is open; one for a process is enough."""

    def __init__(self) -> None:
        self._beats: deque[tuple[int, int]] = deque(maxlen=KEPT)
        self._users = 0
        self._lock = threading.Lock()
        self._stop = threading.Event()

    def __enter__(self) -> Self:
        with self._lock:
            self._users += 1
            if self._users == 1:
                self._stop = threading.Event()
                thread = threading.Thread(
                    target=self._beat, args=(self._stop,), name="release-heartbeat", daemon=True
                )
                thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self._stop.set()

    def _beat(self, stop: threading.Event) -> None:
        due = time.monotonic_ns()
        while not stop.is_set():
            due += int(PERIOD_S * 1e9)
            time.sleep(max(due - time.monotonic_ns(), 0) / 1e9)
            woken = time.monotonic_ns()
            self._beats.append((woken, woken - due))
            due = max(due, woken - int(PERIOD_S * 1e9))

    def lateness_ms(self, since_ns: int, until_ns: int) -> float:
        """The latest beat between two moments (CLOCK_MONOTONIC), in milliseconds."""
        latest = 0
        for woken, late in reversed(tuple(self._beats)):
            if woken < since_ns - NEAR_NS:
                break
            if woken <= until_ns + NEAR_NS:
                latest = max(latest, late)
        return latest / 1e6
