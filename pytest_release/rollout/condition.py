"""``when``: whether some paths changed between two commits."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping

from pytest_release.config.plan import When
from pytest_release.errors import RolloutError
from pytest_release.hostile import one_line
from pytest_release.rollout.values import fill

TIMEOUT_S = 30.0
COMMIT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,199}")  # a name that is no option of git


def unchanged(when: When, names: Mapping[str, str | None]) -> str:
    """Why the step need not be done; empty when it must be.

    Without an earlier commit everything is new.

    Raises:
        RolloutError: git cannot tell.
    """
    previous = {"previous_commit", "previous"}
    if any(f"{{{{{name}}}}}" in when.since and not names.get(name) for name in previous):
        return ""
    since, until = (_commit(fill(end, names)) for end in (when.since, when.until))
    argv = ["git", "-C", str(when.repository), "--no-pager", "diff", "--quiet", "--no-ext-diff",
            since, until, "--", *when.changed]  # fmt: skip
    try:
        done = subprocess.run(  # noqa: S603 - a list of arguments, no shell
            argv, capture_output=True, timeout=TIMEOUT_S, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RolloutError(f"git cannot tell what changed: {error}") from None
    if done.returncode > 1:
        said = one_line(done.stderr.decode(errors="replace").strip())
        raise RolloutError(f"git cannot tell what changed in {when.repository}: {said}")
    paths = ", ".join(when.changed)
    return "" if done.returncode else f"nothing changed in {paths} from {since} to {until}"


def _commit(name: str) -> str:
    if not COMMIT.fullmatch(name):
        raise RolloutError(f"{name!a} is no name of a commit")
    return name
