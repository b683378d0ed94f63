"""One client in a process of its own: ``python -m benchmarks.ttfb.client NAME BASE_URL``.

Reads batches from standard input, one JSON line each: ``{"at_once": 16, "paths": {id: path}}``.
Sends a batch's requests, `at_once` at a time, and prints nothing until the last is answered. Then
one JSON line a request, ``{"id", "ttfb": [value, low, high, clock], "events": [[...], ...]}`` or
``{"id", "error"}``, and one for the batch: ``{"cpu_s"}``, CPU of this process and its children.
Ends with its input.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import sys
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

from benchmarks.ttfb.clients import CLIENTS, Client, Later


class _Worker:
    """Keeps its threads from batch to batch, and with them what a client keeps for each."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._threads: dict[int, Executor] = {}

    def run(self, batch: dict[str, Any]) -> None:
        """Send a batch, print what came of it."""
        at_once, paths = batch["at_once"], batch["paths"]
        if at_once > 1 and at_once not in self._threads:
            self._threads[at_once] = ThreadPoolExecutor(at_once)
        gc.collect()  # what this process made of earlier batches must not interrupt this one
        before = _cpu_s()
        if at_once == 1:
            replies = [self._fetch(path) for path in paths.values()]
        else:
            replies = list(self._threads[at_once].map(self._fetch, paths.values()))
        cpu_s = _cpu_s() - before
        for key, reply in zip(paths, replies, strict=True):
            said = {"error": reply} if isinstance(reply, str) else asdict(reply())
            print(json.dumps({"id": int(key), **said}))
        print(json.dumps({"cpu_s": cpu_s}), flush=True)

    def _fetch(self, path: str) -> Later | str:
        """The answer-to-be, or what went wrong; no more, since the other threads measure."""
        try:
            return self._client.fetch(path)
        except Exception as error:  # noqa: BLE001 - whatever a client raises, its figure is missing
            return f"{type(error).__name__}: {error}"


def _cpu_s() -> float:
    used = [resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def main() -> None:
    """Serve batches until the input ends."""
    name, base_url = sys.argv[1:]
    worker = _Worker(CLIENTS[name](base_url))
    for line in sys.stdin:
        worker.run(json.loads(line))
    sys.stdout.flush()
    os._exit(0)  # without waiting for threads whose requests nobody wants any more


if __name__ == "__main__":
    main()
