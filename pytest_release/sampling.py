"""Samples, percentiles, intervals, and the decision whether a limit is kept. Pure.

- A sample is one observation with what is known of its error: the true value lies in [low, high].
- A statistic of samples carries the samples' own error and, where a confidence is asked for, that
  of having drawn only so many.
- A limit is kept only when the whole interval lies at or below it, broken only when the whole
  interval lies above it; anything else is open.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import NormalDist, fmean, stdev

from pytest_release.errors import EvidenceError

COUNTED = "counted"  # the clock of figures that were not timed


@dataclass(frozen=True)
class Sample:
    """One observation.

    Attributes:
        value: What the clock said, in the measurement's unit.
        low: The true value is not below this.
        high: The true value is not above this.
        clock: Name of the clock that was read.
        busy_ms: For how long this client itself was not running when it should have been.
        exact: The clock's stamp is that of the event itself, and not merely not before it.
        flags: What is to be known of the stamp: ``merged``, ``late``.
    """

    value: float
    low: float
    high: float
    clock: str = ""
    busy_ms: float = 0.0
    exact: bool = False
    flags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.low <= self.value <= self.high or not math.isfinite(self.high - self.low):
            raise EvidenceError(
                f"a sample must satisfy low <= value <= high and be finite, "
                f"got {self.low} <= {self.value} <= {self.high}"
            )


@dataclass(frozen=True)
class Estimate:
    """A statistic of samples and the interval it lies in, in the samples' unit."""

    value: float
    low: float
    high: float


class Decision(StrEnum):
    """Where an estimate lies with respect to a limit."""

    KEPT = "kept"
    BROKEN = "broken"
    OPEN = "open"


def at_least(name: str) -> bool:
    """Whether the limit of that name is one that must be reached: ``min_rps``."""
    return name.startswith("min_")


def decide(estimate: Estimate, limit: float, *, least: bool = False) -> Decision:
    """Compare an estimate with a limit that must not be exceeded, or that must be reached."""
    if least:
        if estimate.low >= limit:
            return Decision.KEPT
        return Decision.BROKEN if estimate.high < limit else Decision.OPEN
    if estimate.high <= limit:
        return Decision.KEPT
    if estimate.low > limit:
        return Decision.BROKEN
    return Decision.OPEN


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of the values do not exceed (nearest rank).

    Args:
        values: At least one, in any order.
        share: Between 0 (exclusive) and 1: 0.95 for the 95th percentile.

    Raises:
        EvidenceError: There are no values, or `share` is out of range.
    """
    if not values:
        raise EvidenceError("a percentile of no values does not exist")
    if not 0 < share <= 1:
        raise EvidenceError(f"a percentile's share must be in (0, 1], got {share}")
    rank = math.ceil(round(share * len(values), 9))
    return sorted(values)[max(rank, 1) - 1]


def percentile_estimate(samples: Sequence[Sample], share: float) -> Estimate:
    """The percentile of exactly these samples; the interval is their clocks' error only."""
    return Estimate(
        percentile([s.value for s in samples], share),
        percentile([s.low for s in samples], share),
        percentile([s.high for s in samples], share),
    )


def percentile_interval(
    values: Sequence[float], share: float, confidence: float, ceiling: float
) -> Estimate:
    """The percentile of what the values were drawn from, between two of their order statistics.

    How many of n values lie at or below the percentile is binomial, whatever the distribution
    (Hahn & Meeker, Statistical Intervals, 5.2); ranks are taken that miss it with half of
    ``1 - confidence`` on either side, or less. Where there are too few values for an upper rank,
    the interval ends at the ceiling.

    Args:
        values: Independent draws; at least one.
        share: As of `percentile`.
        confidence: That the percentile lies in the interval.
        ceiling: What no value can exceed.
    """
    value = percentile(values, share)
    ordered, count = sorted(values), len(values)
    low, high = ranks(count, share, confidence)
    top = ordered[high - 1] if high <= count else max(ceiling, ordered[-1])
    return Estimate(value, ordered[low - 1] if low else min(0.0, ordered[0]), top)


def ranks(count: int, share: float, confidence: float) -> tuple[int, int]:
    """Ranks, from 1, between which the percentile lies: 0 and `count` + 1 where there is none."""
    miss = (1 - _probability(confidence)) / 2
    low = count - _rank(count, 1 - share, miss) + 1
    return max(low, 0), min(_rank(count, share, miss), count + 1)


