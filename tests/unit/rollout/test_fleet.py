"""Steps on groups of nodes: batches, nodes that are down, the way back, crashes."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from pytest_release.config.plans import load_plan
from pytest_release.errors import ConfigError, RolloutError
from pytest_release.history import Entry, History
from pytest_release.rollout import attempt
from pytest_release.rollout.adapters import adapter
from pytest_release.rollout.course import tasks_of
from pytest_release.rollout.desk import Wish, back, run
from pytest_release.rollout.picture import details
from pytest_release.rollout.progress import Plain
from pytest_release.rollout.report import seal
from pytest_release.rollout.state import NOT_ROLLED_BACK, ROLLED_BACK, STOPPED, SUCCESS
from pytest_release.rollout.status import standing
from tests.unit.rollout.conftest import Yard
from tests.unit.rollout.test_crash import Noting, Told, every_boundary, noted

NAMES = ("n1", "n2", "n3", "n4")
NODES = {"web": {name: {"values": {"place": f"node-{name}"}} for name in NAMES}}
GATE = {"name": "well", "type": "gate", "with": {"command": {"argv": ["true"]}}}


def on(name: str, argv: list[str], kind: str = "deploy", **more: Any) -> dict[str, Any]:  # noqa: ANN401
    """A step that runs a program on every node."""
    return {"name": name, "type": kind, "nodes": "web",
            "with": {"command": {"argv": argv}}, **more}  # fmt: skip


def copy(name: str = "deploy", **more: Any) -> dict[str, Any]:  # noqa: ANN401
    """A step that puts the release on every node where its folder is, and shows that it did."""
    live = {"argv": ["cat", "{{node.place}}/live"], "expect": {"output": "{{release}}"}}
    return on(name, [], idempotent=True, verify=[{"command": live}], **more) | {
        "with": {"command": {"argv": ["tee", "{{node.place}}/live"], "input": "{{release}}"}}
    }


@pytest.fixture
def fleet(yard: Yard) -> Yard:
    """Four nodes with 1.0, which was good."""
    for name in NAMES:
        (yard.folder / f"node-{name}").mkdir()
        (yard.folder / f"node-{name}" / "live").write_text("1.0")
    entry = Entry(stack="shop", env="here", action="deploy", version="1.0", status="success")
    History(yard.folder / "history.jsonl").append(entry, yard.desk().now())
    return yard


def live(yard: Yard) -> list[str]:
    """Which release every node has; a dash where it is down."""
    files = [yard.folder / f"node-{name}" / "live" for name in NAMES]
    return [file.read_text() if file.exists() else "-" for file in files]


def break_down(yard: Yard, *names: str) -> None:
    """These nodes have no folder any more."""
    for name in names:
        (yard.folder / f"node-{name}" / "live").unlink()
        (yard.folder / f"node-{name}").rmdir()


def test_every_node_one_after_the_other(fleet: Yard, capsys: pytest.CaptureFixture[str]) -> None:
    """Each is a task with its own records, progress and place in the timeline."""
    fleet.plan(copy(), nodes=NODES)

    result = fleet.run(seal=seal, watcher=Plain())

    assert result.status == SUCCESS
    assert live(fleet) == ["2.0"] * 4
    state = fleet.look.state
    assert [a.task for a in state.attempts[:5]] == [*(f"deploy@{n}" for n in NAMES), "deploy"]
    assert state.tasks["deploy"].outcome.why == "4 of 4 nodes; on 2.0: n1, n2, n3, n4"
    assert state.tasks["deploy"].outcome.facts["done"] == "n1 n2 n3 n4"
    nodes = [
        r.details["node"] for r in fleet.records if r.action == "deploy" and "node" in r.details
    ]
    assert nodes == list(NAMES)
    said = capsys.readouterr().out
    assert re.search(r"deploy@n3 +ok +\d\.\d s  exit status 0; verified\n", said)
    page = (Path(str(state.bundle)) / "rollout.html").read_text()
    assert page.count("deploy@n3") == 2  # in the table and in the course


def test_nodes_of_a_batch_are_done_at_the_same_time(fleet: Yard) -> None:
    """Each waits until the others of its batch are there; the next batch waits for all."""
    code = (
        "import sys, time, pathlib as p; p.Path('at-' + sys.argv[1]).touch()\n"
        "need = 3 if sys.argv[1] < 'n4' else 4\n"
        "while len(list(p.Path('.').glob('at-*'))) < need: time.sleep(.01)\n"
        "print(len(list(p.Path('.').glob('at-*'))))"
    )
    fleet.plan(on("meet", ["python3", "-S", "-c", code, "{{node}}"], batch="75 %", timeout_s=20),
               nodes=NODES)  # fmt: skip

    assert fleet.run().status == SUCCESS
    tasks = fleet.look.state.tasks
    said = [tasks[f"meet@{name}"].outcome.output.text.strip() for name in NAMES]
    assert said == ["3", "3", "3", "4"]


def test_too_many_are_down(fleet: Yard) -> None:
    """No further node is begun, and which one is on which release is said."""
    break_down(fleet, "n2")
    fleet.plan(copy(), nodes=NODES)

    result = fleet.run()

    assert result.status == STOPPED
    assert result.why.startswith(
        "deploy: 1 of 4 nodes; stopped: 1 down, 0 may be; on 2.0: n1; on either release: n2; "
        "on 1.0: n3, n4; down: n2 (exit status 1: "
    )
    assert live(fleet) == ["2.0", "-", "1.0", "1.0"]
    assert fleet.look.state.tasks["deploy"].outcome.facts == {
        "done": "n1", "down": "n2", "not_begun": "n3 n4",
    }  # fmt: skip


def test_as_many_are_down_as_may_be(fleet: Yard) -> None:
    """It goes on; a node that is down stays out of later steps, and counts there."""
    break_down(fleet, "n2")
    fleet.plan(copy(batch=2, max_unavailable="25%"),
               on("reload", ["echo", "{{node}}"], "reload", batch=4, max_unavailable=1),
               {"name": "good", "type": "record"}, nodes=NODES)  # fmt: skip

    result = fleet.run()

    assert result.why == "3 steps done; n2 is down since deploy"
    tasks = fleet.look.state.tasks
    assert tasks["reload@n2"].status == "skipped"
    assert tasks["reload@n2"].outcome.why == "the node is down since deploy"
    assert tasks["reload"].outcome.why == (
        "3 of 4 nodes; on 2.0: n1, n3, n4; on either release: n2; down: n2 (since deploy)"
    )


def test_only_nodes_that_were_changed_go_back(fleet: Yard) -> None:
    """The others are not touched; what was done is undone on the same ones."""
    undo = {"command": {"argv": ["tee", "-a", "log"], "input": "undo {{node}}\n"}}
    fail = ["sh", "-c", 'test "$1" != n3 || test "$2" = 1.0', "-", "{{node}}", "{{release}}"]
    fleet.plan(
        on("deploy", fail, idempotent=True, undo=[undo]), GATE, on_failure="rollback",
        nodes=NODES, rollback=[copy("restore", batch=2)],
    )  # fmt: skip

    result = fleet.run()

    assert result.status == ROLLED_BACK, result.why
    begun = [name for name in fleet.look.state.tasks if "/" in name]
    assert begun == [
        "undo/deploy/1@n1", "undo/deploy/1@n2", "undo/deploy/1@n3",
        "back/restore@n1", "back/restore@n2", "back/restore@n3", "back/well",
    ]  # fmt: skip
    assert fleet.log == ["undo n1", "undo n2", "undo n3"]


def test_each_node_goes_back_whatever_becomes_of_the_others(fleet: Yard) -> None:
    """One cannot: the others have the old release, and the rollout says that it is not well."""
    bad = {"command": {"argv": ["sh", "-c", "rm -r node-n1; exit 1"]}}
    gate = {**GATE, "name": "bad", "with": bad}
    fleet.plan(copy(), gate, nodes=NODES, on_failure="rollback", rollback=[copy(), GATE])

    result = fleet.run()

    assert result.status == NOT_ROLLED_BACK
    assert live(fleet) == ["-", "1.0", "1.0", "1.0"]
    assert "did not restore health: back/deploy@n1: exit status 1" in result.why


def test_an_asked_rollback_is_of_all_nodes(fleet: Yard) -> None:
    """Nobody knows which of them are as they were."""
    fleet.plan(copy(batch=4), GATE, {"name": "good", "type": "record"}, nodes=NODES,
               rollback=[copy(batch=4)])  # fmt: skip
    assert fleet.run().status == SUCCESS

    assert back(fleet.desk(), "shop", "here", "1.0").status == ROLLED_BACK
    assert live(fleet) == ["1.0"] * 4


def test_a_node_is_tried_again_by_itself(fleet: Yard) -> None:
    """The others are not; a condition leaves all of them out."""
    code = 'test "$1" != n2 || test -e again || { touch again; exit 1; }; echo "$1" >> log'
    fleet.plan(on("deploy", ["sh", "-c", code, "-", "{{node}}"], batch=2, retries={"times": 1}),
               nodes=NODES)  # fmt: skip

    assert fleet.run().status == SUCCESS
    assert sorted(fleet.log) == list(NAMES)
    assert [a.task for a in fleet.look.state.attempts if a.attempt == 2] == ["deploy@n2"]


def test_what_a_step_said_of_a_node(fleet: Yard) -> None:
    """Is for later steps on that node, and under its name for all."""
    fleet.plan({**copy(), "type": "notify"}, nodes=NODES)
    plan = load_plan(fleet.folder / "fixtures", "shop", {})

    assert [name for name in tasks_of(plan) if "@" in name] == [f"deploy@{n}" for n in NAMES]
    assert (
        details(plan.steps[0])[1]
        == "on 4 nodes of web, 1 at a time, at most 0 down: n1, n2, n3, n4"
    )


def test_actions_go_to_the_node(yard: Yard) -> None:
    """By its ssh, unless the plan says otherwise; adapters without ssh stay as they are."""
    nodes = {"web": {"n1": {"ssh": "li@host", "ssh_config": "config"}}}
    yard.plan(on("a", ["x"], verify=[{"command": {"argv": ["y"], "here": True}},
                                     {"command": {"argv": ["z"], "ssh": "other"}},
                                     {"http": {"path": "/"}}]), nodes=nodes)  # fmt: skip

    part = tasks_of(load_plan(yard.folder / "fixtures", "shop", {}))["a@n1"]

    assert part.action.options == {"argv": ["x"], "ssh": "li@host", "ssh_config": "config"}
    assert [a.options.get("ssh") for a in part.verify] == [None, "other", None]


class Answers(BaseHTTPRequestHandler):
    """Says under which port it was asked."""

    def do_GET(self) -> None:
        """The port."""
        data = json.dumps({"port": self.server.server_port}).encode()  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
        """Say nothing."""


def test_a_node_is_asked_at_its_own_address(yard: Yard) -> None:
    """And not at that of its environment."""
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), Answers) for _ in range(2)]
    for server in servers:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    ports = {f"n{number}": server.server_port for number, server in enumerate(servers)}
    nodes = {
        name: {"base_url": f"http://127.0.0.1:{port}", "values": {"port": port}}
        for name, port in ports.items()
    }
    wanted = {"path": "/", "expect": {"contains": "{{node.port}}"}}
    yard.plan({"name": "ask", "type": "preflight", "nodes": "web", "with": {"http": wanted}},
              nodes={"web": nodes})  # fmt: skip

    result = yard.run()
    for server in servers:
        server.shutdown()
        server.server_close()

    assert result.status == SUCCESS, result.why


# -- crashes


def noted_on(name: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    """A step on four nodes that adds a line for each, and knows whether it did."""
    path = f"/{name}/{{{{node}}}}/{{{{release}}}}"
    return {**noted(name, "deploy"), "nodes": "web", "with": {"http": {"path": path}}, **more}


def test_killed_at_every_boundary_of_a_fleet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Resumed, every node was done once, and each record is there once."""
    monkeypatch.setattr(attempt, "adapter", lambda n: Noting() if n == "http" else adapter(n))

    def prepare(yard: Yard) -> None:
        yard.plan(noted_on("deploy", batch=2), noted("last", "notify"), nodes=NODES)

    for yard, boundary in every_boundary(tmp_path, monkeypatch, prepare):
        if boundary == "opened, before":
            continue
        if boundary != "closed, after":
            assert standing(yard.look) == "interrupted"
            assert yard.resume().status == SUCCESS, boundary
        assert sorted(yard.log) == [*(f"/deploy/{n}/2.0" for n in NAMES), "/last/2.0"], boundary
        keys = Counter(record.details["key"] for record in yard.records)
        assert set(keys.values()) == {1}, boundary
        done = {key.split(":")[1] for key in keys if key.startswith("step:")}
        assert done == {*(f"deploy@{n}" for n in NAMES), "deploy", "last"}, boundary


