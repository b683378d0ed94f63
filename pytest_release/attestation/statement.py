"""In-toto statements (v1), and the two that a run makes about a release.

1. in-toto's test-result v0.1, so that existing verifiers and policy engines read it. It knows
   PASSED, WARNED and FAILED; INCOMPLETE and NOT_RUN are FAILED there.
2. Our own release-gate v0.1 (``schemas/release-gate.schema.json``): every gate's verdict with its
   thresholds and measurements, the digest of every file of the bundle, and that of the first
   statement, so that neither can be paired with a statement of another run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from pytest_release.atomic import canonical_json
from pytest_release.errors import EvidenceError
from pytest_release.hostile import visible
from pytest_release.sampling import Estimate
from pytest_release.verdict import GateVerdict, RunVerdict, ThresholdVerdict, Verdict

STATEMENT = "https://in-toto.io/Statement/v1"
TEST_RESULT = "https://in-toto.io/attestation/test-result/v0.1"
RELEASE_GATE = "https://pytest-release.dev/attestation/release-gate/v0.1"


def test_result(run: RunVerdict) -> dict[str, Any]:
    """The statement with in-toto's own predicate.

    Format: https://github.com/in-toto/attestation/blob/main/spec/predicates/test-result.md
    """
    context = run.context
    configuration = [
        {"name": f"environment {context.environment}", "digest": {"sha256": context.policy_digest}},
        *({"name": name, "digest": {"sha256": d}} for name, d in context.case_digests.items()),
    ]
    cases = [case for gate in run.gates for case in gate.cases]
    predicate = {
        "result": run.verdict if run.verdict in _IN_TOTO else Verdict.FAILED,
        "configuration": configuration,
        "passedTests": [case.case for case in cases if case.verdict is Verdict.PASSED],
        "warnedTests": [case.case for case in cases if case.verdict is Verdict.WARNED],
        "failedTests": [case.case for case in cases if case.verdict not in _IN_TOTO[:2]],
    }
    return _of_run(run, TEST_RESULT, predicate)


_IN_TOTO = (Verdict.PASSED, Verdict.WARNED, Verdict.FAILED)


def release_gate(
    run: RunVerdict, files: Mapping[str, Mapping[str, Any]], nonce: str, *, ephemeral: bool
) -> dict[str, Any]:
    """The statement with our own predicate.

    Args:
        run: What was judged.
        files: Of the bundle, by name: ``sha256`` and ``size`` in bytes.
        nonce: Makes the statement one of a kind, so that a promotion can refuse its replay.
        ephemeral: The key lives as long as the run: the signature proves nothing.
    """
    context = run.context
    before = context.release.before
    predicate = {
        "verdict": run.verdict,
        "reasons": [visible(reason) for reason in run.reasons],
        "environment": context.environment,
        "role": context.role,
        "system": context.system,
        "release": {
            "asked": context.release.asked,
            "version": before.version if before else None,
            "commit": before.commit if before else None,
            "packages": dict(context.release.packages),
            "images": dict(before.images) if before else {},
        },
        "waivers": [visible(waiver) for waiver in context.waivers],
        "policy": {"sha256": context.policy_digest},
        "cases": {name: {"sha256": digest} for name, digest in context.case_digests.items()},
        "gates": {gate.gate: _gate(gate) for gate in run.gates},
        "files": {name: dict(entry) for name, entry in files.items()},
        "testResult": {"sha256": sha256(canonical_json(test_result(run))).hexdigest()},
        "started": context.started.isoformat(),
        "finished": context.finished.isoformat(),
        "tools": dict(context.tools),
        "run": context.run,
        "nonce": nonce,
        "ephemeralKey": ephemeral,
    }
    return _of_run(run, RELEASE_GATE, predicate)


def _of_run(run: RunVerdict, predicate_type: str, predicate: Mapping[str, Any]) -> dict[str, Any]:
    return statement(run.context.release.subjects(), predicate_type, predicate)


def statement(
    subjects: Sequence[Mapping[str, Any]], predicate_type: str, predicate: Mapping[str, Any]
) -> dict[str, Any]:
    """An in-toto Statement v1.

    Raises:
        EvidenceError: There are no subjects.
    """
    if not subjects:
        raise EvidenceError("a statement about nothing cannot be made: the release has no subject")
    return {
        "_type": STATEMENT,
        "subject": [dict(subject) for subject in subjects],
        "predicateType": predicate_type,
        "predicate": predicate,
    }


def _gate(gate: GateVerdict) -> dict[str, Any]:
    counts = {verdict: gate.count(verdict) for verdict in Verdict}
    return {
        "verdict": gate.verdict,
        "required": gate.required,
        "asked": gate.asked,
        "reasons": [visible(reason) for reason in gate.reasons],
        "cases": {str(verdict): count for verdict, count in counts.items() if count},
        "thresholds": {threshold.name: _threshold(threshold) for threshold in gate.thresholds},
    }


def _threshold(threshold: ThresholdVerdict) -> dict[str, Any]:
    return {
        "limit": threshold.limit,
        "measured": _estimate(threshold.estimate),
        "samples": threshold.samples,
        "decision": threshold.decision,
    }


def _estimate(estimate: Estimate | None) -> dict[str, float] | None:
    if estimate is None:
        return None
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high}
