"""Runs to report on: one that passed, one that failed, one that was cut short, one hostile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from pytest_release.config.environment import GatePolicy
from pytest_release.evidence import (
    Attachment,
    Attempt,
    Evidence,
    ExchangeRecord,
    Finding,
    Mark,
    Measurement,
    Severity,
)
from pytest_release.ledger import Entry, Outcome
from pytest_release.release import Context, Identity, Release
from pytest_release.sampling import Decision, Estimate, Sample
from pytest_release.verdict import RunVerdict, judge_gate, judge_run

EVIL = "<script>alert(1)</script>|`]]>&\"'\x1b[31m\x00\x9b\u202e\u2028\ud800```#*"

Runs = dict[str, RunVerdict]

CONTEXT = Context(
    run="0123abcd",
    environment="staging",
    role="staging",
    system="shop",
    base_url="https://shop.example",
    policy_digest="a" * 64,
    case_digests={"cases/shop/basic.yaml": "b" * 64},
    release=Release(None, Identity("1.4.2", "d34bcae"), Identity("1.4.2", "d34bcae")),
    started=datetime(2026, 11, 23, 10, 0, 0, tzinfo=UTC),
    finished=datetime(2026, 11, 23, 10, 0, 7, tzinfo=UTC),
    tools={"pytest-release": "0.1.0"},
)

IMAGED = replace(
    CONTEXT.release.before or Identity(), images={"registry.example/shop:1.4.2": "e" * 64}
)
WAIVED = replace(
    CONTEXT,
    release=Release(None, IMAGED, IMAGED),
    waivers=("smoke of 1.4.2 is waived in staging until 2026-11-24 10:00 UTC by Zoë: fire",),
)

LIMITED = Measurement(
    "ttfb_ms",
    (
        Sample(4.0, 3.5, 4.0, "kernel", exact=True),
        Sample(6.0, 1.0, 6.0, "kernel", busy_ms=4.7, flags=("merged",)),
    ),
    Estimate(5.0, 2.25, 6.5),
    100.0,
    Decision.KEPT,
)
SEEN = Evidence(
    case="basic/one",
    gate="basic",
    name="one",
    measurements=(LIMITED, Measurement("total_ms", LIMITED.samples, LIMITED.estimate)),
    attempts=(Attempt(1),),
    exchange=ExchangeRecord(
        "GET", "https://shop.example/one", "curl https://shop.example/one", 200
    ),
    timeline=(Mark(1.0, "data", "hello", 5), Mark(9.0, "complete", "", 0)),
    duration_s=0.25,
)


def run_of(*cases: tuple[Entry, Evidence | None], context: Context = CONTEXT) -> RunVerdict:
    """A run with one required gate of these cases, and an optional one that nobody wrote."""
    policy = GatePolicy(required=True, thresholds={"ttfb_ms": 100.0})
    evidence = {entry.case: seen for entry, seen in cases if seen}
    gates = [
        judge_gate("basic", policy, [entry for entry, _ in cases], evidence),
        judge_gate("stream", GatePolicy(), [], {}, asked=False),
    ]
    return judge_run(gates, context)


def ended(case: str, outcome: Outcome | None = Outcome.PASSED, detail: str = "") -> Entry:
    """A case that was selected and started."""
    return Entry(case, "basic", True, True, True, outcome=outcome, detail=detail, duration_s=0.25)


@pytest.fixture
def runs() -> Runs:
    """One run for each thing that a report must be able to say."""
    failed = replace(
        SEEN,
        case="basic/two",
        name="two",
        findings=(Finding("basic.status", "status 500", expected="200", received="oops"),),
        attempts=(Attempt(1, "status 500"), Attempt(2, "status 500")),
    )
    warning = Finding("basic.retried", "passed only on attempt 2 of 2", Severity.WARNING)
    retried = replace(SEEN, findings=(warning,), attempts=(Attempt(1, "no"), Attempt(2)))
    hostile = replace(
        failed,
        case=EVIL,
        name=EVIL,
        findings=(Finding("basic.text", EVIL, expected=EVIL, received=EVIL),),
        exchange=ExchangeRecord(
            "GET", EVIL, EVIL, 200, EVIL, ((EVIL, EVIL),), EVIL, ((EVIL, EVIL),), EVIL
        ),
        timeline=(Mark(1.0, EVIL, EVIL, 5),),
        attachments=(Attachment(EVIL, EVIL),),
    )
    bad = ended("basic/two", Outcome.FAILED, "status 500")
    steering = replace(WAIVED, waivers=(EVIL,))
    return {
        "passed": run_of((ended("basic/one"), SEEN)),
        "warned": run_of((ended("basic/one"), retried)),
        "failed": run_of((ended("basic/one"), SEEN), (bad, failed)),
        "cut short": run_of((ended("basic/one"), SEEN), (ended("basic/two", None), None)),
        "nothing": run_of((Entry("basic/one", "basic"), None)),
        "waived": run_of((ended("basic/one"), SEEN), context=WAIVED),
        "hostile": run_of((ended(EVIL, Outcome.FAILED, EVIL), hostile), context=steering),
    }


Render = Callable[[RunVerdict], str]
