"""The ground-truth server: compiled from ``server.c``, run as a process of its own."""

from __future__ import annotations

import http.client
import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Self

SOURCE = Path(__file__).with_name("server.c")
THREADS = 64  # four times as many as there are requests at once: none waits for a thread
COMPILE = ("cc", "-O2", "-pthread", "-Wall", "-Wextra")


@dataclass(frozen=True)
class Moment:
    """When bytes left the server, in ms since the request reached its machine's kernel.

    The truth lies between: the client's kernel has the bytes before ``send()`` returns.
    """

    before: float
    after: float


@dataclass(frozen=True)
class Truth:
    """One answer as the server gave it: its head and each of its events."""

    head: Moment
    events: tuple[Moment, ...]


class Server:
    """Runs while the ``with`` block does.

    Attributes:
        base_url: ``http://127.0.0.1:<port>``.
    """

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="ttfb-")
        self._process: subprocess.Popen[str] | None = None
        self._port = 0
        self.base_url = ""

    def __enter__(self) -> Self:
        program = Path(self._folder.name) / "server"
        subprocess.run([*COMPILE, "-o", str(program), str(SOURCE)], check=True)
        self._process = subprocess.Popen(
            [program, str(THREADS)],
            stdin=subprocess.PIPE,  # never written to: the server ends when it closes
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is for us alone: we end it
        )
        assert self._process.stdout is not None
        self._port = int(self._process.stdout.readline())
        self.base_url = f"http://127.0.0.1:{self._port}"
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
        self._folder.cleanup()

    def truths(self) -> dict[int, Truth]:
        """What was answered since the last call, by request id."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        connection.request("GET", "/truth")
        lines = connection.getresponse().read().splitlines()
        connection.close()
        records = (json.loads(line) for line in lines)
        return {
            record["id"]: Truth(
                head=_moment(record["head"]),
                events=tuple(_moment(pair) for pair in record["events"]),
            )
            for record in records
        }


def _moment(pair: list[int]) -> Moment:
    before, after = pair
    return Moment(before / 1e6, after / 1e6)
