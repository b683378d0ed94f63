"""Who runs when: once each, overlapping as the policy allows, dependents behind their sources."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pytest_release.config.cases import HttpCase, Request
from pytest_release.config.environment import Environment, GatePolicy
from pytest_release.errors import TargetError
from pytest_release.evidence import Evidence
from pytest_release.gates._conductor import Conductor
from pytest_release.gates._helper import Helper
from pytest_release.targets.clock import KERNEL
from pytest_release.targets.http import HttpTarget
from pytest_release.targets.ownership import owns
from tests.unit.targets.conftest import Serve, environment_at
from tests.unit.targets.scripted import Connection, plain

FILE = Path("cases.yaml")
ESTABLISHED = "01"  # of /proc/net/tcp


def case(name: str, needs: str = "", capture: str = "", *, advisory: bool = False) -> HttpCase:
    """A case of the gate ``probe``."""
    return HttpCase(
        f"probe/{name}",
        "probe",
        name,
        FILE,
        1,
        request=Request("GET", "/"),
        capture={capture: "id"} if capture else {},
        needs=frozenset({needs} if needs else ()),
        advisory=advisory,
    )


class Probe(ModuleType):
    """A gate that notes what it was asked, and waits where it is told to."""

    def __init__(self) -> None:
        super().__init__("pytest_release.gates.probe")
        self.asked: list[tuple[str, Mapping[str, Any]]] = []
        self.together = threading.Barrier(1)

    def measure(
        self, case: HttpCase, _policy: GatePolicy, _target: HttpTarget, values: Mapping[str, Any]
    ) -> tuple[Evidence, Mapping[str, Any]]:
        """Note the case; ``broken`` captures nothing and ``bug`` is one."""
        self.together.wait(timeout=10)
        self.asked.append((case.name, dict(values)))
        if case.name == "bug":
            raise ZeroDivisionError("a bug of the gate")
        captured = {} if case.name == "broken" else dict.fromkeys(case.capture, f"of {case.name}")
        return Evidence(case.id, case.gate, case.name), captured


@pytest.fixture
def probe(monkeypatch: pytest.MonkeyPatch) -> Probe:
    """The gate, where the conductor looks for it."""
    gate = Probe()
    monkeypatch.setitem(sys.modules, "pytest_release.gates.probe", gate)
    return gate


def conductor(*cases: HttpCase, concurrency: int = 1) -> Conductor:
    """A conductor of these cases."""
    policy = {"probe": GatePolicy(concurrency=concurrency)}
    environment = Environment("here", "staging", "s", "http://127.0.0.1:9", FILE, "", policy)
    made = Conductor(environment, HttpTarget(environment))
    made.plan(cases)
    return made


def test_one_at_a_time_means_when_asked(probe: Probe) -> None:
    """With concurrency 1 nothing runs ahead, so that -x stops what it should."""
    one, two = case("one"), case("two")
    conducting = conductor(one, two)

    assert conducting.evidence(one) is conducting.evidence(one)
    assert [name for name, _ in probe.asked] == ["one"]


def test_cases_overlap_as_far_as_the_policy_allows(probe: Probe) -> None:
    """Three cases that wait for each other come to their end with a concurrency of three."""
    cases = [case(name) for name in ("one", "two", "three")]
    probe.together = threading.Barrier(3)
    conducting = conductor(*cases, concurrency=3)

    names = [conducting.evidence(each).name for each in cases]

    assert names == ["one", "two", "three"]
    assert sorted(name for name, _ in probe.asked) == ["one", "three", "two"]


@pytest.mark.parametrize("concurrency", [1, 2])
def test_a_dependent_gets_what_its_source_captured(probe: Probe, concurrency: int) -> None:
    """Asked for first or not, the dependent runs behind its source."""
    source, dependent = case("source", capture="id"), case("dependent", needs="id")
    conducting = conductor(source, dependent, concurrency=concurrency)

    evidence = conducting.evidence(dependent)

    assert evidence.failures == ()
    assert probe.asked == [("source", {}), ("dependent", {"id": "of source"})]


def test_a_source_that_captured_nothing_fails_its_dependent(probe: Probe) -> None:
    """The dependent is not sent; it says whose value it lacks."""
    source, dependent = case("broken", capture="id"), case("dependent", needs="id")

    evidence = conductor(source, dependent).evidence(dependent)

    assert [finding.message for finding in evidence.failures] == [
        "{{id}} has no value: the case probe/broken did not capture it"
    ]
    assert [name for name, _ in probe.asked] == ["broken"]


def test_a_source_that_was_not_selected_fails_its_dependent(probe: Probe) -> None:
    """With -k a dependent can lose its source; that is said, and nothing is sent."""
    dependent = case("dependent", needs="id")

    evidence = conductor(dependent).evidence(dependent)

    assert [finding.message for finding in evidence.failures] == [
        "{{id}} has no value: its source was not selected"
    ]
    assert probe.asked == []


def test_an_advisory_dependent_only_warns(probe: Probe) -> None:
    """Advisory is advisory, whatever it fails of."""
    dependent = case("dependent", needs="id", advisory=True)

    evidence = conductor(dependent).evidence(dependent)

    assert (len(evidence.failures), len(evidence.warnings)) == (0, 1)


@pytest.mark.parametrize("concurrency", [1, 2])
def test_a_bug_of_a_gate_reaches_whoever_asked(probe: Probe, concurrency: int) -> None:
    """An exception in a thread is not lost with it."""
    bug, other = case("bug"), case("other")
    conducting = conductor(bug, other, concurrency=concurrency)

    with pytest.raises(ZeroDivisionError, match="a bug of the gate"):
        conducting.evidence(bug)

    assert conducting.evidence(other).name == "other"


def test_a_deployment_in_this_process_is_measured_from_another(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Client and server would wait for the same interpreter; several cases overlap there too."""
    ours: list[bool] = []

    def answer(connection: Connection) -> None:
        connection.receive()
        ours.append(owns(connection.socket.getpeername()[1], ESTABLISHED))
        together.wait(10)
        connection.socket.sendall(plain(b"{}", "Content-Type: application/json"))

    together = threading.Barrier(2)
    url = serve(talk=answer).url
    environment = environment_at(url, gates={"basic": GatePolicy(concurrency=2)})
    cases = [
        HttpCase(f"basic/{n}", "basic", n, FILE, 1, request=Request("GET", f"/{n}")) for n in "ab"
    ]
    conductor = Conductor(environment, HttpTarget(environment))
    conductor.plan(cases)

    seen = [conductor.evidence(case) for case in cases]

    assert [(evidence.case, evidence.failures) for evidence in seen] == [
        ("basic/a", ()),
        ("basic/b", ()),
    ]
    assert ours == [False, False]
    assert all(m.samples[0].clock == KERNEL for e in seen for m in e.measurements)


def test_a_helper_that_dies_is_one_sentence() -> None:
    """Nobody waits for ever, and nobody starts to wait."""
    helper = Helper(environment_at("http://127.0.0.1:1"))
    asked = HttpCase("basic/a", "basic", "a", FILE, 1, request=Request("GET", "/"))
    helper.close()

    with pytest.raises(TargetError, match=r"^the process that measures has ended$"):
        helper.measure(asked, GatePolicy(), {})
