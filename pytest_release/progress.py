"""What a case that takes long is waiting for, on the terminal while it waits.

- A line is written whole and by itself, in one piece: a log of CI can be read, and what other
  lines are being written is not torn.
- It goes to the terminal itself, past pytest's capturing, whatever thread it comes from.
- xdist's workers have no terminal: they send their lines to the controller, one datagram each. A
  line that finds no room is dropped; it is no evidence.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from pytest_release.hostile import one_line

LONGEST = 400  # characters of a line
PACKET = 4096  # bytes of a datagram


class Board:
    """The terminal of the process that has one.

    Made while pytest does not capture, at the start of the session.

    Args:
        config: pytest's.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._reporter = config.pluginmanager.get_plugin("terminalreporter")
        self._writer = config.get_terminal_writer()
        try:
            self._descriptor: int | None = os.dup(sys.stdout.fileno())
        except (OSError, ValueError):  # a standard output without a file, as in an embedded run
            self._descriptor = None
        self._width = 0  # of the reporter's own line, when a line of ours was written last

    def say(self, case: str, line: str) -> None:
        """Write a line."""
        if self._reporter is None or self._descriptor is None:
            return
        width = self._writer.width_of_current_line
        torn, self._width = ("\n" if width not in (0, self._width) else ""), width
        text = self._writer.markup(f"{case}: {one_line(line)[:LONGEST]}", cyan=True)
        # So that the next result begins a line of its own, with its file's name where it had one.
        self._reporter.currentfspath = None
        with contextlib.suppress(OSError):  # the reader of a pipe has left
            os.write(self._descriptor, f"{torn}{text}\n".encode(errors="replace"))

    def close(self) -> None:
        """Write no more."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


class Receiver:
    """Writes what workers send, until it is closed.

    Args:
        board: Where to.

    Attributes:
        address: That a worker's `Sender` needs.
    """

    def __init__(self, board: Board) -> None:
        self._board = board
        self._folder = Path(tempfile.mkdtemp(prefix="release-"))  # nobody else's, by its mode
        self.address = str(self._folder / "progress")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.address)
        self._thread = threading.Thread(target=self._read, name="release-progress", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while packet := self._socket.recv(PACKET):
            case, _, line = packet.decode(errors="replace").partition("\0")
            self._board.say(one_line(case), line)

    def close(self) -> None:
        """Take no more, and leave nothing behind."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"", self.address)
        self._thread.join()
        self._socket.close()
        shutil.rmtree(self._folder, ignore_errors=True)


class Sender:
    """A worker's way to the terminal.

    Args:
        address: Of the controller's `Receiver`.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)

    def say(self, case: str, line: str) -> None:
        """Send a line, if there is room."""
        packet = f"{case}\0{line}".encode(errors="replace")[:PACKET]
        with contextlib.suppress(OSError):
            self._socket.sendto(packet, self._address)

    def close(self) -> None:
        """Send no more."""
        self._socket.close()
