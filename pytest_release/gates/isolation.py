"""Two environments share nothing: their configuration, their stores, and what is written to one.

- Configuration is compared first; what is declared to be the same place is never written to.
- Then the proof: a canary that is written through the development side must appear there and
  nowhere on the other. It is removed afterwards, also behind a failure or an interrupt.
- The other side is only ever read, whatever its role, and nothing is written at all when the
  environment of the run is not a development one.
- A scan that was not finished shows nothing: that is a failure, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from pytest_release.config.cases import CheckCase
from pytest_release.config.environment import GatePolicy
from pytest_release.evidence import Attachment, Evidence, Finding, redacted
from pytest_release.gates._check import concluded
from pytest_release.gates._isolation_access import api_key, settings
from pytest_release.gates._isolation_canary import application, canary
from pytest_release.gates._isolation_places import configuration
from pytest_release.gates._isolation_sides import Pair, pairs
from pytest_release.gates._isolation_strangers import folders, keys, strangers
from pytest_release.gates._isolation_tables import tables
from pytest_release.gates._scene import Scene


def measure(case: CheckCase, policy: GatePolicy, scene: Scene) -> Evidence:
    """Compare the environment with each that it is isolated from, in one respect.

    Args:
        case: Of this gate; its `check` is the respect.
        policy: Thresholds of figures.
        scene: Its environment's `isolated_from` names the others.

    Raises:
        TargetError: A store cannot be asked, or no other environment is named.
        ConfigError: The other environment's file is wrong.
    """
    findings: list[Finding] = []
    shown: list[str] = []
    compared = pairs(scene.environment)
    for pair in compared:
        shown.append(f"{pair.ours.name} ({pair.ours.role}) against {pair.theirs.describe()}")
        # The last thing that is done: what was written is removed through the same connections.
        scene.afterwards(f"a connection of {pair.theirs.name}", pair.close)
        findings += _CHECKS[case.check](case, pair, scene)
    evidence = concluded(case, policy, findings, {"environments": [float(len(compared))]})
    evidence = replace(evidence, attachments=(Attachment("environments", "\n".join(shown)),))
    for pair in compared:  # the run's own redactor does not know the other's secrets
        evidence = redacted(evidence, pair.theirs.environment.redactor)
    return evidence


Check = Callable[[CheckCase, Pair, Scene], Iterator[Finding]]

_CHECKS: Mapping[str, Check] = {
    "configuration": configuration,
    "settings": settings,
    "tables": tables,
    "canary": canary,
    "application": application,
    "strangers": strangers,
    "keys": keys,
    "folders": folders,
    "api_key": api_key,
}
