"""What a client's answers are worth, given the truth. All in ms, unless a name says otherwise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from benchmarks.ttfb.clients import Figure
from benchmarks.ttfb.conditions import LIMIT_MS
from benchmarks.ttfb.run import Row
from benchmarks.ttfb.server import Moment
from pytest_release.sampling import Decision, Estimate, decide, percentile

NEAR_LIMIT_MS = (95, 105)  # delays whose verdicts are counted

Pair = tuple[Figure, Moment]


@dataclass(frozen=True)
class Errors:
    """Sizes of errors; `bias` is the median of the errors with their sign."""

    count: int
    bias: float
    median: float
    p95: float
    p99: float
    max: float


@dataclass(frozen=True)
class Coverage:
    """How a client's intervals fare.

    Attributes:
        contains: Share of intervals that contain the clock before ``send()``.
        meets: Share that meet the truth's own interval, from before to after ``send()``.
        width: Median of high - low.
        width_p99: 99th percentile of the same.
        exact: Share of figures that are called exact.
        exact_p99: 99th percentile of the sizes of their errors; None without any.
        clocks: Share of figures by the name of their clock.
    """

    contains: float
    meets: float
    width: float
    width_p99: float
    exact: float
    exact_p99: float | None
    clocks: dict[str, float]


@dataclass(frozen=True)
class Verdicts:
    """Answers near the limit: how many, wrongly decided, not decided."""

    count: int
    wrong: int
    open: int


def ttfb_pairs(rows: Sequence[Row]) -> list[Pair]:
    """First bytes and their truths."""
    return [(row.answer.ttfb, row.truth.head) for row in rows]


def first_event_pairs(rows: Sequence[Row]) -> list[Pair]:
    """First events and their truths; none from a client without them."""
    return [(row.answer.events[0], row.truth.events[0]) for row in rows if row.answer.events]


def event_pairs(rows: Sequence[Row]) -> list[Pair]:
    """All events and their truths."""
    return [
        pair for row in rows for pair in zip(row.answer.events or (), row.truth.events, strict=True)
    ]


def errors(pairs: Sequence[Pair]) -> Errors:
    """Client's figure - (before ``send()`` - arrival of the request); at least one pair."""
    return summary([figure.value - moment.before for figure, moment in pairs])


def gap_errors(rows: Sequence[Row]) -> Errors:
    """Pause between two events of a stream as the client saw it - as the server made it."""
    return summary(
        [
            (later[0].value - earlier[0].value) - (later[1].before - earlier[1].before)
            for row in rows
            for earlier, later in pairwise(event_pairs([row]))
        ]
    )


def summary(signed: Sequence[float]) -> Errors:
    """Of at least one error, in ms."""
    sizes = [abs(error) for error in signed]
    return Errors(
        count=len(sizes),
        bias=median(signed),
        median=percentile(sizes, 0.5),
        p95=percentile(sizes, 0.95),
        p99=percentile(sizes, 0.99),
        max=max(sizes),
    )


def coverage(pairs: Sequence[Pair]) -> Coverage:
    """Of at least one pair."""
    count = len(pairs)
    widths = [figure.high - figure.low for figure, _ in pairs]
    clocks = Counter(figure.clock for figure, _ in pairs)
    exact = [pair for pair in pairs if pair[0].exact]
    return Coverage(
        contains=sum(f.low <= m.before <= f.high for f, m in pairs) / count,
        meets=sum(f.low <= m.after and m.before <= f.high for f, m in pairs) / count,
        width=percentile(widths, 0.5),
        width_p99=percentile(widths, 0.99),
        exact=len(exact) / count,
        exact_p99=errors(exact).p99 if exact else None,
        clocks={clock: times / count for clock, times in clocks.most_common()},
    )


def verdicts(rows: Sequence[Row]) -> dict[str, Verdicts]:
    """Verdicts on `LIMIT_MS`, by figure, where the delay was one of `NEAR_LIMIT_MS`.

    Judged by what the server did, not by what it was asked to do: a starved server is late itself.
    """
    late_heads = [row for row in rows if row.script.head_ms in NEAR_LIMIT_MS]
    late_events = [row for row in rows if row.script.first_ms in NEAR_LIMIT_MS]
    return {
        "ttfb": _verdicts(ttfb_pairs(late_heads)),
        "first_event": _verdicts(first_event_pairs(late_events)),
    }


def _verdicts(pairs: Sequence[Pair]) -> Verdicts:
    # Where the truth itself straddles the limit no verdict is wrong.
    clear = [(f, m) for f, m in pairs if not m.before <= LIMIT_MS < m.after]
    wrong = undecided = 0
    for figure, moment in clear:
        decision = decide(Estimate(figure.value, figure.low, figure.high), LIMIT_MS)
        undecided += decision is Decision.OPEN
        right = Decision.BROKEN if moment.before > LIMIT_MS else Decision.KEPT
        wrong += decision not in (right, Decision.OPEN)
    return Verdicts(len(clear), wrong, undecided)
