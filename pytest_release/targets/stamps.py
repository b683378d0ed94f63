"""The kernel's time stamps of a TCP socket, and what they are worth. Linux only.

- Each segment is stamped when it enters the kernel (SO_TIMESTAMPNS), each write when its last byte
  leaves it (SO_TIMESTAMPING); see Documentation/networking/timestamping.rst of Linux.
- A read that takes several segments has the stamp of the last one. TCP_INFO counts segments and
  bytes, so that such a read is known for what it is.
- The stamps are of CLOCK_REALTIME; they are brought to CLOCK_MONOTONIC at once, before anybody can
  set the clock.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Sequence
from typing import NamedTuple

# Constants of include/uapi/asm-generic/socket.h and linux/net_tstamp.h that Python does not name.
SO_TIMESTAMPNS = 35
SO_TIMESTAMPING = 37
_TX_SOFTWARE, _SOFTWARE, _OPT_ID, _OPT_TSONLY = 1 << 1, 1 << 4, 1 << 7, 1 << 11

SANDWICH_NS = 20_000  # a conversion between the clocks that took longer is done again
_ATTEMPTS = 5
_TIMESPEC = struct.Struct("@ll")
_TIMEVAL = struct.Struct("@ll")
_TCP_INFO = struct.Struct("@128xQ16xI")  # bytes_received, data_segs_in of struct tcp_info
_ROOM = 256  # bytes: three control messages, of 48, 16 and 44 and their heads

Ancillary = Sequence[tuple[int, int, bytes]]


class Stamp(NamedTuple):
    """When bytes arrived, in nanoseconds of CLOCK_MONOTONIC.

    Attributes:
        at_ns: The arrival, or as late as it can have been.
        floor_ns: It was not before this; equal to `at_ns` when that is exact.
        seen_ns: When this process had the bytes.
        waited: The reader was already waiting for them.
        segments: TCP segments that were read together; 0 when nobody counted.
        kernel: The kernel stamped the arrival; otherwise `at_ns` is `seen_ns`.
    """

    at_ns: int
    floor_ns: int
    seen_ns: int
    waited: bool = True
    segments: int = 0
    kernel: bool = False

    @property
    def exact(self) -> bool:
        """The stamp is the arrival of all these bytes."""
        return self.kernel and self.segments == 1


def ask_for_receive_stamps(connection: socket.socket) -> None:
    """Have segments stamped.

    Raises:
        OSError: The kernel, or a sandbox around this process, refuses.
    """
    connection.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)


def ask_for_send_stamps(connection: socket.socket) -> None:
    """Have writes stamped; bytes are counted from here.

    Raises:
        OSError: As above.
    """
    flags = _TX_SOFTWARE | _SOFTWARE | _OPT_ID | _OPT_TSONLY
    connection.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING, flags)


def receive(connection: socket.socket, most: int) -> tuple[bytes, int | None]:
    """One blocking read: the bytes, and their stamp (ns of CLOCK_MONOTONIC) where there is one."""
    data, ancillary, _, _ = connection.recvmsg(most, _ROOM)
    realtime = _stamp(ancillary, SO_TIMESTAMPNS)
    return data, None if realtime is None else to_monotonic(realtime)


def sent(connection: socket.socket, last_byte: int) -> int | None:
    """When a byte left, counted from 0; None when the kernel has not said so (yet).

    Returns:
        Nanoseconds of CLOCK_MONOTONIC.
    """
    found = None
    while True:
        try:
            _, ancillary, _, _ = connection.recvmsg(
                0, _ROOM, socket.MSG_ERRQUEUE | socket.MSG_DONTWAIT
            )
        except OSError:  # the queue is empty
            return found
        realtime = _stamp(ancillary, SO_TIMESTAMPING)
        if realtime is not None and _byte(ancillary) == last_byte:
            found = to_monotonic(realtime)


def _stamp(ancillary: Ancillary, kind: int) -> int | None:
    for level, name, data in ancillary:
        if level == socket.SOL_SOCKET and name == kind and len(data) >= _TIMESPEC.size:
            seconds, nanoseconds = _TIMESPEC.unpack_from(data)
            return int(seconds) * 1_000_000_000 + int(nanoseconds) or None
    return None


def _byte(ancillary: Ancillary) -> int | None:
    """ee_data of struct sock_extended_err: the number of the byte that was stamped."""
    for level, _, data in ancillary:
        if level in (socket.IPPROTO_IP, socket.IPPROTO_IPV6) and len(data) >= 16:
            return int(struct.unpack_from("@I", data, 12)[0])
    return None


def to_monotonic(realtime_ns: int) -> int:
    """A moment of CLOCK_REALTIME, not long ago, on CLOCK_MONOTONIC; off by `SANDWICH_NS` at most.

    Where the process is interrupted between the clocks time and again, the closest pair counts.
    """
    before = time.monotonic_ns()
    now = time.time_ns()
    width = time.monotonic_ns() - before
    for _ in range(_ATTEMPTS):
        if width <= SANDWICH_NS:
            break
        again = time.monotonic_ns()
        then = time.time_ns()
        took = time.monotonic_ns() - again
        if took < width:
            before, now, width = again, then, took
    return realtime_ns + before + width // 2 - now


def counters(connection: socket.socket) -> tuple[int, int]:
    """Bytes and data segments received so far, as TCP_INFO counts them (Linux 4.6).

    A FIN counts as one byte. (0, 0) where the kernel does not count.
    """
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
    if len(info) < _TCP_INFO.size:
        return 0, 0
    received, segments = _TCP_INFO.unpack(info)
    return received, segments


def limit_waiting(connection: socket.socket, option: int, seconds: float) -> None:
    """Set SO_RCVTIMEO or SO_SNDTIMEO; unlike Python's time-outs they need no poll() before a read.

    That matters: between poll() and read the interpreter may stop this thread, and what arrives
    meanwhile is merged into one read.
    """
    whole = int(seconds)
    micro = max(int((seconds - whole) * 1e6), 0 if whole else 1000)
    connection.setsockopt(socket.SOL_SOCKET, option, _TIMEVAL.pack(whole, micro))
