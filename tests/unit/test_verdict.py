"""Tests of `pytest_release.verdict`: the table of verdicts, without pytest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_release.config.environment import GatePolicy
from pytest_release.evidence import Attempt, Evidence, Finding, Measurement, Severity
from pytest_release.ledger import Entry, Outcome
from pytest_release.release import Context, Identity, Release
from pytest_release.sampling import Decision, Estimate, Sample
from pytest_release.verdict import (
    GateVerdict,
    RunVerdict,
    ThresholdVerdict,
    Verdict,
    asked_for,
    judge_gate,
    judge_run,
    judge_threshold,
)

PASSED, WARNED, NOT_RUN = Verdict.PASSED, Verdict.WARNED, Verdict.NOT_RUN
INCOMPLETE, FAILED = Verdict.INCOMPLETE, Verdict.FAILED

DECLARED = Entry("?", "g")
DESELECTED = replace(DECLARED, collected=True)
SELECTED = replace(DESELECTED, selected=True)
STARTED = replace(SELECTED, started=True)


def ended(outcome: Outcome, detail: str = "", reruns: int = 0) -> Entry:
    """A case that came to its end."""
    return replace(STARTED, outcome=outcome, detail=detail, reruns=reruns)


OK, BAD = ended(Outcome.PASSED), ended(Outcome.FAILED, "no")
FAILURE = Finding("g.x", "it is wrong")
WARNING = Finding("g.y", "it is odd", Severity.WARNING)
NOTE = Finding("g.z", "by the way", Severity.NOTE)


def figure(name: str, *values: float, limit: float | None = None, error: float = 0) -> Measurement:
    """A measurement whose interval is that of its values, widened by an error."""
    samples = tuple(Sample(value, value - error, value + error) for value in values)
    middle = sum(values) / len(values)
    estimate = Estimate(middle, min(values) - error, max(values) + error)
    return Measurement(name, samples, estimate, limit)


def seen(case: str = "?", *findings: Finding, advisory: bool = False) -> Evidence:
    """Evidence of one attempt."""
    evidence = Evidence(case, "g", f"the case {case}", findings=findings, attempts=(Attempt(1),))
    return evidence.softened() if advisory else evidence


def judge(
    entries: Sequence[Entry],
    policy: GatePolicy | None = None,
    evidence: Sequence[Evidence | None] = (),
    spoiled: Sequence[str] = (),
) -> GateVerdict:
    """Judge a gate whose cases are called a, b, c, ..."""
    named = [replace(entry, case=name) for name, entry in zip("abcdefghij", entries, strict=False)]
    found = zip(named, evidence, strict=False)
    by_case = {entry.case: replace(item, case=entry.case) for entry, item in found if item}
    return judge_gate("g", policy or GatePolicy(), named, by_case, spoiled=spoiled)


# what happened to the cases -> the gate's verdict and its reasons, the worst first
CASES: dict[str, tuple[list[Entry], Verdict, list[str]]] = {
    "all passed": ([OK, OK], PASSED, []),
    "one failed": ([OK, BAD], FAILED, ["1 failed: b"]),
    "an error": (
        [OK, ended(Outcome.ERROR, "fixture")],
        INCOMPLETE,
        ["1 ended as error: fixture: b"],
    ),
    "a skip": ([OK, ended(Outcome.SKIPPED, "no")], INCOMPLETE, ["1 ended as skipped: no: b"]),
    "an expected failure": ([OK, ended(Outcome.XFAILED)], INCOMPLETE, ["1 ended as xfailed: b"]),
    "an unexpected pass": ([OK, ended(Outcome.XPASSED)], INCOMPLETE, ["1 ended as xpassed: b"]),
    "a pass when run again": ([OK, ended(Outcome.PASSED, reruns=2)], WARNED, ["1 warned: b"]),
    "a failure when run again": ([OK, ended(Outcome.FAILED, "no", 2)], FAILED, ["1 failed: b"]),
    "deselected": ([OK, DESELECTED], INCOMPLETE, ["1 was deselected: b"]),
    "never started": ([OK, SELECTED], INCOMPLETE, ["1 never started: b"]),
    "lost": ([OK, STARTED], INCOMPLETE, ["1 started and never reported: b"]),
    "never collected": ([OK, DECLARED], INCOMPLETE, ["1 was declared but never collected: b"]),
    "no cases": ([], NOT_RUN, ["the gate has no cases"]),
    "one deselected": ([DESELECTED], NOT_RUN, ["none of its 1 cases ran: they were deselected"]),
    "all left out": (
        [DESELECTED, SELECTED, DESELECTED],
        NOT_RUN,
        ["none of its 3 cases ran: they never started or were deselected"],
    ),
    "all left behind": (
        [DECLARED, DESELECTED],
        NOT_RUN,
        ["none of its 2 cases ran: they were declared but never collected or were deselected"],
    ),
    "only a lost one": ([STARTED], INCOMPLETE, ["1 started and never reported: a"]),
    "only a skipped one": ([ended(Outcome.SKIPPED)], INCOMPLETE, ["1 ended as skipped: a"]),
    "several of a kind": (
        [DESELECTED, BAD, DESELECTED, STARTED, OK, BAD, ended(Outcome.PASSED, reruns=1)],
        FAILED,
        [
            "2 failed: b, f",
            "2 were deselected: a, c",
            "1 started and never reported: d",
            "1 warned: g",
        ],
    ),
    "many": ([BAD] * 7, FAILED, ["7 failed: a, b, c, d, e and 2 more"]),
    "failed outweighs lost": (
        [STARTED, BAD],
        FAILED,
        ["1 failed: b", "1 started and never reported: a"],
    ),
}


@pytest.mark.parametrize("row", CASES)
def test_a_gate_passes_only_if_every_case_did(row: str) -> None:
    """Every fate of a case has its verdict and its reason."""
    entries, verdict, reasons = CASES[row]

    judged = judge(entries)

    assert (judged.verdict, list(judged.reasons)) == (verdict, reasons)


@pytest.mark.parametrize(
    ("entry", "evidence", "verdict", "reason"),
    [
        (OK, None, PASSED, ""),
        (OK, seen(), PASSED, ""),
        (OK, seen("?", NOTE), PASSED, ""),
        (OK, seen("?", WARNING), WARNED, "it is odd"),
        (OK, seen("?", FAILURE), FAILED, "it is wrong"),
        (OK, seen("?", WARNING, FAILURE), FAILED, "it is wrong"),
        (OK, seen("?", FAILURE, advisory=True), WARNED, "it is wrong"),
        (BAD, seen("?", FAILURE), FAILED, "it is wrong"),
        (BAD, seen("?", FAILURE, advisory=True), FAILED, "no"),
        (ended(Outcome.SKIPPED), seen("?", FAILURE), FAILED, "it is wrong"),
        (ended(Outcome.XFAILED), seen("?", FAILURE), FAILED, "it is wrong"),
        (ended(Outcome.ERROR, "late"), seen("?", FAILURE), FAILED, "it is wrong"),
        (ended(Outcome.SKIPPED, "no"), seen(), INCOMPLETE, "ended as skipped: no"),
        (
            ended(Outcome.ERROR, "late"),
            seen("?", FAILURE, advisory=True),
            INCOMPLETE,
            "ended as error: late",
        ),
        (ended(Outcome.PASSED, reruns=2), seen(), WARNED, "passed only when run 3 times"),
        (STARTED, None, INCOMPLETE, "started and never reported"),
        (SELECTED, None, NOT_RUN, "never started"),
    ],
)
def test_a_case_is_judged_by_its_life_and_its_evidence(
    entry: Entry, evidence: Evidence | None, verdict: Verdict, reason: str
) -> None:
    """A test that looks away from a failure it recorded does not pass; an advisory one warns."""
    judged = judge([replace(entry, duration_s=1.5)], evidence=[evidence])

    (case,) = judged.cases
    assert (case.verdict, case.reason, case.duration_s) == (verdict, reason, 1.5)
    assert case.name == ("the case ?" if evidence else "a")
    assert judged.verdict is verdict


@pytest.mark.parametrize(
    ("entries", "least", "verdict", "reasons"),
    [
        ([OK, OK], 2, PASSED, []),
        ([OK, OK], 3, INCOMPLETE, ["2 cases ran, the policy asks for 3"]),
        ([OK, BAD], 3, FAILED, ["1 failed: b", "2 cases ran, the policy asks for 3"]),
        (
            [OK, DESELECTED],
            2,
            INCOMPLETE,
            ["1 was deselected: b", "1 cases ran, the policy asks for 2"],
        ),
        ([], 2, NOT_RUN, ["the gate has no cases"]),
    ],
)
def test_too_few_cases_are_incomplete(
    entries: list[Entry], least: int, verdict: Verdict, reasons: list[str]
) -> None:
    """A file of cases that was left behind is noticed."""
    judged = judge(entries, GatePolicy(min_cases=least))

    assert (judged.verdict, list(judged.reasons)) == (verdict, reasons)


@pytest.mark.parametrize(
    ("entries", "verdict", "reasons"),
    [
        ([OK], INCOMPLETE, ["Ctrl-C"]),
        ([ended(Outcome.PASSED, reruns=1)], INCOMPLETE, ["Ctrl-C", "1 warned: a"]),
        ([BAD], FAILED, ["1 failed: a", "Ctrl-C"]),
        ([SELECTED], NOT_RUN, ["none of its 1 cases ran: they never started", "Ctrl-C"]),
        ([], NOT_RUN, ["the gate has no cases", "Ctrl-C"]),
    ],
)
def test_a_spoiled_run_passes_no_gate(
    entries: list[Entry], verdict: Verdict, reasons: list[str]
) -> None:
    """An interrupt, a crashed worker, a build that changed: whatever was seen is incomplete."""
    judged = judge(entries, spoiled=["Ctrl-C"])

    assert (judged.verdict, list(judged.reasons)) == (verdict, reasons)


MEASURED = {
    "a": replace(seen("a"), measurements=(figure("ttfb_ms", 80), figure("latency_ms", 10, 20, 30))),
    "b": replace(seen("b"), measurements=(figure("ttfb_ms", 90, error=5), figure("x_ms", 1))),
    "c": replace(seen("c"), measurements=(figure("ttfb_ms", 300, limit=400),)),
    "d": replace(seen("d"), attempts=(Attempt(1), Attempt(2, "no"))),
    "f": replace(seen("f"), attempts=(Attempt(1, "no"), Attempt(2))),
    "e": replace(seen("e"), measurements=(figure("latency_ms", 5, 95, error=2),)),
}
THRESHOLDS = [
    # name, limit, cases -> decision, value, case, samples
    ("ttfb_ms", 100, "ab", Decision.KEPT, 90, "b", 1),
    ("ttfb_ms", 95, "ab", Decision.KEPT, 90, "b", 1),
    ("ttfb_ms", 94, "ab", Decision.OPEN, 90, "b", 1),
    ("ttfb_ms", 85, "ab", Decision.OPEN, 90, "b", 1),
    ("ttfb_ms", 84, "ab", Decision.BROKEN, 90, "b", 1),
    ("ttfb_ms", 50, "bc", Decision.BROKEN, 90, "b", 1),
    ("ttfb_ms", 100, "c", Decision.KEPT, 300, "c", 1),
    ("x_ms", 1, "abc", Decision.KEPT, 1, "b", 1),
    ("latency_ms", 25, "a", Decision.OPEN, 20, "a", 3),
    ("p50_ms", 20, "a", Decision.KEPT, 20, "", 3),
    ("p50_ms", 19.9, "a", Decision.BROKEN, 20, "", 3),
    ("p95_ms", 97, "ae", Decision.KEPT, 95, "", 5),
    ("p95_ms", 96, "ae", Decision.OPEN, 95, "", 5),
    ("p95_ms", 92.9, "ae", Decision.BROKEN, 95, "", 5),
    ("p99.9_ms", 97, "ae", Decision.KEPT, 95, "", 5),
    ("p5_ms", 10, "ae", Decision.KEPT, 5, "", 5),
    ("max_ms", 97, "ae", Decision.KEPT, 95, "", 5),
    ("p50_ttfb_ms", 100, "abc", Decision.KEPT, 90, "", 3),
    ("max_ttfb_ms", 100, "abc", Decision.BROKEN, 300, "", 3),
    ("error_rate", 0, "abc", Decision.KEPT, 0, "", 3),
    ("error_rate", 0.25, "abcd", Decision.KEPT, 0.25, "", 4),
    ("error_rate", 0.24, "abcd", Decision.BROKEN, 0.25, "", 4),
    ("error_rate", 0, "abf", Decision.KEPT, 0, "", 3),
]


@pytest.mark.parametrize(
    ("name", "limit", "cases", "decision", "value", "case", "samples"), THRESHOLDS
)
def test_a_threshold_is_compared_with_its_figure(
    name: str,
    limit: float,
    cases: str,
    decision: Decision,
    value: float,
    case: str,
    samples: int,
) -> None:
    """Percentiles over all cases, other figures by the worst case, against its own limit if any."""
    judged = judge_threshold(name, limit, [MEASURED[letter] for letter in cases])

    assert judged.estimate is not None
    assert (judged.decision, judged.estimate.value) == (decision, value)
    assert (judged.case, judged.samples) == (case, samples)
    assert (judged.reason == "") == (decision is Decision.KEPT)
    assert judged.limit == (400 if (case, name) == ("c", "ttfb_ms") else limit)


@pytest.mark.parametrize(
    "name", ["ttfb_ms", "p95_ms", "p95_ttfb_ms", "max_ms", "error_rate", "p0_ms", "p100_ms"]
)
def test_a_threshold_that_was_never_measured(name: str) -> None:
    """A misspelt or an impossible one is not kept by being ignored."""
    evidence = [replace(seen("a"), attempts=(), measurements=(figure("other_ms", 1),))]

    judged = judge_threshold(name, 5, evidence)

    assert judged == ThresholdVerdict(name, 5, None, None, 0)
    assert judged.reason == f"the threshold {name} was never measured"


OPEN_RATE = (
    "min_rps >= 50 could not be shown in b: 50 [49, 51] straddles the limit after 1200 samples"
)


@pytest.mark.parametrize(
    ("values", "decision", "reason"),
    [
        ((60,), Decision.KEPT, ""),
        ((49, 51), Decision.OPEN, OPEN_RATE),
        ((40,), Decision.BROKEN, "min_rps is 40 [40, 40] in b, below the limit 50"),
    ],
)  # fmt: skip
def test_a_threshold_that_must_be_reached(
    values: tuple[float, ...], decision: Decision, reason: str
) -> None:
    """The lowest case counts; observations are counted, not their summary."""
    low = replace(figure("min_rps", *values), count=1200)
    evidence = [
        replace(seen("a"), measurements=(figure("min_rps", 90),)),
        replace(seen("b"), measurements=(low,)),
    ]
    judged = judge_threshold("min_rps", 50, evidence)

    assert (judged.decision, judged.reason, judged.case) == (decision, reason, "b")
    assert judged.samples == 1200


def test_a_figure_of_that_name_goes_before_a_pooled_one() -> None:
    """A load's own P95 and error rate have intervals, which those of samples have not."""
    measured = replace(
        seen("a"),
        measurements=(figure("latency_ms", 1), figure("p95_ms", 400, 600), figure("error_rate", 0)),
    )

    assert judge_threshold("p95_ms", 500, [measured]).decision is Decision.OPEN
    assert judge_threshold("error_rate", 0.01, [measured]).case == "a"


