"""The judging side, in the one process that sees every report.

The order of things, each step only when those before it went well:

1. start the sandbox, if the environment has one;
2. ask the deployment what it is, and which UUIDs it has; another release than the one asked for
   ends the run here;
3. let pytest run; every report goes into the ledger;
4. ask the deployment again, judge the gates and the run;
5. let pytest-html write its page, then write the bundle, sign it, and give it its name.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_release.bundle import Bundle, Sealed
from pytest_release.config.casebook import Casebook
from pytest_release.config.environment import Environment, GatePolicy
from pytest_release.errors import BundleError, EvidenceError, SandboxError, TargetError
from pytest_release.evidence import Evidence, from_json
from pytest_release.ledger import Ledger, Outcome
from pytest_release.progress import Board, Receiver
from pytest_release.release import Context, Identity, Release, read_identity
from pytest_release.runner import Runner, plain_id
from pytest_release.sandbox.home import at_home
from pytest_release.subjects import Subjects, Wanted, find_subjects
from pytest_release.targets.http import HttpTarget
from pytest_release.verdict import GateVerdict, RunVerdict, asked_for, judge_gate, judge_run

if TYPE_CHECKING:  # most runs are of deployments that are there already
    from pytest_release.sandbox.server import Sandbox
from pytest_release.workers import Workers

LONGEST_DETAIL = 500  # characters of a test's failure that a reason shows


@dataclass(frozen=True)
class Order:
    """What the command asked for.

    Attributes:
        environment: What ``--env`` named.
        casebook: Its system's cases.
        suites: Folder of the shipped suites.
        version: What ``--release`` named.
        tools: Versions of what measures, by name.
        wanted: The UUIDs and packages to judge.
        waivers: Of the environment, in force, a sentence each.
    """

    environment: Environment
    casebook: Casebook
    suites: Path
    version: str | None
    tools: Mapping[str, str]
    wanted: Wanted
    waivers: tuple[str, ...] = ()


class Session:
    """Registered as ``release-session`` by ``--env``, but not in xdist's workers.

    Args:
        config: pytest's.
        order: What the command asked for.
        bundle: The report folder to be.
        sandbox: The deployment to start, if the environment has one.
    """

    def __init__(
        self, config: pytest.Config, order: Order, bundle: Bundle, sandbox: Sandbox | None
    ) -> None:
        self.config = config
        self.order = order
        self.environment = order.environment
        self.bundle = bundle
        self.sandbox = sandbox
        self.ledger = Ledger()
        self.evidence: dict[str, Evidence] = {}
        self.release = Release(order.version)
        self.started = datetime.now(UTC)
        self.verdict: RunVerdict | None = None
        self.sealed: Sealed | None = None
        self.failure = ""
        self.trouble: list[str] = []
        self._stop = False
        self._nodes: dict[str, Mapping[str, Any]] = {}
        self._runner: Runner | None = None
        self._workers: Workers | None = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """Steps 1 and 2; then register what runs tests here, or what speaks with the workers."""
        if self.sandbox is not None:
            self._start(self.sandbox)
        self._identify()
        subjects = self._find_subjects()
        self._stop = bool(self.trouble or self.release.mismatches)
        casebook = self.order.casebook
        cases = casebook.for_uuids(subjects.uuids).cases
        for case in cases:
            if case.gate in self.environment.gates:
                self.ledger.declare(case.id, case.gate)
        register = self.config.pluginmanager.register
        board = Board(self.config)
        self.config.add_cleanup(board.close)
        if self.config.getoption("dist", "no") == "no":
            suites = self.order.suites
            self._runner = Runner(self.environment, casebook, suites, subjects, board.say)
            register(self._runner, "release-runner")
        else:
            receiver = Receiver(board)
            self.config.add_cleanup(receiver.close)
            told = {**self._told(subjects), "progress": receiver.address}
            self._workers = Workers(told, {case.parameter for case in cases})
            register(self._workers, "release-workers")

    def _start(self, sandbox: Sandbox) -> None:
        try:
            sandbox.start()
        except SandboxError as error:
            raise pytest.UsageError(str(error)) from None
        self.environment = at_home(
            self.environment, sandbox.base_url, sandbox.services, sandbox.secrets
        )

    def _find_subjects(self) -> Subjects:
        system = self.order.casebook.system
        if system is None or self.trouble:
            return Subjects()
        try:
            subjects = find_subjects(self.environment, system, self.order.wanted)
        except TargetError as error:
            self.trouble.append(str(error))
            return Subjects()
        packages = {archive.path.name: archive.sha256 for archive in subjects.packages.values()}
        self.release = replace(self.release, packages=packages)
        return subjects

    def _told(self, subjects: Subjects) -> dict[str, Any]:
        """What a worker cannot read from the environment's file."""
        services = self.sandbox.services if self.sandbox else {}
        return {
            "base_url": self.environment.base_url,
            "services": {name: dict(options) for name, options in services.items()},
            "secrets": sorted(self.sandbox.secrets) if self.sandbox else [],
            "subjects": subjects.to_json(),
        }

    def _identify(self) -> None:
        """What is deployed before the first case; a mismatch or no answer ends the run there."""
        if self.environment.release is not None:
            try:
                self.release = replace(self.release, before=self._ask())
            except TargetError as error:
                self.trouble.append(str(error))

    def _ask(self) -> Identity | None:
        if self.environment.release is None:
            return None
        with HttpTarget(self.environment) as target:
            return read_identity(self.environment.release, target)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self) -> bool | None:
        """No case runs against a deployment that is not the one to be judged."""
        return True if self._stop else None

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A file that cannot be collected may have held cases of any gate."""
        if report.failed:
            self.trouble.append(f"{plain_id(report.nodeid)} could not be collected")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Step 3: take a report, and what travelled with it, into the accounts."""
        attached: Mapping[str, Any] = getattr(report, "release", {})
        self._take_manifest(attached.get("manifest", ()))
        if "evidence" in attached:
            try:
                self.evidence[attached["case"]] = from_json(attached["evidence"])
            except EvidenceError as error:
                self.trouble.append(f"{attached['case']}: {error}")
        node = self._nodes.get(plain_id(report.nodeid))
        if node and report.when in ("setup", "call", "teardown"):
            self._account(node, report, report.when)

    def _account(self, node: Mapping[str, Any], report: pytest.TestReport, when: str) -> None:
        outcome = _outcome(report)
        detail = "" if report.passed else _detail(report)
        for gate in node["gates"]:
            self.ledger.phase(node["case"], gate, when, outcome, detail, report.duration)

    def _take_manifest(self, manifest: Any) -> None:  # noqa: ANN401 - as it came over the wire
        for entry in manifest:
            self._nodes[entry["node"]] = entry
            for gate in entry["gates"]:
                self.ledger.collect(entry["case"], gate, selected=entry["selected"])

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """A test began; if nothing more is heard of it, that is known."""
        if node := self._nodes.get(plain_id(nodeid)):
            for gate in node["gates"]:
                self.ledger.start(node["case"], gate)

    def evidence_of(self, report: pytest.TestReport) -> Evidence | None:
        """What a test measured, once its last report has come."""
        node = self._nodes.get(plain_id(report.nodeid))
        return self.evidence.get(node["case"]) if node else None

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(
        self, session: pytest.Session, exitstatus: int
    ) -> Generator[None, None, None]:
        """Steps 4 and 5; the exit status follows the verdict."""
        self.verdict = self._judge(exitstatus)
        yield
        try:
            self.sealed = self.bundle.seal(self.verdict)
        except BundleError as error:
            self.failure = str(error)
        good = self.verdict.accepted and not self.failure
        if session.exitstatus == pytest.ExitCode.OK and not good:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _judge(self, exitstatus: int) -> RunVerdict:
        if self._runner is not None:
            self._take_manifest(self._runner.manifest.values())
        spoiled = (*self._trouble(exitstatus), *self._read_again())
        return judge_run(self._judge_gates(spoiled), self._context())

    def _trouble(self, exitstatus: int) -> list[str]:
        trouble = [*self.trouble, *(self._workers.trouble() if self._workers else ())]
        if exitstatus == pytest.ExitCode.INTERRUPTED and not trouble:
            trouble.append("the run was interrupted")
        if self.config.getoption("lf", default=False):
            trouble.append("--last-failed runs only a part of the cases")
        return trouble

    def _read_again(self) -> tuple[str, ...]:
        if self.release.before is not None:
            try:
                self.release = replace(self.release, after=self._ask())
            except TargetError:
                self.release = replace(self.release, after=None)
        return self.release.changes

    def _judge_gates(self, spoiled: tuple[str, ...]) -> list[GateVerdict]:
        policies = self.environment.gates
        required = [gate for gate, policy in policies.items() if policy.required]
        asked = asked_for(self.config.getoption("markexpr", ""), policies, required)
        return [self._judge_gate(gate, policies[gate], gate in asked, spoiled) for gate in policies]

    def _judge_gate(
        self,
        gate: str,
        policy: GatePolicy,
        asked: bool,
        spoiled: tuple[str, ...],
    ) -> GateVerdict:
        entries = list(self.ledger.entries(gate))
        asked = asked or any(entry.selected for entry in entries)
        return judge_gate(gate, policy, entries, self.evidence, asked=asked, spoiled=spoiled)

    def _context(self) -> Context:
        environment = self.environment
        return Context(
            run=self.bundle.run,
            environment=environment.name,
            role=environment.role,
            system=environment.system,
            base_url=environment.redactor(environment.base_url or ""),
            policy_digest=environment.digest,
            case_digests=self.order.casebook.digests,
            release=self.release,
            started=self.started,
            finished=datetime.now(UTC),
            tools=self.order.tools,
            waivers=tuple(map(environment.redactor, self.order.waivers)),
        )


def _outcome(report: pytest.TestReport) -> Outcome | None:
    """A phase's outcome in the ledger's words; None when the test is going to be run again."""
    if report.outcome not in ("passed", "failed", "skipped"):
        return None
    if hasattr(report, "wasxfail"):
        return Outcome.XFAILED if report.skipped else Outcome.XPASSED
    if report.failed and report.when != "call":
        return Outcome.ERROR
    return Outcome(report.outcome)


def _detail(report: pytest.TestReport) -> str:
    """Why a phase did not pass, in its first meaningful line."""
    if report.skipped and isinstance(report.longrepr, tuple):
        return report.longrepr[2][:LONGEST_DETAIL]
    lines = [line for line in report.longreprtext.splitlines() if line.strip()]
    failed = [line[1:].strip() for line in lines if line.startswith("E ")]
    return (failed or lines or [""])[0][:LONGEST_DETAIL]
