"""hifate's plan as it ships, on two nodes that serve what git checks out there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pytest_release.attestation.keys import load_public_key
from pytest_release.attestation.rollouts import verify_rollout
from pytest_release.cli import main
from pytest_release.errors import HistoryError, RolloutError
from pytest_release.history import Entry, History
from pytest_release.rollout.desk import Desk, Wish, resume, run
from pytest_release.rollout.output import HEAD, TAIL
from tests.integration.hifate_nodes import GIT, Fleet, Node, git, publish
from tests.integration.sshd import sshd

PAGE = "<!doctype html>"


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Both run 1.0.0, for all tests of this module."""
    folder = tmp_path_factory.mktemp("hifate")
    commits = publish(folder)
    with ExitStack() as running:
        found = {}
        for name in ("hifate-node1", "hifate-node2"):
            git(folder, "clone", "-q", "origin.git", name)
            git(folder / name, "checkout", "-q", "--detach", commits["1.0.0"])
            found[name] = running.enter_context(Node(name, folder / name).serving())
        yield Fleet(found, folder / "work", commits)


@pytest.fixture
def fleet(nodes: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    """A fresh desk; both nodes run 1.0.0."""
    monkeypatch.chdir(tmp_path)
    for node in nodes.nodes.values():
        node.put(nodes.commits["1.0.0"], "1.0.0")
    made = Fleet(nodes.nodes, nodes.work, nodes.commits, tmp_path)
    made.furnish()
    return made


def programs(fleet: Fleet, monkeypatch: pytest.MonkeyPatch, node: Node, deploys: str) -> None:
    """A git that does this, in sh, where it is to check out on a node, and else is git."""
    file = fleet.folder / "bin" / "git"
    file.parent.mkdir()
    file.write_text(
        f'#!/bin/sh\ncase "$*" in "-C {node.tree} checkout "*) {deploys};; esac\nexec {GIT} "$@"\n'
    )
    file.chmod(0o755)
    monkeypatch.setenv("PATH", f"{file.parent}:{Path(GIT).parent}:/usr/bin:/bin")


def why(fleet: Fleet) -> str:
    """How the newest rollout ended, in words."""
    assert fleet.rollout.result is not None
    return fleet.rollout.result.why


def desk(fleet: Fleet, **changes: object) -> Desk:
    """Where rollouts are asked for, without the command line."""
    here = fleet.folder
    members = {"fixtures": here / "fixtures", "root": here / "rollouts", "who": "li@desk"}
    files = {"history": here / "history.jsonl", "records": here / "promotions"}
    more = {"reports": here / "reports", "sign_with": "ci.pem", **changes}
    return Desk(**members, **files, **more)  # type: ignore[arg-type]


def wish(fleet: Fleet, version: str = "2.0.0") -> Wish:
    """All of the plan."""
    return Wish("hifate", version, fleet.commits[version], fleet.values)


def assert_untouched(node: Node, before: tuple[object, ...]) -> None:
    """The commit, the code on disk, every worker's answers, and nobody told it to reload."""
    assert node.state == before


def break_glass(*keys: str, again: bool = False) -> None:
    """For 2.0.0 on node 1, signed with the first key, then with the others."""
    first, *others = keys or ("ci", "boss")
    waive = ["waive", "--break-glass", "--env", "hifate-node1", "--release", "2.0.0"]
    told = ["--reason", "node 2 burnt down", "--until", "1h", "--by", "Li Wei"]
    if again:
        others = [first, *others]
    else:
        assert main([*waive, *told, "--sign-with", f"{first}.pem"]) == 0
    for name in others:
        (file,) = Path("fixtures/waivers/hifate-node1").iterdir()
        assert main(["countersign", str(file), "--sign-with", f"{name}.pem"]) == 0


def runs(fleet: Fleet, version: str) -> set[tuple[str, str, str]]:
    """What a node's workers say when all of them run a release."""
    return {(version, fleet.commits[version], version)}


# -- the way that it goes


def test_the_sentinel_then_production(fleet: Fleet) -> None:
    """Deployed, reloaded, gated, decided; then the same on node 1, which is reloaded twice.

    A stream fails on both, which is only said.
    """
    reloads = fleet.one.reloads, fleet.two.reloads

    status = main(fleet.arguments("2.0.0"))

    assert status == 0, why(fleet)
    for node in (fleet.one, fleet.two):
        assert git(node.tree, "rev-parse", "HEAD") == fleet.commits["2.0.0"]
        assert node.runs == runs(fleet, "2.0.0")
    assert (fleet.one.reloads - reloads[0], fleet.two.reloads - reloads[1]) == (2, 1)
    tasks = fleet.rollout.tasks
    gates = "basic PASSED, payment PASSED; only said: stream FAILED"
    assert tasks["node2-gates"].outcome.why == gates
    assert tasks["node1-gates"].outcome.why == gates
    assert tasks["decision"].outcome.why == "granted by 5 conditions"
    assert [told for told in fleet.told if told[2] == "success"] == [
        ("hifate-node2", "deploy", "success"),
        ("hifate-node1", "promote", "success"),
        ("hifate-node1", "deploy", "success"),
        ("hifate-node2", "rollout", "success"),
        ("hifate-node1", "rollout", "success"),
    ]
    key = load_public_key(Path("ci.pem.pub"))
    sealed = verify_rollout(Path(str(fleet.rollout.bundle)), [key]).statement["predicate"]
    assert sealed["status"] == "success"


def test_a_dry_run_is_of_node_2(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And a deployment that prints 100 MB is one, of which the ends are kept."""
    flood = "head -c 104857600 /dev/zero | tr '\\0' x"
    programs(fleet, monkeypatch, fleet.two, flood)
    before = fleet.one.state

    status = main(fleet.arguments("2.0.0", "--mode", "dry-run"))

    assert status == 0, why(fleet)
    assert fleet.two.runs == runs(fleet, "2.0.0")
    assert_untouched(fleet.one, before)
    output = fleet.rollout.tasks["node2-deploy"].outcome.output
    assert output.size == 104857600
    assert len(output.text) <= HEAD + TAIL + 200
    assert len(capsys.readouterr().out) < 20_000
    assert (fleet.folder / "history.jsonl").stat().st_size < 1_000_000
    skipped = {name for name, task in fleet.rollout.tasks.items() if task.status == "skipped"}
    assert skipped == {name for name in fleet.rollout.tasks if name.startswith("node1")} | {
        "decision"
    }


def test_without_the_sentinel_the_glass_is_broken(
    fleet: Fleet, capsys: pytest.CaptureFixture[str]
) -> None:
    """A waiver of everything by two people; the history names it, and node 2 is left alone."""
    before, other = fleet.one.state, fleet.two.state
    asked = fleet.arguments("2.0.0", "--skip-sentinel")

    assert main(asked) == 1
    assert "needs a waiver of all for 2.0.0 in hifate-node1, and none" in capsys.readouterr().err
    break_glass("ci")
    assert main(asked) == 1
    assert "it was signed by ci, it needs 2 of" in capsys.readouterr().err
    assert_untouched(fleet.one, before)
    assert not (fleet.folder / "history.jsonl").exists()
    break_glass("boss", again=True)
    assert main(asked) == 0, why(fleet)

    assert fleet.one.runs == runs(fleet, "2.0.0")
    assert_untouched(fleet.two, other)
    (decision,) = [r for r in fleet.records if r.action == "promote" and r.status == "success"]
    assert "node 2 burnt down" in str(decision)
    assert "node 2 burnt down" in str(fleet.rollout.opened["waiver"])


def test_only_the_tests(fleet: Fleet) -> None:
    """What runs on node 2 is gated, and nothing is deployed."""
    one, two = fleet.one.state, fleet.two.state

    status = main(fleet.arguments("1.0.0", "--test-only"))

    assert status == 0, why(fleet)
    done = {name for name, task in fleet.rollout.tasks.items() if task.status == "done"}
    assert done == {"node2-health", "node2-gates"}
    assert_untouched(fleet.one, one)
    assert_untouched(fleet.two, two)


# -- back again


def test_back_to_an_earlier_release(fleet: Fleet) -> None:
    """Checked out, reloaded and gated; the other node stays as it is."""
    for version in ("1.0.0", "2.0.0"):
        fleet.was_good("hifate-node1", version)
    fleet.one.put(fleet.commits["2.0.0"], "2.0.0")
    before = fleet.two.state
    plan = with_values(fleet)

    status = main(["rollout", "rollback", plan, "--env", "hifate-node1", "--to", "1.0.0"])

    assert status == 0, why(fleet)
    assert fleet.one.runs == runs(fleet, "1.0.0")
    assert_untouched(fleet.two, before)
    assert fleet.told[-1] == ("hifate-node1", "rollback", "success")
    assert fleet.rollout.tasks["back/node1-gates"].outcome.why.startswith("basic PASSED, payment")


def test_a_rollback_whose_health_check_fails_is_no_success(fleet: Fleet) -> None:
    """Though the old code is back; the history says so, and the status is 3."""
    fleet.was_good("hifate-node1", "1.0.0")
    fleet.one.put(fleet.commits["2.0.0"], "2.0.0")
    (fleet.one.tree / "down").touch()

    status = main(
        ["rollout", "rollback", with_values(fleet), "--env", "hifate-node1", "--last-good"]
    )

    assert status == 3
    assert "the rollback did not restore health: back/node1-" in why(fleet)
    assert fleet.told[-1][:2] == ("hifate-node1", "rollback")
    assert fleet.told[-1][2] != "success"
    assert fleet.one.runs == runs(fleet, "1.0.0")


def with_values(fleet: Fleet) -> str:
    """A plan that extends the shipped one: a rollback takes no --set."""
    file = fleet.folder / "fixtures/plans/here.yaml"
    values = "".join(f"  {name}: {value!r}\n" for name, value in fleet.values.items())
    file.write_text(f"extends: hifate.yaml\nname: here\nvalues:\n{values}")
    return "here"


# -- what goes wrong on node 2 stops there


DEPLOYS = {
    "fails": ("echo disk quota exceeded >&2; exit 128", "exit status 128: disk quota exceeded"),
    "hangs": ("sleep 61.73", "its time was over after"),
    "lies": ("exit 0", "exit status 0, but it does not show: expected the output"),
}


@pytest.mark.parametrize("how", DEPLOYS)
def test_a_deployment_that_goes_wrong(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """It fails, hangs, or says that all went well; on both nodes runs what ran before."""
    script, reason = DEPLOYS[how]
    programs(fleet, monkeypatch, fleet.two, script)
    one, two = fleet.one.state, fleet.two.state
    plan = fleet.folder / "fixtures/plans/hifate.yaml"
    plan.write_text(plan.read_text().replace("timeout_s: 5", "timeout_s: 0.6"))

    status = main(fleet.arguments("2.0.0"))

    assert status == 1
    assert why(fleet).startswith(f"node2-deploy: {reason}")
    assert_untouched(fleet.two, two)
    assert_untouched(fleet.one, one)
    (record,) = [r for r in fleet.records if r.details.get("task") == "node2-deploy"]
    assert (record.status, record.version) == ("failed", "2.0.0")
    assert record.details["exit_status"] == {"fails": 128, "hangs": None, "lies": 0}[how]
    assert fleet.told[-1] == ("hifate-node2", "rollout", "failed")
    ran = subprocess.run(["pgrep", "-fx", "sleep 61.73"], check=False, capture_output=True)
    assert how != "hangs" or not ran.stdout.strip()


def test_a_release_that_does_not_load(fleet: Fleet) -> None:
    """reload-all says so, and the workers go on with the old code."""
    before = fleet.one.state

    status = main(fleet.arguments("3.0.0"))

    assert status == 1
    assert why(fleet).endswith("expected success to be True, got False")
    assert fleet.two.runs == runs(fleet, "1.0.0")
    assert_untouched(fleet.one, before)


@pytest.mark.needs("sshd", "ssh")
def test_over_a_real_ssh(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Node 2 is new to ssh and greets with a banner; its release flaps, so that no gate runs."""
    before = fleet.one.state
    file = fleet.folder / "bin" / "ssh"
    file.parent.mkdir()
    file.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {fleet.folder}/config "$@"\n')
    file.chmod(0o755)
    monkeypatch.setenv("PATH", f"{file.parent}:{os.environ['PATH']}")

    with sshd(fleet.folder):
        status = main([*fleet.arguments("3.1.0"), "--set", "node2_ssh=node"])

    assert status == 1
    assert why(fleet).startswith("node2-health: "), why(fleet)
    assert fleet.rollout.tasks["node2-deploy"].outcome.why == "exit status 0; verified"
    assert git(fleet.two.tree, "rev-parse", "HEAD") == fleet.commits["3.1.0"]
    assert_untouched(fleet.one, before)


def test_a_health_check_that_flaps(fleet: Fleet) -> None:
    """Three good answers in a row never come, though every second one is good."""
    before = fleet.one.state

    status = main(fleet.arguments("3.1.0"))

    assert status == 1
    assert re.match(r"node2-(health|reload): ", why(fleet)), why(fleet)
    assert_untouched(fleet.one, before)
    assert not [r for r in fleet.records if r.action == "deploy" and r.status == "success"]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("stale-worker", r"but it does not show: .*worker \d+ is on version 0, the others on 1"),
        ("success-elsewhere", r"reload-all: expected success to be True, got False"),
        ("web-page", rf"reload-all: expected JSON, got '{PAGE}"),
    ],
)
def test_a_reload_that_is_none(fleet: Fleet, fault: str, reason: str) -> None:
    """It reaches one worker less, is refused, or is answered by somebody else."""
    before = fleet.one.state
    workers = 2 if fault == "stale-worker" else 1
    with fleet.two.serving([f"hot_reload.{fault}"], workers) as ill:
        fleet.environment("hifate-node2", url=ill.url)

        status = main(fleet.arguments("2.0.0"))

        versions = {version for version, _, _ in ill.runs}  # others may follow the signal yet
    assert status == 1
    assert re.match(f"node2-reload: .*{reason}", why(fleet)), why(fleet)
    assert versions == {"1.0.0", "2.0.0"} or fault != "stale-worker"
    assert git(fleet.two.tree, "rev-parse", "HEAD") == fleet.commits["2.0.0"]
    assert_untouched(fleet.one, before)
    assert fleet.told[-1] == ("hifate-node2", "rollout", "failed")