KEPT = replace(seen(), measurements=(figure("ttfb_ms", 80),))
OPEN = replace(seen(), measurements=(figure("ttfb_ms", 90, 110),))
BROKEN = replace(seen(), measurements=(figure("ttfb_ms", 120),))
OPEN_REASON = (
    "ttfb_ms <= 100 could not be shown in b: 100 [90, 110] straddles the limit after 2 samples"
)
BROKEN_REASON = "ttfb_ms is 120 [120, 120] in b, above the limit 100"


@pytest.mark.parametrize(
    ("entry", "evidence", "verdict", "reasons"),
    [
        (OK, KEPT, PASSED, []),
        (OK, OPEN, FAILED, [OPEN_REASON]),
        (OK, BROKEN, FAILED, [BROKEN_REASON]),
        (OK, replace(BROKEN, findings=(WARNING,)), FAILED, [BROKEN_REASON, "1 warned: b"]),
        (STARTED, BROKEN, FAILED, [BROKEN_REASON, "1 started and never reported: b"]),
        (OK, BROKEN.softened(), PASSED, []),
        (BAD, BROKEN, FAILED, ["1 failed: b", BROKEN_REASON]),
    ],
)
def test_a_threshold_counts_like_a_case(
    entry: Entry, evidence: Evidence, verdict: Verdict, reasons: list[str]
) -> None:
    """Broken or not shown is FAILED; an advisory case breaks no threshold."""
    judged = judge([OK, entry], GatePolicy(thresholds={"ttfb_ms": 100}), [KEPT, evidence])

    assert (judged.verdict, list(judged.reasons)) == (verdict, reasons)


