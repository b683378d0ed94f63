"""The other end of `client`: starts a client's process and hands it batches."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from benchmarks.ttfb.clients import Answer, Figure

ROOT = Path(__file__).resolve().parents[2]
WARM_UP = {"at_once": 1, "paths": {-n: f"/s/{-n}/0/0/2/0" for n in (1, 2, 3)}}


@dataclass(frozen=True)
class Batch:
    """What a client made of a batch.

    Attributes:
        answers: By request id.
        errors: Of the requests that have no answer, by request id.
        cpu_s: CPU that the client's process used for it, all threads, seconds.
    """

    answers: dict[int, Answer]
    errors: dict[int, str]
    cpu_s: float


class Worker:
    """A client's process; it idles between batches."""

    def __init__(self, name: str, base_url: str) -> None:
        self.name = name
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.ttfb.client", name, base_url],
            cwd=ROOT,
            env={**os.environ, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is for us alone: we end it
        )

    def __enter__(self) -> Self:
        try:
            self._warm_up()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def _warm_up(self) -> None:
        """What happens once, such as imports, happens here; a broken client ends the run early."""
        errors = self._run(WARM_UP).errors
        if errors:
            raise RuntimeError(f"the client {self.name!r} cannot: {min(errors.values())}")

    def run(self, paths: Mapping[int, str], at_once: int) -> Batch:
        """Send requests.

        Args:
            paths: By request id.
            at_once: How many are under way at a time.
        """
        return self._run({"at_once": at_once, "paths": paths})

    def _run(self, batch: Mapping[str, Any]) -> Batch:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        print(json.dumps(batch), file=stdin, flush=True)
        answers: dict[int, Answer] = {}
        errors: dict[int, str] = {}
        while line := stdout.readline():
            reply = json.loads(line)
            if "cpu_s" in reply:
                return Batch(answers, errors, reply["cpu_s"])
            if "error" in reply:
                errors[reply["id"]] = reply["error"]
            else:
                answers[reply["id"]] = _answer(reply)
        raise RuntimeError(f"the client {self.name!r} died; what it said is above")


def _answer(reply: dict[str, Any]) -> Answer:
    events = reply["events"]
    return Answer(
        ttfb=Figure(*reply["ttfb"]),
        events=None if events is None else [Figure(*event) for event in events],
    )