def _rank(count: int, share: float, miss: float) -> int:
    """The smallest number that a binomial count reaches with a chance of `miss` at most."""
    spread = math.sqrt(count * share * (1 - share))
    number = min(count, math.ceil(count * share + 12 * spread + 12))
    tail = binomial_tail(count, number, share)
    while number >= 0 and tail <= miss:
        number -= 1
        tail += _chance(count, number, share) if number >= 0 else 1.0
    return number + 1


def binomial_tail(count: int, number: int, share: float) -> float:
    """The chance that `number` or more of `count` trials succeed, each with a chance of `share`."""
    if number <= 0:
        return 1.0
    total, rank = 0.0, number
    while rank <= count:
        chance = _chance(count, rank, share)
        total += chance
        if rank > count * share and chance < 1e-12 * total:
            break
        rank += 1
    return min(total, 1.0)


def _chance(count: int, number: int, share: float) -> float:
    if share in (0.0, 1.0):
        return float(number == count * share)
    ways = math.lgamma(count + 1) - math.lgamma(number + 1) - math.lgamma(count - number + 1)
    return math.exp(ways + number * math.log(share) + (count - number) * math.log1p(-share))


def proportion_estimate(number: int, count: int, confidence: float) -> Estimate:
    """The share `number` of `count` with Wilson's interval (1927).

    Raises:
        EvidenceError: `count` is not positive, or the confidence is not in (0, 1).
    """
    if not 0 <= number <= count or count < 1:
        raise EvidenceError(f"a share of {number} in {count} does not exist")
    z = NormalDist().inv_cdf((1 + _probability(confidence)) / 2)
    share, weight = number / count, z * z / count
    middle = (share + weight / 2) / (1 + weight)
    margin = z * math.sqrt(share * (1 - share) / count + weight / (4 * count)) / (1 + weight)
    low = 0.0 if number == 0 else max(middle - margin, 0.0)
    high = 1.0 if number == count else min(middle + margin, 1.0)
    return Estimate(share, min(low, share), max(high, share))


def _probability(confidence: float) -> float:
    if not 0 < confidence < 1:
        raise EvidenceError(f"a confidence must be in (0, 1), got {confidence}")
    return confidence


def mean_estimate(samples: Sequence[Sample], confidence: float) -> Estimate:
    """The mean with Student's interval, widened by the samples' own error.

    ``mean ± t · s / sqrt(n)`` with n - 1 degrees of freedom (NIST/SEMATECH e-Handbook, 1.3.5.2);
    the lower end is taken from the samples' low ends, the upper from their high ends. A single
    sample has no spread to be known: its interval is its clock's. What no sample can be, the mean
    is not said to be either: where none can be negative, the lower end is not.

    Raises:
        EvidenceError: There are no samples, or the confidence is not in (0, 1).
    """
    if not samples:
        raise EvidenceError("a mean of no samples does not exist")
    count = len(samples)
    spread = stdev(s.value for s in samples) if count > 1 else 0.0
    margin = student_t(confidence, max(count - 1, 1)) * spread / math.sqrt(count)
    low = fmean(s.low for s in samples) - margin
    if min(s.low for s in samples) >= 0:
        low = max(low, 0.0)
    high = fmean(s.high for s in samples) + margin
    return Estimate(fmean(s.value for s in samples), low, high)


def student_t(confidence: float, degrees: int) -> float:
    """Two-sided quantile of Student's t: P(abs(T) <= t) = confidence.

    For whole degrees of freedom the distribution has a closed form (Abramowitz & Stegun, 26.7.3
    and 26.7.4); it is inverted by bisection to twelve digits.

    Raises:
        EvidenceError: `confidence` is not in (0, 1) or `degrees` is below 1.
    """
    if not 0 < confidence < 1:
        raise EvidenceError(f"a confidence must be in (0, 1), got {confidence}")
    if degrees < 1:
        raise EvidenceError(f"Student's t needs at least 1 degree of freedom, got {degrees}")
    low, high = 0.0, 1.0
    while _student_within(high, degrees) < confidence:
        high *= 2
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        if _student_within(middle, degrees) < confidence:
            low = middle
        else:
            high = middle
    return high


def _student_within(t: float, degrees: int) -> float:
    """P(|T| <= t): A&S 26.7.3 for odd, 26.7.4 for even degrees of freedom."""
    theta = math.atan2(t, math.sqrt(degrees))
    cosine = math.cos(theta)
    odd = degrees % 2
    term = cosine if odd else 1.0
    total = 0.0 if degrees == 1 else term
    for k in range(2 + odd, degrees - 1, 2):
        term *= (k - 1) / k * cosine * cosine
        total += term
    if odd:
        return 2 / math.pi * (theta + math.sin(theta) * total)
    return math.sin(theta) * total
