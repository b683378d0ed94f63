"""Ends a load as soon as a limit is surely broken.

Two ways to be sure, both of numbers of bad requests:

- So many are bad that no answer that is still to come could change the verdict. That is exact, for
  as many requests as are planned.
- So many are bad that a deployment at its limit would have as many with a chance of one in a
  thousand. That is looked at when there are 32, 64, 128 ... requests, and at the k-th look with
  1 / (k (k + 1)) of that chance, so that all looks together have no more.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import ceil

from pytest_release.gates._slo_record import Record
from pytest_release.sampling import binomial_tail, proportion_estimate, ranks
from pytest_release.targets.load import Shot

CHANCE = 0.001  # that a deployment at its limit is stopped by chance, over all looks
FIRST = 32  # requests before the first look
SHARES = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99}


@dataclass
class _Limit:
    """One limit as a number of bad requests.

    Attributes:
        share: Of requests that may be bad.
        most: As many as are planned may have no more bad ones than that.
    """

    name: str
    limit: float
    share: float
    most: int
    bad: int = 0


class Watch:
    """Looks at each request once.

    Args:
        record: Of the load.
        limits: Of its figures, by name; those that are not of single requests are left alone.
        confidence: Of the intervals that decide in the end.
    """

    def __init__(self, record: Record, limits: Mapping[str, float], confidence: float) -> None:
        self._record = record
        plan, warm_up = record.wish.plan, record.wish.warm_up_s
        planned = ceil((plan.seconds - warm_up) * plan.rate_per_s)
        if plan.arrivals != "constant":  # nobody knows how many come
            planned = sys.maxsize
        self._limits = [
            _Limit(name, limit, share, _most(name, limit, planned, confidence))
            for name, limit in limits.items()
            if (share := _share(name, limit)) is not None
        ]
        self._seen, self._next, self._look = 0, FIRST, 1

    def look(self, shots: Iterable[Shot]) -> str:
        """Why to stop now; empty to go on."""
        for shot in shots:
            if shot.due >= self._record.wish.warm_up_s:
                self._seen += 1
                for limit in self._limits:
                    limit.bad += self._is_bad(limit, shot)
                if reason := self._reason():
                    return reason
        return ""

    def _is_bad(self, limit: _Limit, shot: Shot) -> bool:
        if limit.name == "error_rate":
            return bool(shot.wrong)
        return self._record.latency_ms(shot) > limit.limit

    def _reason(self) -> str:
        chance = 0.0
        if self._seen >= self._next:
            chance = CHANCE / (self._look * (self._look + 1))
            self._next, self._look = self._next * 2, self._look + 1
        for limit in self._limits:
            what = f"{limit.name} <= {limit.limit:g} is surely broken: "
            bad = "failed" if limit.name == "error_rate" else f"took more than {limit.limit:g} ms"
            if limit.bad > limit.most:
                return f"{what}{limit.bad} {bad}, whatever comes now"
            if chance and binomial_tail(self._seen, limit.bad, limit.share) < chance:
                allowed = limit.share * self._seen
                return f"{what}{limit.bad} of {self._seen} {bad}, {allowed:.1f} would be allowed"
        return ""


def _share(name: str, limit: float) -> float | None:
    return limit if name == "error_rate" else 1 - SHARES[name] if name in SHARES else None


def _most(name: str, limit: float, planned: int, confidence: float) -> int:
    """Of bad requests among those planned, without the limit being broken for sure."""
    if planned == sys.maxsize:
        return planned
    if name in SHARES:
        return planned - ranks(planned, SHARES[name], confidence)[0]
    low, high = 0, planned
    while low < high:
        middle = (low + high + 1) // 2
        broken = proportion_estimate(middle, planned, confidence).low > limit
        low, high = (low, middle - 1) if broken else (middle, high)
    return low
