"""Numbers as people read them: a value with its interval, a limit, a duration."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pytest_release.evidence import Measurement
from pytest_release.sampling import COUNTED, Decision, Estimate, Sample, at_least
from pytest_release.verdict import GateVerdict, RunVerdict, ThresholdVerdict, Verdict

MISSING = (Verdict.INCOMPLETE, Verdict.NOT_RUN)


def number(value: float) -> str:
    """Three significant digits, and never an exponent for what fits without."""
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}" if abs(value) >= 0.001 or value == 0 else f"{value:.1g}"


def unit(name: str) -> str:
    """The unit that a measurement's name ends in, with a space before it."""
    return " ms" if name.endswith("_ms") else ""


def estimate(name: str, shown: Estimate) -> str:
    """``5.3 ms [5.1, 5.4]``; without an interval where there is none."""
    value = f"{number(shown.value)}{unit(name)}"
    low, high = number(shown.low), number(shown.high)
    return value if shown.low == shown.high else f"{value} [{low}, {high}]"


def threshold(judged: ThresholdVerdict) -> str:
    """``ttfb_ms 5.3 ms [5.1, 5.4] <= 100``, and what is wrong with it."""
    limit = number(judged.limit)
    if judged.estimate is None:
        return f"{judged.name} never measured, limit {limit}"
    kept, broken = ("≥", "<") if at_least(judged.name) else ("≤", ">")
    sign = {Decision.KEPT: kept, Decision.BROKEN: broken, Decision.OPEN: "?"}
    relation = sign.get(judged.decision or Decision.OPEN, "?")
    note = " could not be shown" if judged.decision is Decision.OPEN else ""
    return f"{judged.name} {estimate(judged.name, judged.estimate)} {relation} {limit}{note}"


def limit(measurement: Measurement) -> str:
    """`` · limit ≤ 500``; nothing where there is none."""
    if measurement.limit is None:
        return ""
    sign = "≥" if at_least(measurement.name) else "≤"
    return f" · limit {sign} {number(measurement.limit)}"


def duration(seconds: float) -> str:
    """``12 ms`` below a second, ``3.4 s`` above."""
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def counts(gate: GateVerdict) -> str:
    """``13 passed``, ``11 passed, 2 failed``: what a gate's cases came to."""
    words = (
        ("passed", gate.count(Verdict.PASSED)),
        ("warned", gate.count(Verdict.WARNED)),
        ("failed", gate.count(Verdict.FAILED)),
        ("missing", gate.count(*MISSING)),
    )
    return ", ".join(f"{count} {word}" for word, count in words if count) or "no cases"


def clocks(run: RunVerdict) -> list[str]:
    """The names of all clocks that times of a run were taken with."""
    return list(
        dict.fromkeys(
            sample.clock
            for gate in run.gates
            for case in gate.cases
            if case.evidence is not None
            for measurement in case.evidence.measurements
            if measurement.name.endswith("_ms")
            for sample in measurement.samples
            if sample.clock != COUNTED
        )
    )


def exactness(samples: Sequence[Sample]) -> str:
    """``3 samples, 2 exact, 1 merged``: how many there are and what is to be known of them."""
    count = len(samples)
    flags = Counter(flag for sample in samples for flag in sample.flags)
    exact = sum(sample.exact for sample in samples)
    parts = [f"{count} sample{'s' * (count > 1)}"]
    parts += [f"{exact} exact"] if exact else []
    return ", ".join([*parts, *(f"{number} {flag}" for flag, number in sorted(flags.items()))])
