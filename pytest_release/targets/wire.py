"""One exchange and when things happened on its connection.

- Bytes have the stamp that the kernel gave them when they arrived, or else that of the moment at
  which they were read; `targets.network` takes them.
- The request left when the kernel says its last byte did. That is bracketed: not before
  `Wire.started_ns`, when it was handed over, and not after `Wire.sent_ns`, when that was done.
- The answer starts with the first byte of the final one: an interim answer (1xx) in front of it,
  and HTTP/2's own frames, are not what was asked for.
- The deadline holds for every step but the resolver's, which has a time-out of its own.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from enum import StrEnum

from pytest_release.sampling import Sample
from pytest_release.targets.busy import Heartbeat
from pytest_release.targets.clock import READ, Clock
from pytest_release.targets.stamps import SANDWICH_NS, Stamp

FOREVER_S = 24 * 3600.0


class Phase(StrEnum):
    """What a connection is doing; reads well behind "while"."""

    RESOLVING = "resolving the name"
    CONNECTING = "connecting"
    TLS = "negotiating TLS"
    SENDING = "sending the request"
    WAITING = "waiting for the answer's head"
    READING = "reading the answer's body"


class Wire:
    """The life of one exchange, times in nanoseconds of CLOCK_MONOTONIC.

    Attributes:
        bytes_in: Bytes read, without those of TLS itself.
        left_ns: When the request's last byte left, as the kernel says; None when it does not.

    Args:
        clock: Which stamps there are, and what they are worth.
        heartbeat: Beating while the connection is used.
        deadline_ns: After this every read and write times out; None for never.
        on_sent: Called when the request, or a first piece of it, has been written.
    """

    def __init__(
        self,
        clock: Clock,
        heartbeat: Heartbeat,
        deadline_ns: int | None = None,
        on_sent: Callable[[], None] = lambda: None,
    ) -> None:
        self.clock = clock
        self.heartbeat = heartbeat
        self.deadline_ns = deadline_ns
        self.phase = Phase.RESOLVING
        self.dns_ms: float | None = None
        self.connect_ms: float | None = None
        self.tls_ms: float | None = None
        self.started_ns = 0
        self.sent_ns = 0
        self.left_ns: int | None = None
        self.first_read: Stamp | None = None
        self.last_read: Stamp | None = None
        self.bytes_in = 0
        self._on_sent = on_sent
        self._writes = 0
        self._interim = _Interim()

    @property
    def expired(self) -> bool:
        """The deadline has passed."""
        return self.deadline_ns is not None and time.monotonic_ns() >= self.deadline_ns

    def seconds_left(self, timeout: float | None) -> float:
        """How long the next operation may take, at least a millisecond."""
        bounds = [] if timeout is None else [timeout]
        if self.deadline_ns is not None:
            bounds.append((self.deadline_ns - time.monotonic_ns()) / 1e9)
        return max(min(bounds, default=FOREVER_S), 0.001)

    def writing(self) -> None:
        """A write begins."""
        if self.first_read is None:
            self.started_ns = self.started_ns or time.monotonic_ns()
            self.phase = Phase.SENDING

    def wrote(self) -> None:
        """A write has returned."""
        if self.first_read is None:
            self.sent_ns = time.monotonic_ns()
            self._writes += 1
            self.phase = Phase.WAITING
            self._on_sent()

    def read(self, data: bytes, stamp: Stamp) -> None:
        """A read has returned these bytes, or none at the end of the stream."""
        self.last_read = stamp
        self.bytes_in += len(data)
        if not self._interim.over and self._interim.passed(data):
            self.first_read = stamp

    def answered(self, http_version: str) -> None:
        """The head of the final answer is complete."""
        self.phase = Phase.READING
        if http_version == "HTTP/2":  # what came first were the server's settings
            self.first_read = self.last_read

    @property
    def ttfb(self) -> Sample:
        """The first byte of the final answer's status line."""
        assert self.first_read is not None
        return self.sample(self.first_read)

    def now(self) -> Sample:
        """The time since the request left, as a sample."""
        now = time.monotonic_ns()
        return self.sample(Stamp(now, now, now))

    def sample(self, stamp: Stamp) -> Sample:
        """Milliseconds from the request to a stamp, with what is known of the error.

        The value counts from when the request left; where the kernel does not say, or it left in
        several pieces, from when it began to be written. `high` counts from there in any case, and
        `low` from when all of it had left.

        An exact stamp is the arrival, converted between two clocks. Any other is as late as the
        arrival can have been. Where the reader waited for the bytes, it is late by no more than
        the clock's uncertainty and twice the heartbeat's lateness, since who waits for a socket may
        have to let the heartbeat go first; where it did not, they may have come at any time since
        the read before.
        """
        left = self.left_ns or self.sent_ns
        start = left if self.left_ns and self._writes == 1 else self.started_ns
        lag = max(stamp.seen_ns - stamp.at_ns, 0) / 1e6
        if stamp.exact:
            busy, arrived = lag, stamp.at_ns
        else:
            busy = max(lag, self.heartbeat.lateness_ms(stamp.at_ns, stamp.seen_ns))
            slack = int((self.clock.uncertainty_ms + 2 * busy) * 1e6)
            arrived = max(stamp.floor_ns, stamp.at_ns - slack) if stamp.waited else stamp.floor_ns
        value = max(stamp.at_ns - start, 0)
        low = max(min(arrived - left - SANDWICH_NS, value), 0)
        high = max(stamp.at_ns - self.started_ns + SANDWICH_NS, value)
        name = READ if self.clock.kernel and not stamp.kernel else self.clock.name
        flags = _flags(stamp)
        return Sample(value / 1e6, low / 1e6, high / 1e6, name, busy, stamp.exact, flags)


def _flags(stamp: Stamp) -> tuple[str, ...]:
    merged = ("merged",) if stamp.segments > 1 else ()
    return (*merged, *(() if stamp.waited else ("late",)))


class _Interim:
    """Tells interim answers (1xx) of HTTP/1.1 from the final one, in bytes as they arrive."""

    _HEAD = re.compile(rb"HTTP/1\.\d 1(?!01)\d\d")  # 101 is final: no answer follows it
    _END = re.compile(rb"\n\r?\n")
    _DECIDING = 12  # bytes that tell: "HTTP/1.1 103"

    def __init__(self) -> None:
        self.over = False  # the final one has begun
        self._seen = bytearray()
        self._searched = 0

    def passed(self, data: bytes) -> bool:
        """Whether an answer begins in these bytes: the final one, unless another is to come."""
        begins = not self._seen
        self._seen += data
        while len(self._seen) >= self._DECIDING:
            if not self._HEAD.match(self._seen):
                self.over = True
                self._seen.clear()
            elif end := self._END.search(self._seen, self._searched):
                del self._seen[: end.end()]
                self._searched = 0
                begins = True
            else:
                self._searched = len(self._seen) - 2
                break
        return begins
