"""CTRF JSON (https://ctrf.io, specification 0.0.0): one report format for many readers.

FAILED is ``failed``; what did not run to its end is ``other``, and never ``skipped``, which readers
take for harmless. The gates stand in ``extra``.
"""

from __future__ import annotations

import json
from typing import Any

from pytest_release.hostile import visible
from pytest_release.reporting.figures import threshold
from pytest_release.verdict import CaseVerdict, RunVerdict, Verdict

STATUS = {
    Verdict.PASSED: "passed",
    Verdict.WARNED: "passed",
    Verdict.FAILED: "failed",
    Verdict.INCOMPLETE: "other",
    Verdict.NOT_RUN: "other",
}


def render(run: RunVerdict) -> str:
    """The run as one CTRF document."""
    tests = [_test(case) for gate in run.gates for case in gate.cases]
    document = {
        "reportFormat": "CTRF",
        "specVersion": "0.0.0",
        "generatedBy": "pytest-release",
        "timestamp": run.context.finished.isoformat(),
        "results": {
            "tool": {"name": "pytest-release", "version": run.context.tools["pytest-release"]},
            "summary": _summary(run, tests),
            "tests": tests,
            "environment": _environment(run),
            "extra": {
                "verdict": run.verdict,
                "reasons": [visible(reason) for reason in run.reasons],
                "gates": {gate.gate: gate.verdict for gate in run.gates},
                "thresholds": [threshold(t) for gate in run.gates for t in gate.thresholds],
            },
        },
    }
    return json.dumps(document, ensure_ascii=True, indent=1, allow_nan=False) + "\n"


def _summary(run: RunVerdict, tests: list[dict[str, Any]]) -> dict[str, int]:
    start, stop = (
        int(moment.timestamp() * 1000) for moment in (run.context.started, run.context.finished)
    )
    counts = {
        status: sum(test["status"] == status for test in tests)
        for status in ("passed", "failed", "skipped", "pending", "other")
    }
    flaky = sum(test.get("flaky", False) for test in tests)
    return {"tests": len(tests), **counts, "flaky": flaky, "suites": len(run.gates)} | {
        "start": start,
        "stop": stop,
        "duration": stop - start,
    }


def _environment(run: RunVerdict) -> dict[str, Any]:
    before = run.context.release.before
    named = {
        "appName": run.context.system,
        "appVersion": before.version if before else None,
        "commit": before.commit if before else None,
        "testEnvironment": run.context.environment,
        "healthy": run.verdict.accepted,
    }
    return {name: value for name, value in named.items() if value is not None}


def _test(case: CaseVerdict) -> dict[str, Any]:
    test: dict[str, Any] = {
        "name": visible(case.name),
        "status": STATUS[case.verdict],
        "rawStatus": case.verdict,
        "duration": round(case.duration_s * 1000),
        "suite": [case.gate],
        "extra": {"case": visible(case.case)},
    }
    if case.reason:
        test["message"] = visible(case.reason)
    if case.evidence is not None:
        test["retries"] = max(len(case.evidence.attempts) - 1, 0)
        test["flaky"] = case.verdict.accepted and test["retries"] > 0
        if case.evidence.failures:
            test["trace"] = visible(case.evidence.explain())
    return test
