"""The running side, in every process that runs tests: cases in, evidence out with the reports.

Evidence and the accounts of collection travel on the test reports themselves: what a worker that
crashes later has reported is not lost with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_release.config.casebook import Casebook
from pytest_release.config.cases import Case
from pytest_release.config.environment import Environment
from pytest_release.deployments import Deployments
from pytest_release.errors import EvidenceError
from pytest_release.evidence import (
    Attachment,
    Evidence,
    Finding,
    Measurement,
    Severity,
    redacted,
    to_json,
)
from pytest_release.gates._conductor import Conductor
from pytest_release.sampling import Sample, decide, mean_estimate
from pytest_release.subjects import Subjects
from pytest_release.targets.http import HttpTarget

GROUP_SUFFIX = re.compile(r"@[\w-]+$")


class Recorder:
    """What one test measures and finds; the ``evidence`` fixture.

    Args:
        conductor: Measures declared cases.
        environment: Its thresholds are the limits of measurements of the same name.
        case: Id under which the evidence is kept.
        gate: The gate the test counts for; empty when it has no gate's marker.
        name: For people.
    """

    def __init__(
        self, conductor: Conductor, environment: Environment, case: str, gate: str, name: str
    ) -> None:
        self._conductor = conductor
        self._environment = environment
        self.collected = Evidence(case, gate, name)
        self.touched = False

    def gather(self, case: Case) -> Evidence:
        """Measure a declared case the way its gate does, and keep the evidence."""
        self.touched = True
        self.collected = redacted(self._conductor.evidence(case), self._environment.redactor)
        return self.collected

    def measure(
        self,
        name: str,
        values: float | Sample | Sequence[float | Sample],
        *,
        limit: float | None = None,
    ) -> Measurement:
        """Record a figure.

        Args:
            name: With its unit as suffix (``queue_ms``); a threshold of that name is its limit.
            values: One sample or several, in that unit; what has been timed by the ``http``
                fixture keeps its interval: ``response.extensions["wire"].ttfb``.
            limit: Instead of the threshold.

        Raises:
            EvidenceError: There are no values, or one is not finite.
        """
        drawn = [values] if isinstance(values, int | float | Sample) else values
        samples = tuple(v if isinstance(v, Sample) else _given(float(v)) for v in drawn)
        policy = self._environment.gates.get(self.collected.gate)
        confidence = policy.samples.confidence if policy else 0.95
        bound = limit if limit is not None or not policy else policy.thresholds.get(name)
        estimate = mean_estimate(samples, confidence)
        decision = None if bound is None else decide(estimate, bound)
        measurement = Measurement(name, samples, estimate, bound, decision)
        self._add(measurements=(*self.collected.measurements, measurement))
        return measurement

    def finding(self, code: str, message: str, severity: str = Severity.FAILURE) -> None:
        """Record something wrong; a failure makes the case FAILED even if the test passes."""
        if severity not in list(Severity):
            known = ", ".join(Severity)
            raise EvidenceError(f"a finding's severity is one of {known}, got {severity!r}")
        found = Finding(code, message, Severity(severity))
        self._add(findings=(*self.collected.findings, found))

    def attach(self, name: str, text: str) -> None:
        """Have a text shown in the report."""
        self._add(attachments=(*self.collected.attachments, Attachment(name, text)))

    def _add(self, **changes: Any) -> None:  # noqa: ANN401 - fields of Evidence
        self.touched = True
        self.collected = replace(self.collected, **changes)


def _given(value: float) -> Sample:
    return Sample(value, value, value, "given by the test")


class Runner:
    """Registered as ``release-runner`` where tests run: the only process, or each xdist worker.

    Args:
        environment: With the address its release runs at.
        casebook: Its system's cases.
        suites: Folder of the shipped suites.
        subjects: The UUIDs and packages that the run is about.
        say: Takes a case's id and a line for whoever waits at the terminal.
    """

    def __init__(
        self,
        environment: Environment,
        casebook: Casebook,
        suites: Path,
        subjects: Subjects | None = None,
        say: Callable[[str, str], None] = lambda _case, _line: None,
    ) -> None:
        self.environment = environment
        self.subjects = subjects or Subjects()
        self.casebook = casebook.for_uuids(self.subjects.uuids)
        self.suites = suites.resolve()
        self._tell = say
        target = HttpTarget(environment)
        self.deployments: Deployments | None = None
        if casebook.system is not None:
            self.deployments = Deployments(environment, casebook.system, self.subjects, target)
        self.conductor = Conductor(environment, target, self.deployments, self._say)
        self.manifest: dict[str, dict[str, Any]] = {}
        self._manifest_sent = False
        self._recorders: dict[str, Recorder] = {}

    def parametrize(self, metafunc: pytest.Metafunc) -> None:
        """Give a test the declared cases of the gates it is marked with."""
        gates = self.gates_of(metafunc.definition)
        cases = [case for gate in gates for case in self.casebook.of(gate)]
        metafunc.parametrize("case", cases, ids=[case.parameter for case in cases], indirect=True)

    def parametrize_deployment(self, metafunc: pytest.Metafunc) -> None:
        """Run a test once for each UUID of the run."""
        metafunc.parametrize("deployment", self.subjects.uuids, indirect=True)

    def gates_of(self, item: pytest.Item | pytest.Function) -> list[str]:
        """The environment's gates whose markers an item has, nearest first."""
        names = dict.fromkeys(marker.name for marker in item.iter_markers())
        return [name for name in names if name in self.environment.gates]

    def pytest_ignore_collect(self, collection_path: Path) -> bool | None:
        """A shipped suite whose gate the environment lacks, or has no cases for, is not loaded."""
        if collection_path.resolve().parent != self.suites:
            return None
        gate = collection_path.stem.removeprefix("test_")
        if gate == collection_path.stem or (
            gate in self.environment.gates and self.casebook.of(gate)
        ):
            return None
        return True

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Note every case there is before anything is deselected."""
        taken: set[str] = set()
        for item in items:
            gates = self.gates_of(item)
            if not gates:
                continue
            declared = _case_of(item)
            # A second test of the same case is a case of its own, or its loss would not be seen.
            first = declared is not None and declared.id not in taken
            taken |= {declared.id} if declared else set()
            self.manifest[item.nodeid] = {
                "node": item.nodeid,
                "case": declared.id if declared and first else item.nodeid,
                "gates": gates,
                "selected": True,
            }

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        """Note what ``-k``, ``-m`` or ``--lf`` left out."""
        for item in items:
            if entry := self.manifest.get(plain_id(item.nodeid)):
                entry["selected"] = False

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Tell the conductor which cases it will be asked for."""
        self.conductor.plan(case for item in session.items if (case := _case_of(item)))

    def _say(self, case: str, line: str) -> None:
        """What waits, and for what; without secrets, as every text."""
        self._tell(case, self.environment.redactor(line))

    def recorder(self, item: pytest.Item) -> Recorder:
        """The recorder of one test."""
        node = plain_id(item.nodeid)
        entry = self.manifest.get(node, {"case": node, "gates": [""]})
        recorder = Recorder(
            self.conductor, self.environment, entry["case"], entry["gates"][0], item.name
        )
        self._recorders[item.nodeid] = recorder
        return recorder

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Attach to the report what the controller needs to know of it."""
        report = yield
        entry = self.manifest.get(plain_id(item.nodeid))
        if entry is not None:
            attached: dict[str, Any] = {"case": entry["case"], "gates": entry["gates"]}
            if not self._manifest_sent:
                attached["manifest"] = list(self.manifest.values())
                self._manifest_sent = True
            if report.when == "teardown":
                recorder = self._recorders.pop(item.nodeid, None)
                if recorder is not None and recorder.touched:
                    seen = redacted(recorder.collected, self.environment.redactor)
                    attached["evidence"] = to_json(seen)
            report.release = attached  # type: ignore[attr-defined]
        self._mask(report)
        return report

    def _mask(self, report: pytest.TestReport) -> None:
        """Take the environment's secrets out of what the test failed with and printed."""
        redact = self.environment.redactor
        if report.longrepr:  # to ask for the text of none costs as much as a trivial test
            text = report.longreprtext
            if redact(text) != text:
                report.longrepr = redact(text)
        report.sections = [(name, redact(content)) for name, content in report.sections]


def _case_of(item: pytest.Item) -> Case | None:
    """The declared case that an item was parametrized with."""
    callspec = getattr(item, "callspec", None)
    declared = callspec.params.get("case") if callspec else None
    return declared if isinstance(declared, Case) else None


def plain_id(nodeid: str) -> str:
    """A node id without the suffix that xdist's loadgroup puts behind it."""
    return GROUP_SUFFIX.sub("", nodeid)