def test_an_unmeasured_threshold_is_incomplete() -> None:
    """Even where all that would have been measured is advisory; and it does not hide a failure."""
    policy = GatePolicy(thresholds={"ttfb_ms": 100, "p95_ms": 5})

    advisory = judge([OK], policy, [KEPT.softened()])
    failed = judge([OK], policy, [BROKEN])

    assert advisory.verdict is INCOMPLETE
    assert advisory.reasons == (
        "the threshold ttfb_ms was never measured",
        "the threshold p95_ms was never measured",
    )
    assert failed.verdict is FAILED
    assert failed.reasons[1] == "the threshold p95_ms was never measured"
    assert [threshold.name for threshold in failed.thresholds] == ["ttfb_ms", "p95_ms"]


def test_a_gate_counts_and_finds_its_slowest() -> None:
    """For the table at the end of a run."""
    judged = judge([OK, replace(BAD, duration_s=3), replace(OK, duration_s=2), SELECTED])

    assert (judged.count(PASSED), judged.count(PASSED, FAILED), judged.count(WARNED)) == (2, 3, 0)
    assert judged.slowest is not None
    assert judged.slowest.case == "b"
    assert judge([]).slowest is None


GATES = ["basic", "stream", "payment"]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("", "basic"),
        ("stream", "stream"),
        (" stream ", "stream"),
        ("(stream)", "stream"),
        ("basic or payment", "basic payment"),
        ("(basic or payment) and not slow", "basic payment"),
        ("basic and payment", ""),
        ("not stream", "basic payment"),
        ("not (stream or basic)", "payment"),
        ("stream and not slow", "stream"),
        ("stream or slow", "stream"),
        ("slow", ""),
        ("not slow", "basic stream payment"),
        ("stream(level=1)", "stream"),
        ("stream(level='a') or payment", "stream payment"),
        ("not stream(level=1)", "basic payment"),
        # what only pytest can read, or nobody
        ("stream and", "basic stream payment"),
        ("a-b", "basic stream payment"),
        ("stream if slow else basic", "basic stream payment"),
        ("stream == 1", "basic stream payment"),
        ("~stream", "basic stream payment"),
        ("1", "basic stream payment"),
        ("\x00", "basic stream payment"),
        ("(" * 500 + "stream" + ")" * 500, "basic stream payment"),
        ("not " * 20_001 + "stream", "basic stream payment"),
        ("   ", "basic stream payment"),
    ],
)
def test_the_gates_that_a_command_asks_for(expression: str, expected: str) -> None:
    """Those whose marker alone would be selected; without ``-m`` the required ones."""
    assert asked_for(expression, GATES, ["basic"]) == set(expected.split())


