"""The bars: ratios to a named peer of the same run, and whether they are met."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.ttfb.figures import (
    Pair,
    errors,
    first_event_pairs,
    gap_errors,
    ttfb_pairs,
    verdicts,
)
from benchmarks.ttfb.run import Outcome, Row

P99_AT_MOST = {"alone": 0.6, "sixteen": 0.4, "busy": 0.1}  # times pycurl's
GAP_AT_MOST = 0.3  # times pycurl's
CPU_AT_MOST = 1.5  # times httpx iter_raw's

Outcomes = Mapping[str, Outcome]


@dataclass(frozen=True)
class Bar:
    """One figure of ours that must not exceed a multiple of a peer's."""

    what: str
    unit: str
    ours: float
    peer: str
    theirs: float
    most: float

    def __str__(self) -> str:
        ratio = self.ours / self.theirs
        return (
            f"{_met(ratio <= self.most)}{ratio:8.3f}x  <= {self.most:g}x  "
            f"{self.what}: {self.ours:.3f} {self.unit}, {self.peer} {self.theirs:.3f} {self.unit}"
        )


def bars(outcomes: Mapping[str, Outcomes]) -> Iterator[str]:
    """Lines, of the conditions that were run."""
    for name, of in outcomes.items():
        failed = len(of["ours"].errors)
        yield f"{_met(failed == 0)}{failed:8}   == 0      requests of ours failed, {name}"
        if not all(of[peer].rows for peer in ("ours", "pycurl", "httpx")):
            yield f"{_met(False)}{'':8}              nothing to compare, {name}"
        elif name in P99_AT_MOST:
            yield from map(str, _firsts(name, of))
        else:
            yield from map(str, _streams(of))
        if name == "busy":
            seen = verdicts(of["ours"].rows).values()
            wrong, count = sum(v.wrong for v in seen), sum(v.count for v in seen)
            met = _met(wrong == 0 < count)
            yield f"{met}{wrong:8}   == 0      wrong verdicts of {count}, {name}"


def _met(met: bool) -> str:
    return f"{'met' if met else 'NOT MET':8}"


def _firsts(name: str, outcomes: Outcomes) -> Iterator[Bar]:
    most = P99_AT_MOST[name]
    yield _p99(name, "ttfb", ttfb_pairs, outcomes, most)
    yield _p99(name, "first event", first_event_pairs, outcomes, most)


def _p99(
    condition: str,
    figure: str,
    pairs_of: Callable[[Sequence[Row]], list[Pair]],
    outcomes: Outcomes,
    most: float,
) -> Bar:
    ours, theirs = (errors(pairs_of(outcomes[name].rows)).p99 for name in ("ours", "pycurl"))
    return Bar(f"p99 |error| of {figure}, {condition}", "ms", ours, "pycurl", theirs, most)


def _streams(outcomes: Outcomes) -> Iterator[Bar]:
    ours, theirs = (gap_errors(outcomes[name].rows).p99 for name in ("ours", "pycurl"))
    yield Bar("p99 |error| of gaps, streams", "ms", ours, "pycurl", theirs, GAP_AT_MOST)
    ours, theirs = (median(outcomes[name].cpu_us) for name in ("ours", "httpx"))
    yield Bar("CPU per event, streams", "us", ours, "httpx", theirs, CPU_AT_MOST)