def test_killed_at_every_boundary_of_a_fleets_way_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it was killed at: the nodes that were changed have the old release, once."""
    mine: Mapping[str, Any] = {"http": Noting(), "release": Told()}
    monkeypatch.setattr(attempt, "adapter", lambda name: mine.get(name) or adapter(name))

    def prepare(yard: Yard) -> None:
        entry = Entry(stack="shop", env="here", action="deploy", version="1.0", status="success")
        History(yard.folder / "history.jsonl").append(entry, yard.desk().now())
        stop = {"name": "well", "type": "gate", "with": {"release": {}}}
        nodes = {**NODES, "canary": {name: NODES["web"][name] for name in NAMES[:2]}}
        yard.plan({**noted_on("deploy", batch=2), "nodes": "canary"}, stop, nodes=nodes,
                  on_failure="rollback", rollback=[noted_on("restore", batch=4)])  # fmt: skip

    for yard, boundary in every_boundary(tmp_path, monkeypatch, prepare, "2.x"):
        if boundary == "opened, before":
            continue
        if boundary != "closed, after":
            assert yard.resume().status == ROLLED_BACK, boundary
        assert sorted(yard.log) == [
            "/deploy/n1/2.x", "/deploy/n2/2.x", "/restore/n1/1.0", "/restore/n2/1.0",
        ], boundary  # fmt: skip


def test_an_interrupt_ends_what_runs_on_nodes(fleet: Yard) -> None:
    """The driver stops at once; resumed, only what had not ended is done."""
    code = 'echo "$1" >> begun; test "$1" = n1 || test -e go || sleep 30; echo "$1" >> log'
    fleet.plan(on("deploy", ["sh", "-c", code, "-", "{{node}}"], batch=4, idempotent=True),
               nodes=NODES)  # fmt: skip

    pid = os.fork()
    if not pid:
        forked_status = 0
        try:
            run(fleet.desk(), Wish("shop", "2.0"))
        except KeyboardInterrupt:
            forked_status = 7
        finally:
            os._exit(forked_status)
    begun, deadline = fleet.folder / "begun", time.monotonic() + 20
    while len((begun.read_text() if begun.exists() else "").split()) < 4 or not fleet.log:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    wait_ended(fleet)
    os.kill(pid, signal.SIGINT)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    assert time.monotonic() < deadline
    (fleet.folder / "go").touch()

    assert fleet.resume().status == SUCCESS
    assert sorted(fleet.log) == list(NAMES)


def wait_ended(yard: Yard) -> None:
    """Until the first node's end stands in the journal."""
    deadline = time.monotonic() + 20
    while not (task := yard.look.state.tasks.get("deploy@n1")) or task.status != "done":
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_journal_that_fails_on_one_node(fleet: Yard) -> None:
    """The others end what they do; nothing goes on."""
    fleet.plan(copy(batch=4), nodes=NODES)

    def at(boundary: str) -> None:
        if boundary == "ended deploy@n2/1, before":
            raise RolloutError("the disk is full")

    with pytest.raises(RolloutError, match=r"^the disk is full$"):
        fleet.run(at=at)
    assert live(fleet) == ["2.0"] * 4
    assert fleet.resume().status == SUCCESS


