"""git for the sandbox's repositories: by nobody's settings, and always at the same time."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from pytest_release.errors import SandboxError

AUTHOR = "M5 <m5@momentry.example>"
EPOCH = 1_768_900_000  # 2026-01-20
TIMEOUT_S = 20.0


def run_git(folder: Path, *arguments: str, stdin: bytes = b"") -> str:
    """Run git in a folder; its answer.

    Raises:
        SandboxError: git is not installed, or refuses.
    """
    kept = {name: v for name, v in os.environ.items() if not name.startswith("GIT_")}
    dated = {f"GIT_{who}_DATE": f"{EPOCH} +0800" for who in ("AUTHOR", "COMMITTER")}
    nobody = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    name, _, address = AUTHOR.rstrip(">").partition(" <")
    who = ("-c", f"user.name={name}", "-c", f"user.email={address}")
    command = ["git", *who, "-C", str(folder), *arguments]
    try:
        done = subprocess.run(  # noqa: S603 - a list of our own words
            command,
            input=stdin,
            capture_output=True,
            check=True,
            timeout=TIMEOUT_S,
            env={**kept, **dated, **nobody, "LC_ALL": "C"},
        )
    except FileNotFoundError:
        raise SandboxError("the sandbox's repository needs git, which is not installed") from None
    except subprocess.SubprocessError as error:
        raise SandboxError(f"the sandbox's repository cannot be made: {error}") from None
    return done.stdout.decode()


class Worktree:
    """What has a repository, whose checked out files change.

    Attributes:
        repository: Its folder.
    """

    repository: Path

    def git(self, *arguments: str, folder: Path | None = None, stdin: bytes = b"") -> str:
        """Run git in the repository; its answer."""
        return run_git(folder or self.repository, *arguments, stdin=stdin)

    def commit(self, files: Mapping[str, str], *, push: bool) -> None:
        """Commit changed files."""
        for name, text in files.items():
            (self.repository / name).write_text(text, encoding="utf-8")
        self.git("commit", "--quiet", "--all", "--message", "later")
        if push:
            self.git("push", "--quiet")
