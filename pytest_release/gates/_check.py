"""Has a gate make one check of the environment; what keeps it from checking is a finding, too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import import_module

from pytest_release.config.cases import CheckCase
from pytest_release.config.environment import GatePolicy
from pytest_release.errors import ConfigError, PackageError, TargetError
from pytest_release.evidence import Attempt, Evidence, Finding
from pytest_release.gates._observation import limit_finding, measurements
from pytest_release.gates._scene import Scene
from pytest_release.sampling import COUNTED, Sample


def check(case: CheckCase, policy: GatePolicy, scene: Scene) -> Evidence:
    """The evidence of one check, everything undone, its failures softened where it is advisory."""
    gate = import_module(f"pytest_release.gates.{case.gate}")
    evidence = Evidence(case.id, case.gate, case.name)
    stayed: list[str] = []
    try:
        evidence = gate.measure(case, policy, scene)
    except (TargetError, PackageError, ConfigError) as error:
        finding = Finding(f"{case.gate}.no-answer", str(error))
        evidence = replace(evidence, findings=(finding,))
    finally:
        stayed = scene.leave()
    left = (Finding(f"{case.gate}.left-behind", sentence) for sentence in stayed)
    evidence = replace(evidence, findings=(*evidence.findings, *left))
    failure = evidence.failures[0].message if evidence.failures else ""
    evidence = replace(evidence, attempts=(Attempt(1, failure),))
    return evidence.softened() if case.advisory else evidence


def concluded(
    case: CheckCase,
    policy: GatePolicy,
    findings: Sequence[Finding],
    samples: Mapping[str, Sequence[Sample | float]] | None = None,
) -> Evidence:
    """A check's evidence: its findings, its figures, and one finding for each limit not kept.

    Args:
        case: A number in its ``expect`` is the limit of the figure of that name.
        policy: Its thresholds are limits, too.
        findings: Of the check.
        samples: Timed or counted figures, by their name with unit; one without samples is left out.
    """
    drawn = {
        name: tuple(v if isinstance(v, Sample) else Sample(v, v, v, COUNTED) for v in values)
        for name, values in (samples or {}).items()
        if values
    }
    own = {name: limit for name, limit in case.expect.items() if isinstance(limit, int | float)}
    limits = {**policy.thresholds, **own}
    measured = measurements(drawn, limits, policy.samples.confidence)
    broken = (found for m in measured if (found := limit_finding(case.gate, m)))
    every = (*findings, *broken)
    return Evidence(case.id, case.gate, case.name, measurements=measured, findings=every)
