"""Ways in which the demo's football falls short of its service levels, and does so under load.

What it answers is in `endpoints`; its resources are in the exporter that the sandbox's Prometheus
scrapes, see `monitoring`.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from pytest_release.sandbox.answers import Answer
from pytest_release.sandbox.changes import body, late, raw, status
from pytest_release.sandbox.fault import Fault, always
from pytest_release.sandbox.room import Room

PREDICTIONS = "/predictions/1"
CUT = b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 400\r\n\r\n{"match_id"'
SORRY = b'{"error": "the model is not loaded"}'


def _every(count: int) -> Callable[[int], bool]:
    return lambda number: number % count == 0


def _outage(number: int) -> bool:
    return 20 <= number < 60


class _Frozen:
    """Whether a worker is frozen: once, `begin` s after its first request, for `length` s."""

    def __init__(self, begin: float, length: float) -> None:
        self._begin, self._length = begin, length
        self._first: float | None = None

    def __call__(self, _number: int) -> bool:
        now = time.monotonic()
        self._first = now if self._first is None else self._first
        return 0 <= now - self._first - self._begin < self._length


def _later(number: int) -> bool:
    return number >= 20


def _fault(
    name: str,
    finding: str,
    description: str,
    change: Callable[[Answer], Answer],
    when: Callable[[int], bool] = always,
    path: str = PREDICTIONS,
) -> Fault:
    """One of football's endpoints, spoilt."""
    return Fault(
        f"slo.{name}",
        f"slo.{finding}",
        description,
        change,
        when,
        group="football",
        path=path,
    )


ROOM = Room(
    faults=(
        _fault("slow-tail", "p95", "Every third prediction takes 0.7 s", late(0.7), _every(3)),
        _fault("stall", "p95", "What comes in 0.8 s of a freeze waits for 0.8 s", late(0.8),
               _Frozen(0.3, 0.8), path=""),
        _fault("slow-health", "p95", "Health takes 0.35 s, above its own limit", late(0.35),
               path="/health/"),
        _fault("regression", "regression", "Answers take 0.2 s: within the limit, but not what "
               "they used to", late(0.2), path=""),
        _fault("slow-ramp", "degrades", "Answers take 0.4 s from the twentieth on", late(0.4),
               _later, path=""),
        _fault("errors", "error-rate", "One prediction in twenty is a 500", status(500),
               _every(20)),
        _fault("outage", "min-availability", "Predictions are 503 for a while", status(503),
               _outage),
        _fault("hang-up", "error-rate", "One prediction in ten is a hang-up", raw(),
               _every(10)),
        _fault("cut-off", "error-rate", "One prediction in ten ends in the middle", raw(CUT),
               _every(10)),
        _fault("wrong-answer", "error-rate", "One prediction in ten is an excuse, with 200",
               body(SORRY), _every(10)),
        _fault("throttled", "min-rps", "Of ten predictions nine are 429", status(429),
               lambda number: number % 10 > 0),
        _fault("no-answer", "stopped", "No prediction is ever answered", late(60.0)),
        Fault("slo.cpu", "slo.cpu", "The machine's processors do more kernel work than they can"),
        Fault("slo.memory", "slo.memory", "The machine has hardly any memory left"),
        Fault("slo.disk", "slo.disk", "The machine's disk is nearly full"),
    ),
)  # fmt: skip
