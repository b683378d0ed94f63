"""A hot reload of real workers: two nodes, a window that is seen, and nothing left running."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_release.config.casebook import load_casebook
from pytest_release.config.cases import CheckCase
from pytest_release.config.environment import Environment, GatePolicy
from pytest_release.evidence import Evidence
from pytest_release.gates._check import check
from pytest_release.gates._scene import Scene
from pytest_release.sandbox.server import Sandbox
from pytest_release.targets.http import HttpTarget

ROOT = Path(__file__).parents[2]
CASES = {
    case.id.partition("/")[2]: case
    for case in load_casebook(ROOT / "fixtures", "demo", {}).of("hot_reload")
}
RELOAD = "reload-without-interruption"
QUICK = {"calls": 1, "lead_s": 0.1, "trail_s": 0.1, "confidence": 0.99}
NODES = {"workers": 1}


def sandbox(*faults: str, workers: int = 1) -> Sandbox:
    """One node of the system."""
    names = [f"hot_reload.{name}" for name in faults]
    return Sandbox(workers, names, gates=["hot_reload"])


@pytest.fixture
def made(environment_at: Callable[..., Environment]) -> Callable[..., Evidence]:
    """``made(name, address, policy, options, expect)``: a case of demo, made at an address."""

    def make(
        name: str,
        address: str,
        policy: Mapping[str, Any] = NODES,
        options: Mapping[str, Any] = QUICK,
        **expect: Any,  # noqa: ANN401 - of the case
    ) -> Evidence:
        case = CASES[name]
        assert isinstance(case, CheckCase)
        chosen = {**case.options, **options} if name == RELOAD else case.options
        case = replace(case, options=chosen, expect={**case.expect, **expect})
        environment = environment_at(address, role="staging")
        scene = Scene(environment, HttpTarget(environment))
        return check(case, GatePolicy(options=policy), scene)

    return make


def codes(evidence: Evidence) -> set[str]:
    """Without the gate's name."""
    return {finding.code.removeprefix("hot_reload.") for finding in evidence.findings}


def test_two_nodes_end_on_one_version(made: Callable[..., Evidence]) -> None:
    """Each is reloaded and each of its workers seen; requests go to both all the while."""
    with sandbox() as first, sandbox() as second:
        policy = {**NODES, "nodes": {"node2": {"base_url": second.base_url}}}
        reloaded = made(RELOAD, first.base_url, policy)
        same = made("all-nodes-run-the-same-code", first.base_url, policy)

    assert (codes(reloaded), codes(same)) == (set(), set())
    assert reloaded.course is not None
    assert {span.name for span in reloaded.course.spans} == {
        "reload-all 1 of here",
        "reload-all 1 of node2",
        "workers follow",
    }
    kinds = {point.kind for point in reloaded.course.points}
    assert {"payment status of here", "payment status of node2"} <= kinds
    assert (m := same.measurement("nodes")) is not None
    assert m.estimate.value == 2


def test_a_node_that_stays_behind_is_named(made: Callable[..., Evidence]) -> None:
    """With the version of each; its own reload is found to have done nothing, too."""
    with sandbox() as first, sandbox("no-effect") as second:
        policy = {**NODES, "nodes": {"node2": {"base_url": second.base_url}}}
        reloaded = made(RELOAD, first.base_url, policy, {**QUICK, "follow_s": 0.3})
        same = made("all-nodes-run-the-same-code", first.base_url, policy)

    assert [f.message for f in reloaded.failures if f.code == "hot_reload.not-new"] == [
        "node2: every worker is still on version 0: the reload reached none of them"
    ]
    (finding,) = same.failures
    assert finding.code == "hot_reload.nodes-differ"
    assert finding.message.startswith('source is not the same on all nodes: "')
    assert finding.message.endswith(" on node2")


