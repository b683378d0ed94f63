"""Leases on a host that several machines reach; here ssh is left out, and the host is this one."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_release.config.environment import LeasePlace
from pytest_release.errors import ConfigError, RolloutError
from pytest_release.rollout.desk import Wish, run
from pytest_release.rollout.lease import Host, Lease
from pytest_release.rollout.lock import Owner
from pytest_release.rollout.state import SUCCESS
from tests.unit.rollout.conftest import ENVIRONMENT, Yard, step


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """What would run on the host runs here."""
    monkeypatch.setattr(Host, "line", lambda _, argv: argv)


def leased(yard: Yard, lease_s: float = 30) -> Yard:
    """The yard, with a lease for its environment."""
    lock = {"ssh": "node", "directory": str(yard.folder / "leases"), "lease_s": lease_s}
    yard.environment("here", f"{ENVIRONMENT}lock: {{{json.dumps(lock)}}}\n")
    return yard


def homes(yard: Yard, count: int) -> list[dict[str, Any]]:
    """Desks of several machines: each has its own folders, and the environment is one."""
    return [
        {"root": yard.folder / f"home-{n}", "history": yard.folder / f"history-{n}.jsonl",
         "who": f"driver{n}@desk"} for n in range(count)
    ]  # fmt: skip


def owner(**changes: Any) -> Owner:  # noqa: ANN401 - its members
    """This process, or one that is like it."""
    return replace(Owner.here("r1", "li@desk", "2026-11-28T00:00:00+00:00"), **changes)


def lease(folder: Path, lease_s: float = 30, **changes: Any) -> Lease:  # noqa: ANN401
    """The lease of ``here``."""
    return Lease(Host(LeasePlace("node", str(folder), None, lease_s)), "here", owner(**changes))


def at_once(count: int, act: Callable[[int], object]) -> list[int]:
    """Do it in as many processes at the same moment; how each ended."""
    start = time.time() + 0.3
    pids = []
    for number in range(count):
        pid = os.fork()
        if not pid:
            status = 3
            try:
                time.sleep(max(0.0, start - time.time()))
                act(number)
                status = 0
            except RolloutError:
                status = 1
            finally:
                os._exit(status)
        pids.append(pid)
    return sorted(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids)


def test_two_drivers_from_two_homes(yard: Yard) -> None:
    """Started at the same moment: exactly one runs; nothing is left of the lease."""
    slow = {"command": {"argv": ["sh", "-c", "sleep .8; echo one 2.0 >> log"]}}
    leased(yard).plan({**step("one"), "with": slow})
    desks = homes(yard, 2)

    ended = at_once(2, lambda n: run(yard.desk(**desks[n]), Wish("shop", "2.0")))

    assert ended == [0, 1]
    assert yard.log == ["one 2.0"]
    assert [path.name for path in (yard.folder / "leases").iterdir()] == ["here.guard"]


def test_who_drives_is_said(tmp_path: Path) -> None:
    """With host and age; once it is given back, the next may."""
    first = lease(tmp_path / "a" / "b")
    assert first.take() is None
    told = (
        r"^here is being driven by rollout r1 by li@desk \(pid \d+ on .*\), as .*/here\.lease on "
        r"node says: renewed \d s ago by that host's clock, stale after 30 s$"
    )
    with pytest.raises(RolloutError, match=told):
        lease(tmp_path / "a" / "b").take()
    first.check()
    first.give_back(finished=True)
    assert list((tmp_path / "a" / "b").glob("*.owner")) == []
    second = lease(tmp_path / "a" / "b")
    assert second.take() is None
    second.give_back(finished=True)


def test_a_stale_lease_is_taken_over_by_exactly_one(tmp_path: Path) -> None:
    """Of eight that see it at the same moment; a clock that is wrong here changes nothing."""
    old = lease(tmp_path, host="another", boot="b", rollout="left")
    old.take()
    old._ended.set()
    past = time.time() - 31
    os.utime(tmp_path / "here.lease", (past, past))

    def act(number: int) -> None:
        mine = lease(tmp_path, rollout=f"r{number}", host=f"m{number}")
        before = mine.take()
        assert before is None or before.rollout == "left"  # another may have removed it
        mine._ended.set()  # it is killed, in effect: nothing is given back

    assert at_once(8, act) == [0, *[1] * 7]
    assert len(list(tmp_path.glob("*.owner"))) == 1


def test_one_that_is_renewed_at_the_last_moment_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was stale when it was looked at is not any more when it is removed."""
    old = lease(tmp_path, host="another", boot="b")
    old.take()
    past = time.time() - 31
    os.utime(tmp_path / "here.lease", (past, past))
    do = Host.do

    def renewing(self: Host, *argv: str, given: str | None = None) -> Any:  # noqa: ANN401
        if argv[0] == "flock":
            assert old._renewed()
        return do(self, *argv, given=given)

    with monkeypatch.context() as patched:
        patched.setattr(Host, "do", renewing)
        with pytest.raises(RolloutError, match=r"renewed 0 s ago|renewed 1 s ago"):
            lease(tmp_path).take()
    old.give_back(finished=True)
    assert list(tmp_path.glob("here.lease")) == []