NOW = datetime(2026, 1, 2, tzinfo=UTC)
CONTEXT = Context(
    "0123abcd", "here", "staging", "hifate", "http://here", "0" * 64, {}, Release(), NOW, NOW, {}
)


def gate(name: str, verdict: Verdict, *, required: bool = True, asked: bool = True) -> GateVerdict:
    """A gate that came to a verdict."""
    return GateVerdict(name, verdict, required, asked, (), ())


def judged_run(gates: Sequence[GateVerdict], release: Release | None = None) -> RunVerdict:
    """Judge a run of a release."""
    return judge_run(gates, replace(CONTEXT, release=release or Release()))


# gates: required unless in (), asked for unless in [] -> verdict, exit status 0, reasons
RUNS: list[tuple[str, Verdict, bool, str]] = [
    ("a=PASSED", PASSED, True, ""),
    ("a=PASSED b=PASSED", PASSED, True, ""),
    ("a=PASSED b=WARNED", WARNED, True, "b is WARNED"),
    ("a=PASSED b=INCOMPLETE", INCOMPLETE, False, "b is INCOMPLETE"),
    ("a=PASSED b=NOT_RUN", INCOMPLETE, False, "b is NOT_RUN"),
    ("a=PASSED b=FAILED", FAILED, False, "b is FAILED"),
    ("a=INCOMPLETE b=FAILED", FAILED, False, "b is FAILED, a is INCOMPLETE"),
    ("a=WARNED b=NOT_RUN c=FAILED", FAILED, False, "c is FAILED, b is NOT_RUN, a is WARNED"),
    ("a=NOT_RUN b=NOT_RUN", NOT_RUN, False, "no gate ran"),
    # -m a: a's verdict is the exit status, the run says what did not run
    ("a=PASSED [b=NOT_RUN]", INCOMPLETE, True, "b is NOT_RUN"),
    ("a=WARNED [b=NOT_RUN]", INCOMPLETE, True, "b is NOT_RUN, a is WARNED"),
    ("a=FAILED [b=NOT_RUN]", FAILED, False, "a is FAILED, b is NOT_RUN"),
    ("[a=NOT_RUN] b=NOT_RUN", NOT_RUN, False, "no gate ran"),
    # gates that are not required
    ("a=PASSED ([b=NOT_RUN])", PASSED, True, ""),
    ("a=PASSED (b=NOT_RUN)", PASSED, False, ""),
    ("a=PASSED (b=PASSED)", PASSED, True, ""),
    ("a=PASSED (b=WARNED)", WARNED, True, "b is WARNED"),
    ("a=PASSED (b=FAILED)", WARNED, False, "b is FAILED"),
    ("a=PASSED (b=INCOMPLETE)", WARNED, False, "b is INCOMPLETE"),
    ("(a=PASSED)", PASSED, True, ""),
    ("(a=FAILED)", WARNED, False, "a is FAILED"),
    ("(a=NOT_RUN)", NOT_RUN, False, "no gate ran"),
    # nothing was asked for
    ("[a=PASSED]", PASSED, False, ""),
    ("", NOT_RUN, False, "no gate ran"),
]


