"""Tests of `sandbox.child` and `sandbox.nursery`: a fork that is as good as a new interpreter."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import pytest

from pytest_release.errors import SandboxError
from pytest_release.sandbox import child
from pytest_release.sandbox.child import Child

TELLS = """
import json, os, sys
if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    told = {
        "name": __name__, "asked": asked, "folder": os.getcwd(), "seen": os.environ.get("SEEN"),
        "session": os.getsid(0) == os.getpid(), "input": sys.stdin.read(),
        "open": sorted(int(n) for n in os.listdir("/proc/self/fd")),
    }
    with os.fdopen(asked["out"], "w") as out:
        json.dump(told, out)
    print("last words", file=sys.stderr)
    sys.exit(7)
"""
THREADED = (
    "import threading, time\nthreading.Thread(target=time.sleep, args=(9,), daemon=True).start()"
)

Tell = Callable[[str], dict[str, Any]]


@pytest.fixture
def nursery(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A nursery of this test, which can import what the test writes to the folder."""
    monkeypatch.syspath_prepend(tmp_path)
    mine = child._Nursery()
    monkeypatch.setattr(child, "_NURSERY", mine)
    yield tmp_path
    mine.close()


@pytest.fixture
def tell(nursery: Path, monkeypatch: pytest.MonkeyPatch) -> Tell:
    """``tell(code)``: what a child says of itself that is made of this code."""
    monkeypatch.setenv("SEEN", "yes")

    def tell(code: str) -> dict[str, Any]:
        (nursery / "a_child.py").write_text(code)
        monkeypatch.setattr(child, "OURS", "a_child")
        with TemporaryFile() as out:
            born = Child("a_child", {"out": out.fileno()}, (out.fileno(),))
            born.let_go()
            born._wait(20)
            words, status = born.last_words(), born.exit_status
            born.join()
            out.seek(0)
            return {**json.load(out), "number": out.fileno(), "words": words, "status": status}

    return tell


@pytest.mark.parametrize("before", ["", THREADED], ids=["forked", "by a new interpreter"])
def test_a_child_is_as_by_python_m(tell: Tell, before: str) -> None:
    """Name, argument, folder, environment, session and open files are its own."""
    told = tell(before + TELLS)

    assert told["name"] == "__main__"
    assert told["asked"] == {"out": told["number"]}
    assert (told["folder"], told["seen"], told["session"]) == (str(Path.cwd()), "yes", True)
    assert told["input"] == ""
    assert len(set(told["open"]) - {0, 1, 2, told["number"]}) == 1  # with which it looks
    assert (told["words"], told["status"]) == ("last words", 7)


def test_a_killed_child_is_known_by_its_signal(nursery: Path) -> None:
    """As `subprocess` tells it."""
    (nursery / "sleeper.py").write_text("import time\ntime.sleep(60)")
    born = Child("sleeper", {})
    os.kill(born.pid, signal.SIGKILL)

    assert born._wait(20)
    assert born.exit_status == -9
    born.let_go()
    born.join()


def test_a_nursery_that_died_is_replaced(nursery: Path) -> None:
    """The next child is born by another."""
    (nursery / "brief.py").write_text("")
    first = Child("brief", {})
    first.let_go()
    first.join()
    process = child._NURSERY._process
    assert process is not None
    process.kill()
    process.wait()
    second = Child("brief", {})
    second.let_go()
    second.join()

    assert second.exit_status == 0


def test_without_a_nursery_there_is_no_child(
    nursery: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever wanted the child is told, and does not wait."""
    monkeypatch.setattr(child, "NURSERY", "no_such_module")

    with pytest.raises(
        SandboxError, match="brief cannot be started: the sandbox's nursery has died"
    ):
        Child("brief", {})
