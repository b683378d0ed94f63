"""Server-sent events: first byte in time, every event in order, the terminal event, then the end.

A stream is read to its end, bounded in bytes, events, time and line length. Three figures are
never mixed up, each counted from the moment before the request is written:

- ``ttfb_ms``: the first byte of the answer, of whatever it is part;
- ``first_body_ms``: the first byte of the answer's body, a comment as well as data;
- ``first_event_ms``: the bytes that completed the first event.

Beside them ``gap_ms``, the longest pause between two events, and ``total_ms``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

from pytest_release.config.cases import HttpCase
from pytest_release.config.environment import GatePolicy
from pytest_release.errors import TargetError
from pytest_release.evidence import SHOWN_MARKS, Evidence, Mark
from pytest_release.gates._observation import SHOWN_BODY, Observation, measure_with, record
from pytest_release.gates._stream import Arrival, Contract, Stream, name_of
from pytest_release.sampling import Sample
from pytest_release.targets.events import EventParser
from pytest_release.targets.http import HttpTarget
from pytest_release.targets.stamps import Stamp

MOST_EVENTS = 10_000
LINGER_S = 2.0  # for closing the stream after its terminal event
SHOWN_TEXT = 120  # characters of an event that the timeline shows


def measure(
    case: HttpCase, policy: GatePolicy, target: HttpTarget, values: Mapping[str, Any]
) -> tuple[Evidence, Mapping[str, Any]]:
    """Open the case's stream, read it to its end, and time it.

    Args:
        case: Of this gate.
        policy: Samples and thresholds.
        target: Where to send it.
        values: Captured by earlier cases.

    Returns:
        The evidence; a stream captures nothing.
    """
    return measure_with(_observe, case, policy, target, values)


def _observe(case: HttpCase, target: HttpTarget, values: Mapping[str, Any]) -> Observation:
    contract = Contract(case)
    stream = _Reader(contract).read(target, values)
    return Observation(
        findings=tuple(contract.findings(stream)),
        samples=_figures(stream),
        exchange=record(stream.exchange),
        timeline=_timeline(stream),
    )


class _Reader:
    """Collects one stream's events until its end, or until a bound is reached."""

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self.parser = EventParser()
        self.excerpt = b""  # of the body; all of it where the answer is a refusal
        self.arrivals: list[Arrival] = []
        self.ended: Stamp | None = None
        self.given_up = ""
        self.linger_s = contract.case.expect.get("linger_s", LINGER_S)

    def read(self, target: HttpTarget, values: Mapping[str, Any]) -> Stream:
        exchange = target.send(self.contract.case.request, values, on_chunk=self._chunk)
        open_after = None
        if self.ended is not None and exchange.lingered:
            open_after = (exchange.total.value - exchange.sample(self.ended).value) / 1000
        return Stream(
            exchange=replace(exchange, body=self.excerpt),
            arrivals=tuple(self.arrivals),
            unfinished=self.parser.unfinished and not self.given_up,
            invalid_utf8=self.parser.invalid_utf8,
            open_after=open_after,
            given_up=self.given_up,
        )

    def _chunk(self, data: bytes, at: Stamp) -> float | None:
        """Take a chunk; returns the seconds that the stream has left, None for its own bound."""
        self.excerpt += data[: SHOWN_BODY - len(self.excerpt)]
        try:
            events = self.parser.feed(data, at)
        except TargetError as error:
            self.given_up = str(error)
            return 0.0
        for event in events:
            arrival = Arrival(event, name_of(event))
            self.arrivals.append(arrival)
            if self.ended is None and self.contract.ends(arrival):
                self.ended = event.at
        if len(self.arrivals) >= MOST_EVENTS:
            self.given_up = f"the stream did not end within {MOST_EVENTS} events"
            return 0.0
        return None if self.ended is None else self.linger_s


def _figures(stream: Stream) -> dict[str, tuple[Sample, ...]]:
    exchange, arrivals = stream.exchange, stream.arrivals
    figures: dict[str, tuple[Sample, ...]] = {
        "ttfb_ms": (exchange.ttfb,),
        "total_ms": (exchange.total,),
    }
    if exchange.first_body is not None:
        figures["first_body_ms"] = (exchange.first_body,)
    if arrivals:
        figures["first_event_ms"] = (stream.at(arrivals[0]),)
    gaps = [_between(earlier, later) for earlier, later in pairwise(map(stream.at, arrivals))]
    if gaps:
        figures["gap_ms"] = (max(gaps, key=lambda gap: gap.value),)
    return figures


def _between(earlier: Sample, later: Sample) -> Sample:
    low, high = max(later.low - earlier.high, 0.0), later.high - earlier.low
    return Sample(
        later.value - earlier.value,
        low,
        high,
        later.clock,
        max(earlier.busy_ms, later.busy_ms),
        earlier.exact and later.exact,
        tuple(dict.fromkeys(earlier.flags + later.flags)),
    )


def _timeline(stream: Stream) -> tuple[Mark, ...]:
    return tuple(
        Mark(
            at_ms=stream.at(arrival).value,
            kind=arrival.kind,
            text=arrival.event.data[:SHOWN_TEXT],
            size=len(arrival.event.data),
        )
        for arrival in stream.arrivals[:SHOWN_MARKS]
    )
