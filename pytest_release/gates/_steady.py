"""A steady stream of requests at a fixed rate, and what became of each.

- The model is open: a request is sent when it is due, however slow the answers before it are. What
  waits for its answer before it asks again sends least when most is wrong.
- A latency is that of the whole: resolving, connecting, TLS, and the answer to its end.
- How late a request was sent is this client's doing, and no part of the latency. It is told apart:
  a stream that was not steady has shown nothing for the time it missed.
- Bounded: so many requests under way at most; the next is recorded as failed, not queued.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pytest_release.config.cases import HttpCase
from pytest_release.config.environment import GatePolicy
from pytest_release.evidence import Evidence
from pytest_release.gates import basic
from pytest_release.gates._reload_api import Node
from pytest_release.sampling import Sample

MOST_UNDER_WAY = 256


@dataclass(frozen=True)
class Shot:
    """One request of the stream.

    Attributes:
        kind: Which request it was, and of which node.
        due_s: When it was to be sent, on the monotonic clock.
        late_s: How long after that it was sent.
        latency: In ms; None when there was no answer.
        took_s: Until it was answered or given up.
        wrong: What was wrong, in one sentence; empty when nothing was.
    """

    kind: str
    due_s: float
    late_s: float
    latency: Sample | None
    took_s: float
    wrong: str = ""

    @property
    def ms(self) -> float:
        """The latency in ms, or for how long the answer was waited for."""
        return self.took_s * 1000 if self.latency is None else self.latency.value


class Steady:
    """Sends the cases of `asks` to the nodes in turn, from `start` to `stop`.

    Args:
        nodes: Each with a target that nobody else uses.
        asks: Each is one request, and what is expected of its answer.
        rate_per_s: Requests a second, over all nodes.
    """

    def __init__(self, nodes: Sequence[Node], asks: Sequence[HttpCase], rate_per_s: float) -> None:
        self._turns = [(node, ask) for ask in asks for node in nodes]
        self._several = len(nodes) > 1
        self._period_s = 1 / rate_per_s
        self._ended = threading.Event()
        self._under_way: set[threading.Thread] = set()
        self._lock = threading.Lock()
        self._shots: list[Shot] = []
        self._thread = threading.Thread(target=self._send, name="release-steady", daemon=True)

    def start(self) -> None:
        """Send the first request, and go on."""
        self._thread.start()

    def stop(self) -> tuple[Shot, ...]:
        """Send no more; wait for the answers under way, each of which is bounded in time.

        Returns:
            What became of each request, in the order they were due.
        """
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join()
        with self._lock:
            waiting = list(self._under_way)
        for thread in waiting:
            thread.join()
        return tuple(sorted(self._shots, key=lambda shot: shot.due_s))

    def _send(self) -> None:
        began, number = time.monotonic(), 0
        while not self._ended.wait(max(began + number * self._period_s - time.monotonic(), 0.0)):
            node, ask = self._turns[number % len(self._turns)]
            due = began + number * self._period_s
            thread = threading.Thread(
                target=self._shoot, args=(node, ask, due), name="release-shot", daemon=True
            )
            with self._lock:
                room = len(self._under_way) < MOST_UNDER_WAY
                if room:
                    self._under_way.add(thread)
            if room:
                thread.start()
            else:
                self._refuse(node, ask, due)
            number += 1

    def _refuse(self, node: Node, ask: HttpCase, due: float) -> None:
        wrong = f"was not sent: {MOST_UNDER_WAY} requests before it had no answer yet"
        self._shots.append(Shot(self._kind(node, ask), due, 0.0, None, 0.0, wrong))

    def _shoot(self, node: Node, ask: HttpCase, due: float) -> None:
        started = time.monotonic()
        try:
            shot = self._shot(node, ask, due, started)
        except Exception as error:  # noqa: BLE001 - a request that is lost must not look like none
            took = time.monotonic() - started
            wrong = f"could not be made: {type(error).__name__}: {error}"
            shot = Shot(self._kind(node, ask), due, started - due, None, took, wrong)
        with self._lock:
            self._shots.append(shot)
            self._under_way.discard(threading.current_thread())

    def _shot(self, node: Node, ask: HttpCase, due: float, started: float) -> Shot:
        evidence, _ = basic.measure(ask, GatePolicy(), node.target, {})
        took = time.monotonic() - started
        wrong = evidence.failures[0].message if evidence.failures else ""
        return Shot(self._kind(node, ask), due, started - due, _latency(evidence), took, wrong)

    def _kind(self, node: Node, ask: HttpCase) -> str:
        return f"{ask.name} of {node.name}" if self._several else ask.name


def _latency(evidence: Evidence) -> Sample | None:
    """From resolving the name to the answer's end; None without an answer."""
    measured, exchange = evidence.measurement("latency_ms"), evidence.exchange
    if measured is None or exchange is None:
        return None
    before = sum(ms or 0.0 for ms in (exchange.dns_ms, exchange.connect_ms, exchange.tls_ms))
    sample = measured.samples[0]
    return replace(
        sample, value=sample.value + before, low=sample.low + before, high=sample.high + before
    )
