"""A server that plays a script: what it sends arrives read by read, without any sleeping."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack

PATIENCE = 5.0  # seconds for what must happen
HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


class Flow:
    """Counts what has been sent to the client of a test, and what it has read."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._ahead = 0
        self._hung_up = False

    def connected(self) -> None:
        """A connection begins; there is one at a time."""
        with self._changed:
            self._ahead, self._hung_up = 0, False

    def sent(self, size: int) -> None:
        """Bytes are on their way."""
        with self._changed:
            self._ahead += size

    def read(self, size: int) -> None:
        """Bytes have arrived."""
        with self._changed:
            self._ahead -= size
            self._changed.notify_all()

    def closed(self) -> None:
        """The client has hung up: what is on its way is not going to be read."""
        with self._changed:
            self._hung_up = True
            self._changed.notify_all()

    def settle(self) -> None:
        """Wait until everything sent was read: what is sent next is a read of its own."""
        with self._changed:
            self._changed.wait_for(lambda: self._ahead <= 0 or self._hung_up, PATIENCE)

    def end(self) -> None:
        """Wait until the client hangs up."""
        with self._changed:
            self._changed.wait_for(lambda: self._hung_up, PATIENCE)


class Connection:
    """The server's side of one connection.

    Attributes:
        request: What the client has sent.
    """

    def __init__(self, connected: socket.socket, flow: Flow) -> None:
        self.socket = connected
        self.request = b""
        self._flow = flow
        flow.connected()

    def receive(self) -> bytes:
        """The whole request, head and body."""
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._some()
        head, _, body = data.partition(b"\r\n\r\n")
        length = LENGTH.search(head)
        while length and len(body) < int(length[1]):
            body += self._some()
        self.request = head + b"\r\n\r\n" + body
        return self.request

    def _some(self) -> bytes:
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionResetError("the client left before its request was complete")
        return data

    def send(self, *parts: bytes) -> None:
        """Send each part when the one before it has been read."""
        for part in parts:
            self._flow.settle()
            self._flow.sent(len(part))
            self.socket.sendall(part)
        self._flow.settle()

    def flood(self, data: bytes) -> None:
        """Send it over and over until the client hangs up."""
        while True:
            self.socket.sendall(data)

    def drip(self, data: bytes, pause_s: float) -> None:
        """Send it byte by byte, slowly."""
        for byte in data:
            time.sleep(pause_s)
            self.socket.sendall(bytes((byte,)))

    def hang(self) -> None:
        """Keep the connection open until the client closes it."""
        while self.socket.recv(65536):
            pass

    def ignore(self) -> None:
        """Read nothing until the client closes the connection."""
        self._flow.end()

    def reset(self) -> None:
        """Close with RST instead of FIN."""
        linger = b"\1\0\0\0\0\0\0\0"
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


Talk = Callable[[Connection], None]


def at_once(data: bytes) -> Talk:
    """A step that sends for a client whose reads are not counted."""
    return lambda connection: connection.socket.sendall(data)


class Server:
    """Answers every connection by the same talk, each in a thread of its own.

    Attributes:
        requests: Every request received, in order.
    """

    def __init__(self, talk: Talk, flow: Flow, tls: ssl.SSLContext | None) -> None:
        self.requests: list[bytes] = []
        self._talk = talk
        self._flow = flow
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads = ExitStack()
        scheme = "https" if tls else "http"
        self.url = f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}"
        self._start(self._accept)

    def _start(self, run: Callable[[], None]) -> None:
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        self._threads.callback(thread.join, PATIENCE)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connected, _ = self._listener.accept()
                self._start(lambda connected=connected: self._serve(connected))  # type: ignore[misc]

    def _serve(self, connected: socket.socket) -> None:
        connected.settimeout(PATIENCE)
        with connected, contextlib.suppress(OSError), ExitStack() as wrapped:
            if self._tls is not None:
                connected = wrapped.enter_context(
                    self._tls.wrap_socket(connected, server_side=True)
                )
            self._talk(Connection(connected, self._flow))

    def close(self) -> None:
        """Accept nothing more, and wait for the talks under way."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads.close()


def chunk(part: bytes) -> bytes:
    """A part of a body in HTTP/1.1's framing; an empty one ends the body."""
    return b"%x\r\n%s\r\n" % (len(part), part)


def chunks(*parts: bytes) -> tuple[bytes, ...]:
    """The parts of a whole body in chunks, the last one and the end together."""
    *framed, last = map(chunk, parts)
    return (*framed, last + chunk(b""))


def plain(body: bytes = b"", *headers: str, status: int = 200) -> bytes:
    """A whole answer with its length."""
    lines = "".join(f"{header}\r\n" for header in headers).encode()
    head = b"HTTP/1.1 %d Said\r\n%sContent-Length: %d\r\n\r\n"
    return head % (status, lines, len(body)) + body
