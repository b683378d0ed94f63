"""How late this client itself is: what a starved machine adds to a time stamp.

A thread asks to be woken every `PERIOD_S` and notes how late it is. When the interpreter or the
machine is busy with something else, whoever waits for a socket is woken as late as this thread; the
lateness around a stamp is therefore part of its uncertainty, and is never the server's.

Costs 0.7 % of a core (200 beats a second, 35 µs each).
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Self

PERIOD_NS = 5_000_000
KEPT = 120_000  # beats: the last 10 minutes
NEAR_NS = 10_000_000  # a stamp is judged by the beats that were due or came within 10 ms of it


class Heartbeat:
    """Beats while at least one ``with`` block is open; one for a process is enough."""

    def __init__(self) -> None:
        self._beats: deque[tuple[int, int]] = deque(maxlen=KEPT)  # due, woken
        self._due: int | None = None  # of the beat that has not come yet
        self._users = 0
        self._lock = threading.Lock()
        self._stop = threading.Event()

    def __enter__(self) -> Self:
        with self._lock:
            self._users += 1
            if self._users == 1:
                self._stop = threading.Event()
                self._due = time.monotonic_ns() + PERIOD_NS
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
                self._due = None

    def _beat(self, stop: threading.Event) -> None:
        due = time.monotonic_ns() + PERIOD_NS
        while True:
            time.sleep(max(due - time.monotonic_ns(), 0) / 1e9)
            woken = time.monotonic_ns()
            with self._lock:
                if stop.is_set():
                    return
                self._beats.append((due, woken))
                due = self._due = max(due + PERIOD_NS, woken)

    def lateness_ms(self, since_ns: int, until_ns: int) -> float:
        """The latest beat around two moments of CLOCK_MONOTONIC, in milliseconds.

        A beat counts as long as it is overdue: whoever is woken together with the heartbeat may
        ask before that has had its turn. Of what is longer ago than the beats that are kept,
        nothing is known: it may have been late by all of the time since.
        """
        since, until = since_ns - NEAR_NS, until_ns + NEAR_NS
        latest = 0
        with self._lock:
            if self._due is not None and self._due <= until:
                latest = max(time.monotonic_ns() - self._due, 0)
            for due, woken in reversed(self._beats):
                if woken < since:
                    break
                if due <= until:
                    latest = max(latest, woken - due)
            if len(self._beats) == self._beats.maxlen:
                latest = max(latest, self._beats[0][1] - since)
        return latest / 1e6
