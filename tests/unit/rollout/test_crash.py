"""`kill -9` of the driver at every boundary of every step: nothing is lost, nothing done twice."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_release.errors import RolloutError
from pytest_release.history import Entry, History
from pytest_release.rollout import attempt
from pytest_release.rollout.adapters import adapter
from pytest_release.rollout.desk import Wish, resume, run
from pytest_release.rollout.processes import start_time
from pytest_release.rollout.stage import Order, Outcome, Stage
from pytest_release.rollout.state import ABORTED, NOT_ROLLED_BACK, ROLLED_BACK, SUCCESS
from pytest_release.rollout.status import as_lines, standing
from tests.unit.rollout.conftest import Hook, Yard, step, wrote

TYPES = ("preflight", "backup", "deploy", "reload", "gate", "notify")


class Noting:
    """An adapter that adds a line to the log, and knows whether it did; no process is needed."""

    def repeatable(self, options: object) -> bool:
        """It is asked first."""
        return False

    def act(self, order: Order, stage: Stage) -> Outcome:
        """Add the line."""
        with Path("log").open("a") as log:
            log.write(f"{_line(order)}\n")
        return Outcome(done=True, why="noted")

    def check(self, order: Order, stage: Stage) -> Outcome | None:
        """Look for the line."""
        return Outcome(done=_line(order) in Path("log").read_text().splitlines())


def _line(order: Order) -> str:
    return str(order.options.get("path") or order.options["text"])


@pytest.fixture
def noting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The adapters http and notify are `Noting`."""
    monkeypatch.setattr(
        attempt, "adapter", lambda name: Noting() if name in ("http", "notify") else adapter(name)
    )


