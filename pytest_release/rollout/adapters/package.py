"""Installs release packages, each in a process of its own that ends with the step's time.

- ``pytest-release package install`` does it: rows in one transaction, verified by the gates.
- In production the deployment must name its version and its build, and the version must be the
  rollout's own: what the installer then compares with each package is known to be the right one.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pytest_release.config.environment import Environment
from pytest_release.errors import RolloutError
from pytest_release.redaction import reveal
from pytest_release.release import read_identity
from pytest_release.rollout.process import Command
from pytest_release.rollout.stage import Order, Outcome, Stage
from pytest_release.targets.http import HttpTarget

STRICT = "production"  # the role in which nothing unknown is taken for equal
MAIN = "import sys; from pytest_release.cli import main; sys.exit(main())"
SUFFIX = ".tar.gz"


def describe(options: Mapping[str, Any]) -> str:
    """Which."""
    if "folder" in options:
        return f"install every package of {options['folder']}"
    return f"install {', '.join(str(file) for file in options['files'])}"


def repeatable(options: Mapping[str, Any]) -> bool:
    """Installing again is harmless, and finishes what was stopped."""
    return True


def act(order: Order, stage: Stage) -> Outcome:
    """Install one after the other; the first that cannot be ends it."""
    _refuse_strangers(stage.environment(order.environment), stage.release)
    files = list(_files(order.options))
    ran = None
    for number, file in enumerate(files, 1):
        argv = (sys.executable, "-c", MAIN, "package", "install", str(file))
        where = ("--env", order.environment, "--fixtures", str(stage.paths.fixtures))
        ran = stage.run(order, Command((*argv, *where)))
        if ran.status != 0:
            how = "its time was over" if ran.status is None else ran.output.last_line
            why = f"package {number} of {len(files)}, {file.name}, is not installed: {how}"
            return Outcome(done=False, why=why, exit_status=ran.status, output=ran.output)
    assert ran is not None
    names = ", ".join(file.name for file in files)
    return Outcome(True, f"{names} installed and verified", ran.status, ran.output)


def check(order: Order, stage: Stage) -> Outcome | None:
    """It is installed again instead."""
    return None


def _files(options: Mapping[str, Any]) -> Iterator[Path]:
    """The packages, each there.

    Raises:
        RolloutError: One is missing, or a folder has none.
    """
    if "folder" in options:
        folder = Path(reveal(options["folder"])).absolute()
        files = sorted(folder.glob(f"*{SUFFIX}")) if folder.is_dir() else []
        if not files:
            raise RolloutError(f"{folder} has no package: none that ends with {SUFFIX}")
    else:
        files = [Path(reveal(file)).absolute() for file in options["files"]]
    for file in files:
        if not file.is_file():
            raise RolloutError(f"{file} is missing: nothing was installed")
    yield from files


def _refuse_strangers(environment: Environment, release: str) -> None:
    """Production: the version is known, and it is the rollout's."""
    if environment.role != STRICT:
        return
    source = environment.release
    if source is None or source.version is None or source.commit is None:
        raise RolloutError(
            f"{environment.name} does not say where its version and its commit stand: production "
            "takes no package that cannot be compared"
        )
    with HttpTarget(environment) as target:
        running = read_identity(source, target)
    if running.version != release:
        raise RolloutError(
            f"{environment.name} runs {running}, and the packages are for {release}: deploy that "
            "first; nothing was installed"
        )
