"""What a gate's `measure` returns, and the figures that are sampled until they are decided."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from pytest_release.config.cases import HttpCase
from pytest_release.config.environment import GatePolicy, SamplePolicy
from pytest_release.errors import TargetError
from pytest_release.evidence import (
    Attempt,
    Evidence,
    ExchangeRecord,
    Finding,
    Mark,
    Measurement,
    Severity,
)
from pytest_release.sampling import Decision, Sample, decide, mean_estimate
from pytest_release.targets.http import Exchange, HttpTarget
from pytest_release.targets.outgoing import Sent

SHOWN_BODY = 4_000  # bytes of an answer that the report shows


@dataclass(frozen=True)
class Observation:
    """One case as a gate saw it, once or in several samples.

    Attributes:
        samples: Of each figure, by its name with unit.
        captured: Values for later cases.
    """

    findings: tuple[Finding, ...] = ()
    samples: Mapping[str, tuple[Sample, ...]] = field(default_factory=dict)
    exchange: ExchangeRecord | None = None
    timeline: tuple[Mark, ...] = ()
    captured: Mapping[str, Any] = field(default_factory=dict)

    @property
    def failure(self) -> str:
        """The first failure's message; empty when there is none."""
        failed = (f.message for f in self.findings if f.severity is Severity.FAILURE)
        return next(failed, "")


class Observe(Protocol):
    """Send a case's request once and look at the answer; raises TargetError without an answer."""

    def __call__(
        self, case: HttpCase, target: HttpTarget, values: Mapping[str, Any], /
    ) -> Observation: ...


def measure_with(
    observe: Observe,
    case: HttpCase,
    policy: GatePolicy,
    target: HttpTarget,
    values: Mapping[str, Any],
) -> tuple[Evidence, Mapping[str, Any]]:
    """Try a case until an attempt passes, then sample its limited figures until they are decided.

    Returns:
        The evidence, and the values captured for later cases.
    """
    seen, attempts = _attempt(lambda: _observe(observe, case, target, values), case.retries)
    limits = limits_of(case, policy)
    if not seen.failure:
        seen = _resample(
            seen, lambda: _observe(observe, case, target, values), limits, policy.samples
        )
    measured = measurements(seen.samples, limits, policy.samples.confidence)
    findings = (
        *seen.findings,
        *_retried(case, attempts),
        *(finding for m in measured if (finding := limit_finding(case.gate, m))),
    )
    evidence = Evidence(
        case=case.id,
        gate=case.gate,
        name=case.name,
        measurements=measured,
        findings=findings,
        attempts=attempts,
        exchange=seen.exchange,
        timeline=seen.timeline,
    )
    return (evidence.softened() if case.advisory else evidence), seen.captured


def limits_of(case: HttpCase, policy: GatePolicy) -> dict[str, float]:
    """Limits of figures: the policy's, overridden by the case's own."""
    own = {name: limit for name, limit in case.expect.items() if name.endswith("_ms")}
    return {**policy.thresholds, **own}


def _observe(
    observe: Observe, case: HttpCase, target: HttpTarget, values: Mapping[str, Any]
) -> Observation:
    try:
        return observe(case, target, values)
    except TargetError as error:
        finding = Finding(f"{case.gate}.no-answer", str(error))
        return Observation((finding,), exchange=_asked(target.describe(case.request, values)))


def record(exchange: Exchange) -> ExchangeRecord:
    """What the report shows of an exchange."""
    return replace(
        _asked(exchange.sent),
        status=exchange.status,
        http_version=exchange.http_version,
        response_headers=exchange.headers,
        response_body=exchange.body[:SHOWN_BODY].decode(errors="replace"),
        body_bytes=exchange.content_bytes,
        dns_ms=exchange.dns_ms,
        connect_ms=exchange.connect_ms,
        tls_ms=exchange.tls_ms,
    )


def _asked(sent: Sent) -> ExchangeRecord:
    """What the report shows of a request alone."""
    return ExchangeRecord(sent.method, sent.url, sent.curl, None, "", sent.headers, sent.body)


def _attempt(
    observe: Callable[[], Observation], retries: int
) -> tuple[Observation, tuple[Attempt, ...]]:
    attempts: list[Attempt] = []
    while True:
        seen = observe()
        attempts.append(Attempt(len(attempts) + 1, seen.failure))
        if not seen.failure or len(attempts) > retries:
            return seen, tuple(attempts)


def _resample(
    first: Observation,
    observe: Callable[[], Observation],
    limits: Mapping[str, float],
    policy: SamplePolicy,
) -> Observation:
    """More samples until every limited figure is decided, one fails, or there are enough."""
    samples = dict(first.samples)
    for count in range(1, policy.max):
        if count >= policy.min and not _open(samples, limits, policy.confidence):
            break
        more = observe()
        if more.failure:
            return replace(more, samples=samples)
        for name, drawn in more.samples.items():
            samples[name] = (*samples.get(name, ()), *drawn)
    return replace(first, samples=samples)


def _open(
    samples: Mapping[str, tuple[Sample, ...]], limits: Mapping[str, float], confidence: float
) -> bool:
    return any(
        decide(mean_estimate(samples[name], confidence), limit) is Decision.OPEN
        for name, limit in limits.items()
        if name in samples
    )


def measurements(
    samples: Mapping[str, tuple[Sample, ...]], limits: Mapping[str, float], confidence: float
) -> tuple[Measurement, ...]:
    """Each figure's statistic, and where it lies with respect to its limit."""
    measured = []
    for name, drawn in samples.items():
        estimate, limit = mean_estimate(drawn, confidence), limits.get(name)
        decision = None if limit is None else decide(estimate, limit)
        measured.append(Measurement(name, drawn, estimate, limit, decision))
    return tuple(measured)


def _retried(case: HttpCase, attempts: tuple[Attempt, ...]) -> tuple[Finding, ...]:
    if len(attempts) == 1 or attempts[-1].failure:
        return ()
    earlier = "; ".join(f"attempt {a.number}: {a.failure}" for a in attempts[:-1])
    message = f"passed only on attempt {len(attempts)} of {case.retries + 1}: {earlier}"
    return (Finding(f"{case.gate}.retried", message, Severity.WARNING),)


def limit_finding(gate: str, measurement: Measurement) -> Finding | None:
    """What is wrong with a figure that its limit does not hold; None for any other."""
    if measurement.limit is None or measurement.decision is Decision.KEPT:
        return None
    estimate, count = measurement.estimate, len(measurement.samples)
    unit = " ms" if measurement.name.endswith("_ms") else ""
    shown = f"{estimate.value:.2f}{unit} [{estimate.low:.2f}, {estimate.high:.2f}]"
    busy = max(sample.busy_ms for sample in measurement.samples)
    client = f"; client was busy {busy:.1f} ms" if busy >= 1 else ""
    verb = "is above the limit" if measurement.decision is Decision.BROKEN else "could not be shown"
    return Finding(
        f"{gate}.{measurement.name.removesuffix('_ms').replace('_', '-')}",
        f"{measurement.name} {verb}: {shown} in {count} samples{client}",
        expected=f"at most {measurement.limit:g}{unit}",
        received=shown,
    )
