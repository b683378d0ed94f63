"""One estimate against an earlier one: how much worse it may be, decided by both intervals."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from math import isfinite
from pathlib import Path
from typing import Any

from pytest_release.evidence import Evidence, Finding, Severity
from pytest_release.sampling import Decision, Estimate, at_least

BASELINE = "pytest-release/slo-baseline/v1"
EVIDENCE = "pytest-release/evidence/v1"
LARGEST = 64 * 1024 * 1024  # bytes of a baseline's file
FIGURES = ("p50_ms", "p95_ms", "min_rps")
GOOD = ("PASSED", "WARNED")


class NoBaselineError(Exception):
    """There is nothing to compare with; the text says why."""


@dataclass(frozen=True)
class Tolerance:
    """How much worse a figure may be.

    Attributes:
        share: 0.2 for a fifth.
        ms: And so much more, for times: what is no difference to anybody.
    """

    share: float
    ms: float = 0.0

    def decide(self, name: str, now: Estimate, then: Estimate) -> Decision:
        """KEPT and BROKEN only where they are true of all that both intervals allow."""
        if at_least(name):
            if now.low >= then.high * (1 - self.share):
                return Decision.KEPT
            return Decision.BROKEN if now.high < then.low * (1 - self.share) else Decision.OPEN
        more = self.ms if name.endswith("_ms") else 0.0
        if now.high <= then.low * (1 + self.share) + more:
            return Decision.KEPT
        return Decision.BROKEN if now.low > then.high * (1 + self.share) + more else Decision.OPEN

    def __str__(self) -> str:
        return f"{self.share:.0%}" + (f" and {self.ms:g} ms" if self.ms else "")


def compare(
    code: str, name: str, now: Estimate, then: tuple[str, Estimate], tolerance: Tolerance
) -> Iterator[Finding]:
    """What is to be said of a figure that is worse than it was.

    Args:
        code: Of the finding.
        name: Of the figure.
        now: As measured.
        then: ``than the baseline``, and what it was.
        tolerance: How much worse it may be.
    """
    source, before = then
    decision = tolerance.decide(name, now, before)
    if decision is Decision.KEPT:
        return
    change = f"{now.value / before.value - 1:+.0%}" if before.value else "no longer 0"
    verb = "is worse" if decision is Decision.BROKEN else "could not be shown not to be worse"
    message = f"{name} {verb} {source}: {_shown(now)} against {_shown(before)}, {change}"
    allowed = f"at most {tolerance} worse than {_shown(before)}"
    yield Finding(
        code, f"{message}; {tolerance} is allowed", expected=allowed, received=_shown(now)
    )


def _shown(estimate: Estimate) -> str:
    return f"{estimate.value:.4g} [{estimate.low:.4g}, {estimate.high:.4g}]"


def baseline_findings(
    given: Mapping[str, Any], folder: Path, evidence: Evidence, *, optional: bool
) -> Iterator[Finding]:
    """Compare the figures of a load with those of a stored one.

    Args:
        given: The case's ``baseline``: ``file``, ``regression``, ``tolerance_ms``, ``figures``,
            ``sha256``.
        folder: Of the case's file, to which the baseline's is relative.
        evidence: Of the load; a report bundle is looked into for the case of the same id.
        optional: A missing baseline only warns.
    """
    file = folder / given["file"]
    tolerance = Tolerance(float(given["regression"]), float(given.get("tolerance_ms", 0.0)))
    try:
        then = read_baseline(file, evidence.case, given.get("sha256"))
        for name in given.get("figures", FIGURES):
            if now := evidence.measurement(name):
                before = (f"than the baseline {file.name}", _known(then, name, file))
                yield from compare("slo.regression", name, now.estimate, before, tolerance)
    except NoBaselineError as error:
        severity = Severity.WARNING if optional else Severity.FAILURE
        yield Finding("slo.no-baseline", f"there is no baseline: {error}", severity)


def _known(then: Mapping[str, Estimate], name: str, file: Path) -> Estimate:
    if name not in then:
        raise NoBaselineError(f"{file} has no {name}")
    return then[name]


def read_baseline(file: Path, case: str, digest: str | None = None) -> dict[str, Estimate]:
    """The figures of a stored load, by name.

    Args:
        file: A baseline, or a report bundle's ``evidence.json``, or the bundle's folder.
        case: Whose figures a report bundle is asked for.
        digest: SHA-256 that the file must have, in hex.

    Raises:
        NoBaselineError: It is not there, is another file, or does not hold what is needed.
    """
    if file.is_dir():
        file /= "evidence.json"
    try:
        with file.open("rb") as stream:
            content = stream.read(LARGEST + 1)
    except OSError as error:
        raise NoBaselineError(f"{file} cannot be read: {error.strerror}") from None
    if len(content) > LARGEST:
        raise NoBaselineError(f"{file} has more than {LARGEST} bytes")
    found = sha256(content).hexdigest()
    if digest is not None and found != digest.lower():
        raise NoBaselineError(f"{file} has the SHA-256 {found}, expected {digest}")
    try:
        value = json.loads(content)
        return dict(_figures(value, case, file))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise NoBaselineError(f"{file} is neither a baseline nor the evidence of a run") from None


def _figures(value: Mapping[str, Any], case: str, file: Path) -> Iterator[tuple[str, Estimate]]:
    if value["format"] == BASELINE:
        for name, told in value["figures"].items():
            yield name, _estimate(told)
        return
    if value["format"] != EVIDENCE:
        raise ValueError(value["format"])
    cases = [each for gate in value["gates"] for each in gate["cases"] if each["case"] == case]
    if not cases or cases[0]["evidence"] is None:
        raise NoBaselineError(f"{file} has no evidence of the case {case}")
    if cases[0]["verdict"] not in GOOD:
        raise NoBaselineError(f"{file} says that {case} was {cases[0]['verdict']}")
    for told in cases[0]["evidence"]["measurements"]:
        yield told["name"], _estimate(told["estimate"])


def _estimate(told: Mapping[str, Any]) -> Estimate:
    value, low, high = (float(told[end]) for end in ("value", "low", "high"))
    if not (low <= value <= high and isfinite(low) and isfinite(high)):
        raise ValueError(told)
    return Estimate(value, low, high)
