"""Tests of the delivery gate, beside those of each fault."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pytest_release.config.cases import CheckCase
from pytest_release.config.environment import Environment, GatePolicy
from pytest_release.errors import TargetError
from pytest_release.evidence import Evidence, Severity
from pytest_release.gates import delivery
from pytest_release.gates._check import check
from pytest_release.gates._scene import Scene
from pytest_release.gates.delivery import CHECKS, Desk
from pytest_release.redaction import Secret
from pytest_release.sandbox.rooms import _workspace as good
from pytest_release.sandbox.rooms._workspace import Workspace
from pytest_release.targets.http import HttpTarget

HERE = Path("here.yaml")
Make = Callable[..., Evidence]


@pytest.fixture
def workspace() -> Iterator[Workspace]:
    """A workspace to be changed."""
    made = Workspace()
    yield made
    made.stop()


def scene(services: dict[str, dict[str, Any]]) -> Scene:
    """Of an environment with some services."""
    environment = Environment("here", "production", "momentry", "http://127.0.0.1:9", HERE, "", {})
    environment = replace(environment, services=services)
    return Scene(environment, HttpTarget(environment))


def case(name: str, **expect: Any) -> CheckCase:  # noqa: ANN401 - as YAML has it
    """One check."""
    return CheckCase(f"delivery/{name}", "delivery", name, HERE, 1, check=name, expect=expect)


@pytest.fixture
def make(workspace: Workspace) -> Make:
    """Makes one check of the workspace."""

    def make(name: str, **expect: Any) -> Evidence:  # noqa: ANN401 - as YAML has it
        services = {"workspace": dict(workspace.services["workspace"])}
        return check(case(name, **expect), GatePolicy(), scene(services))

    return make


def codes(evidence: Evidence) -> list[str]:
    """What was found."""
    return [finding.code.removeprefix("delivery.") for finding in evidence.findings]


def test_what_was_read_is_counted(make: Make) -> None:
    """For thresholds, and for who reads the report."""
    counted = {m.name: m.estimate.value for m in make("reports").measurements}

    assert counted == {"reports": 2.0, "responses": 2.0, "items": 3.0}


@pytest.mark.parametrize("name", CHECKS)
def test_without_a_workspace_nothing_is_passed(name: str) -> None:
    """The environment is told what to add."""
    evidence = check(case(name), GatePolicy(), scene({}))

    (finding,) = evidence.failures
    assert finding.code == "delivery.no-answer"
    assert finding.message.startswith("here.yaml names no workspace: add services.workspace.")


@pytest.mark.parametrize("name", CHECKS)
def test_an_empty_folder_is_no_workspace_in_order(name: str, tmp_path: Path) -> None:
    """Where nothing is, the checks that need something fail; the others have nothing to say."""
    services = {"workspace": {"directory": str(tmp_path), "repository": str(tmp_path)}}
    evidence = check(case(name), GatePolicy(), scene(services))

    nothing_to_say = name in ("reports", "responses", "open_items", "records")
    assert bool(evidence.failures) is not nothing_to_say


def test_folders_may_come_from_variables(workspace: Workspace, tmp_path: Path) -> None:
    """A value from a variable is a secret; releases may stand elsewhere."""
    services = {"workspace": {k: Secret(v) for k, v in workspace.services["workspace"].items()}}
    (workspace.documents / "releases").rename(tmp_path / "given out")
    services["workspace"]["releases"] = Secret(str(tmp_path / "given out"))

    assert check(case("release_info"), GatePolicy(), scene(services)).findings == ()


def test_a_second_response_speaks_last(make: Make, workspace: Workspace) -> None:
    """Of each item the last that was said counts."""
    workspace.replace(good.FACES_RESPONSE, "| 不修正 |", "| 處理中 |")
    assert codes(make("open_items")) == ["open-item"]

    text = (workspace.documents / good.FACES_RESPONSE).read_text()
    later = text.replace("處理中", "重複")
    (workspace.documents / "2026-01-18_face_clusters_response.md").write_text(later)
    assert codes(make("open_items")) == []


def test_an_unknown_state_is_open(make: Make, workspace: Workspace) -> None:
    """What nobody knows is not done."""
    workspace.replace(good.FACES_RESPONSE, "| 不修正 |", "| ok |")

    assert codes(make("open_items")) == ["open-item"]


def test_states_of_ones_own(make: Make, workspace: Workspace) -> None:
    """Replace the built-in words of their kind, and of no other."""
    workspace.replace(good.FACES_RESPONSE, "| 不修正 |", "| wontfix |")

    assert codes(make("items", states={"closed": ["wontfix"]})) == []
    assert codes(make("open_items", states={"closed": ["wontfix"]})) == []
    assert codes(make("items", states={"closed": ["done"]})) == ["unknown-state"]


def test_teams_of_ones_own(make: Make) -> None:
    """Other teams than M4 and M5."""
    assert codes(make("reports", teams=["A", "B"])) == ["unknown-team"] * 4


def test_many_findings_are_told_and_the_others_counted(
    make: Make, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder of rubbish does not flood the report."""
    monkeypatch.setattr(delivery, "MOST", 2)
    for number in range(5):
        (workspace.documents / f"{number}.txt").write_text("")
    evidence = make("reports")

    assert codes(evidence) == ["bad-name", "bad-name", "more"]
    assert evidence.findings[-1].message == "3 findings more are not told"


def test_a_report_whose_name_is_hostile(make: Make, workspace: Workspace) -> None:
    """Is shown harmlessly, and cut."""
    (workspace.documents / ("\x1b[31m<script>" + "x" * 200)).write_text("")
    (finding,) = make("reports").findings

    assert finding.message.startswith("\\x1b[31m<script>xx")


