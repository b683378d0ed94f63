"""Tests of `pytest_release.rollout.lock`: one driver an environment."""

from __future__ import annotations

import os
import socket
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from pytest_release.atomic import canonical_json
from pytest_release.errors import RolloutError
from pytest_release.rollout.lock import Locks, Owner, owner_of
from pytest_release.rollout.state import SUCCESS
from tests.unit.rollout.conftest import Yard, forked, step

SINCE = "2026-11-28T18:00:00+00:00"


def owner(rollout: str = "one") -> Owner:
    """This process."""
    return Owner.here(rollout, "li@desk", SINCE)


def leave(folder: Path, left: Owner) -> None:
    """A lock's file as its owner left it."""
    folder.mkdir(exist_ok=True)
    (folder / "here.lock").write_bytes(canonical_json(asdict(left)))


def test_of_two_the_second_is_told_who_drives(tmp_path: Path) -> None:
    """With person, pid, host and time; and nothing is held by it."""
    first = Locks(tmp_path, ["here"], owner())
    first.sign()
    message = (
        rf"^here is being driven by rollout one by li@desk \(pid {os.getpid()} on "
        rf"{socket.gethostname()}\) since 2026-11-28 18:00:00 UTC$"
    )

    with pytest.raises(RolloutError, match=message):
        Locks(tmp_path, ["there", "here"], owner("two"))
    first.close()
    Locks(tmp_path, ["here", "there"], owner("two")).close()


def test_one_that_was_killed_is_recognised(tmp_path: Path) -> None:
    """By its pid and start time, its boot; the lock is free, and says who left it."""
    for left in (
        replace(owner("old"), pid=2**22 - 1),
        replace(owner("old"), started=1),
        replace(owner("old"), boot="another"),
    ):
        leave(tmp_path, left)
        assert not left.lives
        locks = Locks(tmp_path, ["here"], owner("new"))
        assert locks.left == (left,)
        locks.close()


def test_a_driver_of_another_host_is_believed_to_live(tmp_path: Path) -> None:
    """Nobody here can tell; what to do is said."""
    leave(tmp_path, replace(owner(), host="elsewhere"))

    with pytest.raises(RolloutError, match=r"on elsewhere\) .*; if that machine is gone, remove .*"
                                           r"here\.lock$"):  # fmt: skip
        Locks(tmp_path, ["here"], owner("two"))


def test_half_of_a_line_is_nobody(tmp_path: Path) -> None:
    """Whoever wrote it is gone."""
    (tmp_path / "here.lock").write_text('{"rollout": "on')

    assert owner_of(tmp_path, "here") is None
    assert owner_of(tmp_path, "there") is None
    Locks(tmp_path, ["here"], owner()).close()


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """Is named."""
    (tmp_path / "file").write_text("")

    with pytest.raises(RolloutError, match=r"^the lock in .*file/locks cannot be taken: Not a dir"):
        Locks(tmp_path / "file" / "locks", ["here"], owner())


def test_of_two_that_start_at_the_same_moment_one_runs(yard: Yard) -> None:
    """Real processes, released by one pipe; the other is told."""
    yard.plan(step("deploy"), {"name": "wait", "type": "preflight",
                               "with": {"command": {"argv": ["sleep", "0.5"]}}})  # fmt: skip
    ready, go = os.pipe()

    def drive() -> int:
        pid = os.fork()
        if pid:
            return pid
        status = 9
        try:
            os.close(go)
            os.read(ready, 1)
            status = 0 if yard.run().status == SUCCESS else 5
        except RolloutError as error:
            status = 1 if "is being driven by" in str(error) else 6
        finally:
            os._exit(status)

    pids = [drive() for _ in range(4)]
    os.close(go)
    statuses = sorted(os.WEXITSTATUS(os.waitpid(pid, 0)[1]) for pid in pids)

    assert statuses == [0, 1, 1, 1]
    assert yard.log == ["deploy 2.0"]
    assert forked(lambda: None) == 0
