"""Checks of the environment: made once, everything undone, and nothing that goes wrong is lost."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from pytest_release.config.cases import CheckCase
from pytest_release.config.environment import Environment, GatePolicy
from pytest_release.errors import TargetError
from pytest_release.evidence import Evidence, Finding
from pytest_release.gates._check import check, concluded
from pytest_release.gates._conductor import Conductor
from pytest_release.gates._scene import Scene
from pytest_release.sampling import Decision
from pytest_release.targets.http import HttpTarget

HERE = Path("here.yaml")
CASE = CheckCase("probe/a", "probe", "a", HERE, 1, check="b")
ENVIRONMENT = Environment("here", "production", "shop", "http://127.0.0.1:1", HERE, "", {})
Measure = Callable[[CheckCase, GatePolicy, Scene], Evidence]
Install = Callable[[Measure], None]


@pytest.fixture
def scene() -> Scene:
    """Of an environment where nobody answers."""
    return Scene(ENVIRONMENT, HttpTarget(ENVIRONMENT))


@pytest.fixture
def probe(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Makes a function the gate ``probe``."""

    def install(measure: Measure) -> None:
        module = ModuleType("probe")
        module.measure = measure  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "pytest_release.gates.probe", module)

    return install


def fine(case: CheckCase, policy: GatePolicy, _scene: Scene) -> Evidence:
    """Nothing to say."""
    return concluded(case, policy, ())


def test_a_check_knows_role_and_policy(probe: Install, scene: Scene) -> None:
    """What keeps production safe reaches the gate."""
    seen = []

    def measure(case: CheckCase, policy: GatePolicy, scene: Scene) -> Evidence:
        seen.append((scene.environment.role, policy.options))
        return fine(case, policy, scene)

    probe(measure)
    evidence = check(CASE, GatePolicy(options={"mode": "test"}), scene)

    assert seen == [("production", {"mode": "test"})]
    assert (evidence.findings, len(evidence.attempts)) == ((), 1)


def test_no_answer_is_a_finding(probe: Install, scene: Scene) -> None:
    """With the error's own sentence."""

    def measure(*_: object) -> Evidence:
        raise TargetError("nobody there")

    probe(measure)
    (failure,) = check(CASE, GatePolicy(), scene).failures

    assert (failure.code, failure.message) == ("probe.no-answer", "nobody there")


def test_everything_is_undone_whatever_happens(probe: Install, scene: Scene) -> None:
    """The last first, also behind a bug of the gate."""
    undone: list[str] = []

    def measure(_case: CheckCase, _policy: GatePolicy, scene: Scene) -> Evidence:
        scene.afterwards("one", lambda: undone.append("one"))
        scene.afterwards("two", lambda: undone.append("two"))
        raise KeyboardInterrupt

    probe(measure)
    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        check(CASE, GatePolicy(), scene)

    assert undone == ["two", "one"]
    assert scene.leave() == []


def test_what_stays_is_a_finding(probe: Install, scene: Scene) -> None:
    """One thing that cannot be undone keeps no other from it; the check fails."""
    undone: list[str] = []

    def cannot() -> None:
        raise TargetError("status 500")

    def measure(case: CheckCase, policy: GatePolicy, scene: Scene) -> Evidence:
        scene.afterwards("the user", lambda: undone.append("the user"))
        scene.afterwards("the order 17", cannot)
        return fine(case, policy, scene)

    probe(measure)
    (failure,) = check(CASE, GatePolicy(), scene).failures

    assert failure.code == "probe.left-behind"
    assert failure.message == "the order 17 was left behind: status 500"
    assert undone == ["the user"]


def test_an_advisory_check_warns(probe: Install, scene: Scene) -> None:
    """Softened once, here."""
    finding = Finding("probe.bad", "too bad")
    probe(lambda case, policy, _: concluded(case, policy, (finding,)))
    evidence = check(replace(CASE, advisory=True), GatePolicy(), scene)

    assert (evidence.failures, len(evidence.warnings)) == ((), 1)


def test_figures_have_limits() -> None:
    """The case's own before the policy's; a count is judged like a time."""
    case = replace(CASE, expect={"workers": 2})
    policy = GatePolicy(thresholds={"workers": 9.0, "wait_ms": 5.0})
    evidence = concluded(case, policy, (), {"workers": [3], "wait_ms": [1.0, 1.0], "none": []})

    assert [m.decision for m in evidence.measurements] == [Decision.BROKEN, Decision.KEPT]
    assert [f.code for f in evidence.findings] == ["probe.workers"]
    assert "workers is above the limit: 3.00 [3.00, 3.00]" in evidence.explain()


def test_checks_overlap_as_far_as_the_policy_allows(probe: Install) -> None:
    """With ``concurrency`` two checks are under way at once, each in a scene of its own."""
    together = threading.Barrier(2)
    scenes = []

    def measure(case: CheckCase, policy: GatePolicy, scene: Scene) -> Evidence:
        together.wait(timeout=10)
        scenes.append(scene)
        return fine(case, policy, scene)

    probe(measure)
    environment = replace(ENVIRONMENT, gates={"probe": GatePolicy(concurrency=2)})
    conductor = Conductor(environment, HttpTarget(environment))
    cases = [CASE, replace(CASE, id="probe/b")]
    conductor.plan(cases)

    assert [conductor.evidence(case).case for case in cases] == ["probe/a", "probe/b"]
    assert scenes[0] is not scenes[1]


ENDS_EARLY = """
import os, sys, threading
from pathlib import Path
from pytest_release.gates._scene import Scene
scene = Scene(None, None)
def work():
    scene.afterwards("the order", lambda: print("undone", flush=True))
    ready.set()
    threading.Event().wait()
ready = threading.Event()
threading.Thread(target=work, daemon=True).start()
ready.wait()
"""


def test_the_end_of_the_process_undoes_what_a_thread_had_no_time_for() -> None:
    """An interrupted run does not wait for its threads, and leaves nothing behind all the same."""
    run = [sys.executable, "-c", ENDS_EARLY]

    assert subprocess.run(run, capture_output=True, text=True, check=True).stdout == "undone\n"