def test_it_is_renewed_while_it_is_held(tmp_path: Path) -> None:
    """For longer than its time; whoever looks meanwhile is refused."""
    held = lease(tmp_path, lease_s=2, host="another")
    held.take()
    first = (tmp_path / "here.lease").stat().st_mtime
    deadline = time.monotonic() + 10
    while (tmp_path / "here.lease").stat().st_mtime == first:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    held.check()
    with pytest.raises(RolloutError, match=r"^here is being driven by"):
        lease(tmp_path).take()
    held.give_back(finished=True)


def test_a_lease_that_was_taken_over_stops_its_driver(yard: Yard) -> None:
    """Before its next step; the other's is not touched."""
    leased(yard, lease_s=2).plan(step("one"), step("two"))

    def at(boundary: str) -> None:
        if boundary == "ended one/1, after":
            (old,) = (yard.folder / "leases").glob("*.owner")
            old.unlink()
            (yard.folder / "leases" / "here.lease").unlink()
            (yard.folder / "leases" / "here.lease").write_text("another's")
            time.sleep(0.9)

    lost = r"^the lease of here on node is lost: another driver has taken it over; nothing more is"
    with pytest.raises(RolloutError, match=lost):
        yard.run(at=at)
    assert yard.log == ["one 2.0"]
    assert (yard.folder / "leases" / "here.lease").read_text() == "another's"


def test_who_cannot_renew_stops_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the monotonic clock, before another may begin."""
    held = lease(tmp_path, lease_s=2)
    held.take()
    held._ended.set()
    held.check()
    held._confirmed -= 1.7
    with pytest.raises(
        RolloutError, match=r"could not be renewed for 2 s \(no answer yet\); nothing"
    ):
        held.check()


def test_a_killed_driver_of_this_machine_is_known_to_be_gone(yard: Yard) -> None:
    """Its own home resumes at once; on another machine the lease runs out first."""
    leased(yard).plan(step("one"), step("two"))
    assert yard.killed_at(9, lambda at: run(yard.desk(at=at), Wish("shop", "2.0")))
    assert (yard.folder / "leases" / "here.lease").exists()

    assert yard.resume().status == SUCCESS
    assert not (yard.folder / "leases" / "here.lease").exists()
    (told,) = yard.look.state.drivers[-1]["took_over"]
    assert re.match(r"the stale lease of here was taken over from rollout \S+ by li@desk", told)


def test_an_interrupted_driver_leaves_a_stale_lease(yard: Yard) -> None:
    """Which says who left it."""
    leased(yard).plan(step("one"), step("two"))

    def at(boundary: str) -> None:
        if boundary == "begun two/1, before":
            raise KeyboardInterrupt("here")

    with pytest.raises(KeyboardInterrupt, match="here"):
        yard.run(at=at)
    file = yard.folder / "leases" / "here.lease"
    assert file.stat().st_mtime == 0
    assert json.loads(file.read_text())["owner"]["who"] == "li@desk"
    assert yard.resume().status == SUCCESS
    assert not file.exists()


def test_a_host_that_is_not_reached(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is begun; a folder that cannot be made neither."""
    leased(yard).plan(step("one"))
    (yard.folder / "leases").write_text("a file")
    with pytest.raises(
        RolloutError, match=r"^the lease .*/here\.lease cannot be taken on node: mkdir"
    ):
        yard.run()
    say = ("sh", "-c", "echo no route; exit 255")
    monkeypatch.setattr(Host, "line", lambda *_: say)
    with pytest.raises(RolloutError, match=r"^node was not reached for its lease: no route$"):
        yard.run()
    assert yard.looks == []


def test_a_host_that_says_nonsense(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Is not believed; what cannot be read counts as held, until it is old."""
    (tmp_path / "here.lease").write_text('{"owner": {"pid": "x"}, "lease_s": "y"}')
    with pytest.raises(RolloutError, match=r"driven by another driver, as .* stale after 30 s$"):
        lease(tmp_path).take()
    monkeypatch.setattr(Host, "line", lambda _, argv: ("echo", "hm") if argv[0] == "stat" else argv)
    with pytest.raises(RolloutError, match=r"^stat answered something else: hm$"):
        lease(tmp_path).take()


def test_a_lock_that_is_wrong(yard: Yard) -> None:
    """An environment says so with the place."""
    leased(yard, lease_s=1).plan(step("one"))

    with pytest.raises(ConfigError, match=r"lock\.lease_s"):
        yard.run()
