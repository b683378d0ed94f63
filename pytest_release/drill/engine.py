"""The engine: one fault, the case that meets it, and what the gate makes of that.

- The sandbox is started anew for each fault, with the workers and stores of the environment; only
  the PostgreSQL server is shared, in which each start has databases of its own (`database.shared`).
- A fault is caught when its gate comes to the verdict that the recipe names, by the finding that
  the fault promises, in a message that says what it must. Anything less is not: not another
  finding of the right gate, and not another gate.
- What was missed is shown to all other gates, so that it is known which of them see it.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from pytest_release.config.casebook import load_casebook
from pytest_release.config.cases import Case, DataCase
from pytest_release.config.environment import GatePolicy
from pytest_release.config.environments import load_environment
from pytest_release.deployments import Deployments
from pytest_release.drill.recipe import Recipe
from pytest_release.drill.runs import whole_run
from pytest_release.errors import ReleaseError, UsageError
from pytest_release.evidence import Evidence, redacted
from pytest_release.gates._conductor import Conductor
from pytest_release.ledger import Ledger, Outcome
from pytest_release.redaction import Redactor
from pytest_release.sandbox.home import at_home
from pytest_release.sandbox.rooms import parts
from pytest_release.sandbox.server import Sandbox
from pytest_release.subjects import Subjects, Wanted, find_subjects
from pytest_release.targets.http import HttpTarget
from pytest_release.verdict import GateVerdict, Verdict, judge_gate

DEMO = "demo"
STREAM_SECONDS = 0.15  # from a stream's first event to its last


class State(StrEnum):
    """What became of a fault."""

    CAUGHT = "caught"
    OTHER = "another finding"
    ELSEWHERE = "wrong gate"
    MISSED = "missed"
    BROKEN = "not shown"
    GREEN = "green"
    RED = "red"

    @property
    def good(self) -> bool:
        """It is what a drill wants."""
        return self in (State.CAUGHT, State.GREEN)


@dataclass(frozen=True)
class Result:
    """One row of the matrix.

    Attributes:
        fault: Its name.
        gate: That must catch it.
        state: What became of it.
        message: Of the finding that caught it; else what was said instead.
        seconds: That it took, the start of the sandbox included.
        others: What other gates said, by gate; they are asked only when it was missed.
    """

    fault: str
    gate: str
    state: State
    message: str
    seconds: float
    others: Mapping[str, str] = field(default_factory=dict)


class Stage:
    """The demo with some faults on, and what measures it.

    Attributes:
        cases: All there are there, those of data once for each deployed file.
        uuids: Of the deployed files.
    """

    def __init__(
        self, conductor: Conductor, cases: tuple[Case, ...], uuids: tuple[str, ...], hide: Redactor
    ) -> None:
        self._conductor = conductor
        self._hide = hide
        self.cases = cases
        self.uuids = uuids

    def measure(self, *cases: Case) -> list[Evidence]:
        """What their gates find."""
        self._conductor.plan(cases)
        return [redacted(self._conductor.evidence(case), self._hide) for case in cases]


class Engine:
    """Meets faults, one at a time.

    Args:
        fixtures: Folder of the environments and cases.
        name: The environment that asks for a sandbox.

    Raises:
        ConfigError: A file is wrong.
        UsageError: The environment is a deployment.
    """

    def __init__(self, fixtures: Path, name: str = DEMO) -> None:
        self.fixtures = fixtures
        self.environment = load_environment(fixtures, name, {})
        if self.environment.sandbox is None:
            raise UsageError(f"a drill needs a sandbox, and {name} is a deployment")
        self._workers = self.environment.sandbox.workers
        self.casebook = load_casebook(fixtures, self.environment.system, {})

    def alone(self, recipe: Recipe) -> bool:
        """Whether time is measured, so that nothing else should run meanwhile."""
        expect = next((c.expect for c in self.casebook.cases if c.id == recipe.case), {})
        names = (*self._policy(recipe.gate).thresholds, *expect, *recipe.expect, *recipe.request)
        return any(name.endswith(("_ms", "_s")) for name in names)

    def meet(self, recipe: Recipe) -> Result:
        """Switch one fault on, and have its gate find it."""
        began = time.monotonic()
        others: Mapping[str, str] = {}
        try:
            state, message = self._run(recipe) if recipe.run else self._measure(recipe)
            if state is State.MISSED:
                others = self._ask_others(recipe)
        except ReleaseError as error:
            state, message = State.BROKEN, str(error)
        if state is State.MISSED and others:
            state = State.ELSEWHERE
        seconds = time.monotonic() - began
        return Result(recipe.fault, recipe.gate, state, message, seconds, others)

    def clean(self, gate: str, cases: Collection[str] = ()) -> list[Evidence]:
        """What a gate finds when no fault is on.

        Args:
            gate: Its name.
            cases: Ids of those of its cases that are measured; none for all.
        """
        with self.stage((), gate) as stage:
            asked = [case for case in stage.cases if case.gate == gate]
            if cases:
                asked = [case for case in asked if {case.id, case.id.rpartition("/")[0]} & {*cases}]
            return stage.measure(*asked)

    @contextmanager
    def stage(self, faults: Collection[str], *gates: str) -> Iterator[Stage]:
        """The demo with faults, and what these gates need.

        Raises:
            SandboxError: It does not start.
            TargetError: What is deployed cannot be found out.
        """
        system = self.casebook.system
        stores = system if self._stored() & set(gates) else None
        with Sandbox(self._workers, tuple(faults), STREAM_SECONDS, 0, stores, gates) as sandbox:
            demo = at_home(self.environment, sandbox.base_url, sandbox.services, sandbox.secrets)
            there = find_subjects(demo, stores, Wanted(demo.uuids)) if stores else Subjects()
            with HttpTarget(demo) as target:
                if system is None:
                    yield Stage(Conductor(demo, target), self.casebook.cases, (), demo.redactor)
                    return
                with closing(Deployments(demo, system, there, target)) as deployments:
                    cases = self.casebook.for_uuids(there.uuids).cases
                    conductor = Conductor(demo, target, deployments)
                    yield Stage(conductor, cases, there.uuids, demo.redactor)

    def _stored(self) -> set[str]:
        """The gates that need the stores."""
        looks = {case.gate for case in self.casebook.cases if isinstance(case, DataCase)}
        return looks | {gate for part in parts() if part.stores for gate in part.gates}

    def _policy(self, gate: str) -> GatePolicy:
        return self.environment.gates.get(gate, GatePolicy())

    def _measure(self, recipe: Recipe) -> tuple[State, str]:
        declared = next((c for c in self.casebook.cases if c.id == recipe.case), None)
        if declared is None:
            raise UsageError(
                f"the recipe of {recipe.fault} names the case {recipe.case}, "
                f"which {self.environment.name} has not"
            )
        with self.stage([recipe.fault], declared.gate) as stage:
            case = recipe.prepare(declared, *stage.uuids[:1])
            evidence = stage.measure(case)
        return weigh(recipe, judge(case.gate, self._policy(case.gate), evidence))

    def _run(self, recipe: Recipe) -> tuple[State, str]:
        arguments = ["--env", self.environment.name, "--fault", recipe.fault, *recipe.run]
        ran = whole_run(self.fixtures, arguments)
        gate = next((g for g in ran.gates if g.gate == recipe.gate), None)
        reasons = (*ran.reasons, *(gate.reasons if gate else ()))
        for reason in reasons:
            if recipe.message in reason and ran.verdict == recipe.verdict:
                return State.CAUGHT, reason
        return State.MISSED, f"{ran.verdict}: {'; '.join(reasons) or 'nothing was found'}"

    def _ask_others(self, recipe: Recipe) -> dict[str, str]:
        """What the other gates find, by gate."""
        found = {}
        with self.stage([recipe.fault], *self.environment.gates) as stage:
            for gate, policy in self.environment.gates.items():
                seen = stage.measure(*(case for case in stage.cases if case.gate == gate))
                verdict = judge(gate, policy, seen)
                if gate != recipe.gate and verdict.verdict is not Verdict.PASSED:
                    found[gate] = _first(verdict)
        return found


def judge(gate: str, policy: GatePolicy, evidence: Iterable[Evidence]) -> GateVerdict:
    """The gate's verdict of these cases alone: that they are few is no objection."""
    ledger = Ledger()
    by_case = {each.case: each for each in evidence}
    for case, each in by_case.items():
        ledger.collect(case, gate, selected=True)
        ledger.report(case, gate, Outcome.FAILED if each.failures else Outcome.PASSED)
    policy = replace(policy, min_cases=1)
    return judge_gate(gate, policy, list(ledger.entries(gate)), by_case, asked=True)


def weigh(recipe: Recipe, gate: GateVerdict) -> tuple[State, str]:
    """What the verdict of the gate is worth as an answer to a fault."""
    said = [
        finding.message
        for case in gate.cases
        if case.evidence
        for finding in case.evidence.findings
        if finding.code == recipe.finding
    ]
    said += [limit.reason for limit in gate.thresholds if limit.name == recipe.finding]
    for message in said:
        if recipe.message in message and gate.verdict == recipe.verdict:
            return State.CAUGHT, message
    if gate.gate != recipe.gate or gate.verdict is Verdict.PASSED:
        return State.MISSED, f"{gate.gate} is {gate.verdict}"
    return State.OTHER, f"{gate.gate} is {gate.verdict}: {_first(gate)}"


def _first(gate: GateVerdict) -> str:
    """The first thing that a gate found, with its code."""
    for case in gate.cases:
        for finding in case.evidence.findings if case.evidence else ():
            return f"{finding.code}: {finding.message}"
    return "; ".join(gate.reasons)
