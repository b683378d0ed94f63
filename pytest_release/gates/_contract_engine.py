"""The process that makes examples from an OpenAPI document: see `_contract_worker`.

What it can cost is bounded: its memory by a limit of the system, its time by whoever waits, and it
is ended with the block in which it was started.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Self

WORKER = Path(__file__).with_name("_contract_worker.py")
EXTRA = "pip install 'pytest-release[contract]'"
MEMORY = 2 * 1024**3  # bytes the process may have
CACHE = "pytest-release/hypothesis"  # tables of characters that take a second to make
LAST_WORDS = 300  # characters of its standard error that are quoted

Line = Mapping[str, Any]


class EngineError(Exception):
    """The engine cannot go on; the text says why."""


class OutOfTimeError(EngineError):
    """There is no time left."""


@dataclass(frozen=True)
class Order:
    """What the engine is to do.

    Attributes:
        document: The OpenAPI document, its references all within it.
        prefix: Path under which its operations stand.
        operations: Those to make examples for: ``POST /orders``.
        seed: The same one makes the same examples.
        valid: Examples of each operation that the document allows.
        invalid: Examples of each operation that the document forbids.
        accepts_valid: Every valid example must be accepted.
        parameters: Values of parameters by their name, instead of made ones.
        seconds: That the examples of one operation may take.
        max_bytes: Longest body of an example; a longer one is not made.
        memory: Bytes of address space.
    """

    document: Mapping[str, Any] = field(repr=False)
    operations: tuple[str, ...]
    prefix: str = ""
    seed: int = 0
    valid: int = 5
    invalid: int = 5
    accepts_valid: bool = False
    parameters: Mapping[str, Any] = field(default_factory=dict, repr=False)
    seconds: int = 30
    max_bytes: int = 256 * 1024
    memory: int = MEMORY


def missing() -> str:
    """Why there is no engine; empty when there is one."""
    if find_spec("schemathesis") is not None:
        return ""
    return f"the contract gate needs schemathesis, which is not installed: {EXTRA}"


class Engine:
    """One process, for one document.

    Args:
        order: What it is to do.
        deadline: When to give up, on the clock of `time.monotonic`.
    """

    def __init__(self, order: Order, deadline: float) -> None:
        self._order = order
        self._deadline = deadline
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self.version = ""

    def __enter__(self) -> Self:
        self._log = TemporaryFile()
        self._process = subprocess.Popen(  # noqa: S603 - this interpreter, our own script
            [sys.executable, "-P", str(WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            encoding="utf-8",
            env={**os.environ, "HYPOTHESIS_STORAGE_DIRECTORY": str(_cache())},
            start_new_session=True,
        )
        threading.Thread(target=self._listen, name="release-engine", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """End the process, whatever it is doing."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()
        self._log.close()

    def examples(self) -> Iterator[Line]:
        """Examples and problems, as they are made.

        Raises:
            EngineError: The engine ended before it was done.
            OutOfTimeError: It takes too long.
        """
        self._say(vars(self._order))
        while not (line := self._next()).get("done"):
            if "engine" in line:
                self.version = str(line["engine"])
            else:
                yield line

    def judge(self, answer: Line) -> list[Line]:
        """What is wrong with the answer to an example; only when all examples are there.

        Raises:
            EngineError: The engine has ended.
            OutOfTimeError: It takes too long.
        """
        self._say(answer)
        found: list[Line] = self._next()["failures"]
        return found

    def _say(self, line: Line) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(line) + "\n")
            self._process.stdin.flush()
        except OSError:
            raise self._ended() from None

    def _next(self) -> Line:
        try:
            text = self._lines.get(timeout=max(self._deadline - time.monotonic(), 0.001))
        except queue.Empty:
            raise OutOfTimeError("the time is over") from None
        if text is None:
            raise self._ended()
        line: Line = json.loads(text)
        return line

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with contextlib.suppress(ValueError, OSError):  # closed while reading
            for text in self._process.stdout:
                self._lines.put(text)
        self._lines.put(None)

    def _ended(self) -> EngineError:
        status = self._process.wait()
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        last = lines[-1][:LAST_WORDS] if lines else "without a word"
        return EngineError(f"the engine ended with status {status}: {last}")


def _cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(home) / CACHE
