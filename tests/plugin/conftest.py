"""A user's folder with one environment, whose gate is a marker of their own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ENVIRONMENT = """\
name: here
role: development
system: none
base_url: http://127.0.0.1:9
gates:
  quick: {required: true, min_cases: 2}
  slow: {required: false}
"""

Evidence = dict[str, Any]


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """A folder with the environment ``here`` and nothing else."""
    environments = pytester.path / "fixtures" / "environments"
    environments.mkdir(parents=True)
    (environments / "here.yaml").write_text(ENVIRONMENT)
    pytester.makeini("[pytest]\nrelease_testpaths = .\n")
    return pytester


@pytest.fixture
def run(project: pytest.Pytester) -> Callable[..., tuple[pytest.RunResult, Evidence]]:
    """Runs pytest with ``--env here`` in a process of its own; returns result and evidence.json."""

    def run_pytest(*arguments: str) -> tuple[pytest.RunResult, Evidence]:
        result = project.runpytest_subprocess("--env", "here", *arguments)
        return result, evidence_of(project.path)

    return run_pytest


def evidence_of(folder: Path) -> Evidence:
    """The newest bundle's evidence.json."""
    evidence: Evidence = json.loads((folder / "reports" / "latest" / "evidence.json").read_text())
    return evidence


def gate_of(evidence: Evidence, name: str) -> dict[str, Any]:
    """One gate of evidence.json."""
    found: list[dict[str, Any]] = [gate for gate in evidence["gates"] if gate["gate"] == name]
    assert len(found) == 1
    return found[0]
