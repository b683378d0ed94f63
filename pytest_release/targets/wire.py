"""One connection and when things happened on it: the only place that takes time stamps.

- A stamp is taken when ``read()`` returns, on CLOCK_MONOTONIC. One client at a time, its error was
  measured as 0.26 ms at the 99th percentile; what a busy machine adds is known from the heartbeat.
- The start is bracketed: the request left not before `Wire.started_ns`, the moment before its first
  byte was written, and was gone by `Wire.sent_ns`, when its last byte had been.
- The answer starts with the first byte of the final one: an interim answer (1xx) in front of it,
  and HTTP/2's own frames, are not what was asked for.
- The deadline holds for every step but the resolver's, which has a time-out of its own.
"""

from __future__ import annotations

import re
import socket
import ssl
import time
from collections.abc import Iterable
from enum import StrEnum
from typing import Any

from pytest_release.sampling import Sample
from pytest_release.targets._httpx import httpcore
from pytest_release.targets.busy import Heartbeat

CLOCK = "read() return, CLOCK_MONOTONIC"
RESOLUTION_MS = 0.3  # error of a stamp at the 99th percentile, on a machine that is not busy


class Phase(StrEnum):
    """What a connection is doing; reads well behind "while"."""

    RESOLVING = "resolving the name"
    CONNECTING = "connecting"
    TLS = "negotiating TLS"
    SENDING = "sending the request"
    WAITING = "waiting for the answer's head"
    READING = "reading the answer's body"


class Wire:
    """The life of one connection, times in nanoseconds of CLOCK_MONOTONIC.

    Attributes:
        bytes_in: Bytes read, without those of TLS itself.

    Args:
        heartbeat: Beating while the connection is used.
        deadline_ns: After this every read and write times out.
    """

    def __init__(self, heartbeat: Heartbeat, deadline_ns: int) -> None:
        self.heartbeat = heartbeat
        self.deadline_ns = deadline_ns
        self.phase = Phase.RESOLVING
        self.dns_ms: float | None = None
        self.connect_ms: float | None = None
        self.tls_ms: float | None = None
        self.started_ns = 0
        self.sent_ns = 0
        self.first_read_ns = 0
        self.last_read_ns = 0
        self.bytes_in = 0
        self._interim = _Interim()

    @property
    def expired(self) -> bool:
        """The deadline has passed."""
        return time.monotonic_ns() >= self.deadline_ns

    def seconds_left(self, timeout: float | None) -> float:
        """How long the next operation may take, at least a millisecond."""
        left = (self.deadline_ns - time.monotonic_ns()) / 1e9
        return max(min(left, left if timeout is None else timeout), 0.001)

    def writing(self) -> None:
        """A write begins."""
        if self.first_read_ns == 0:
            self.started_ns = self.started_ns or time.monotonic_ns()
            self.phase = Phase.SENDING

    def wrote(self) -> None:
        """A write has returned."""
        if self.first_read_ns == 0:
            self.sent_ns = time.monotonic_ns()
            self.phase = Phase.WAITING

    def read(self, data: bytes, at_ns: int) -> None:
        """A read has returned these bytes, or none at the end of the stream."""
        self.last_read_ns = at_ns
        self.bytes_in += len(data)
        if self._interim.passed(data):
            self.first_read_ns = at_ns

    def answered(self, http_version: str) -> None:
        """The head of the final answer is complete."""
        self.phase = Phase.READING
        if http_version == "HTTP/2":  # what came first were the server's settings
            self.first_read_ns = self.last_read_ns

    def sample(self, at_ns: int) -> Sample:
        """Milliseconds from the request to a stamp, with what is known of the error.

        The value counts from before the request was written to after the bytes were seen: it is
        never too small, and `high` is the value itself. `low` counts from after the request was
        written and takes off how late a stamp can be: `RESOLUTION_MS`, and twice the heartbeat's
        lateness, since who waits for a socket may have to let the heartbeat go first. Of 3,720
        figures (one at a time, 16 at once, beside a thread that hogs the interpreter; against the
        server's kernel) 99.2 % lay between; 96.8 % where `low` took off the larger of the two.
        """
        busy = self.heartbeat.lateness_ms(at_ns, at_ns)
        value = (at_ns - self.started_ns) / 1e6
        low = (at_ns - self.sent_ns) / 1e6 - RESOLUTION_MS - 2 * busy
        return Sample(value, max(min(low, value), 0.0), value, CLOCK, busy)


