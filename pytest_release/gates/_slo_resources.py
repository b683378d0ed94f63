"""Resource use over a window of time, as Prometheus recorded it.

Of each resource the mean over the window is compared with its limit, of the worst series where
there are several, with Student's interval over its points: neighbouring points are alike, so the
interval is rather too narrow than too wide. What was not recorded was not shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from typing import Any

from pytest_release.config.cases import CheckCase
from pytest_release.config.environment import GatePolicy
from pytest_release.evidence import Evidence, Finding, Measurement
from pytest_release.gates._scene import Scene
from pytest_release.gates._slo_limits import broken, limits_of
from pytest_release.gates._slo_plan import needed
from pytest_release.sampling import COUNTED, Sample, decide, mean_estimate
from pytest_release.targets.prometheus import Prometheus, Series

LEAST = 0.5  # of the points that a window should have
POINTS = 60  # of a window where no step is given


def resources(case: CheckCase, policy: GatePolicy, scene: Scene) -> Evidence:
    """Look at every resource of a case.

    Raises:
        ConfigError: The case does not say which, or how far back.
        TargetError: Prometheus does not answer.
    """
    given = needed(case, "window_s", "resources")
    environment = scene.environment
    prometheus = Prometheus(environment.services.get("prometheus", {}), environment)
    window = float(given["window_s"])
    step = float(given.get("step_s", window / POINTS))
    end = prometheus.now()
    limits = limits_of(case, policy)
    findings: list[Finding] = []
    measured: list[Measurement] = []
    for name, query in given["resources"].items():
        series = prometheus.range(query, end - window, end, step)
        findings += _unknown(name, query, series, window / step)
        found = [_measurement(name, each, limits, policy.samples.confidence) for each in series]
        if any(found):
            worst = max(filter(None, found), key=lambda each: each.estimate.high)
            measured.append(worst)
            findings += broken(worst, f"over the last {window:g} s, by {query}")
    return Evidence(
        case.id, case.gate, case.name, measurements=tuple(measured), findings=tuple(findings)
    )


def _unknown(name: str, query: str, series: Sequence[Series], points: float) -> Iterator[Finding]:
    if not series:
        yield Finding("slo.not-recorded", f"{name}: Prometheus has no series for {query}")
    for each in series:
        known = [value for _, value in each.points if isfinite(value)]
        if len(known) < LEAST * points:
            labels = ", ".join(f"{key}={value}" for key, value in each.labels.items()) or "it"
            message = f"{name}: {len(known)} of {points:.0f} points were recorded of {labels[:200]}"
            yield Finding("slo.not-recorded", message, received=str(len(known)))


def _measurement(
    name: str, series: Series, limits: Mapping[str, Any], confidence: float
) -> Measurement | None:
    values = [value for _, value in series.points if isfinite(value)]
    if not values:
        return None
    estimate = mean_estimate([Sample(v, v, v, COUNTED) for v in values], confidence)
    limit = limits.get(name)
    decision = None if limit is None else decide(estimate, limit)
    sample = Sample(estimate.value, estimate.low, estimate.high, COUNTED)
    return Measurement(name, (sample,), estimate, limit, decision, len(values))
