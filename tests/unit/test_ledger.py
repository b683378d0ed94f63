"""Tests of `pytest_release.ledger`."""

from __future__ import annotations

from itertools import pairwise, permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_release.ledger import Entry, Ledger, Outcome

PASSED, FAILED, ERROR = Outcome.PASSED, Outcome.FAILED, Outcome.ERROR
SKIPPED, XFAILED, XPASSED = Outcome.SKIPPED, Outcome.XFAILED, Outcome.XPASSED


def only(ledger: Ledger) -> Entry:
    """The one entry of a ledger."""
    (entry,) = ledger.entries()
    return entry


def test_a_life_from_declaration_to_report() -> None:
    """Each step is noted, and the fate of a case that stops there is named."""
    ledger = Ledger()

    ledger.declare("a", "g")
    assert only(ledger).fate == "was declared but never collected"
    ledger.collect("a", "g", selected=False)
    assert only(ledger).fate == "was deselected"
    ledger.collect("a", "g", selected=True)
    assert only(ledger).fate == "never started"
    ledger.start("a", "g")
    assert only(ledger).fate == "started and never reported"
    ledger.report("a", "g", PASSED)

    assert only(ledger) == Entry("a", "g", True, True, True, outcome=PASSED)


def test_what_started_was_started_whatever_else_is_known() -> None:
    """A worker may be heard of before its collection is."""
    ledger = Ledger()

    ledger.start("a", "g")

    assert only(ledger).fate == "started and never reported"


def test_declaring_again_changes_nothing() -> None:
    """Nor does collecting as deselected what another worker selected."""
    ledger = Ledger()
    ledger.collect("a", "g", selected=True)
    ledger.report("a", "g", PASSED)

    ledger.declare("a", "g")
    ledger.collect("a", "g", selected=False)

    assert only(ledger) == Entry("a", "g", True, True, True, outcome=PASSED)


def test_a_case_is_known_by_gate() -> None:
    """One test may count for two gates; entries come in the order they became known."""
    ledger = Ledger()
    for case, gate in (("b", "x"), ("a", "y"), ("a", "x"), ("b", "x")):
        ledger.declare(case, gate)

    assert [(e.case, e.gate) for e in ledger.entries()] == [("b", "x"), ("a", "y"), ("a", "x")]
    assert [e.case for e in ledger.entries("x")] == ["b", "a"]
    assert list(ledger.entries("z")) == []


@pytest.mark.parametrize(
    ("reports", "outcome", "detail"),
    [
        ([(PASSED, "")], PASSED, ""),
        ([(PASSED, ""), (ERROR, "teardown")], ERROR, "teardown"),
        ([(ERROR, "teardown"), (PASSED, "")], ERROR, "teardown"),
        ([(FAILED, "first"), (FAILED, "second")], FAILED, "first"),
        ([(FAILED, "body"), (ERROR, "teardown")], FAILED, "body"),
        ([(ERROR, "set-up"), (FAILED, "body")], FAILED, "body"),
        ([(SKIPPED, "why"), (PASSED, ""), (FAILED, "body")], FAILED, "body"),
        ([(SKIPPED, "why"), (ERROR, "teardown")], SKIPPED, "why"),
        ([(XFAILED, "known"), (PASSED, "")], XFAILED, "known"),
        ([(XPASSED, "odd"), (PASSED, "")], XPASSED, "odd"),
    ],
)
def test_the_worst_report_stays(
    reports: list[tuple[Outcome, str]], outcome: Outcome, detail: str
) -> None:
    """A passed teardown heals nothing, and a failure is not hidden behind a skip."""
    ledger = Ledger()
    for reported, reason in reports:
        ledger.report("a", "g", reported, reason)

    assert (only(ledger).outcome, only(ledger).detail) == (outcome, detail)


PHASES = {
    "passed": ("setup passed, call passed, teardown passed", PASSED, 0),
    "failed": ("setup passed, call failed, teardown passed", FAILED, 0),
    "skipped in set-up": ("setup skipped, teardown passed", SKIPPED, 0),
    "skipped in the body": ("setup passed, call skipped, teardown passed", SKIPPED, 0),
    "error in set-up": ("setup error, teardown passed", ERROR, 0),
    "error in teardown": ("setup passed, call passed, teardown error", ERROR, 0),
    "lost in the body": ("setup passed", None, 0),
    "lost in teardown": ("setup passed, call passed", None, 0),
    "lost body": ("setup passed, teardown passed", None, 0),
    "passed when run again": (
        "setup passed, call -, teardown passed, setup passed, call passed, teardown passed",
        PASSED,
        1,
    ),
    "set-up run again": ("setup -, teardown passed, setup passed, call passed, teardown passed",
        PASSED, 1),
    "failed when run again": (
        "setup passed, call -, teardown passed, setup passed, call failed, teardown passed",
        FAILED,
        1,
    ),
    "lost when run again": ("setup passed, call -, teardown passed, setup passed", None, 1),
    "run again after its teardown": (
        "setup passed, call passed, teardown -, setup passed, teardown passed",
        None,
        1,
    ),
}  # fmt: skip


@pytest.mark.parametrize("life", PHASES)
def test_a_case_came_to_its_end_with_its_teardown(life: str) -> None:
    """It passed only if its body and its teardown did, after however many runs."""
    phases, outcome, reruns = PHASES[life]
    ledger = Ledger()
    for phase in phases.split(", "):
        when, _, word = phase.partition(" ")
        reported = None if word == "-" else Outcome(word)
        ledger.phase("a", "g", when, reported, "why", 0.25)

    entry = only(ledger)
    assert (entry.outcome, entry.reruns) == (outcome, reruns)
    assert entry.started
    assert entry.duration_s == 0.25 * len(phases.split(", "))
    assert entry.detail == ("" if outcome in (None, PASSED) else "why")


@given(outcomes=st.lists(st.sampled_from(Outcome), min_size=1, max_size=4))
def test_no_report_makes_a_case_better(outcomes: list[Outcome]) -> None:
    """Once it has not passed it never will have, and a failure stays one, in any order."""
    for order in permutations(outcomes):
        ledger = Ledger()
        seen: list[Outcome | None] = []
        for outcome in order:
            ledger.report("a", "g", outcome)
            seen.append(only(ledger).outcome)

        assert all(later is not PASSED for now, later in pairwise(seen) if now is not PASSED)
        assert (seen[-1] is FAILED) == (FAILED in order)