class _Interim:
    """Tells interim answers (1xx) of HTTP/1.1 from the final one, in bytes as they arrive."""

    _HEAD = re.compile(rb"HTTP/1\.\d 1(?!01)\d\d")  # 101 is final: no answer follows it
    _END = re.compile(rb"\n\r?\n")
    _DECIDING = 12  # bytes that tell: "HTTP/1.1 103"

    def __init__(self) -> None:
        self._seen = bytearray()
        self._searched = 0
        self._over = False

    def passed(self, data: bytes) -> bool:
        """Whether an answer begins in these bytes: the final one, unless another is to come."""
        begins = not (self._over or self._seen)
        self._seen += b"" if self._over else data
        while len(self._seen) >= self._DECIDING:
            if not self._HEAD.match(self._seen):
                self._over = True
                self._seen.clear()
            elif end := self._END.search(self._seen, self._searched):
                del self._seen[: end.end()]
                self._searched = 0
                begins = True
            else:
                self._searched = len(self._seen) - 2
                break
        return begins


class TimedBackend(httpcore.NetworkBackend):
    """httpcore's blocking backend, every step stamped and held to the wire's deadline."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._inner = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Resolve the name, then connect to its addresses in turn, each timed by itself."""
        began = time.monotonic_ns()
        addresses = _resolve(host, port)
        connecting = time.monotonic_ns()
        self._wire.dns_ms = (connecting - began) / 1e6
        self._wire.phase = Phase.CONNECTING
        stream = self._connect(addresses, port, timeout, local_address, socket_options)
        self._wire.connect_ms = (time.monotonic_ns() - connecting) / 1e6
        return TimedStream(stream, self._wire)

    def _connect(
        self,
        addresses: list[str],
        port: int,
        timeout: float | None,
        local_address: str | None,
        options: Iterable[Any] | None,
    ) -> httpcore.NetworkStream:
        failure: Exception = httpcore.ConnectError("the name has no address")
        for address in addresses:
            try:
                return self._inner.connect_tcp(
                    address, port, self._wire.seconds_left(timeout), local_address, options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure


def _resolve(host: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "a part of it is empty or too long"
        raise httpcore.ConnectError(f"the name {host} was not resolved: {reason}") from None
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class TimedStream(httpcore.NetworkStream):
    """A connection whose reads and writes are stamped."""

    def __init__(self, inner: httpcore.NetworkStream, wire: Wire) -> None:
        self._inner = inner
        self._wire = wire

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read what is there; the stamp is taken when that returns."""
        data = self._inner.read(max_bytes, self._wire.seconds_left(timeout))
        self._wire.read(data, time.monotonic_ns())
        if self._wire.expired:
            raise httpcore.ReadTimeout("the deadline has passed")
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write, bracketed by stamps."""
        self._wire.writing()
        self._inner.write(buffer, self._wire.seconds_left(timeout))
        self._wire.wrote()

    def close(self) -> None:
        """Close the connection."""
        self._inner.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        """The TLS handshake, timed by itself."""
        self._wire.phase = Phase.TLS
        began = time.monotonic_ns()
        inner = self._inner.start_tls(
            ssl_context, server_hostname, self._wire.seconds_left(timeout)
        )
        self._wire.tls_ms = (time.monotonic_ns() - began) / 1e6
        return TimedStream(inner, self._wire)

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 - httpcore's interface
        """What the inner stream knows of itself."""
        return self._inner.get_extra_info(info)