@pytest.mark.parametrize(("text", "verdict", "accepted", "reasons"), RUNS)
def test_a_run_passes_only_if_every_required_gate_did(
    text: str, verdict: Verdict, accepted: bool, reasons: str
) -> None:
    """And the exit status is that of the gates that were asked for."""
    gates = [
        gate(word.strip("([])")[0], Verdict(word.strip("([])")[2:]), required="(" not in word,
             asked="[" not in word)
        for word in text.split()
    ]  # fmt: skip

    judged = judged_run(gates)

    assert (judged.verdict, judged.accepted) == (verdict, accepted)
    assert ", ".join(judged.reasons) == reasons
    assert judged.gates == tuple(gates)


@pytest.mark.parametrize("verdict", Verdict)
def test_another_release_than_the_one_asked_for_fails(verdict: Verdict) -> None:
    """Whatever the gates came to."""
    judged = judged_run([gate("a", verdict)], Release("1.0", Identity("1.1")))

    assert (judged.verdict, judged.accepted) == (FAILED, False)
    assert judged.reasons[0] == "release 1.0 was asked for, the deployment is 1.1"


def test_verdicts_are_ordered_and_two_are_accepted() -> None:
    """PASSED is the best, FAILED the worst."""
    assert sorted(Verdict, key=lambda verdict: verdict.badness) == [
        PASSED, WARNED, NOT_RUN, INCOMPLETE, FAILED,
    ]  # fmt: skip
    assert [verdict for verdict in Verdict if verdict.accepted] == [PASSED, WARNED]


