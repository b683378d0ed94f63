"""Tests of `pytest_release.evidence`."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_release.errors import EvidenceError
from pytest_release.evidence import (
    Attachment,
    Attempt,
    Course,
    Evidence,
    ExchangeRecord,
    Finding,
    Mark,
    Measurement,
    Point,
    Severity,
    Span,
    from_json,
    redacted,
    to_json,
)
from pytest_release.redaction import Redactor
from pytest_release.sampling import Decision, Estimate, Sample

FULL = Evidence(
    case="basic/health",
    gate="basic",
    name="health",
    measurements=(
        Measurement("ttfb_ms", (Sample(1.5, 1, 2, "kernel", 0.5),), Estimate(1.5, 1, 2)),
        Measurement("total_ms", (), Estimate(9, 8, 10), 5, Decision.BROKEN),
    ),
    findings=(
        Finding("basic.status", "status 500 instead of 200", expected="200", received="oops"),
        Finding("basic.retried", "passed only on attempt 2", Severity.WARNING),
        Finding("basic.note", "by the way", Severity.NOTE),
        Finding("basic.size", "too large"),
    ),
    attempts=(Attempt(1, "no answer"), Attempt(2)),
    exchange=ExchangeRecord(
        "GET",
        "http://h/",
        "curl http://h/",
        status=500,
        request_headers=(("accept", "*/*"),),
        response_body="<b>\x00",
        tls_ms=1.25,
    ),
    timeline=(Mark(1.0, "data", "x", 1),),
    attachments=(Attachment("log", "line"),),
    course=Course((Point(1.0, 2.0, "a", "b"),), Span(0.0, 1.0, "c"), (Span(0, 1, "d"),), 5.0),
    duration_s=0.25,
)
LEAST = Evidence("a", "b", "c")


@pytest.mark.parametrize("evidence", [FULL, LEAST, FULL.softened()])
def test_evidence_crosses_processes_as_json(evidence: Evidence) -> None:
    """What was written is read back, and nothing in between but plain JSON values."""
    value = json.loads(json.dumps(to_json(evidence)))

    assert value == to_json(evidence)
    assert from_json(value) == evidence


def changed(**parts: Any) -> dict[str, Any]:  # noqa: ANN401 - wrong values of any kind
    """The JSON of some evidence with a part replaced."""
    return {**to_json(FULL), **parts}


SAMPLE = {"value": 3.0, "low": 0.0, "high": 1.0, "clock": "", "busy_ms": 0.0}
MEASUREMENT = {**to_json(FULL)["measurements"][0], "samples": [SAMPLE]}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "of a case: expected a mapping"),
        ([], "of a case: expected a mapping"),
        ("case", "of a case: expected a mapping"),
        ({}, r"of a case: required field missing @ \$\.case; required field missing @ \$\.gate"),
        (changed(colour="red"), r"of a case: extra fields found \(colour\) @ \$"),
        (changed(duration_s="slow"), r"expected float @ \$\.duration_s"),
        (changed(duration_s=None), r"expected float @ \$\.duration_s"),
        (changed(findings=[1]), r"expected Finding @ \$\.findings\[0\]"),
        (changed(measurements=[MEASUREMENT]), r"low <= value <= high .*\.measurements\[0\]\.samp"),
        (changed(timeline="ab"), r"@ \$\.timeline\[0\]"),
        (changed(exchange={"method": "GET"}), r"required field missing @ \$\.exchange\.url"),
        (changed(advisory="false"), "of the case basic/health: a type is wrong"),
        (changed(name=5), "of the case basic/health: a type is wrong"),
        (changed(duration_s=float("nan")), "of the case basic/health: a type is wrong"),
        ({"case": "a", "gate": "b", "name": "c"}, "of the case a: a type is wrong"),
        (
            changed(findings=[{"code": "a", "message": "b", "severity": "bad"}]),
            r"expected Severity @ \$\.findings\[0\]\.severity",
        ),
    ],
)
def test_what_is_no_evidence_is_refused(value: Any, reason: str) -> None:  # noqa: ANN401 - JSON
    """With the place and the reason; nothing is taken for something else."""
    with pytest.raises(EvidenceError, match=f"^this is not evidence .*{reason}"):
        from_json(value)


@given(
    part=st.sampled_from(sorted(to_json(FULL))),
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=2)
            | st.dictionaries(st.sampled_from(["name", "samples", "code", "x"]), inner, max_size=2)
        ),
        max_leaves=4,
    ),
)
def test_any_json_is_evidence_or_refused(part: str, value: object) -> None:
    """What a broken worker sends is an EvidenceError or exactly what it says."""

    def outcome() -> object:
        try:
            return to_json(from_json(changed(**{part: value})))
        except EvidenceError as error:
            return str(error)

    assert outcome() == changed(**{part: value}) or str(outcome()).startswith("this is not")


def test_findings_are_told_apart_by_severity() -> None:
    """Failures block, warnings warn, notes do neither."""
    assert [finding.code for finding in FULL.failures] == ["basic.status", "basic.size"]
    assert [finding.code for finding in FULL.warnings] == ["basic.retried"]
    assert LEAST.failures == LEAST.warnings == ()


def test_measurements_are_found_by_name() -> None:
    """None when the case did not make it."""
    assert FULL.measurement("total_ms") == FULL.measurements[1]
    assert FULL.measurement("absent_ms") is None


def test_an_advisory_case_is_softened() -> None:
    """Its failures become warnings in place, everything else stays."""
    soft = FULL.softened()

    assert soft.advisory
    assert soft.failures == ()
    assert [finding.code for finding in soft.findings] == [f.code for f in FULL.findings]
    assert [str(finding.severity) for finding in soft.findings] == [
        "warning", "warning", "note", "warning",
    ]  # fmt: skip
    assert replace(soft, advisory=False, findings=FULL.findings) == FULL


@pytest.mark.parametrize(
    ("evidence", "text"),
    [
        (
            FULL,
            """\
