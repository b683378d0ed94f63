"""Looks at data: what keeps a gate from looking is a finding, and fails closed."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from pytest_release.config.cases import DataCase
from pytest_release.config.environment import Environment, GatePolicy
from pytest_release.config.system import PackageLayout, System, Table
from pytest_release.deployments import Deployment, Deployments
from pytest_release.errors import PackageError, TargetError
from pytest_release.evidence import Evidence, Finding
from pytest_release.gates._look import look
from pytest_release.subjects import Archive, Subjects
from pytest_release.targets.http import HttpTarget

HERE = Path("here.yaml")
SYSTEM = System(
    name="shop",
    tables={"orders": Table("orders", "orders", "sql/orders.sql", ("order_id",))},
    source=HERE,
    files=frozenset(),
    pattern=re.compile("[A-Z]{3}"),
    package=PackageLayout(info="info.json", version="v", build="b"),
)
ENVIRONMENT = Environment("here", "staging", "shop", "http://127.0.0.1:1", HERE, "", {})
CASE = DataCase("probe/a", "probe", "a", HERE, 1, check="b")


@pytest.fixture
def deployments() -> Deployments:
    """Of one UUID without a package, in an environment without stores."""
    return Deployments(ENVIRONMENT, SYSTEM, Subjects(("ABC",)), HttpTarget(ENVIRONMENT))


@pytest.fixture
def probe(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[..., Evidence]], None]:
    """Makes a function the gate ``probe``."""

    def install(measure: Callable[..., Evidence]) -> None:
        module = ModuleType("probe")
        module.measure = measure  # type: ignore[attr-defined]
        monkeypatch.setitem(__import__("sys").modules, "pytest_release.gates.probe", module)

    return install


def test_a_look_without_a_uuid_fails(deployments: Deployments) -> None:
    """No deployment was named: that is no reason to pass."""
    evidence = look(CASE, GatePolicy(), deployments)

    assert [finding.code for finding in evidence.failures] == ["probe.no-answer"]
    assert "name one with --uuid UUID" in evidence.explain()
    assert evidence.attempts[0].failure


def test_a_case_is_made_for_a_uuid() -> None:
    """Its id and its name say which."""
    bound = CASE.of("ABC")

    assert (bound.id, bound.name, bound.uuid) == ("probe/a/ABC", "a of ABC", "ABC")


@pytest.mark.parametrize("error", [TargetError("the database is gone"), PackageError("no package")])
def test_what_keeps_a_gate_from_looking_is_a_finding(
    deployments: Deployments,
    probe: Callable[[Callable[..., Evidence]], None],
    error: Exception,
) -> None:
    """With the error's own sentence."""

    def measure(*_: object) -> Evidence:
        raise error

    probe(measure)
    evidence = look(CASE.of("ABC"), GatePolicy(), deployments)

    assert [(f.code, f.message) for f in evidence.failures] == [("probe.no-answer", str(error))]


def test_an_advisory_look_warns(
    deployments: Deployments, probe: Callable[[Callable[..., Evidence]], None]
) -> None:
    """Softened once, here."""
    finding = Finding("probe.bad", "a row is missing")
    probe(lambda case, *_: Evidence(case.id, case.gate, case.name, findings=(finding,)))

    evidence = look(replace(CASE.of("ABC"), advisory=True), GatePolicy(), deployments)

    assert (evidence.failures, len(evidence.warnings)) == ((), 1)


def test_what_cases_share_is_found_out_once(deployments: Deployments) -> None:
    """Also when it fails: the second asker gets the same error."""
    asked: list[str] = []

    def fail() -> str:
        asked.append("x")
        raise TargetError("gone")

    for _ in range(2):
        with pytest.raises(TargetError, match=r"^gone$"):
            deployments.once(("a",), fail)

    assert deployments.once(("b",), lambda: 1) == deployments.once(("b",), lambda: 2) == 1
    assert asked == ["x"]


def test_a_deployment_without_its_package(deployments: Deployments) -> None:
    """The message says both ways to name one."""
    with pytest.raises(PackageError, match=r"^there is no package of ABC .*: give --package FILE"):
        _ = Deployment("ABC", deployments).package


def test_an_environment_without_a_database(deployments: Deployments) -> None:
    """The message names its file and the key."""
    with pytest.raises(TargetError, match=r"^here\.yaml names no database: add services\.postgres"):
        _ = deployments.database

    deployments.close()


def test_a_package_that_changed_is_refused(tmp_path: Path) -> None:
    """The bytes that were read must be those that the attestation speaks of."""
    file = tmp_path / "ABC_v20260101.tar"
    file.write_bytes(bytes(1024))
    subjects = Subjects(("ABC",), {"ABC": Archive(file, "0f")})
    changed = Deployments(ENVIRONMENT, SYSTEM, subjects, HttpTarget(ENVIRONMENT))

    with pytest.raises(PackageError, match=r"ABC_v20260101\.tar changed during the run: .* was 0f"):
        changed.package("ABC")
