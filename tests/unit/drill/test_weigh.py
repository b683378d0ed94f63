"""Tests of what the engine makes of a gate's verdict."""

from __future__ import annotations

import re

import pytest

from pytest_release.config.environment import GatePolicy
from pytest_release.drill.engine import State, judge, weigh
from pytest_release.drill.recipe import Recipe
from pytest_release.evidence import Evidence, Finding, Severity

RECIPE = Recipe("basic.server-error", "basic.status", "status 500", "basic/health")


def evidence(*findings: Finding) -> Evidence:
    """What a case of basic found."""
    return Evidence("basic/health", "basic", "health", findings=findings)


@pytest.mark.parametrize(
    ("finding", "state", "message"),
    [
        (Finding("basic.status", "status 500 instead of 200"), State.CAUGHT, "^status 500 inst"),
        (Finding("basic.status", "status 502"), State.OTHER, r"FAILED: basic\.status: status 502"),
        (Finding("basic.schema", "status 500"), State.OTHER, r"FAILED: basic\.schema: status 500"),
        (
            Finding("basic.status", "status 500", Severity.WARNING),
            State.OTHER,
            r"basic is WARNED: basic\.status: status 500",
        ),
    ],
)
def test_code_message_and_verdict_must_be_right(
    finding: Finding, state: State, message: str
) -> None:
    """Of the right gate, too, anything less is not caught; what was said instead is told."""
    verdict = judge("basic", GatePolicy(min_cases=6), [evidence(finding)])
    found, said = weigh(RECIPE, verdict)

    assert found is state
    assert re.search(message, said)


def test_nothing_found_is_missed() -> None:
    """A gate that passes has not seen it."""
    verdict = judge("basic", GatePolicy(), [evidence()])

    assert weigh(RECIPE, verdict) == (State.MISSED, "basic is PASSED")


def test_a_case_of_another_gate_does_not_catch() -> None:
    """Not even with the right code."""
    seen = evidence(Finding("basic.status", "status 500"))
    recipe = Recipe("tkg.no-edges", "tkg.size", "0 rows", "basic/health")

    assert weigh(recipe, judge("basic", GatePolicy(), [seen]))[0] is State.MISSED
