"""Whether the deployment that is measured lives in this very process, as in a test with a thread.

Then client and server share one interpreter, and each is measured waiting for the other.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

LISTENING = "0A"  # TCP_LISTEN of include/net/tcp_states.h
PORTS = {"http": 80, "https": 443}


def served_by_this_process(url: str) -> bool:
    """Whether this process listens at an address; False where that cannot be told."""
    parts = urlsplit(url)
    port = parts.port or PORTS.get(parts.scheme)
    if port is None or not _is_loopback(parts.hostname or ""):
        return False
    return owns(port, LISTENING)


def owns(port: int, state: str) -> bool:
    """Whether a TCP socket of this process has a local port and a state (two hex digits)."""
    wanted = set(_inodes(port, state))
    return bool(wanted) and not wanted.isdisjoint(_own_inodes())


def _is_loopback(host: str) -> bool:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return False
    return any(ip_address(str(address[0]).partition("%")[0]).is_loopback for *_, address in found)


def _inodes(port: int, state: str) -> Iterator[str]:
    """Of /proc/net/tcp: the columns local_address, st and inode (proc_net_tcp.txt of Linux)."""
    for name in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in Path(f"/proc/self/net/{name}").read_text().splitlines()[1:]:
                columns = line.split()
                if columns[3] == state and int(columns[1].rpartition(":")[2], 16) == port:
                    yield columns[9]


def _own_inodes() -> Iterator[str]:
    with suppress(OSError):
        for link in Path("/proc/self/fd").iterdir():
            with suppress(OSError):  # closed meanwhile
                target = str(link.readlink())
                if target.startswith("socket:["):
                    yield target[8:-1]
