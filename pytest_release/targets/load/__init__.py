"""Load in an open model, by Locust in a process of its own: started, listened to, ended.

- The order goes in over a pipe: no secret is on a command line.
- Everything is bounded: the time of the whole, the length of a line, and what is kept of it.
- Nothing outlives the ``with`` block: the processes share a session of their own, which is killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Self

from pytest_release.config.cases import Request
from pytest_release.config.environment import Environment
from pytest_release.targets.outgoing import build

LOCUSTFILE = Path(__file__).with_name("locustfile.py")
EXTRA = "pip install 'pytest-release[load]'"
HOST = "127.0.0.1"
START_S = 30.0  # until the first process speaks
STOP_S = 2.0  # that it has to end by itself
LINE = 8 * 1024 * 1024  # characters of one line at most
LAST_WORDS = 300  # characters of its standard error that are quoted
NOT_SENT = frozenset({"host", "content-length"})  # headers that the sender makes


@dataclass(frozen=True)
class Ask:
    """One of the requests that the load is made of.

    Attributes:
        name: For people.
        weight: Its share of the load, over the sum of all weights.
        status: Those that are right.
        text: What the body must contain.
    """

    name: str
    request: Request
    weight: float = 1.0
    status: tuple[int, ...] = (200,)
    text: tuple[str, ...] = ()


@dataclass(frozen=True)
class Crew:
    """Who makes the load.

    Attributes:
        processes: Workers on this machine; with none, and none elsewhere, one process does all.
        remote: Workers on other machines, which are started there.
        address: Where the master listens for them; loopback unless they come from elsewhere.
        port: 0 for a free one.
        wait_s: How long is waited for all of them.
    """

    processes: int = 0
    remote: int = 0
    address: str = HOST
    port: int = 0
    wait_s: float = START_S


@dataclass(frozen=True)
class Plan:
    """What is to be sent, and when.

    Attributes:
        asks: At least one.
        rate_per_s: Requests a second, over all of `asks` and all workers.
        seconds: From the first to the last.
        arrivals: ``constant``, or ``poisson``: at random, so many a second on average.
        seed: The same one makes the same schedule.
        under_way: Requests that may wait for their answers at once, in each process; the next
            stands in line.
        crew: Who sends them.
    """

    asks: tuple[Ask, ...]
    rate_per_s: float
    seconds: float
    arrivals: str = "constant"
    seed: int = 0
    under_way: int = 500
    crew: Crew = field(default_factory=Crew)

    @property
    def longest_s(self) -> float:
        """After which the last answer was given up."""
        return self.seconds + max(ask.request.timeout_s for ask in self.asks)


@dataclass(frozen=True, slots=True)
class Shot:
    """What became of one request; all times in s.

    Attributes:
        due: When it should have been started, from the beginning of the load.
        late: How long after that its process came to look at it: the generator's own doing.
        took: From when it was due until its answer was whole, or it was given up.
        ask: Which of the plan's requests it was.
        wrong: What was wrong, in a few words; empty when nothing was.
    """

    due: float
    late: float
    took: float
    ask: int
    wrong: str = ""


@dataclass(frozen=True)
class Told:
    """One message of the load.

    Attributes:
        share: The worker that says it.
        shots: Ended since its last message.
        at_s: Its time since its beginning.
        cpu_s: That its process has used so far.
        planned: How many requests its share has, in its first message.
        done: It was its last message.
    """

    share: int
    shots: tuple[Shot, ...] = ()
    at_s: float = 0.0
    cpu_s: float = 0.0
    planned: int = 0
    done: bool = False


class LoadError(Exception):
    """The load could not be made, whatever the deployment does; the text says why."""


def missing() -> str:
    """Why there can be no load; empty when there can."""
    return "" if find_spec("locust") else f"load needs Locust, which is not installed: {EXTRA}"


class Load:
    """One load of one deployment.

    Args:
        plan: What is sent.
        environment: Its address, authorisation and TLS settings.

    Raises:
        TargetError: A request cannot be built.
    """

    def __init__(self, plan: Plan, environment: Environment) -> None:
        self._plan = plan
        self._order = _order(plan, environment)
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._ended = threading.Event()

    def __enter__(self) -> Self:
        """Start the process.

        Raises:
            LoadError: Locust is not installed.
        """
        if why := missing():
            raise LoadError(why)
        self._log = TemporaryFile()
        self._process = subprocess.Popen(  # noqa: S603 - this interpreter, our own script
            [sys.executable, "-P", str(LOCUSTFILE)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            encoding="utf-8",
            env={n: v for n, v in os.environ.items() if not n.startswith("LOCUST_")},
            cwd=LOCUSTFILE.parent,  # without a configuration of Locust
            start_new_session=True,
        )
        threading.Thread(target=self._listen, name="release-load", daemon=True).start()
        with contextlib.suppress(OSError):  # it has ended; `told` says how
            self._write(json.dumps(self._order) + "\n")
        return self

    def __exit__(self, *_: object) -> None:
        """End every process, the load's workers among them."""
        self.stop()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_S)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._ended.wait(STOP_S)
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._log.close()

    def stop(self) -> None:
        """Send no more."""
        with contextlib.suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()

    def told(self) -> Iterator[Told]:
        """Messages as they come, until every worker is done.

        Raises:
            LoadError: A worker is missing or was lost, the process ended, or it takes too long.
        """
        deadline = time.monotonic() + self._plan.crew.wait_s + START_S + self._plan.longest_s
        shares = max(self._plan.crew.processes + self._plan.crew.remote, 1)
        done: set[int] = set()
        while len(done) < shares:
            told = self._next(deadline)
            if told.done:
                done.add(told.share)
            yield told

    def _next(self, deadline: float) -> Told:
        try:
            text = self._lines.get(timeout=max(deadline - time.monotonic(), 0.001))
        except queue.Empty:
            raise LoadError("the load has not ended in time") from None
        if text is None:
            raise LoadError(f"the load's process ended: {self._last_words()}")
        try:
            return _told(json.loads(text), len(self._plan.asks))
        except (ValueError, TypeError, LookupError, AttributeError):
            raise LoadError("a worker of the load speaks another language") from None

    def _write(self, text: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(text)
        self._process.stdin.flush()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with contextlib.suppress(ValueError, OSError):  # closed while reading
            while text := self._process.stdout.readline(LINE):
                self._lines.put(text)
        self._lines.put(None)
        self._ended.set()

    def _last_words(self) -> str:
        self._process.wait()
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        return lines[-1][:LAST_WORDS] if lines else "without a word"


def _told(line: Mapping[str, Any], asks: int) -> Told:
    if "failed" in line:
        raise LoadError(str(line["failed"])[:LAST_WORDS])
    shots = tuple(
        Shot(float(due), float(late), float(took), range(asks)[ask], str(wrong)[:LAST_WORDS])
        for due, late, took, ask, wrong in line.get("shots", ())
    )
    return Told(
        int(line["share"]),
        shots,
        float(line.get("at_s", 0.0)),
        float(line.get("cpu_s", 0.0)),
        int(line.get("planned", 0)),
        line.get("done") is True,
    )


def _order(plan: Plan, environment: Environment) -> dict[str, Any]:
    requests = [_request(ask, environment) for ask in plan.asks]
    crew = plan.crew
    return {
        "host": requests[0].pop("host"),
        "requests": requests,
        "rate_per_s": plan.rate_per_s,
        "seconds": plan.seconds,
        "arrivals": plan.arrivals,
        "seed": plan.seed,
        "under_way": plan.under_way,
        "verify": environment.verify_tls,
        "processes": crew.processes,
        "remote": crew.remote,
        "bind": crew.address,
        "port": crew.port or _free_port(crew.address),
        "wait_s": crew.wait_s,
    }


def _request(ask: Ask, environment: Environment) -> dict[str, Any]:
    built = build(ask.request, environment, {})
    url = built.url
    headers = {
        name.decode("latin-1"): value.decode("latin-1")
        for name, value in built.headers.raw
        if name.lower().decode("latin-1") not in NOT_SENT
    }
    return {
        "host": f"{url.scheme}://{url.netloc.decode('ascii')}",
        "name": ask.name,
        "method": ask.request.method,
        "target": url.raw_path.decode("ascii"),
        "headers": headers,
        "body": b64encode(built.read()).decode(),
        "weight": ask.weight,
        "timeout_s": ask.request.timeout_s,
        "max_bytes": ask.request.max_bytes,
        "status": list(ask.status),
        "text": list(ask.text),
    }


def _free_port(address: str) -> int:
    with socket.socket() as listener:
        listener.bind((address, 0))
        port: int = listener.getsockname()[1]
        return port
