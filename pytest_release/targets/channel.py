"""A connected socket that sends within a time and stamps what it receives.

`KernelChannel` has the kernel's stamps, `Channel` those of ``read()``.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from pytest_release.targets import stamps
from pytest_release.targets._httpx import httpcore
from pytest_release.targets.stamps import Stamp

T = TypeVar("T")
TOLERANCE = 1.02  # by which a time-out may be exceeded


@contextlib.contextmanager
def as_httpcore(late: type[Exception], broken: type[Exception]) -> Iterator[None]:
    """A time-out, and any other error of a socket, as these exceptions of httpcore."""
    try:
        yield
    except (TimeoutError, BlockingIOError) as error:
        raise late("timed out") from error
    except OSError as error:
        raise broken(error) from error


class Channel:
    """A connected socket whose reads are stamped when they return."""

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected
        self._last_ns = 0  # when the bytes before arrived
        self._floor_ns = 0  # what is read next did not arrive before this

    def send(self, data: bytes, timeout: float) -> None:
        """Send all of it."""
        ends = time.monotonic() + timeout
        with as_httpcore(httpcore.WriteTimeout, httpcore.WriteError), memoryview(data) as rest:
            done = 0
            while done < len(rest):
                done += self._send(rest[done:], max(ends - time.monotonic(), 0.001))

    def _send(self, data: memoryview, timeout: float) -> int:
        self.socket.settimeout(timeout)
        return self.socket.send(data)

    def left_ns(self) -> int | None:
        """When the last byte that was sent left; None where nobody knows."""
        return None

    def receive(self, most: int, timeout: float) -> tuple[bytes, Stamp]:
        """Read what is there, or wait for it."""
        with as_httpcore(httpcore.ReadTimeout, httpcore.ReadError):
            data = self._there(most)
            waited = data is None
            if data is None:
                self.socket.settimeout(timeout)
                data = self.socket.recv(most)
        now = time.monotonic_ns()
        stamp = Stamp(now, self._floor_ns, now, waited)
        self._took(stamp, all_there_was=len(data) < most)
        return data, stamp

    def _there(self, most: int) -> bytes | None:
        self.socket.settimeout(0)
        with contextlib.suppress(BlockingIOError):
            return self.socket.recv(most)
        return None

    def _took(self, stamp: Stamp, *, all_there_was: bool) -> None:
        self._last_ns = stamp.at_ns
        if all_there_was:
            self._floor_ns = stamp.at_ns


class KernelChannel(Channel):
    """A connected socket whose reads and writes are stamped by the kernel.

    It blocks, within SO_RCVTIMEO and SO_SNDTIMEO.
    """

    def __init__(self, connected: socket.socket) -> None:
        super().__init__(connected)
        connected.settimeout(None)
        stamps.ask_for_receive_stamps(connected)
        with contextlib.suppress(OSError):  # without it the start is only bracketed
            stamps.ask_for_send_stamps(connected)
        self._limits: dict[int, float] = {}
        self._sent = self._received = self._segments = 0

    def _limit(self, option: int, seconds: float) -> None:
        """Wait no longer than that, or a little: not every read is worth a system call."""
        if not seconds <= self._limits.get(option, 0.0) <= TOLERANCE * seconds:
            stamps.limit_waiting(self.socket, option, seconds)
            self._limits[option] = seconds

    def _send(self, data: memoryview, timeout: float) -> int:
        count = self._within(socket.SO_SNDTIMEO, timeout, lambda: self.socket.send(data))
        self._sent += count
        return count

    def left_ns(self) -> int | None:
        """When the last byte that was sent left; None when the kernel has not said so, yet."""
        return stamps.sent(self.socket, self._sent - 1)

    def receive(self, most: int, timeout: float) -> tuple[bytes, Stamp]:
        """Wait in the kernel; what comes is stamped there."""
        entered = time.monotonic_ns()
        with as_httpcore(httpcore.ReadTimeout, httpcore.ReadError):
            data, at = self._within(
                socket.SO_RCVTIMEO, timeout, lambda: stamps.receive(self.socket, most)
            )
        seen = time.monotonic_ns()
        filled = len(data) == most
        segments = self._count(len(data), filled=filled)
        if at is None:  # the end of the stream has none
            stamp = Stamp(seen, self._floor_ns, seen, segments=segments)
        else:
            at = max(min(at, seen), self._last_ns)  # the conversion between clocks is not exact
            floor = at if segments == 1 else min(self._floor_ns, at)
            stamp = Stamp(at, floor, seen, at > entered, segments, kernel=True)
        self._took(stamp, all_there_was=not filled)
        return data, stamp

    def _within(self, option: int, seconds: float, act: Callable[[], T]) -> T:
        """Do it, waiting so long at least: the kernel's ticks may lag and end a wait early."""
        ends = time.monotonic() + seconds
        while True:
            self._limit(option, seconds)
            try:
                return act()
            except BlockingIOError:
                seconds = ends - time.monotonic()
                if seconds <= 0:
                    raise

    def _count(self, size: int, *, filled: bool) -> int:
        """How many segments these bytes came in, at most; 0 when nobody counted.

        A segment that came in since the read is counted as well. It shows in the bytes, where one
        alone may be a FIN, which is no segment of data. A read that was filled may have ended
        inside a segment, whose other part belongs to the next one.
        """
        self._received += size
        received, segments = stamps.counters(self.socket)
        if not segments:
            return 0
        new, unread = segments - self._segments, received - self._received
        if unread <= 1 or filled:
            self._segments = segments - (unread > 1)
            return max(new, 1)
        own = max(new - 1, 1)
        self._segments += new - 1 if own == 1 else 1
        return own
