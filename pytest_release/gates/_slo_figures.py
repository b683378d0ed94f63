"""The figures of a load, each with its interval.

- ``p50_ms``, ``p95_ms``, ``p99_ms``: between order statistics, whatever the distribution.
- ``error_rate``: the share of requests that were not answered rightly, Wilson's interval.
- ``min_rps``: right answers a second, the mean over pieces of the time, Student's interval.
- ``min_availability``: the share of slots of time in which all was answered rightly, Wilson's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pytest_release.evidence import Measurement
from pytest_release.gates._slo_record import Record
from pytest_release.gates._slo_watch import SHARES
from pytest_release.sampling import (
    COUNTED,
    Estimate,
    Sample,
    at_least,
    decide,
    mean_estimate,
    percentile_interval,
    proportion_estimate,
)
from pytest_release.targets.load import Shot

PIECES = 8  # of the time, for the mean of answers a second
CLOCK = "open model"  # what latencies of a load were taken with


@dataclass(frozen=True)
class Figures:
    """Makes them of one record.

    Attributes:
        limits: By name, for those that have one.
        confidence: Of all intervals.
    """

    record: Record
    limits: Mapping[str, float]
    confidence: float

    def all(self) -> Iterator[Measurement]:
        """Every figure; none where nothing was measured."""
        shots = self.record.measured
        if not shots:
            return
        for name, share in SHARES.items():
            yield self.figure(name, self.percentile(shots, share), len(shots))
        wrong = sum(bool(shot.wrong) for shot in shots)
        yield self.figure("error_rate", self._share(wrong, len(shots)), len(shots))
        if (rate := self._rate()) is not None:
            yield self.figure("min_rps", rate, len(shots))
        good = [*self._slots(shots).values()]
        yield self.figure("min_availability", self._share(sum(good), len(good)), len(good))
        yield from self._asks(shots)

    def figure(self, name: str, estimate: Estimate, count: int) -> Measurement:
        """One, against its limit if it has one."""
        clock = CLOCK if name.endswith("_ms") else COUNTED
        sample = Sample(estimate.value, estimate.low, estimate.high, clock)
        limit = self.limits.get(name)
        decision = None if limit is None else decide(estimate, limit, least=at_least(name))
        return Measurement(name, (sample,), estimate, limit, decision, count)

    def percentile(self, shots: Sequence[Shot], share: float) -> Estimate:
        """Of the latencies of some requests, in ms."""
        values = [self.record.latency_ms(shot) for shot in shots]
        return percentile_interval(values, share, self.confidence, self.record.ceiling_ms)

    def _share(self, number: int, count: int) -> Estimate:
        return proportion_estimate(number, count, self.confidence)

    def _asks(self, shots: Sequence[Shot]) -> Iterator[Measurement]:
        """P95 of each request that has a limit of its own."""
        for number, limit in self.record.wish.limits.items():
            own = [shot for shot in shots if shot.ask == number]
            if own:
                estimate, name = self.percentile(own, 0.95), f"request{number + 1}.p95_ms"
                made = self.figure(name, estimate, len(own))
                decision = decide(estimate, limit)
                yield Measurement(name, made.samples, estimate, limit, decision, len(own))

    def _rate(self) -> Estimate | None:
        start, end = self.record.wish.warm_up_s, self.record.end_s
        length = (end - start) / PIECES
        if length <= 0:
            return None
        counts = [0] * PIECES
        for shot in self.record.shots:
            ended = shot.due + shot.took
            if not shot.wrong and start <= ended < end:
                counts[min(int((ended - start) / length), PIECES - 1)] += 1
        rates = [count / length for count in counts]
        return mean_estimate([Sample(rate, rate, rate, COUNTED) for rate in rates], self.confidence)

    def _slots(self, shots: Sequence[Shot]) -> dict[int, bool]:
        """Of each slot in which a request was due, whether all of them were answered rightly."""
        slots: dict[int, bool] = {}
        for shot in shots:
            slot = int((shot.due - self.record.wish.warm_up_s) / self.record.wish.slot_s)
            slots[slot] = slots.get(slot, True) and not shot.wrong
        return slots

    def outage(self) -> tuple[float, float] | None:
        """From when to when the longest row of slots was bad, in s; None when none was."""
        wish, slots = self.record.wish, self._slots(self.record.measured)
        longest: tuple[float, float] | None = None
        began: int | None = None
        for slot in sorted(slots):
            if slots[slot]:
                began = None
                continue
            began = slot if began is None else began
            row = (began * wish.slot_s + wish.warm_up_s, (slot + 1) * wish.slot_s + wish.warm_up_s)
            if longest is None or row[1] - row[0] > longest[1] - longest[0]:
                longest = row
        return longest