@pytest.mark.parametrize("name", ["Cargo.toml", "build.rs"])
def test_sources_that_say_no_version(make: Make, workspace: Workspace, name: str) -> None:
    """Neither is taken for agreement."""
    workspace.commit({name: "[package]\n"}, push=True)

    (finding,) = make("versions").findings
    assert finding.code == "delivery.no-version"
    assert finding.message.startswith(f"{name}: says no ")


def test_sources_may_stand_elsewhere(make: Make, workspace: Workspace) -> None:
    """Where the case says."""
    (workspace.repository / "core").mkdir()
    for name in ("Cargo.toml", "build.rs"):
        (workspace.repository / name).rename(workspace.repository / "core" / name)
    workspace.git("add", "--all")
    workspace.commit({}, push=True)

    assert codes(make("versions", cargo="core/Cargo.toml", build="core/build.rs")) == []
    assert codes(make("versions")) == ["no-version"]


@pytest.mark.parametrize(
    ("version", "code"), [("0.9.0", "not-bumped"), ("0.8.9", "not-bumped"), ("one", "bad-version")]
)
def test_a_version_that_is_not_above_the_last(
    make: Make, workspace: Workspace, version: str, code: str
) -> None:
    """The same, an earlier one, or none at all."""
    files = {"Cargo.toml": good.CARGO, "build.rs": good.BUILD}
    workspace.commit({n: text.format(version=version) for n, text in files.items()}, push=True)

    assert code in codes(make("versions"))


def test_a_tag_on_the_released_commit_is_the_release_itself(
    make: Make, workspace: Workspace
) -> None:
    """A release may be tagged before the gate looks at it."""
    workspace.git("tag", "v1.0.0")
    workspace.git("tag", "not-a-version")

    assert codes(make("versions")) == []


def test_a_branch_that_follows_none(make: Make, workspace: Workspace) -> None:
    """Nobody knows whether it was pushed."""
    workspace.git("branch", "--unset-upstream")

    (finding,) = make("repository").findings
    assert finding.message.endswith(
        "the branch follows none, so nobody knows whether it was pushed"
    )


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("Git: ", "Git: main #", "bad-commit"),
        ("Git: ", "Git: deadbeef\nGit: ", "commit-missing"),
        ("Release: v1.0.0", "Release: v1.0.1", "release-differs"),
        ("Date: 2026-01-20", "Date: 2026-01-21", "release-differs"),
        ("Package: ", "Package: other.tar.gz ", "package-not-listed"),
        ("Git: ", "Commit: ", "missing-field"),
    ],
)
def test_release_text_and_release_info_say_the_same(
    make: Make, workspace: Workspace, old: str, new: str, code: str
) -> None:
    """And the commit is a real one."""
    workspace.replace(good.INFO_TEXT, old, new)

    assert codes(make("release_info")) == [code]


def test_a_release_text_of_another_branch(make: Make, workspace: Workspace) -> None:
    """Its commit is not what is released."""
    workspace.replace(good.INFO_TEXT, workspace.commits[4], workspace.commits[5])

    assert codes(make("release_info")) == ["commit-not-released"]


@pytest.mark.parametrize("name", [good.INFO, good.INFO_TEXT])
def test_half_a_release_info_is_none(make: Make, workspace: Workspace, name: str) -> None:
    """Both files must be there."""
    (workspace.documents / name).unlink()

    assert codes(make("release_info")) == ["unreadable"]


def test_a_test_report_that_contradicts_itself(make: Make, workspace: Workspace) -> None:
    """PASSED above, and a gate that FAILED below."""
    workspace.replace(good.TEST_REPORT, "| tkg | PASSED |", "| tkg | FAILED |")

    (finding,) = make("test_reports").findings
    assert finding.message.endswith("says PASSED: tkg FAILED")


def test_the_last_test_report_counts(make: Make, workspace: Workspace) -> None:
    """An earlier one may have been red."""
    text = (workspace.documents / good.TEST_REPORT).read_text()
    red = text.replace("**Verdict**: PASSED", "**Verdict**: FAILED").replace(
        "2026-01-20", "2026-01-19"
    )
    (workspace.documents / "2026-01-19_v1.0.0_test_report.md").write_text(red)

    assert codes(make("test_reports")) == []


def test_a_day_may_have_begun_elsewhere() -> None:
    """Where teams are east of UTC, it is tomorrow already."""
    desk = Desk(case("reports"), scene({}), datetime(2026, 1, 31, 23, tzinfo=UTC))

    assert str(desk.today) == "2026-02-01"


def test_a_workspace_that_is_not_there(tmp_path: Path) -> None:
    """Is an error of the environment."""
    there = {"directory": str(tmp_path / "x"), "repository": str(tmp_path)}
    desk = Desk(case("reports"), scene({"workspace": there}), datetime.now(UTC))
    with pytest.raises(TargetError, match=r"the workspace .* cannot be read: No such file"):
        _ = desk.shelf


def test_an_advisory_check_warns(workspace: Workspace) -> None:
    """What is open may be allowed to be."""
    workspace.replace(good.FACES_RESPONSE, "| 不修正 |", "| 處理中 |")
    soft = replace(case("open_items"), advisory=True)
    services = {"workspace": dict(workspace.services["workspace"])}
    evidence = check(soft, GatePolicy(), scene(services))

    assert [finding.severity for finding in evidence.findings] == [Severity.WARNING]