def test_a_gate_that_fails(fleet: Fleet) -> None:
    """The release answers with errors: node 1 does not get it, and nothing calls it good."""
    before = fleet.one.state

    status = main(fleet.arguments("3.2.0"))

    assert status == 1
    assert why(fleet).startswith("node2-gates: basic is FAILED (6 failed: ")
    assert_untouched(fleet.one, before)
    assert ("hifate-node2", "deploy", "success") not in fleet.told


def test_a_gate_that_is_incomplete(fleet: Fleet) -> None:
    """Every case passed, and there were too few."""
    fleet.environment("hifate-node2", least=7)
    before = fleet.one.state

    status = main(fleet.arguments("2.0.0"))

    assert status == 1
    assert why(fleet).startswith("node2-gates: basic is INCOMPLETE (")
    assert fleet.two.runs == runs(fleet, "2.0.0")
    assert_untouched(fleet.one, before)
    assert fleet.told[-1] == ("hifate-node2", "rollout", "failed")


def test_the_clock_jumps(fleet: Fleet) -> None:
    """A day on while node 2 is deployed: its time is not over. Then back: evidence is not old.

    A day on before the decision, and it is: refused, and node 1 stays as it is.
    """
    off = timedelta()
    before = fleet.one.state

    def at(boundary: str) -> None:
        nonlocal off
        jumps = {"begun node2-deploy/1, after": 24, "ended node2-reload/1, after": 0}
        jumps |= {"begun decision/1, before": 24}
        off = timedelta(hours=jumps.get(boundary, off / timedelta(hours=1)))

    result = run(desk(fleet, now=lambda: datetime.now(UTC) + off, at=at), wish(fleet))

    assert result.status == "failed"
    assert result.why.startswith("decision: refused: ")
    assert "24.0 h old, at most 60 min may be" in result.why
    deployed = fleet.rollout.tasks["node2-deploy"]
    assert deployed.status == "done"
    assert deployed.seconds is not None
    assert deployed.seconds < 5
    assert fleet.two.runs == runs(fleet, "2.0.0")
    assert_untouched(fleet.one, before)