def test_a_node_that_is_down_keeps_all_from_being_reloaded(made: Callable[..., Evidence]) -> None:
    """It is named; the other node has made no reload afterwards."""
    with sandbox() as first:
        policy = {**NODES, "nodes": {"node2": {"base_url": "http://127.0.0.1:9"}}}
        evidence = made(RELOAD, first.base_url, policy, {**QUICK, "follow_s": 2})
        recorded = made("the-reloads-are-recorded", first.base_url)

    assert codes(evidence) == {"no-answer", "workers", "not-begun"}
    assert evidence.failures[0].message.startswith("node2: GET http://127.0.0.1:9/api/v1")
    assert evidence.course is None
    assert codes(recorded) == {"history"}


def test_the_window_lies_between_lead_and_trail(made: Callable[..., Evidence]) -> None:
    """With requests before, in and behind it, and every reload within."""
    with sandbox() as node:
        evidence = made(RELOAD, node.base_url, options={**QUICK, "calls": 2, "pause_s": 0.3})

    assert codes(evidence) == set()
    course = evidence.course
    assert course is not None
    assert course.window is not None
    times = [point.at_ms for point in course.points]
    assert times[0] < course.window.start_ms < course.window.end_ms < times[-1]
    assert all(
        course.window.start_ms <= span.start_ms <= span.end_ms <= course.window.end_ms
        for span in course.spans
    )
    assert sum(course.window.start_ms < at < course.window.end_ms for at in times) >= 5


def test_workers_that_there_should_be_and_are_not(made: Callable[..., Evidence]) -> None:
    """One worker where the policy says two."""
    with sandbox() as node:
        evidence = made(
            RELOAD, node.base_url, {"workers": 2}, {**QUICK, "follow_s": 0.2, "max_answers": 30}
        )

    said = [f.message for f in evidence.failures if f.code == "hot_reload.workers"]
    assert [message.partition(":")[2][:37] for message in said] == [
        " 1 workers answered, 2 were expected:"
    ]


def test_what_runs_before_a_reload_is_old_code(made: Callable[..., Evidence]) -> None:
    """A deployment that was pulled and not reloaded is found without reloading it."""
    with sandbox() as node:
        before = made("every-worker-runs-the-code-on-disk", node.base_url)
        made(RELOAD, node.base_url)
        after = made("every-worker-runs-the-code-on-disk", node.base_url)

    assert (codes(before), codes(after)) == ({"old-code"}, set())


def test_nothing_is_left_running_when_a_reload_fails(made: Callable[..., Evidence]) -> None:
    """Not one thread of the steady requests."""
    with sandbox("empty-reload") as node:
        evidence = made(RELOAD, node.base_url)

    names = {thread.name for thread in threading.enumerate()}
    assert "empty-answer" in codes(evidence)
    assert evidence.course is not None
    assert not names & {"release-steady", "release-shot"}


def test_one_worker_can_be_told_to_look(environment_at: Callable[..., Environment]) -> None:
    """Where it is allowed; of two workers, one runs the new code then, which is found."""
    case = CheckCase("hot_reload/a", "hot_reload", "a", Path("a"), 1, check="one_worker")
    with sandbox(workers=2) as node:
        environment = environment_at(node.base_url, role="development")
        scene = Scene(environment, HttpTarget(environment))
        told = check(case, GatePolicy(), scene)
        seen = check(replace(case, check="workers"), GatePolicy(options={"workers": 2}), scene)

    assert codes(told) == set()
    assert codes(seen) == {"old-code"}
    assert len([f for f in seen.findings if " in worker " in f.message]) == 1


def test_a_server_that_takes_its_time_is_not_asked_for_ever(
    environment_at: Callable[..., Environment],
) -> None:
    """What is asked again and again has a time for all answers together."""
    options = {"follow_s": 0.0, "max_answers": 50}
    case = CheckCase("hot_reload/a", "hot_reload", "a", Path("a"), 1, check="verify")
    with sandbox() as node:
        environment = environment_at(node.base_url)
        scene = Scene(environment, HttpTarget(environment))
        evidence = check(replace(case, options=options), GatePolicy(), scene)

    assert [f.message for f in evidence.failures] == [
        "verify of here gave 0 of 11 answers within 0 s: not every worker was seen"
    ]
