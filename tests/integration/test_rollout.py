"""Rollouts with pytest, a promotion, and ssh for real."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from pytest_release.attestation.keys import generate, load_public_key
from pytest_release.attestation.rollouts import verify_rollout
from pytest_release.history import Entry, History
from pytest_release.rollout.desk import Wish
from pytest_release.rollout.desk import run as begin
from pytest_release.rollout.report import seal
from pytest_release.rollout.state import ROLLED_BACK, STOPPED, SUCCESS, State
from tests.integration.sshd import sshd
from tests.unit.rollout.conftest import ENVIRONMENT as UNIT_ENVIRONMENT
from tests.unit.rollout.conftest import Yard, step
from tests.unit.rollout.test_lease import at_once, homes

ENVIRONMENT = """
name: here
role: staging
system: shop
base_url: "{base_url}"
release: {{health: /health, version: version}}
gates:
  basic: {{required: true, min_cases: {least}}}
"""
POLICY = """
name: here
version: 1
signers: {keys: [ci]}
max_age_h: 1
gates: {basic: {environment: here}}
"""


class Health(BaseHTTPRequestHandler):
    """Says which release is live; one with an x in it is ill."""

    def do_GET(self) -> None:
        """The version, in any case."""
        version = Path("live").read_text()
        data = json.dumps({"version": version}).encode()
        self.send_response(500 if "x" in version and self.path != "/health" else 200)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
        """Say nothing."""


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Yard]:
    """A deployment that serves what is live, a policy, and a key that is trusted."""
    monkeypatch.chdir(tmp_path)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Health)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yard = Yard(tmp_path, base_url=f"http://127.0.0.1:{server.server_port}")
    fixtures = tmp_path / "fixtures"
    for folder in ("cases/shop", "policies", "keys"):
        (fixtures / folder).mkdir(parents=True)
    write_environment(yard)
    (fixtures / "cases/shop/basic.yaml").write_text("gate: basic\ncases: [{name: a, path: /a}]\n")
    (fixtures / "policies/here.yaml").write_text(POLICY)
    generate(tmp_path / "ci.pem")
    shutil.copy(tmp_path / "ci.pem.pub", fixtures / "keys/ci.pub")
    (tmp_path / "live").write_text("1.0")
    yield yard
    server.shutdown()
    thread.join()
    server.server_close()


def write_environment(yard: Yard, least: int = 1) -> None:
    """With so many cases at least."""
    text = ENVIRONMENT.format(base_url=yard.base_url, least=least)
    (yard.folder / "fixtures/environments/here.yaml").write_text(text)


def deploy(name: str = "deploy") -> dict[str, Any]:
    """A step that makes the release live."""
    given = {"argv": ["tee", "live"], "input": "{{release}}"}
    return {"name": name, "type": "deploy", "with": {"command": given}}


GATE = {"name": "gate", "type": "gate", "with": {"gate": {"gates": ["basic"]}}}


def run(yard: Yard, release: str, **changes: Any) -> State:  # noqa: ANN401
    """Carry the plan out, signed; how far it came."""
    yard.run(release, sign_with="ci.pem", seal=seal, **changes)
    return yard.looks[-1].state


def test_deployed_gated_promoted_and_recorded(served: Yard) -> None:
    """And a release that fails its gate goes back; the bundles of both rollouts verify."""
    served.plan(deploy(), {**GATE, "with": {"gate": {}}}, {"name": "may", "type": "promote"},
                {"name": "good", "type": "record"}, on_failure="rollback",
                rollback=[deploy()])  # fmt: skip

    first, second = run(served, "2.0"), run(served, "2.x")

    assert first.result is not None
    assert second.result is not None
    assert (first.result.status, second.result.status) == (SUCCESS, ROLLED_BACK), second.result.why
    gate = first.tasks["gate"].outcome
    assert gate.why == "basic PASSED"
    assert Path(gate.facts["bundle"]).parent == served.folder / "reports"
    assert first.tasks["may"].outcome.why == "granted by 4 conditions"
    assert second.result.why.startswith("gate: basic is FAILED (1 failed: basic/a")
    assert (served.folder / "live").read_text() == "2.0"
    key = load_public_key(Path("ci.pem.pub"))
    for state in (first, second):
        told = verify_rollout(Path(str(state.bundle)), [key]).statement["predicate"]
        assert told["status"] == state.result.status  # type: ignore[union-attr]
        bundles = {s["task"]: s["bundle"]["verdict"] for s in told["steps"] if s["bundle"]}
    assert bundles == {"gate": "FAILED", "back/gate": "PASSED"}


def test_a_gate_is_of_the_release_that_was_to_be_there(served: Yard) -> None:
    """A deployment that did nothing is found before the first case."""
    served.plan({**deploy(), "with": {"command": {"argv": ["true"]}}}, GATE)

    state = run(served, "2.0")

    assert state.tasks["gate"].status == "failed"
    assert "release 2.0" in state.tasks["gate"].outcome.why
    assert state.result is not None
    assert state.result.status == STOPPED


def test_a_gate_that_is_incomplete_fails(served: Yard) -> None:
    """Though every case of it passed."""
    write_environment(served, least=5)
    served.plan(GATE)

    state = run(served, "1.0")

    assert state.tasks["gate"].outcome.why.startswith("basic is INCOMPLETE (")
    assert state.tasks["gate"].outcome.exit_status == 1


def test_an_advisory_gate_is_only_said(served: Yard) -> None:
    """And a gate that nobody has was not run."""
    served.plan({**GATE, "with": {"gate": {"gates": ["basic"], "advisory": ["stream"]}}})

    state = run(served, "1.0")

    assert state.tasks["gate"].outcome.why == "basic PASSED; only said: stream NOT_RUN"


def test_pytest_that_leaves_nothing(served: Yard) -> None:
    """Is believed nothing."""
    served.plan({**GATE, "with": {"gate": {"arguments": ["--no-such-option"]}}})

    outcome = run(served, "1.0").tasks["gate"].outcome

    assert outcome.why == (
        "pytest ended with status 4 and left nothing to believe: there is no report bundle"
    )
    assert "--no-such-option" in outcome.output.text


def test_a_promotion_is_granted_once(served: Yard) -> None:
    """The driver dies after it was granted: the history knows, and nobody asks again."""
    served.plan(GATE, {"name": "may", "type": "promote"}, {"name": "good", "type": "record"})

    def at(boundary: str) -> None:
        if boundary == "ended may/1, before":
            raise KeyboardInterrupt("here")

    with pytest.raises(KeyboardInterrupt, match="here"):
        run(served, "1.0", at=at)
    result = served.resume(sign_with="ci.pem")

    assert result.status == SUCCESS
    found = served.look.state.tasks["may"].outcome.why
    assert re.fullmatch(r"it was interrupted; record \d says that it was granted", found)
    assert served.told.count(("here", "promote", "1.0", "success")) == 1


def test_a_promotion_that_is_refused_stops(served: Yard) -> None:
    """Every condition that is not met is named; without a key nothing is promoted."""
    served.plan({"name": "may", "type": "promote"})

    state = run(served, "1.0")
    unsigned = served.run("1.0")

    assert state.tasks["may"].outcome.why == (
        "refused: evidence: there is no attestation of this release that counts; "
        "gate basic: nothing attests it in here"
    )
    assert unsigned.why == "may: a promotion is signed: start the rollout with --sign-with"


@pytest.fixture
def yard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Yard:
    """An empty one; commands run in its folder."""
    monkeypatch.chdir(tmp_path)
    return Yard(tmp_path)


@pytest.fixture
def ssh(yard: Yard) -> Iterator[subprocess.Popen[bytes]]:
    """A real sshd; ``node`` is this machine."""
    with sshd(yard.folder) as process:
        yield process


def over_ssh(*argv: str, **more: object) -> dict[str, Any]:
    """An action on the node."""
    return {"command": {"argv": list(argv), "ssh": "node", "ssh_config": "config", **more}}


@pytest.mark.needs("sshd", "ssh")
@pytest.mark.usefixtures("ssh")
def test_over_a_real_ssh(yard: Yard) -> None:
    """Words, input, folder and status travel."""
    words = ["a b", "$HOME", "'q'", "*", "x;y", "\n"]
    yard.plan(
        {"name": "say", "type": "deploy", "with": over_ssh("printf", "%s|", *words)},
        {"name": "put", "type": "deploy",
         "with": over_ssh("tee", "put", input="{{release}}", directory=str(yard.folder))},
        {"name": "fail", "type": "deploy", "with": over_ssh("sh", "-c", "exit 7")},
    )  # fmt: skip

    result = yard.run()

    assert result.why == "fail: exit status 7"
    said = yard.look.state.tasks["say"].outcome.output.text
    assert "|".join(words) in said
    assert (yard.folder / "put").read_text() == "2.0"


@pytest.mark.needs("sshd", "ssh")
def test_ssh_that_drops_in_the_middle(yard: Yard, ssh: subprocess.Popen[bytes]) -> None:
    """The step fails, with ssh's word for it; nothing after it is done."""
    remote = "echo begun > begun; sleep 30"
    yard.plan(
        {"name": "far", "type": "deploy",
         "with": over_ssh("sh", "-c", remote, directory=str(yard.folder))},
        step("after"),
    )  # fmt: skip

    def cut() -> None:
        while not (yard.folder / "begun").exists():
            time.sleep(0.01)
        for pid in (*offspring(ssh.pid), ssh.pid):  # each connection's process leads its own group
            os.kill(pid, signal.SIGKILL)

    thread = threading.Thread(target=cut)
    thread.start()
    result = yard.run()
    thread.join()

    assert result.status == STOPPED
    assert result.why.startswith("far: the connection failed, or was lost")
    assert yard.log == []