# -- before anything is touched


def test_a_history_that_is_read_only(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is deployed anywhere that could not be recorded."""
    one, two = fleet.one.state, fleet.two.state
    (fleet.folder / "history.jsonl").mkdir()

    status = main(fleet.arguments("2.0.0"))

    assert status == 1
    assert "history.jsonl cannot be" in capsys.readouterr().err
    assert_untouched(fleet.one, one)
    assert_untouched(fleet.two, two)


def test_a_history_that_becomes_read_only(fleet: Fleet) -> None:
    """Behind node 2's deployment, which was not repeated: it stops there, and goes on later."""
    before = fleet.one.state
    with pytest.MonkeyPatch.context() as patch:

        def append(self: History, entry: Entry, now: object) -> None:
            raise HistoryError(f"{self.path} cannot be written: Read-only file system")

        def at(boundary: str) -> None:
            if boundary == "begun node2-deploy/1, after":
                patch.setattr(History, "append", append)

        expected = "Read-only file system: nothing goes on that cannot be recorded"
        with pytest.raises(RolloutError, match=expected):
            run(desk(fleet, at=at), wish(fleet))
    assert git(fleet.two.tree, "rev-parse", "HEAD") == fleet.commits["2.0.0"]
    assert fleet.two.runs == runs(fleet, "1.0.0")
    assert_untouched(fleet.one, before)

    result = resume(desk(fleet), abort=True)

    assert result.status == "rollback-failed"
    assert "hifate-node2 has no earlier good release to go back to" in result.why
    assert [r.status for r in fleet.records if r.details.get("task") == "node2-deploy"] == ["done"]
    assert_untouched(fleet.one, before)


def test_edited_on_the_server(fleet: Fleet) -> None:
    """What somebody did there is not overwritten, on neither node."""
    one = fleet.one.state
    file = fleet.two.tree / "by-hand.txt"
    file.write_text("do not lose this")
    two = fleet.two.state
    try:
        status = main(fleet.arguments("2.0.0"))

        assert status == 1
        assert why(fleet) == "node2-unedited: expected the output '', got '?? by-hand.txt'"
        assert_untouched(fleet.two, two)
        assert_untouched(fleet.one, one)
    finally:
        file.unlink()


def test_what_is_not_committed_and_pushed_is_not_deployed(fleet: Fleet) -> None:
    """A changed file, a commit that is only here, and a commit that is not named in full."""
    work = fleet.folder / "work"
    git(fleet.folder, "clone", "-q", git(fleet.work, "remote", "get-url", "origin"), str(work))
    fleet.work = work
    one, two = fleet.one.state, fleet.two.state
    reasons = []

    fleet.commits = {**fleet.commits, "2.1.0": fleet.commits["2.0.0"][:9]}
    assert main(fleet.arguments("2.1.0")) == 1
    reasons.append(why(fleet))
    (work / "new.py").write_text("")
    assert main(fleet.arguments("2.0.0")) == 1
    reasons.append(why(fleet))
    git(work, "add", ".")
    git(work, "commit", "-q", "-m", "only here")
    fleet.commits["2.1.0"] = git(work, "rev-parse", "HEAD")
    assert main(fleet.arguments("2.1.0")) == 1
    reasons.append(why(fleet))

    assert reasons[0].startswith("whole-commit: expected the output")
    assert reasons[1] == "committed: expected the output '', got '?? new.py'"
    assert reasons[2] == "pushed: expected the output 'origin/main', got ''"
    assert_untouched(fleet.one, one)
    assert_untouched(fleet.two, two)


# -- what goes wrong on node 1


def test_node_1_fails_to_deploy(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the sentinel, too, it stops there; nothing calls the release good."""
    programs(fleet, monkeypatch, fleet.one, "exit 1")
    before = fleet.one.state
    break_glass()

    status = main(fleet.arguments("2.0.0", "--skip-sentinel"))

    assert status == 1
    assert why(fleet) == "node1-deploy: exit status 1"
    assert_untouched(fleet.one, before)
    assert fleet.told[-1] == ("hifate-node1", "rollout", "failed")
    assert not [r for r in fleet.records if r.action == "deploy" and r.status == "success"]


def test_node_1_may_not_be_reloaded(fleet: Fleet) -> None:
    """Production is reloaded only where its policy says so: nothing is sent."""
    file = fleet.folder / "fixtures/environments/hifate-node1.yaml"
    file.write_text(file.read_text().replace(", allow_reload: true", ""))
    reloads, before = fleet.one.reloads, fleet.one.runs
    break_glass()

    status = main(fleet.arguments("2.0.0", "--skip-sentinel"))

    assert status == 1
    expected = "a reload of the production environment hifate-node1 needs gates.hot_reload.allow_r"
    assert why(fleet).startswith(f"node1-reload: {expected}")
    assert (fleet.one.reloads, fleet.one.runs) == (reloads, before)
