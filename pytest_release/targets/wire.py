"""One connection and when things happened on it: the only place that takes time stamps.

A stamp is taken when ``read()`` returns, on CLOCK_MONOTONIC. One client at a time, its error was
measured as 0.3 ms at the 99th percentile; what a busy machine adds is known from the heartbeat.
The start is bracketed: the first byte left not before `Wire.started_ns` and not after
`Wire.sent_ns`.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterable
from typing import Any

from pytest_release.sampling import Sample
from pytest_release.targets._httpx import httpcore
from pytest_release.targets.busy import Heartbeat

CLOCK = "read() return, CLOCK_MONOTONIC"
RESOLUTION_MS = 0.3  # error of a stamp at the 99th percentile, on a machine that is not busy


class Wire:
    """The life of one connection, times in nanoseconds of CLOCK_MONOTONIC.

    Args:
        heartbeat: Beating while the connection is used.
        deadline_ns: After this every read and write times out.
    """

    def __init__(self, heartbeat: Heartbeat, deadline_ns: int) -> None:
        self.heartbeat = heartbeat
        self.deadline_ns = deadline_ns
        self.dns_ms: float | None = None
        self.connect_ms: float | None = None
        self.tls_ms: float | None = None
        self.started_ns = 0
        self.sent_ns = 0
        self.first_read_ns = 0
        self.last_read_ns = 0
        self.bytes_in = 0

    @property
    def expired(self) -> bool:
        """The deadline has passed."""
        return time.monotonic_ns() >= self.deadline_ns

    def seconds_left(self, timeout: float | None) -> float:
        """How long the next operation may take, at least a millisecond."""
        left = (self.deadline_ns - time.monotonic_ns()) / 1e9
        return max(min(left, left if timeout is None else timeout), 0.001)

    def wrote(self, before_ns: int) -> None:
        """A write went from `before_ns` to now."""
        if self.first_read_ns == 0:
            self.started_ns = self.started_ns or before_ns
            self.sent_ns = time.monotonic_ns()

    def read(self, size: int) -> None:
        """Bytes were read just now."""
        self.last_read_ns = time.monotonic_ns()
        self.bytes_in += size
        if self.first_read_ns == 0 and self.started_ns:
            self.first_read_ns = self.last_read_ns

    def sample(self, at_ns: int) -> Sample:
        """Milliseconds from the request to a stamp, with what is known of the error."""
        busy = self.heartbeat.lateness_ms(at_ns, at_ns)
        value = (at_ns - self.started_ns) / 1e6
        low = (at_ns - self.sent_ns) / 1e6 - max(RESOLUTION_MS, busy)
        return Sample(value, max(min(low, value), 0.0), value, CLOCK, busy)


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
        for number, address in enumerate(addresses, 1):
            try:
                return self._inner.connect_tcp(
                    address, port, self._wire.seconds_left(timeout), local_address, options
                )
            except httpcore.ConnectError:
                if number == len(addresses):
                    raise
        raise httpcore.ConnectError("the name has no address")


def _resolve(host: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise httpcore.ConnectError(f"the name {host} was not resolved: {error.strerror}") from None
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class TimedStream(httpcore.NetworkStream):
    """A connection whose reads and writes are stamped."""

    def __init__(self, inner: httpcore.NetworkStream, wire: Wire) -> None:
        self._inner = inner
        self._wire = wire

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read what is there; the stamp is taken when that returns."""
        data = self._inner.read(max_bytes, self._wire.seconds_left(timeout))
        self._wire.read(len(data))
        if self._wire.expired:
            raise httpcore.ReadTimeout("the deadline has passed")
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write, bracketed by stamps."""
        before = time.monotonic_ns()
        self._inner.write(buffer, self._wire.seconds_left(timeout))
        self._wire.wrote(before)

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
        began = time.monotonic_ns()
        inner = self._inner.start_tls(
            ssl_context, server_hostname, self._wire.seconds_left(timeout)
        )
        self._wire.tls_ms = (time.monotonic_ns() - began) / 1e6
        return TimedStream(inner, self._wire)

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 - httpcore's interface
        """What the inner stream knows of itself."""
        return self._inner.get_extra_info(info)