# -- what people write


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"nodes": "wbe"}, r"there is no group of nodes 'wbe', did you mean 'web'\?; groups: web"),
        ({"type": "record", "with": {"record": {}}}, r"a record is of the whole environment, and"),
        ({"name": "node"}, r"'node' has its own meaning: choose another name"),
        ({"batch": 0}, r"batch: .*0"),
        ({"batch": "x%"}, r"so many nodes at a time, or a share as '25 %'"),
        ({"with": {"command": {"argv": ["{{node.port}}"]}}}, r"unknown name \{\{node\.port\}\}"),
    ],
)
def test_steps_on_nodes_that_are_wrong(yard: Yard, change: dict[str, Any], message: str) -> None:
    """Are refused before anything is done, with the place."""
    yard.plan({**on("deploy", ["true"]), **change}, nodes=NODES)

    with pytest.raises(ConfigError, match=message):
        yard.run()


def test_groups_that_are_wrong(yard: Yard) -> None:
    """A name is one machine; a batch without nodes, and a node's own words, are refused."""
    nodes = {"web": {"n1": {"ssh": "a", "values": {"ssh": "b"}}}, "all": {"n1": {"ssh": "c"}}}
    say = {"command": {"argv": ["{{node}}"]}}
    yard.plan({"name": "a", "type": "deploy", "with": say, "batch": 2}, nodes=nodes)

    with pytest.raises(ConfigError, match=r"'batch' is of steps with 'nodes'") as caught:
        yard.run()
    assert "the node 'n1' is another one in 'all': a name is one machine" in str(caught.value)
    assert "'ssh' has its own meaning" in str(caught.value)
    assert "unknown name {{node}}" in str(caught.value)
