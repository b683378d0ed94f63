"""Has a data gate look at one deployment; what keeps it from looking is a finding, too."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module

from pytest_release.config.cases import DataCase
from pytest_release.config.environment import GatePolicy
from pytest_release.deployments import Deployments
from pytest_release.errors import PackageError, TargetError
from pytest_release.evidence import Attempt, Evidence, Finding


def look(case: DataCase, policy: GatePolicy, deployments: Deployments | None) -> Evidence:
    """The evidence of one look at data, its failures softened where the case is advisory."""
    try:
        evidence = _measured(case, policy, deployments)
    except (TargetError, PackageError) as error:
        finding = Finding(f"{case.gate}.no-answer", str(error))
        evidence = Evidence(case.id, case.gate, case.name, findings=(finding,))
    failure = evidence.failures[0].message if evidence.failures else ""
    evidence = replace(evidence, attempts=(Attempt(1, failure),))
    return evidence.softened() if case.advisory else evidence


def _measured(case: DataCase, policy: GatePolicy, deployments: Deployments | None) -> Evidence:
    if deployments is None or not case.uuid:
        raise TargetError(
            "there is no deployment to look at: name one with --uuid UUID, all there are with "
            "--uuid all, or packages with --package FILE"
        )
    gate = import_module(f"pytest_release.gates.{case.gate}")
    evidence: Evidence = gate.measure(case, policy, deployments)
    return evidence
