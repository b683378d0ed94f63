"""Which time stamps this process can have, and how far they can be off.

The kernel's, where it gives them; elsewhere the moment counts at which a read returns.
"""

from __future__ import annotations

import socket
import sys
import time
from dataclasses import dataclass

from pytest_release.targets import stamps

KERNEL = "kernel receive stamp"
READ = "read() return"
MERGED_MS = 0.3  # how late a waiting reader is woken, on a machine that is not busy: p99
PATIENCE_S = 1.0  # in which the kernel begins to stamp; a worker of its own switches that on
PAUSE_S = 0.0005

_kept: list[socket.socket] = []


@dataclass(frozen=True)
class Clock:
    """What stamps an exchange.

    Attributes:
        kernel: The kernel does.
        uncertainty_ms: How late a stamp that is not exact can be, on a machine that is not busy.
        why: Why it is not the kernel; empty when it is.
    """

    kernel: bool
    uncertainty_ms: float
    why: str = ""

    @property
    def name(self) -> str:
        """What a report calls it: one line, with the uncertainty and its reason."""
        if self.kernel:
            return KERNEL
        return f"{READ}, up to {self.uncertainty_ms:.2g} ms late: {self.why}"


def refusal() -> str | None:
    """Why the kernel gives no stamps, in a few words; None when it does.

    It begins to stamp some time after a first socket asked for it, so that socket is kept.
    """
    if sys.platform != "linux":
        return f"{sys.platform} has no SO_TIMESTAMPNS"
    try:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            reader = socket.create_connection(listener.getsockname(), 1)
            _kept.append(reader)
            writer, _ = listener.accept()
        with writer:
            if not _stamps_come(reader, writer):
                return "no stamp came although SO_TIMESTAMPNS was accepted"
    except OSError as error:
        return f"SO_TIMESTAMPNS was refused ({error.strerror})"
    return None


def _stamps_come(reader: socket.socket, writer: socket.socket) -> bool:
    stamps.ask_for_receive_stamps(reader)
    reader.settimeout(None)
    stamps.limit_waiting(reader, socket.SO_RCVTIMEO, 1)
    deadline = time.monotonic() + PATIENCE_S
    while True:
        writer.sendall(b"?")
        if stamps.receive(reader, 1)[1] is not None:
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(PAUSE_S)
