"""Tasks at the same time, a thread each: they act together, and write one at a time."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

MOST = 32  # threads; more nodes of a batch wait for one that is free
SLICE_S = 0.2  # of a pause, after which it is asked whether to go on


class Crew:
    """The threads of a driver.

    Args:
        pause: Sleeps.
    """

    def __init__(self, pause: Callable[[float], None]) -> None:
        self._pause = pause
        self._lock = threading.RLock()
        self._working = False
        self._stopped = False

    @contextmanager
    def turn(self) -> Iterator[None]:
        """One thread at a time, and none once the driver was interrupted."""
        with self._lock:
            if self._stopped:
                raise KeyboardInterrupt
            yield

    def pause(self, seconds: float) -> None:
        """Sleep; an interrupt of the driver ends it."""
        if not self._working:
            self._pause(seconds)
            return
        for _ in range(math.ceil(seconds / SLICE_S)):
            with self.turn():
                pass
            self._pause(min(SLICE_S, seconds))

    def work(self, tasks: Sequence[Callable[[], None]], stop: Callable[[], None]) -> None:
        """Do these at the same time; one that fails lets the others end.

        Args:
            tasks: What is done.
            stop: Ends what they have started, when the driver itself is interrupted.
        """
        self._working = True
        with ThreadPoolExecutor(min(MOST, len(tasks)), "node") as pool:
            futures = [pool.submit(task) for task in tasks]
            try:
                errors = [future.exception() for future in futures]
            except BaseException:
                with self._lock:
                    self._stopped = True
                for future in futures:
                    future.cancel()
                stop()
                raise
        self._working = False
        for error in filter(None, errors):
            raise error
