"""Asks the deployment which release it is, and compares: for ``verify``, mostly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_release.errors import RolloutError
from pytest_release.redaction import reveal
from pytest_release.release import read_identity, same_build
from pytest_release.rollout.stage import Order, Outcome, Stage
from pytest_release.targets.http import HttpTarget

STRICT = "production"  # the role in which a build without a commit is none


def describe(options: Mapping[str, Any]) -> str:
    """What it should be."""
    return f"the deployment says that it is {options.get('version', '{{release}}')}"


def repeatable(options: Mapping[str, Any]) -> bool:
    """It only looks."""
    return True


def act(order: Order, stage: Stage) -> Outcome:
    """Read the identity where the environment's ``release`` says it is."""
    environment = stage.environment(order.environment)
    if environment.release is None:
        raise RolloutError(f"{environment.name} does not say where its release names itself")
    with HttpTarget(environment) as target:
        identity = read_identity(environment.release, target)
    wanted = reveal(order.options.get("version", stage.release))
    commit = order.options.get("commit", stage.commit)
    if identity.version is not None and identity.version != wanted:
        why = f"{environment.name} should be {wanted} and says that it is {identity.version}"
        return Outcome(done=False, why=why)
    if commit and identity.commit and not same_build(reveal(commit), identity.commit, STRICT):
        why = f"{environment.name} should be of commit {reveal(commit)} and says {identity.commit}"
        return Outcome(done=False, why=why)
    if identity.version is None and not (commit and identity.commit):
        return Outcome(done=False, why=f"{environment.name} names neither version nor commit")
    return Outcome(done=True, why=f"{environment.name} is {identity}")


def check(order: Order, stage: Stage) -> Outcome | None:
    """The same: it only looks."""
    return act(order, stage)
