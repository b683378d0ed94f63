"""Tests of `pytest_release.targets.git`, against real repositories."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_release.errors import TargetError
from pytest_release.sandbox.rooms._workspace import Workspace
from pytest_release.targets import git
from pytest_release.targets.git import Repository


@pytest.fixture(scope="module")
def shared() -> Iterator[Workspace]:
    """A repository with a remote one, that nobody changes."""
    workspace = Workspace()
    yield workspace
    workspace.stop()


@pytest.fixture
def own() -> Iterator[Workspace]:
    """A repository to be changed."""
    workspace = Workspace()
    yield workspace
    workspace.stop()


def fake_git(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Another program in git's place."""
    (folder / "git").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_commits_that_do_not_exist(shared: Workspace) -> None:
    """Missing ones, and what is no commit, with what it is."""
    repository = Repository(shared.repository)
    tree = shared.git("rev-parse", "HEAD^{tree}").strip()
    there = shared.commits[2]

    assert repository.lost([there, there[:8], "deadbeef", tree]) == {
        "deadbeef": "missing",
        tree: "a tree",
    }
    assert repository.lost([]) == {}


def test_a_branch_with_the_name_of_a_commit_is_none(own: Workspace) -> None:
    """Whoever names a branch ``deadbeef`` has not made that commit."""
    own.git("branch", "deadbeef")

    assert Repository(own.repository).lost(["deadbeef"]) == {
        "deadbeef": "the name of a branch or a tag"
    }


def test_commits_that_the_branch_does_not_contain(shared: Workspace) -> None:
    """Those of another branch, abbreviated or not."""
    repository = Repository(shared.repository)
    main, other = shared.commits[2], shared.commits[5]

    assert repository.unreleased([main, main[:8], other, other[:9]]) == {other, other[:9]}
    assert repository.unreleased([]) == set()


def test_changes_and_commits_that_are_not_pushed(own: Workspace) -> None:
    """New files, too; names are as they are, spaces and all."""
    repository = Repository(own.repository)
    assert (repository.changes(), repository.unpushed()) == ([], 0)

    (own.repository / "a b\n.txt").write_text("")
    (own.repository / "src" / "face.rs").write_text("changed")
    assert sorted(repository.changes()) == ["a b\n.txt", "src/face.rs"]

    own.commit({}, push=False)
    assert repository.unpushed() == 1

    own.git("branch", "--unset-upstream")
    assert repository.unpushed() is None


def test_files_are_read_as_committed(own: Workspace) -> None:
    """And not as they stand in the folder; none where there is none."""
    (own.repository / "Cargo.toml").write_text("edited")
    repository = Repository(own.repository)

    assert 'version = "1.0.0"' in (repository.committed("Cargo.toml") or "")
    assert repository.committed("nowhere") is None


def test_a_file_that_is_no_text(own: Workspace) -> None:
    """Is the fault of whoever committed it."""
    (own.repository / "Cargo.toml").write_bytes(b"\xff")
    own.commit({}, push=False)
    with pytest.raises(TargetError, match=r"Cargo\.toml in .*/momentry is not UTF-8"):
        Repository(own.repository).committed("Cargo.toml")


def test_tags_and_subjects(own: Workspace) -> None:
    """Which tags the branch contains, and what was committed since one."""
    own.git("tag", "v1.0.0")
    repository = Repository(own.repository)

    assert repository.tags() == {"v0.9.0": False, "v1.0.0": True}
    assert [subject for _, subject in repository.subjects("v0.9.0", 2)] == [
        "release 1.0.0",
        "fix: chunks count from 0",
    ]
    assert len(repository.subjects(None, 9)) == 4


def test_files_that_commits_touched(shared: Workspace) -> None:
    """Of the first commit of all, too."""
    repository = Repository(shared.repository)

    assert repository.touched([shared.commits[2]]) == {
        "src/face.rs": "fix: one person, one cluster"
    }
    assert len(repository.touched([shared.commits[1]])) == 4


@pytest.mark.parametrize("text", ["HEAD", "--upload-pack=x", "d34bca", "D34BCAE", "^d34bcae\n"])
def test_nothing_but_ids_is_asked_for(shared: Workspace, text: str) -> None:
    """No options, no names."""
    repository = Repository(shared.repository)
    with pytest.raises(TargetError, match=re.escape(f"{text!r} is no commit's id")):
        repository.lost([text])
    with pytest.raises(TargetError, match="is no commit's id"):
        repository.touched([text])


def test_not_too_many_at_once(shared: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table of a million rows starts nothing."""
    monkeypatch.setattr(git, "MOST", 1)
    with pytest.raises(TargetError, match="2 commits are too many to be asked for at once"):
        Repository(shared.repository).lost(["d34bcae", "d34bcaf"])


def test_a_folder_that_is_no_repository(tmp_path: Path) -> None:
    """git says why."""
    message = r"is no git repository with a commit: fatal: not a git repository"
    with pytest.raises(TargetError, match=message):
        Repository(tmp_path)


def test_variables_do_not_lead_git_elsewhere(
    shared: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hook that runs the gate has them set."""
    monkeypatch.setenv("GIT_DIR", str(tmp_path))

    assert Repository(shared.repository).head == shared.commits[4]


def test_without_git(shared: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason is said."""
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(TargetError, match="git cannot be started: No such file or directory"):
        Repository(shared.repository)


def test_an_answer_has_an_end(
    shared: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What never stops talking is stopped."""
    fake_git(tmp_path, monkeypatch, "exec yes")
    monkeypatch.setattr(git, "LARGEST", 1000)
    with pytest.raises(TargetError, match=r"git rev-parse in .* answered more than 1000 bytes"):
        Repository(shared.repository)


def test_an_answer_comes_in_time(
    shared: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What says nothing is stopped, too."""
    fake_git(tmp_path, monkeypatch, "sleep 60 & sleep 60")  # what it started holds the pipe, too
    monkeypatch.setattr(git, "TIMEOUT_S", 0.1)
    with pytest.raises(TargetError, match=r"git rev-parse in .* did not answer within 0\.1 s"):
        Repository(shared.repository)


def test_a_question_that_fails(
    shared: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Is said with the first line of why, made harmless."""
    script = (
        'case "$*" in *rev-parse*) echo d34bcae;; *) printf "no\\033[31m\\nx" >&2; exit 3;; esac'
    )
    fake_git(tmp_path, monkeypatch, script)
    with pytest.raises(TargetError, match=re.escape(r"momentry failed: no\x1b[31m")):
        Repository(shared.repository).changes()


def test_the_branch_and_how_far_it_is_behind(own: Workspace) -> None:
    """As last fetched; nothing where HEAD is no branch, or follows none."""
    assert (Repository(own.repository).branch(), Repository(own.repository).behind()) == ("main", 0)

    own.git("reset", "--quiet", "--hard", "HEAD~2")
    assert Repository(own.repository).behind() == 2

    own.git("checkout", "--quiet", "--detach")
    assert (Repository(own.repository).branch(), Repository(own.repository).behind()) == (
        None,
        None,
    )
