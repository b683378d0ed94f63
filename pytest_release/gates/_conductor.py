"""Runs the cases of a gate in this process, several at once where the policy allows it.

A case is measured once, when its evidence is first asked for. With ``concurrency: 1`` that happens
in the asking thread; otherwise the first question starts all planned cases of the gate, so many at
a time, and each question waits for its own. A case that needs a captured value waits for, or
starts, the case that captures it. A deployment that lives in this process is measured from another.
"""

from __future__ import annotations

import dataclasses
import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from pytest_release.config.cases import Case, CheckCase, DataCase, HttpCase
from pytest_release.config.environment import Environment, GatePolicy
from pytest_release.deployments import Deployments
from pytest_release.evidence import Attempt, Evidence, Finding
from pytest_release.gates._check import check
from pytest_release.gates._helper import Helper, Result, measure
from pytest_release.gates._look import look
from pytest_release.gates._scene import Scene
from pytest_release.targets.http import HttpTarget
from pytest_release.targets.ownership import served_by_this_process


class Conductor:
    """Measures the cases of one environment.

    Args:
        environment: Its policies say how many cases may overlap.
        target: Where requests go.
        deployments: What looks at data look at; None when the environment's system has none.
        say: Takes a case's id and a line for whoever waits at the terminal.
    """

    def __init__(
        self,
        environment: Environment,
        target: HttpTarget,
        deployments: Deployments | None = None,
        say: Callable[[str, str], None] = lambda _case, _line: None,
    ) -> None:
        self._environment = environment
        self._target = target
        self._deployments = deployments
        self._say = say
        self._planned: tuple[Case, ...] = ()
        self._sources: dict[tuple[str, str], HttpCase] = {}
        self._results: dict[str, Future[Result]] = {}
        self._lock = threading.Lock()
        self._asking = threading.Lock()
        self._measured_by: tuple[Helper | None] | None = None

    def plan(self, cases: Iterable[Case]) -> None:
        """Say which cases this process is going to be asked for, sources before dependents."""
        self._planned = tuple(cases)
        requests = [case for case in self._planned if isinstance(case, HttpCase)]
        self._sources = {(c.gate, name): c for c in requests for name in c.capture}

    def evidence(self, case: Case) -> Evidence:
        """The evidence of one case, measured now or already."""
        with self._lock:
            known = case.id in self._results
            if not known and self._policy(case.gate).concurrency > 1:
                self._start([c for c in self._planned if c.gate == case.gate] or [case])
                known = True
        if not known:
            self._run(case, self._results.setdefault(case.id, Future()))
        return self._results[case.id].result()[0]

    def _policy(self, gate: str) -> GatePolicy:
        return self._environment.gates.get(gate, GatePolicy())

    def _start(self, cases: Sequence[Case]) -> None:
        """Hand cases to daemon threads: an interrupted run must not wait for the slowest stream."""
        waiting: queue.SimpleQueue[Case] = queue.SimpleQueue()
        for case in cases:
            self._results[case.id] = Future()
            waiting.put(case)

        def work() -> None:
            while True:
                try:
                    case = waiting.get_nowait()
                except queue.Empty:
                    return
                self._run(case, self._results[case.id])

        for _ in range(min(self._policy(cases[0].gate).concurrency, len(cases))):
            threading.Thread(target=work, name="release-case", daemon=True).start()

    def _run(self, case: Case, result: Future[Result]) -> None:
        try:
            result.set_result(self._measure(case))
        except BaseException as error:  # noqa: BLE001 - whoever waits must hear of it
            result.set_exception(error)

    def _measure(self, case: Case) -> Result:
        began = time.monotonic()
        if isinstance(case, HttpCase):
            evidence, captured = self._ask(case)
        elif isinstance(case, CheckCase):
            scene = Scene(self._environment, self._target, self._deployments, self._say)
            evidence, captured = check(case, self._policy(case.gate), scene), {}
        else:
            assert isinstance(case, DataCase)
            evidence, captured = look(case, self._policy(case.gate), self._deployments), {}
        return dataclasses.replace(evidence, duration_s=time.monotonic() - began), captured

    def _ask(self, case: HttpCase) -> Result:
        values: dict[str, Any] = {}
        for name in sorted(case.needs):
            captured = self._captured(case, name)
            if name not in captured:
                return _without_source(case, name, self._sources.get((case.gate, name))), {}
            values[name] = captured[name]
        policy = self._policy(case.gate)
        if helper := self._helper():
            return helper.measure(case, policy, values)
        return measure(case, policy, self._target, values)

    def _helper(self) -> Helper | None:
        """Who measures instead of this process; found out when the first case is measured."""
        with self._asking:
            if self._measured_by is None:
                url = self._environment.base_url
                shared = url is not None and served_by_this_process(url)
                self._measured_by = (Helper(self._environment) if shared else None,)
            return self._measured_by[0]

    def _captured(self, case: Case, name: str) -> Mapping[str, Any]:
        source = self._sources.get((case.gate, name))
        if source is None:
            return {}
        self.evidence(source)
        return self._results[source.id].result()[1]


def _without_source(case: HttpCase, name: str, source: HttpCase | None) -> Evidence:
    where = f"the case {source.id} did not capture it" if source else "its source was not selected"
    message = f"{{{{{name}}}}} has no value: {where}"
    finding = Finding(f"{case.gate}.missing-value", message, expected=name)
    attempts = (Attempt(1, message),)
    evidence = Evidence(case.id, case.gate, case.name, findings=(finding,), attempts=attempts)
    return evidence.softened() if case.advisory else evidence
