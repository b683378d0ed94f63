"""A git repository: which commits exist and are in its branch, what is committed and pushed.

git is run with a list of arguments, never through a shell; its answers are bounded in size and
time, and no ids but hex ones are given to it. Nothing is written and nothing is fetched.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Sequence
from pathlib import Path

from pytest_release.errors import TargetError
from pytest_release.hostile import one_line
from pytest_release.targets.processes import Question, ask

TIMEOUT_S = 20.0  # for each question
LARGEST = 8 * 1024 * 1024  # bytes of an answer
MOST = 5_000  # ids asked for at once
HEX = re.compile("[0-9a-f]{7,64}")
_SETTINGS = ("core.fsmonitor=false", "core.hooksPath=/dev/null", "protocol.allow=never")


class Repository:
    """A repository on this machine, at its current branch.

    Args:
        folder: Of its working tree, or a bare one.

    Raises:
        TargetError: There is none, it has no commit, or git is not installed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        status, told, why = self._run("rev-parse", "--verify", "HEAD^{commit}")
        if status:
            raise TargetError(f"{folder} is no git repository with a commit: {why}")
        self.head = told.decode().strip()

    def lost(self, commits: Collection[str]) -> dict[str, str]:
        """Those of some ids that name no commit, and what they are instead.

        Raises:
            TargetError: An id is not hex, there are too many, or git does not answer.
        """
        told = self._ask("cat-file", "--batch-check", stdin=self._lines(commits))
        lost = {}
        for asked, line in zip(commits, told.decode().splitlines(), strict=True):
            words = line.split()
            kind = words[1] if len(words) > 1 else line
            if kind != "commit":
                lost[asked] = kind if kind in ("missing", "ambiguous") else f"a {kind}"
            elif not words[0].startswith(asked):
                lost[asked] = "the name of a branch or a tag"
        return lost

    def unreleased(self, commits: Collection[str]) -> set[str]:
        """Those of some ids of commits that the current branch does not contain."""
        if not commits:
            return set()
        given = self._lines([*commits, f"^{self.head}"])
        told = self._ask("rev-list", "--stdin", stdin=given).decode().split()
        return {asked for asked in commits if any(full.startswith(asked) for full in told)}

    def changes(self) -> list[str]:
        """Files that are changed or new and not committed."""
        told = self._ask("status", "--porcelain=v1", "-z", "--no-renames")
        return [entry[3:].decode(errors="replace") for entry in told.split(b"\0") if entry[2:3]]

    def unpushed(self) -> int | None:
        """How many commits the branch has before its upstream; None when it follows none."""
        status, told, _ = self._run("rev-list", "--count", "@{upstream}..HEAD")
        return None if status else int(told)

    def behind(self) -> int | None:
        """How many commits its upstream has before it, as last fetched; None when it has none."""
        status, told, _ = self._run("rev-list", "--count", "HEAD..@{upstream}")
        return None if status else int(told)

    def branch(self) -> str | None:
        """The name of the current branch; None when HEAD is none."""
        status, told, _ = self._run("symbolic-ref", "--quiet", "--short", "HEAD")
        return None if status else told.decode(errors="replace").strip()

    def committed(self, path: str) -> str | None:
        """The text of a file as committed; None when it is not.

        Raises:
            TargetError: It is too large or no UTF-8.
        """
        status, told, _ = self._run("cat-file", "blob", f"HEAD:{path}")
        if status:
            return None
        try:
            return told.decode()
        except UnicodeDecodeError:
            raise TargetError(f"{path} in {self.folder} is not UTF-8") from None

    def tags(self) -> dict[str, bool]:
        """Tags that the branch contains, and whether they are of its last commit."""
        merged = self._ask("tag", "--merged", "HEAD").decode(errors="replace").split()
        here = set(self._ask("tag", "--points-at", "HEAD").decode(errors="replace").split())
        return {tag: tag in here for tag in merged}

    def subjects(self, since: str | None, most: int) -> list[tuple[str, str]]:
        """Abbreviated id and subject of the commits since a tag, the newest first."""
        span = f"refs/tags/{since}..HEAD" if since else "HEAD"
        told = self._ask("log", "--no-merges", f"--max-count={most}", "--format=%h%x00%s", span)
        lines = told.decode(errors="replace").split("\n")
        return [(line.split("\0")[0], line.split("\0")[1]) for line in lines if "\0" in line]

    def touched(self, commits: Sequence[str]) -> dict[str, str]:
        """Files that some commits changed, and the subject of the last of these that did."""
        files: dict[str, str] = {}
        for commit in commits:
            self._lines([commit])
            how = ("--root", "--no-commit-id", "--name-only", "-r", "-z", "-m", "--first-parent")
            told = self._ask("diff-tree", *how, commit)
            subject = self._ask("log", "--max-count=1", "--format=%s", commit)
            names = [name.decode(errors="replace") for name in told.split(b"\0") if name]
            files |= dict.fromkeys(names, subject.decode(errors="replace").strip())
        return files

    def _lines(self, ids: Collection[str]) -> bytes:
        """Ids for git's standard input, where nothing but an id may be."""
        if len(ids) > MOST:
            raise TargetError(f"{len(ids)} commits are too many to be asked for at once")
        for one in ids:
            if not HEX.fullmatch(one.removeprefix("^")):
                raise TargetError(f"{one!r} is no commit's id")
        return "".join(f"{one}\n" for one in ids).encode()

    def _ask(self, *arguments: str, stdin: bytes = b"") -> bytes:
        status, told, why = self._run(*arguments, stdin=stdin)
        if status:
            raise TargetError(f"git {arguments[0]} in {self.folder} failed: {why}")
        return told

    def _run(self, *arguments: str, stdin: bytes = b"") -> tuple[int, bytes, str]:
        """Exit status, answer, and the first line of what git says of an error."""
        settings = [part for setting in _SETTINGS for part in ("-c", setting)]
        command = ["git", "-C", str(self.folder), "--no-pager", *settings, *arguments]
        question = Question(
            command,
            f"git {arguments[0]} in {self.folder}",
            _environment(),
            stdin=stdin,
            timeout_s=TIMEOUT_S,
            largest=LARGEST,
        )
        status, told, errors = ask(question)
        said = errors.strip() or "it does not say why"
        return status, told, one_line(said.splitlines()[0][:2_000])


def _environment() -> dict[str, str]:
    """Ours without what would lead git elsewhere; it neither asks, nor fetches, nor writes."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    ours = {"GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "GIT_NO_LAZY_FETCH": "1"}
    return {**kept, **ours, "LC_ALL": "C"}