def noted(name: str, kind: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    """A step that adds a line by `Noting`."""
    return {
        "name": name,
        "type": kind,
        "with": {"http": {"path": f"/{name}/{{{{release}}}}"}},
        **more,
    }


def driving(yard: Yard, release: str = "2.0") -> Callable[[Hook], object]:
    """Carries the plan out with a hook."""
    return lambda at: run(yard.desk(at=at), Wish("shop", release))


def every_boundary(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    prepare: Callable[[Yard], None],
    release: str = "2.0",
) -> Iterator[tuple[Yard, str]]:
    """A yard for each boundary, in which the driver was killed there."""
    monkeypatch.setattr(os, "fsync", lambda _: None)  # whoever is only killed loses nothing
    for number in range(1, 1000):
        yard = Yard(folder / str(number))
        monkeypatch.chdir(yard.folder)
        prepare(yard)
        boundary = yard.killed_at(number, driving(yard, release))
        if boundary is None:
            assert number > 20
            return
        yield yard, boundary


@pytest.mark.usefixtures("noting")
def test_killed_at_every_boundary_and_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every step is done once, the history has each record once, and status told the truth."""
    record = {"name": "record", "type": "record"}
    steps = (*(noted(kind, kind) for kind in TYPES), record)

    told = {"webhook": {"url": "http://127.0.0.1:9/"}, "text": "/told/{{release}}"}

    def prepare(yard: Yard) -> None:
        yard.plan(*steps, afterwards=[{"name": "told", "with": {"notify": told}}])

    for yard, boundary in every_boundary(tmp_path, monkeypatch, prepare):
        if boundary == "opened, before":
            assert yard.looks == []  # nothing was begun, and the next may
            assert yard.run().status == SUCCESS
        elif boundary == "closed, after":
            assert standing(yard.look) == SUCCESS
        else:
            assert standing(yard.look) == "interrupted"
            with pytest.raises(RolloutError, match=r"was not finished .*: pytest-release rollout"):
                yard.run()
            assert yard.resume().status == SUCCESS, boundary
        assert yard.log == [f"/{name}/2.0" for name in (*TYPES, "told")], boundary
        keys = Counter(record.details.get("key", "record") for record in yard.records)
        assert set(keys.values()) == {1}, boundary
        ended = {key.rpartition(":")[0] for key in keys if key.startswith("step:")}
        assert len(ended) == len(TYPES) + 2, boundary  # an attempt that was cut off is there too


def back_and_forth(yard: Yard) -> None:
    """1.0 is live and good; 2.x will be deployed, fail its gate and go back."""
    (yard.folder / "live").write_text("1.0")
    entry = Entry(stack="shop", env="here", action="deploy", version="1.0", status=SUCCESS)
    History(yard.folder / "history.jsonl").append(entry, yard.desk().now())
    yard.plan(
        {**noted("deploy", "deploy"), "undo": [{"http": {"path": "/undo"}}]},
        {"name": "health", "type": "gate", "with": {"release": {}}},
        on_failure="rollback",
        rollback=[noted("deploy", "deploy")],
    )


class Told:
    """An adapter that is well with the old release only."""

    def repeatable(self, options: object) -> bool:
        """It only looks."""
        return True

    def act(self, order: Order, stage: Stage) -> Outcome:
        """Look at what was deployed last."""
        last = Path("log").read_text().splitlines()[-1]
        return Outcome(done=last.endswith("/1.0"), why=f"it is {last}")

    def check(self, order: Order, stage: Stage) -> Outcome | None:
        """It cannot say."""
        return None


def test_killed_at_every_boundary_of_the_way_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it was killed at: resumed, the old release is there, once, and its gate ran."""
    mine = {"http": Noting(), "release": Told()}
    monkeypatch.setattr(attempt, "adapter", lambda name: mine.get(name) or adapter(name))

    for yard, boundary in every_boundary(tmp_path, monkeypatch, back_and_forth, "2.x"):
        if boundary == "opened, before":
            continue
        if boundary != "closed, after":
            assert standing(yard.look) == "interrupted"
            assert yard.resume().status == ROLLED_BACK, boundary
        assert yard.log == ["/deploy/2.x", "/undo", "/deploy/1.0"], boundary
        assert yard.told[-2:] == [
            ("here", "rollout", "2.x", "rolled-back"), ("here", "rollback", "1.0", "success"),
        ]  # fmt: skip


def test_killed_at_every_boundary_and_aborted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was changed goes back, what was not stays; a decision stays a decision."""
    mine = {"http": Noting(), "release": Told()}
    monkeypatch.setattr(attempt, "adapter", lambda name: mine.get(name) or adapter(name))

    def prepare(yard: Yard) -> None:
        back_and_forth(yard)
        yard.plan(
            noted("deploy", "deploy"),
            noted("look", "preflight"),
            rollback=[noted("deploy", "deploy"),
                      {"name": "well", "type": "gate", "with": {"release": {}}}],
        )  # fmt: skip

    for yard, boundary in every_boundary(tmp_path, monkeypatch, prepare):
        if boundary.startswith(("opened, before", "closed, after")):
            continue
        decided = yard.look.state.result is not None
        begun = "deploy" in yard.look.state.tasks
        result = yard.resume(abort=True)
        assert result.status == (SUCCESS if decided else ABORTED), (boundary, result.why)
        if begun and not decided:
            assert yard.log[-1] == "/deploy/1.0", boundary
            assert yard.log.count("/deploy/1.0") == 1
        assert yard.log.count("/deploy/2.0") <= 1, boundary


def test_killed_while_a_program_runs(yard: Yard) -> None:
    """It is left running; resumed, what is left of it is ended first, then the step is repeated."""
    code = (
        "import os,time; open('pids', 'a').write(f'{os.getpid()}\\n'); "
        "time.sleep(0 if os.path.exists('go') else 30)"
    )
    wait = {"command": {"argv": ["python3", "-S", "-c", code]}}
    yard.plan({"name": "wait", "type": "deploy", "idempotent": True, "with": wait}, step("last"))
    pids = yard.folder / "pids"

    def act(at: Hook) -> None:
        pid = os.fork()
        if not pid:
            run(yard.desk(at=at), Wish("shop", "2.0"))
            os._exit(0)
        wait_for(lambda: pids.exists() and pids.read_text().endswith("\n"))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)

    assert yard.killed_at(10**6, act) is None
    left = int(pids.read_text())
    assert start_time(left) is not None
    assert [line.split()[1] for line in as_lines(yard.look) if "wait" in line] == ["INTERRUPTED"]
    (yard.folder / "go").write_text("")

    assert yard.resume().status == SUCCESS
    assert start_time(left) is None
    assert len(pids.read_text().splitlines()) == 2
    assert yard.log == ["last 2.0"]


def wait_for(done: Callable[[], bool]) -> None:
    """Until it is so."""
    deadline = time.monotonic() + 20
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_nobody_can_tell(yard: Yard) -> None:
    """A program that may not be repeated: it is not, and what to do is said; abort works."""
    yard.plan({"name": "once", "type": "deploy", "with": wrote("once")})

    boundary = yard.killed_at(10, driving(yard))

    assert boundary == "spawned once/1, after"
    untold = r"^once was interrupted: nobody can tell .*, and it may not be done again: abort"
    with pytest.raises(RolloutError, match=untold):
        yard.resume()
    assert yard.log in ([], ["once"])
    assert yard.resume(abort=True).status == NOT_ROLLED_BACK


def test_what_does_not_show_may_not_be_repeated(yard: Yard) -> None:
    """Finished by hand, it shows, and the rollout goes on."""
    yard.plan(step("once", idempotent=False))
    assert yard.killed_at(8, driving(yard)) == "begun once/1, after"

    unseen = (
        r"^once was interrupted and does not show that it was done \(exit status 1\), and it may"
    )
    with pytest.raises(RolloutError, match=unseen):
        yard.resume()
    (yard.folder / "log").write_text("once 2.0\n")
    assert yard.resume().status == SUCCESS
    assert yard.log == ["once 2.0"]


def test_killed_again_and_again(yard: Yard) -> None:
    """Whoever drives, the story is one; all drivers are named."""
    yard.plan(*(step(name) for name in "abc"))
    assert yard.killed_at(12, driving(yard))
    for _ in range(3):
        assert yard.killed_at(5, lambda at: resume(yard.desk(at=at)))

    assert yard.resume().status == SUCCESS
    assert yard.log == ["a 2.0", "b 2.0", "c 2.0"]
    assert len(yard.look.state.drivers) == 5


def test_the_machine_was_started_again(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody drives then, whatever runs under the old numbers now; the rollout goes on."""
    yard.plan(step("one"), step("two"))
    assert yard.killed_at(12, driving(yard))
    lock = yard.folder / "rollouts" / "locks" / "here.lock"
    owner = json.loads(lock.read_text())
    lock.write_text(json.dumps({**owner, "pid": os.getpid(), "started": start_time(os.getpid())}))
    assert standing(yard.look) == "running"

    monkeypatch.setattr("pytest_release.rollout.lock.boot_id", lambda: "another")
    monkeypatch.setattr("pytest_release.rollout.desk.boot_id", lambda: "another")

    assert standing(yard.look) == "interrupted"
    assert yard.resume().status == SUCCESS
    assert yard.log == ["one 2.0", "two 2.0"]
