"""A worker of the sandbox really imports its code anew."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryFile

import pytest

from pytest_release.sandbox.endpoint import V1, Setting
from pytest_release.sandbox.endpoints import find
from pytest_release.sandbox.requests import Refused, Request
from pytest_release.sandbox.rooms import hot_reload
from pytest_release.sandbox.rooms._reloading import (
    ENDPOINTS,
    ORDER,
    TREE_FILE,
    Disk,
    Reloader,
    tree_told,
)
from pytest_release.sandbox.state import SharedState


@pytest.fixture
def disk() -> Iterator[Disk]:
    """Old code and new."""
    disk = Disk()
    yield disk
    disk.stop()


@pytest.fixture
def state() -> Iterator[SharedState]:
    """Shared by the workers of a test."""
    with TemporaryFile() as file:
        yield SharedState(file.fileno())


def worker(disk: Disk, state: SharedState, *faults: str) -> Reloader:
    """A worker with its old code."""
    names = frozenset(f"hot_reload.{name}" for name in faults)
    return Reloader(Setting(state, faults=names, parts={"hot_reload": disk.told}))


def test_the_files_have_no_name(disk: Disk) -> None:
    """Nothing stays behind, whatever dies; until then any process of the user can read them."""
    for path in disk.told.values():
        assert "(deleted)" in str(Path(path).readlink())
        assert "BUILD" in Path(path).read_text()


def test_a_reload_imports_the_code_on_disk(disk: Disk, state: SharedState) -> None:
    """Before, what runs is not what is on disk; behind it, it is, and so are its clients."""
    reloader = worker(disk, state)
    before = reloader.versions["source"]
    reloader.reload_all()
    after = reloader.versions["source"]

    assert (before["changed"], after["changed"]) == (True, False)
    assert before["cached"] != after["cached"] == before["current"]
    assert reloader._code.BUILD == "2"
    assert reloader.clients_fit
    assert (reloader.version, reloader.success) == (1, True)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A working tree of git with the code of two commits; the first is checked out."""
    git(tmp_path, "init", "-q")
    for number in (1, 2):
        write(tmp_path, f"VERSION = BUILD = '{number}'")
        git(tmp_path, "add", ".")
        git(tmp_path, "-c", "user.name=li", "-c", "user.email=l@i", "commit", "-q", "-m", "it")
    git(tmp_path, "checkout", "-q", "HEAD~1")
    return tmp_path


def git(tree: Path, *words: str) -> str:
    """What git says."""
    argv = ["git", "-C", str(tree), *words]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()


def write(tree: Path, text: str) -> None:
    """The code of a release."""
    client = "class PaymentClient:\n    build = BUILD\n"
    (tree / TREE_FILE).write_text(f"{text}\nENDPOINTS = ['/a']\n{client}")


def in_tree(tree: Path, state: SharedState) -> Reloader:
    """A worker of a tree."""
    return Reloader(Setting(state, parts={"hot_reload": tree_told(tree)}))


def test_the_code_in_a_tree(tree: Path, state: SharedState) -> None:
    """Two checkouts in one second, of files of one size, are two releases."""
    reloader = in_tree(tree, state)
    first = (reloader.code.VERSION, reloader.commit)
    git(tree, "checkout", "-q", "-")

    assert (reloader.code.VERSION, reloader.commit) == first
    assert reloader.versions["source"]["changed"] is True
    reloader.reload_all()
    second = (reloader.code.VERSION, reloader.commit)
    assert (first[0], second[0]) == ("1", "2")
    assert second[1] == git(tree, "rev-parse", "HEAD") != first[1]
    assert git(tree, "status", "--porcelain") == ""


def test_code_that_does_not_load(tree: Path, state: SharedState) -> None:
    """The old one runs on, and the reload says which module failed."""
    reloader = in_tree(tree, state)
    write(tree, "this is no Python")
    reloader.reload_all()

    assert (reloader.failed, reloader.success) == (["source"], False)
    assert reloader.code.VERSION == "1"
    assert reloader.versions["source"]["changed"] is True


def test_the_others_follow_the_signal_later(disk: Disk, state: SharedState) -> None:
    """reload_all returns before they have; each does so once."""
    first, second = worker(disk, state), worker(disk, state)

    assert first.reload_all() == ORDER
    assert (first.version, second.version) == (1, 0)
    second.reload(1)
    second.reload(1)
    assert (second.version, second._reloads) == (1, 1)


def test_singletons_before_the_source_are_of_the_old_code(disk: Disk, state: SharedState) -> None:
    """Which is why the order matters."""
    reloader = worker(disk, state, "wrong-order")
    reloader.reload_all()

    assert not reloader.clients_fit


def test_check_changes_one_worker_only(disk: Disk, state: SharedState) -> None:
    """No signal is given, and the second time there is nothing to do."""
    first, second = worker(disk, state), worker(disk, state)

    assert (first.look(), first.look()) == (True, False)
    assert not first.versions["source"]["changed"]
    assert second.versions["source"]["changed"]
    assert (first.version, second.version) == (0, 0)


def test_a_history_is_kept(disk: Disk, state: SharedState) -> None:
    """Of the last twenty reloads."""
    reloader = worker(disk, state)
    for _ in range(25):
        reloader.reload_all()
    with state.edit() as value:
        history = value["reload_history"]

    assert len(history) == 20
    assert history[-1]["results"] == dict.fromkeys(ORDER, True)
    assert history[-1]["failed_count"] == 0


def test_there_are_endpoints_enough(disk: Disk, state: SharedState) -> None:
    """As many as the real system's, each once; three fewer with the fault."""
    good, bad = worker(disk, state), worker(disk, state, "endpoint-lost")
    good.register()
    bad.register()

    assert (len(set(good.endpoints)), len(bad.endpoints)) == (len(ENDPOINTS), len(ENDPOINTS) - 3)
    assert len(ENDPOINTS) >= 20


def test_without_the_part_there_is_no_hot_reload(
    state: SharedState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The endpoints are not there, as in a run without the gate."""
    monkeypatch.setattr(hot_reload, "_workers", [])
    setting = Setting(state)
    hot_reload.begin(setting)
    path = f"{V1}/hot-reload/versions"
    with pytest.raises(Refused, match=f"there is no {path}"):
        find("GET", path).say(Request("GET", path, {}), setting)


def test_a_worker_says_where_it_is(
    disk: Disk, state: SharedState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every endpoint of the API, on a worker that looks for signals."""
    monkeypatch.setattr(hot_reload, "_workers", [])
    setting = Setting(state, parts={"hot_reload": disk.told})
    hot_reload.begin(setting)

    def say(method: str, name: str) -> dict[str, object]:
        path = f"{V1}/hot-reload/{name}"
        said = find(method, path).say(Request(method, path, {}), setting)
        value: dict[str, object] = json.loads(said.body)
        return value

    assert say("POST", "check")["reloaded_modules"] == ["source"]
    assert say("POST", "reload-all")["reloaded_modules"] == list(ORDER)
    for method, name in [("GET", "status"), ("GET", "worker-sync"), ("POST", "verify")]:
        assert say(method, name)["success"] is True
    assert say("GET", "history")["count"] == 1
    assert say("POST", "reload-endpoints")["new_count"] == len(ENDPOINTS)
    assert say("GET", "versions")["worker_id"] == str(os.getpid())
    hot_reload._workers[0].leave()
    assert not hot_reload._workers[0].running
