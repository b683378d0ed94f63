"""A load against an earlier one, and its end against its beginning."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from pytest_release.evidence import Evidence, Measurement, Severity
from pytest_release.gates import _slo_compare
from pytest_release.gates._slo_compare import (
    NoBaselineError,
    Tolerance,
    baseline_findings,
    compare,
    read_baseline,
)
from pytest_release.sampling import Decision, Estimate, Sample

THEN = Estimate(100, 90, 110)
FIGURES = {"p95_ms": vars(THEN), "min_rps": vars(Estimate(80, 79, 81))}
BASELINE = {"format": "pytest-release/slo-baseline/v1", "figures": FIGURES}
GIVEN = {"file": "baseline.json", "regression": 0.2, "figures": ["p95_ms", "min_rps"]}


def measurement(name: str, value: float, low: float, high: float) -> Measurement:
    """One with that value and interval."""
    sample, estimate = Sample(value, low, high), Estimate(value, low, high)
    return Measurement(name, (sample,), estimate, None, None, 100)


def evidence(*measurements: Measurement) -> Evidence:
    """Of the load that is compared."""
    return Evidence("slo/load", "slo", "load", measurements=measurements)


def bundle(verdict: str = "PASSED", case: str = "slo/load") -> dict[str, Any]:
    """The evidence.json of a run, as far as it is looked into."""
    told = [{"name": name, "estimate": estimate} for name, estimate in FIGURES.items()]
    cases = [{"case": case, "verdict": verdict, "evidence": {"measurements": told}}]
    return {"format": "pytest-release/evidence/v1", "gates": [{"cases": cases}]}


@pytest.mark.parametrize(
    ("name", "now", "decision"),
    [
        ("p95_ms", Estimate(100, 95, 113), Decision.KEPT),  # 90 * 1.2 + 5
        ("p95_ms", Estimate(120, 110, 137), Decision.OPEN),
        ("p95_ms", Estimate(140, 138, 150), Decision.BROKEN),  # 110 * 1.2 + 5
        ("error_rate", Estimate(112, 110, 113), Decision.OPEN),  # the 5 ms are for times
        ("min_rps", Estimate(90, 88, 91), Decision.KEPT),  # 110 * 0.8
        ("min_rps", Estimate(80, 75, 88), Decision.OPEN),
        ("min_rps", Estimate(70, 69, 71), Decision.BROKEN),  # 90 * 0.8
    ],
)
def test_both_intervals_decide(name: str, now: Estimate, decision: Decision) -> None:
    """Nothing is called worse, or as good, that need not be."""
    assert Tolerance(0.2, 5.0).decide(name, now, THEN) is decision


def test_a_comparison_says_what_was_and_what_is() -> None:
    """With the change, and what would have been allowed."""
    now = Estimate(140, 138, 150)
    (finding,) = compare("slo.regression", "p95_ms", now, ("than it", THEN), Tolerance(0.2, 5.0))

    assert finding.message == (
        "p95_ms is worse than it: 140 [138, 150] against 100 [90, 110], +40%; "
        "20% and 5 ms is allowed"
    )
    (zero,) = compare("x", "error_rate", now, ("than it", Estimate(0, 0, 0)), Tolerance(0.2))
    assert "140 [138, 150] against 0 [0, 0], no longer 0; 20% is allowed" in zero.message


@pytest.mark.parametrize("stored", [BASELINE, bundle(), bundle("WARNED")])
def test_a_baseline_is_a_file_or_a_report_bundle(stored: dict[str, Any], tmp_path: Path) -> None:
    """Regression beyond what is allowed fails, even under every limit."""
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "evidence.json").write_text(json.dumps(stored))
    now = evidence(measurement("p95_ms", 200, 190, 210), measurement("min_rps", 80, 80, 80))
    given = {**GIVEN, "file": "bundle"}
    (finding,) = baseline_findings(given, tmp_path, now, optional=True)

    assert finding.code == "slo.regression"
    assert finding.severity is Severity.FAILURE
    assert finding.message.startswith("p95_ms is worse than the baseline bundle: 200 ")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read: No such file or directory"),
        ("[]", "is neither a baseline nor the evidence of a run"),
        ("{", "is neither a baseline nor the evidence of a run"),
        ('{"format": "x"}', "is neither a baseline nor the evidence of a run"),
        (json.dumps({**BASELINE, "figures": {"p95_ms": {"value": 1, "low": 2, "high": 3}}}),
         "is neither a baseline nor the evidence of a run"),
        (json.dumps(bundle("FAILED")), "says that slo/load was FAILED"),
        (json.dumps(bundle(case="slo/other")), "has no evidence of the case slo/load"),
        ("x" * 2000, "has more than 1000 bytes"),
    ],
)  # fmt: skip
def test_what_is_no_baseline(
    content: str | None, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said why, and where it was looked for."""
    monkeypatch.setattr(_slo_compare, "LARGEST", 1000)
    file = tmp_path / "baseline.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(NoBaselineError, match=f"baseline.json {said}"):
        read_baseline(file, "slo/load")


def test_a_baseline_is_bound_by_its_digest(tmp_path: Path) -> None:
    """Where the case names one, no other file will do."""
    file = tmp_path / "baseline.json"
    file.write_text(json.dumps(BASELINE))
    digest = sha256(file.read_bytes()).hexdigest()

    assert read_baseline(file, "slo/load", digest.upper())["p95_ms"] == THEN
    with pytest.raises(NoBaselineError, match=f"has the SHA-256 {digest}, expected 00"):
        read_baseline(file, "slo/load", "00")


@pytest.mark.parametrize(
    ("optional", "severity"), [(False, Severity.FAILURE), (True, Severity.WARNING)]
)
def test_a_missing_baseline_is_a_finding(
    optional: bool, severity: Severity, tmp_path: Path
) -> None:
    """It fails, unless the policy says that it only warns; so does a figure that it lacks."""
    now = evidence(measurement("p50_ms", 1, 1, 1))
    (missing,) = baseline_findings(GIVEN, tmp_path, now, optional=optional)
    (tmp_path / "baseline.json").write_text(json.dumps(BASELINE))
    given = {**GIVEN, "figures": ["p50_ms"]}
    (lacking,) = baseline_findings(given, tmp_path, now, optional=optional)

    assert {missing.code, lacking.code} == {"slo.no-baseline"}
    assert {missing.severity, lacking.severity} == {severity}
    assert missing.message.startswith("there is no baseline: ")
    assert lacking.message.endswith("baseline.json has no p50_ms")
