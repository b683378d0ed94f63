"""Connections for httpcore whose bytes carry time stamps: plain, and TLS through memory BIOs.

What is written is held back until somebody reads, or until there is much of it: a request leaves
in one piece and so has one moment at which it left.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
import time
from collections.abc import Iterable
from typing import Any

from pytest_release.targets._httpx import httpcore
from pytest_release.targets.channel import Channel, KernelChannel, as_httpcore
from pytest_release.targets.stamps import Stamp
from pytest_release.targets.wire import Phase, Wire

HELD_BACK = 64 * 1024  # bytes
RECORDS = 64 * 1024  # bytes of TLS records that are read at once


class TimedBackend(httpcore.NetworkBackend):
    """Opens connections that tell their wire of everything that happens on them.

    A connection may serve several exchanges, one after the other; which one it serves is a matter
    of the thread: see `serve`.

    Args:
        kernel: Ask the kernel for stamps; without it the moment counts at which a read returns.
    """

    def __init__(self, *, kernel: bool) -> None:
        self._kernel = kernel
        self._thread = threading.local()

    def serve(self, wire: Wire) -> None:
        """Have this thread's connecting, reading and writing belong to a wire, from now on."""
        self._thread.wire = wire

    @property
    def wire(self) -> Wire:
        """The wire that this thread serves."""
        wire: Wire = self._thread.wire
        return wire

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Resolve the name, then connect to its addresses in turn, each timed by itself."""
        wire, began = self.wire, time.monotonic_ns()
        addresses = _resolve(host, port)
        connecting = time.monotonic_ns()
        wire.dns_ms = (connecting - began) / 1e6
        wire.phase = Phase.CONNECTING
        connected = _connect(addresses, port, wire, timeout, local_address)
        for option in socket_options or ():
            connected.setsockopt(*option)
        wire.connect_ms = (time.monotonic_ns() - connecting) / 1e6
        channel = KernelChannel(connected) if self._kernel else Channel(connected)
        return PlainStream(self, channel)


def _connect(
    addresses: list[str], port: int, wire: Wire, timeout: float | None, local: str | None
) -> socket.socket:
    failure: Exception = httpcore.ConnectError("the name has no address")
    source = None if local is None else (local, 0)
    for address in addresses:
        try:
            with as_httpcore(httpcore.ConnectTimeout, httpcore.ConnectError):
                connected = socket.create_connection(
                    (address, port), wire.seconds_left(timeout), source_address=source
                )
                connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return connected
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


class PlainStream(httpcore.NetworkStream):
    """A TCP connection for httpcore."""

    def __init__(self, backend: TimedBackend, channel: Channel) -> None:
        self._backend = backend
        self._channel = channel
        self._held = bytearray()
        self._write_timeout: float | None = None

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Send what was held back, then read."""
        wire = self._backend.wire
        if self._held:
            with contextlib.suppress(httpcore.WriteError):  # the answer may be there all the same
                self._flush()
        data, stamp = self._receive(max_bytes, wire.seconds_left(timeout))
        if wire.first_read is None:  # now, since before the read every call would have delayed it
            wire.left_ns = self._channel.left_ns()
        wire.read(data, stamp)
        if wire.expired:
            raise httpcore.ReadTimeout("the deadline has passed")
        return data

    def _receive(self, most: int, timeout: float) -> tuple[bytes, Stamp]:
        return self._channel.receive(most, timeout)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Hold it back until the next read, unless there is much."""
        self._held += buffer
        self._write_timeout = timeout
        if len(self._held) > HELD_BACK:
            self._flush()

    def _flush(self) -> None:
        wire, data = self._backend.wire, bytes(self._held)
        self._held.clear()
        outgoing = self._outgoing(data)
        timeout = wire.seconds_left(self._write_timeout)
        wire.writing()
        self._channel.send(outgoing, timeout)
        wire.wrote()

    def _outgoing(self, data: bytes) -> bytes:
        """The bytes as they go over the wire."""
        return data

    def close(self) -> None:
        """Close the connection."""
        self._channel.socket.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        """The TLS handshake, timed by itself."""
        wire = self._backend.wire
        wire.phase = Phase.TLS
        began = time.monotonic_ns()
        try:
            stream = TlsStream(self._backend, self._channel, ssl_context, server_hostname, timeout)
        except BaseException:
            self.close()
            raise
        wire.tls_ms = (time.monotonic_ns() - began) / 1e6
        return stream

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 - httpcore's interface
        """What httpcore asks of a stream."""
        connected = self._channel.socket
        match info:
            case "socket":
                return connected
            case "client_addr":
                return connected.getsockname()
            case "server_addr":
                return connected.getpeername()
            case "is_readable":
                return connected.fileno() < 0 or _is_readable(connected)
            case _:
                return None


def _is_readable(connected: socket.socket) -> bool:
    """Whether an idle connection has something to read: its end. A stamp of a write is no such."""
    poll = select.poll()
    poll.register(connected, select.POLLIN)
    return any(event & ~select.POLLERR for _, event in poll.poll(0))


class TlsStream(PlainStream):
    """TLS over such a connection; a plaintext has the stamp of the record that brought it.

    Raises:
        httpcore.ConnectError: The handshake failed.
        httpcore.ConnectTimeout: It did not end in time.
    """

    def __init__(
        self,
        backend: TimedBackend,
        channel: Channel,
        context: ssl.SSLContext,
        server_hostname: str | None,
        timeout: float | None,
    ) -> None:
        super().__init__(backend, channel)
        self._from_peer, self._to_peer = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._from_peer, self._to_peer, False, server_hostname)
        self._stamp = Stamp(0, 0, 0)
        try:
            while not self._shaken():
                self._take_records(backend.wire.seconds_left(timeout))
        except httpcore.TimeoutException as error:
            raise httpcore.ConnectTimeout(*error.args) from error
        except httpcore.NetworkError as error:
            raise httpcore.ConnectError(*error.args) from error
        except ssl.SSLError as error:
            raise httpcore.ConnectError(error) from error

    def _shaken(self) -> bool:
        """Take the handshake one step further; whether it is done."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        finally:  # an alert that says why, where it failed
            self._send_records()
        return True

    def _send_records(self) -> None:
        if records := self._to_peer.read():
            self._channel.send(records, self._backend.wire.seconds_left(self._write_timeout))

    def _take_records(self, timeout: float) -> None:
        records, self._stamp = self._channel.receive(RECORDS, timeout)
        if records:
            self._from_peer.write(records)
        else:
            self._from_peer.write_eof()

    def _receive(self, most: int, timeout: float) -> tuple[bytes, Stamp]:
        while True:
            try:
                return self._tls.read(most), self._stamp
            except ssl.SSLWantReadError:
                self._send_records()
                self._take_records(timeout)
            except ssl.SSLEOFError:  # without a farewell; HTTP's framing tells what is missing
                return b"", self._stamp
            except ssl.SSLError as error:
                raise httpcore.ReadError(error) from error

    def _outgoing(self, data: bytes) -> bytes:
        self._tls.write(data)
        return self._to_peer.read()

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 - httpcore's interface
        """Beside the connection's, the TLS object, which knows what ALPN chose."""
        return self._tls if info == "ssl_object" else super().get_extra_info(info)