ENTRIES = st.builds(
    replace,
    st.just(DECLARED),
    collected=st.booleans(),
    selected=st.booleans(),
    started=st.booleans(),
    reruns=st.integers(0, 1),
    outcome=st.none() | st.sampled_from(Outcome),
)
EVIDENCE = st.none() | st.sampled_from(
    [seen(), seen("?", WARNING), seen("?", FAILURE), seen("?", FAILURE, advisory=True), KEPT, OPEN]
)
POLICIES = st.builds(
    GatePolicy,
    required=st.booleans(),
    min_cases=st.integers(1, 4),
    thresholds=st.sampled_from([{}, {"ttfb_ms": 100.0}, {"error_rate": 0.5}]),
)
MISSING = [DECLARED, DESELECTED, SELECTED, STARTED]
RUIN = [*MISSING, BAD, *(ended(outcome) for outcome in Outcome if outcome is not Outcome.PASSED)]


@given(
    cases=st.lists(st.tuples(ENTRIES, EVIDENCE), max_size=4),
    policy=POLICIES,
    ruin=st.sampled_from(RUIN),
    spoiled=st.sampled_from([(), ("Ctrl-C",)]),
)
def test_a_case_that_is_missing_or_failed_never_improves_a_verdict(
    cases: list[tuple[Entry, Evidence | None]],
    policy: GatePolicy,
    ruin: Entry,
    spoiled: tuple[str, ...],
) -> None:
    """Neither the gate's nor the run's; and only what has nothing against it has PASSED."""
    entries, evidence = [entry for entry, _ in cases], [item for _, item in cases]

    before = judge(entries, policy, evidence, spoiled)
    after = judge([*entries, ruin], policy, evidence, spoiled)

    assert after.verdict.badness >= before.verdict.badness
    assert not after.verdict.accepted
    runs = [judged_run([gate("other", PASSED), judged]) for judged in (before, after)]
    assert runs[1].verdict.badness >= runs[0].verdict.badness
    assert runs[1].accepted <= runs[0].accepted
    both = [(judged.verdict, judged.reasons) for judged in (before, after)]
    both += [(judged.verdict, judged.reasons) for judged in runs]
    assert all((verdict is PASSED) == (reasons == ()) for verdict, reasons in both)


@given(
    verdicts=st.lists(
        st.tuples(st.sampled_from(Verdict), st.booleans(), st.booleans()), max_size=4
    ),
    more=st.tuples(st.sampled_from([v for v in Verdict if not v.accepted]), st.booleans()),
)
def test_a_gate_that_did_not_pass_never_improves_a_run(
    verdicts: list[tuple[Verdict, bool, bool]], more: tuple[Verdict, bool]
) -> None:
    """Not its acceptance, and a required one not its verdict."""
    gates = [gate(str(i), v, required=r, asked=a) for i, (v, r, a) in enumerate(verdicts)]
    verdict, asked = more

    before, after = judged_run(gates), judged_run([*gates, gate("x", verdict, asked=asked)])

    assert after.accepted <= before.accepted
    assert after.verdict.badness >= before.verdict.badness
    assert not after.verdict.accepted