def offspring(pid: int) -> list[int]:
    """Children of a process, and theirs."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in map(int, (task / "children").read_text().split()):
            found += [child, *offspring(child)]
    return found


def fleet_of(yard: Yard, **more: object) -> dict[str, Any]:
    """Four nodes: hosts of a configuration of their own, a folder each, all on this machine."""
    names = ("n1", "n2", "n3", "n4")
    config = yard.folder / "config"
    config.write_text(config.read_text().replace("Host node", f"Host node {' '.join(names)}"))
    for name in names:
        (yard.folder / name).mkdir()
        (yard.folder / name / "live").write_text("1.0")
    record = Entry(stack="shop", env="here", action="deploy", version="1.0", status="success")
    History(yard.folder / "history.jsonl").append(record, yard.desk().now())
    place = {name: {"folder": str(yard.folder / name)} for name in names}
    return {
        "web": {n: {"ssh": n, "ssh_config": "config", "values": place[n], **more} for n in names}
    }


def put(name: str, **more: object) -> dict[str, Any]:
    """A step that makes the release live on each node."""
    given = {"argv": ["tee", "live"], "input": "{{release}}", "directory": "{{node.folder}}"}
    look = {"argv": ["cat", "{{node.folder}}/live"], "expect": {"output": "{{release}}"}}
    return {"name": name, "type": "deploy", "nodes": "web", "idempotent": True,
            "with": {"command": given}, "verify": [{"command": look}], **more}  # fmt: skip


@pytest.mark.needs("sshd", "ssh")
@pytest.mark.usefixtures("ssh")
def test_a_fleet_over_ssh(yard: Yard) -> None:
    """Two at a time; the one that is down stops it, and what was changed goes back."""
    nodes = fleet_of(yard)
    gate = {"name": "well", "type": "gate", "with": {"command": {"argv": ["true"]}}}
    yard.plan(put("deploy", batch="50%"), gate, {"name": "good", "type": "record"}, nodes=nodes,
              on_failure="rollback", rollback=[put("restore", batch=4)])  # fmt: skip

    first = yard.run("2.0")
    (yard.folder / "n3" / "live").unlink()
    (yard.folder / "n3" / "live").mkdir()  # nothing can be put there
    second = yard.run("3.0")

    assert first.status == SUCCESS, first.why
    live = {name: (yard.folder / name / "live") for name in ("n1", "n2", "n4")}
    assert {name: file.read_text() for name, file in live.items()} == dict.fromkeys(live, "2.0")
    assert "3 of 4 nodes; stopped: 1 down, 0 may be; on 3.0: n1, n2, n4; on" in second.why
    tasks = yard.looks[-1].state.tasks
    assert [tasks[f"back/restore@n{n}"].status for n in range(1, 5)] == [
        "done", "done", "failed", "done",
    ]  # fmt: skip


@pytest.mark.needs("sshd", "ssh")
@pytest.mark.usefixtures("ssh")
def test_two_machines_drive_one_environment(yard: Yard) -> None:
    """From two homes, at the same moment: the lease over ssh lets exactly one run."""
    lock = {"ssh": "node", "ssh_config": "config", "directory": str(yard.folder / "leases")}
    yard.environment("here", f"{UNIT_ENVIRONMENT}lock: {{{json.dumps(lock)}}}\n")
    slow = {"command": {"argv": ["sh", "-c", "sleep 1; echo one 2.0 >> log"]}}
    yard.plan({**step("one"), "with": slow})
    desks = homes(yard, 2)

    ended = at_once(2, lambda n: begin(yard.desk(**desks[n]), Wish("shop", "2.0")))

    assert ended == [0, 1]
    assert yard.log == ["one 2.0"]
    assert [path.name for path in (yard.folder / "leases").iterdir()] == ["here.guard"]
