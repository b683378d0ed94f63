"""The clients that are compared: ours, and four ways in which such a figure is usually taken.

Each takes ``ttfb`` and, but for curl, every event, in ms. Connections are fresh, since the server
closes them; objects that cost time to make (CA bundle, SSL context) are made once and reused.
"""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import httpx

from pytest_release.config.cases import Request
from pytest_release.config.environment import Environment
from pytest_release.sampling import Sample
from pytest_release.targets.events import Event, EventParser
from pytest_release.targets.http import HttpTarget
from pytest_release.targets.stamps import Stamp

TIMEOUT_S = 10
END = b"\n\n"  # of an event, as our server writes them


class Figure(NamedTuple):
    """One figure in ms; who claims no interval says that the value is exact.

    `clock` and `exact` are our own samples': the clock's name, and whether its stamp is that of the
    arrival itself.
    """

    value: float
    low: float
    high: float
    clock: str = ""
    exact: bool = False


@dataclass(frozen=True)
class Answer:
    """One request's figures: ms from its start.

    Attributes:
        ttfb: To the first byte.
        events: To the end of each event; None from a client that has no such figure.
    """

    ttfb: Figure
    events: list[Figure] | None = None


# Makes an answer of what was noted: called when no thread measures any more.
Later = Callable[[], Answer]


class Client(Protocol):
    """Something that sends a request and times the answer; used by many threads at once."""

    def fetch(self, path: str) -> Later:
        """GET a path of the server, read the answer to its end."""


class Ours:
    """As the stream gate does it: `HttpTarget.send`, every chunk fed to an `EventParser`."""

    def __init__(self, base_url: str) -> None:
        self._target = HttpTarget(
            Environment(
                name="bench",
                role="development",
                system="none",
                base_url=base_url,
                source=Path("bench.yaml"),
                digest="",
                gates={},
            )
        )

    def fetch(self, path: str) -> Later:
        """Figures are the samples'; making those of stamps is part of the work, as in the gate."""
        parser, events = EventParser(), list[Event]()

        def take(chunk: bytes, at: Stamp) -> None:
            events.extend(parser.feed(chunk, at))

        exchange = self._target.send(Request("GET", path, timeout_s=TIMEOUT_S), on_chunk=take)
        samples = [exchange.sample(event.at) for event in events]
        return lambda: Answer(_sampled(exchange.ttfb), list(map(_sampled, samples)))


class Pycurl:
    """libcurl's own times; events by the clock in the write callback."""

    def __init__(self, base_url: str) -> None:
        self._curl = import_module("pycurl")
        self._base_url = base_url
        self._local = threading.local()

    def fetch(self, path: str) -> Later:
        """STARTTRANSFER - PRETRANSFER; events count from libcurl's PRETRANSFER as well."""
        handle, stamps = self._handle(), list[int]()

        def write(chunk: bytes) -> None:
            at = time.perf_counter_ns()
            stamps.extend([at] * chunk.count(END))

        handle.setopt(handle.URL, self._base_url + path)
        handle.setopt(handle.WRITEFUNCTION, write)
        began = time.perf_counter_ns()
        handle.perform()
        before = handle.getinfo(handle.PRETRANSFER_TIME) * 1e3
        first = handle.getinfo(handle.STARTTRANSFER_TIME) * 1e3
        return lambda: Answer(_exact(first - before), _since(began + before * 1e6, stamps))

    def _handle(self) -> Any:  # noqa: ANN401 - pycurl has no types
        if not hasattr(self._local, "handle"):
            self._local.handle = self._curl.Curl()
            self._local.handle.setopt(self._curl.NOSIGNAL, 1)
            self._local.handle.setopt(self._curl.TIMEOUT, TIMEOUT_S)
        return self._local.handle


class Curl:
    """``curl -w``, a process a request; it has no figure for an event."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url

    def fetch(self, path: str) -> Later:
        """time_starttransfer - time_pretransfer."""
        command = ["curl", "-q", "-s", "-N", "-m", str(TIMEOUT_S), "-o", "/dev/null"]
        times = "%{time_starttransfer} %{time_pretransfer}"
        done = subprocess.run(
            [*command, "-w", times, self._base_url + path],
            check=True,
            capture_output=True,
            text=True,
        )
        first, before = map(float, done.stdout.split())
        return lambda: Answer(_exact((first - before) * 1e3))


class Httpx:
    """What people write: one httpx.Client, the clock around ``stream()`` and ``iter_raw()``."""

    def __init__(self, base_url: str) -> None:
        self._client = httpx.Client(base_url=base_url, timeout=TIMEOUT_S)

    def fetch(self, path: str) -> Later:
        """Both from just before the call, connecting included, as the script would."""
        stamps: list[int] = []
        began = time.perf_counter_ns()
        with self._client.stream("GET", path) as answer:
            head = time.perf_counter_ns()
            for chunk in answer.iter_raw():
                at = time.perf_counter_ns()
                stamps.extend([at] * chunk.count(END))
        return lambda: Answer(_exact((head - began) / 1e6), _since(began, stamps))


class Requests:
    """What most people write: ``requests.get(stream=True)``, ``r.elapsed``, ``iter_lines()``."""

    def __init__(self, base_url: str) -> None:
        self._requests = import_module("requests")
        self._base_url = base_url

    def fetch(self, path: str) -> Later:
        """``elapsed`` is requests' own; lines count from just before the call."""
        stamps: list[int] = []
        began = time.perf_counter_ns()
        with self._requests.get(self._base_url + path, stream=True, timeout=TIMEOUT_S) as answer:
            elapsed = answer.elapsed.total_seconds() * 1e3
            stamps.extend(
                time.perf_counter_ns() for line in answer.iter_lines() if line.startswith(b"data:")
            )
        return lambda: Answer(_exact(elapsed), _since(began, stamps))


def _sampled(sample: Sample) -> Figure:
    return Figure(sample.value, sample.low, sample.high, sample.clock, sample.exact)


def _since(start_ns: float, stamps: list[int]) -> list[Figure]:
    return [_exact((at - start_ns) / 1e6) for at in stamps]


def _exact(value: float) -> Figure:
    return Figure(value, value, value)


CLIENTS: dict[str, Callable[[str], Client]] = {
    "ours": Ours,
    "pycurl": Pycurl,
    "curl -w": Curl,
    "httpx": Httpx,
    "requests": Requests,
}
