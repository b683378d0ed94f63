"""Every fault that a check of the environment must find, in the whole demo.

``tests/faults/<gate>/<fault>.yaml`` says which case of demo meets the fault, which finding that
makes, and what its message must contain; ``options`` and ``expect`` are laid over the case's own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_release.config.casebook import about, declarative_gates, load_casebook
from pytest_release.config.cases import CheckCase
from pytest_release.config.environments import load_environment
from pytest_release.deployments import Deployments
from pytest_release.gates._conductor import Conductor
from pytest_release.sandbox.faults import FAULTS
from pytest_release.sandbox.rooms import parts
from pytest_release.sandbox.server import Sandbox
from pytest_release.session import at_home
from pytest_release.subjects import Subjects
from pytest_release.targets.http import HttpTarget

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "tests" / "faults"
GATES = [gate for gate in declarative_gates() if about(gate) == "environment"]
BOOK = load_casebook(ROOT / "fixtures", "demo", {})
SILENT = frozenset({"delivery", "preflight", "security"})  # they ask the application nothing
NOBODY = "http://127.0.0.1:9"  # the port of discard, where nobody answers
CASES = {case.id: case for case in BOOK.cases if isinstance(case, CheckCase)}


@dataclass(frozen=True)
class Recipe:
    """One file: a fault, the case that meets it, and what must be said."""

    fault: str
    case: str
    finding: str
    message: str
    options: Mapping[str, Any] = field(default_factory=dict)
    expect: Mapping[str, Any] = field(default_factory=dict)

    @property
    def prepared(self) -> CheckCase:
        """The case as this fault is to be met."""
        case = CASES[self.case]
        options, expect = {**case.options, **self.options}, {**case.expect, **self.expect}
        return replace(case, options=options, expect=expect)


FILES = sorted(file for gate in GATES for file in (FOLDER / gate).glob("*.yaml"))
RECIPES = [Recipe(**yaml.safe_load(file.read_bytes())) for file in FILES]


Deployed = tuple[str, Mapping[str, Mapping[str, Any]], frozenset[str]]


@contextmanager
def deployed(faults: Collection[str], gate: str) -> Iterator[Deployed]:
    """Address, services and secrets; a gate that looks at a folder does without the workers."""
    stores = any(part.stores and gate in part.gates for part in parts())
    if gate not in SILENT:
        system = BOOK.system if stores else None
        with Sandbox(2, tuple(faults), stores=system, gates=[gate]) as sandbox:
            yield sandbox.base_url, sandbox.services, sandbox.secrets
        return
    with ExitStack() as stopping:
        services: dict[str, Mapping[str, Any]] = {}
        secrets: frozenset[str] = frozenset()
        for part in (part for part in parts() if gate in part.gates):
            running = part.start(frozenset(faults), None)
            stopping.callback(running.stop)
            services, secrets = {**services, **running.services}, secrets | running.secrets
        yield NOBODY, services, secrets


@contextmanager
def conductor(faults: Collection[str], gate: str) -> Iterator[Conductor]:
    """What measures the demo with these faults."""
    with deployed(faults, gate) as there:
        demo = at_home(load_environment(ROOT / "fixtures", "demo", {}), *there)
        target = HttpTarget(demo)
        deployments = Deployments(demo, BOOK.system, Subjects(), target) if BOOK.system else None
        yield Conductor(demo, target, deployments)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.fault)
def test_a_fault_is_found_and_named(recipe: Recipe) -> None:
    """The finding has the code that the fault promises, and its message says something specific."""
    case = recipe.prepared
    with conductor([recipe.fault], case.gate) as conducting:
        evidence = conducting.evidence(case)

    said = [finding.message for finding in evidence.failures if finding.code == recipe.finding]
    assert recipe.finding == FAULTS[recipe.fault].finding
    assert any(recipe.message in message for message in said), evidence.explain()


@pytest.mark.parametrize("gate", GATES)
def test_every_fault_has_its_file(gate: str) -> None:
    """Named for it, in the folder of its gate; there are at least ten."""
    files = [f"{gate}.{file.stem}" for file in FILES if file.parent.name == gate]

    assert files == [recipe.fault for recipe in RECIPES if recipe.fault.startswith(f"{gate}.")]
    assert set(files) == {name for name, fault in FAULTS.items() if fault.gate == gate}
    assert len(files) >= 10


@pytest.mark.parametrize("gate", GATES)
def test_without_a_fault_nothing_is_found(gate: str) -> None:
    """The cases that meet the faults are not to blame."""
    with conductor((), gate) as conducting:
        evidence = [conducting.evidence(case) for case in CASES.values() if case.gate == gate]

    assert [each.explain() for each in evidence if each.findings] == []
    assert evidence
