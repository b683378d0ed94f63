"""The outcomes as text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import median

from benchmarks.ttfb.conditions import Condition
from benchmarks.ttfb.figures import (
    Errors,
    Pair,
    coverage,
    errors,
    event_pairs,
    first_event_pairs,
    gap_errors,
    summary,
    ttfb_pairs,
    verdicts,
)
from benchmarks.ttfb.run import Outcome, Row

FIGURES: dict[str, Callable[[Sequence[Row]], list[Pair]]] = {
    "ttfb": ttfb_pairs,
    "first_event": first_event_pairs,
}
HEAD = f"{'|error|, ms':24}{'n':>6}{'median':>9}{'p95':>9}{'p99':>9}{'max':>9}{'bias':>9}"


def tables(condition: Condition, outcomes: Mapping[str, Outcome]) -> Iterator[str]:
    """Lines about a condition."""
    yield f"== {condition.title} ({condition.name})"
    kept = {name: outcome for name, outcome in outcomes.items() if outcome.rows}
    if condition.name == "streams":
        yield from _streams(kept)
    else:
        yield from _firsts(kept)
    yield from _intervals(condition, kept["ours"].rows if "ours" in kept else [])
    yield from _floor([row for outcome in kept.values() for row in outcome.rows])
    for name, outcome in outcomes.items():
        if outcome.errors:
            yield f"{name}: {len(outcome.errors)} requests failed, such as: {outcome.errors[0]}"
    yield ""


def _firsts(outcomes: Mapping[str, Outcome]) -> Iterator[str]:
    yield HEAD
    for figure, pairs_of in FIGURES.items():
        for name, outcome in outcomes.items():
            if pairs := pairs_of(outcome.rows):
                yield _line(f"{figure:12} {name}", errors(pairs))
    yield "verdicts on 100 ms, truth near 95 and 105: wrong / open / all"
    for name, outcome in outcomes.items():
        parts = [
            f"{figure} {v.wrong} / {v.open} / {v.count}"
            for figure, v in verdicts(outcome.rows).items()
            if v.count
        ]
        yield f"{'':13}{name:11}" + "    ".join(parts)


def _streams(outcomes: Mapping[str, Outcome]) -> Iterator[str]:
    yield HEAD
    for name, outcome in outcomes.items():
        yield _line(f"{'event lag':12} {name}", errors(event_pairs(outcome.rows)))
    for name, outcome in outcomes.items():
        yield _line(f"{'gap':12} {name}", gap_errors(outcome.rows))
    yield "CPU per event, us: median [min, max] of the rounds"
    for name, outcome in outcomes.items():
        rounds = outcome.cpu_us
        shown = f"{median(rounds):.0f} [{min(rounds):.0f}, {max(rounds):.0f}]"
        yield f"{'':13}{name:11}{shown}"


def _intervals(condition: Condition, rows: Sequence[Row]) -> Iterator[str]:
    if not rows:
        return
    yield "our intervals: share with the truth inside, that meet [before, after] of send(); width"
    figures = {"event": event_pairs} if condition.name == "streams" else FIGURES
    for figure, pairs_of in figures.items():
        of = coverage(pairs_of(rows))
        p99 = "" if of.exact_p99 is None else f" (|error| p99 {of.exact_p99:.3f})"
        yield (
            f"{'':13}{figure:12}{of.contains:7.1%} {of.meets:7.1%}  median {of.width:.3f}, p99 "
            f"{of.width_p99:.3f}; exact {of.exact:.1%}{p99}"
        )
        yield f"{'':25}" + ", ".join(f"{share:.1%} {clock}" for clock, share in of.clocks.items())


def _floor(rows: Sequence[Row]) -> Iterator[str]:
    """How exact the truth itself is: an error within this may be the server's."""
    took = [m.after - m.before for row in rows for m in (row.truth.head, *row.truth.events)]
    if took:
        of = summary(took)
        yield f"the server's send() took {of.median:.3f} / {of.p99:.3f} ms (median / p99)"


def _line(label: str, of: Errors) -> str:
    numbers = (of.median, of.p95, of.p99, of.max, of.bias)
    return f"{label:24}{of.count:6}" + "".join(f"{number:9.3f}" for number in numbers)