health (basic/health)
  basic.status: status 500 instead of 200
    expected: 200
    received: oops
  basic.size: too large
  reproduce: curl http://h/""",
        ),
        (LEAST, "c (a)"),
    ],
)
def test_a_failure_explains_itself(evidence: Evidence, text: str) -> None:
    """Every failure, what was expected and received, and how to see it again."""
    assert evidence.explain() == text


def test_secrets_are_taken_out_of_every_text() -> None:
    """Also out of what a test attached and a server sent, at any depth."""
    leaky = replace(
        FULL,
        name="of hunter2",
        findings=(Finding("basic.x", "got hunter2", expected="hunter2", received="a hunter2"),),
        exchange=ExchangeRecord(
            "GET", "/hunter2", "curl hunter2", response_headers=(("x", "hunter2"),)
        ),
        timeline=(Mark(1, "hunter2", "hunter2"),),
        attachments=(Attachment("hunter2", "hunter2"),),
        attempts=(Attempt(1, "hunter2"),),
    )

    clean = redacted(leaky, Redactor(frozenset(["hunter2"])))

    assert "hunter2" not in json.dumps(to_json(clean))
    assert clean.findings == (Finding("basic.x", "got ***", expected="***", received="a ***"),)
    assert clean.measurements == FULL.measurements


def test_our_own_words_are_no_secrets() -> None:
    """A secret that is spelt like a gate, a code or a severity does not break the evidence."""
    values = frozenset(["basic", "health", "failure", "warning", "broken", "status"])

    clean = redacted(FULL, Redactor(values))

    assert (clean.case, clean.gate, clean.name) == ("basic/health", "basic", "***")
    assert [finding.severity for finding in clean.findings] == [f.severity for f in FULL.findings]
    assert clean.findings[0].code == "basic.status"
    assert clean.findings[0].message == "*** 500 instead of 200"
    assert clean.measurements == FULL.measurements


def test_without_secrets_nothing_changes() -> None:
    """Nor is anything copied."""
    assert redacted(FULL, Redactor()) is FULL
