"""A release can begin: its stack parses, its images are there, its settings real, its place ready.

No container is started, nothing is changed or fetched: it reads files, and asks docker compose,
git, the registry and the container engine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice

from pytest_release.config.cases import CheckCase
from pytest_release.config.environment import GatePolicy
from pytest_release.errors import TargetError
from pytest_release.evidence import Evidence, Finding
from pytest_release.gates import (
    _preflight_effective,
    _preflight_env,
    _preflight_images,
    _preflight_machine,
    _preflight_sources,
)
from pytest_release.gates._check import concluded
from pytest_release.gates._preflight_stack import Stack
from pytest_release.gates._scene import Scene

MOST = 50  # findings of one check that are told; the others are counted


def measure(case: CheckCase, policy: GatePolicy, scene: Scene) -> Evidence:
    """Make one check before a release.

    Raises:
        TargetError: What the check needs to look at is not named, or does not answer.
    """
    stack = Stack(case, scene)
    told = CHECKS[case.check](stack)
    try:
        findings = list(islice(told, MOST))
        more = sum(1 for _ in told)
    except OSError as error:  # of a folder that we may not even look at
        raise TargetError(f"{error.filename} cannot be looked at: {error.strerror}") from None
    if more:
        findings.append(Finding("preflight.more", f"{more} findings more are not told"))
    return concluded(case, policy, findings, stack.figures)


CHECKS: Mapping[str, Callable[[Stack], Iterator[Finding]]] = {
    "compose": _preflight_images.compose,
    "images": _preflight_images.images,
    "digests": _preflight_images.digests,
    "networks": _preflight_machine.networks,
    "env": _preflight_env.env_file,
    "placeholders": _preflight_env.placeholders,
    "effective": _preflight_effective.effective,
    "disk": _preflight_machine.disk,
    "commands": _preflight_machine.commands,
    "git": _preflight_sources.git,
    "drift": _preflight_machine.drift,
    "versions": _preflight_sources.versions,
}
