"""An endpoint that says how long it took: ``python -m pytest_release.targets.null_endpoint COUNT``.

Prints its address, answers so many requests, a connection each, and ends.
"""

from __future__ import annotations

import socket
import sys
import time

DELAY_S = 0.04
PATIENCE_S = 5.0


def main() -> None:
    """Answer each request after `DELAY_S` with the milliseconds between its arrival and then."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE_S)
        print(f"http://127.0.0.1:{listener.getsockname()[1]}/", flush=True)
        for _ in range(int(sys.argv[1])):
            _answer(listener)


def _answer(listener: socket.socket) -> None:
    connected, _ = listener.accept()
    with connected:
        connected.settimeout(PATIENCE_S)
        connected.recv(65536)
        came = time.monotonic_ns()
        time.sleep(DELAY_S)
        head = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n"
        took = time.monotonic_ns() - came
        connected.sendall(head + b"%.6f" % (took / 1e6))


if __name__ == "__main__":
    main()
