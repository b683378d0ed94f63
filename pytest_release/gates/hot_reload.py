"""A hot reload reaches every worker of every node, and interrupts nobody while it does.

Its checks, each by the name that cases use:

- ``reload``: one reload from before to after, with steady requests all the while;
- ``workers``: every worker is on the same signal and runs the code that is on disk;
- ``verify``: the deployment's own checks, every one of them, on every worker;
- ``endpoints``: enough are registered, none is lost, and those that are called know themselves;
- ``nodes``: all nodes run the same versions;
- ``history``: the deployment recorded its reloads, without a failed module;
- ``one_worker``: ``/hot-reload/check``, which reaches one worker only; never in production.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

from pytest_release.config.cases import CheckCase, HttpCase
from pytest_release.config.environment import GatePolicy
from pytest_release.evidence import Attachment, Evidence, Finding
from pytest_release.gates._check import concluded
from pytest_release.gates._reload import (
    Reloading,
    ask_worker,
    at,
    everyone,
    steady_cases,
    steady_rate,
    told,
)
from pytest_release.gates._reload_answers import (
    CHECKS,
    check_called,
    check_history,
    check_registered,
    check_success,
    check_verified,
    check_versions,
    running_versions,
    wrong,
)
from pytest_release.gates._reload_api import (
    Api,
    ForbiddenError,
    Node,
    asked,
    nodes_of,
    refuse_forbidden,
)
from pytest_release.gates._reload_workers import (
    Asking,
    Census,
    answers_needed,
    check_workers,
    take_census,
)
from pytest_release.gates._scene import Scene

MOST_CALLS = 8  # endpoints that are called at once


def measure(case: CheckCase, policy: GatePolicy, scene: Scene) -> Evidence:
    """Make one check; what the policy forbids is refused before the first request.

    Args:
        case: Its check, options and expectations.
        policy: ``nodes``, ``workers``, ``forbid``, ``allow_reload``, ``max_rate_per_s``.
        scene: Where it takes place.
    """
    look = _Look(case, policy, scene)
    check, paths = CHECKS_BY_NAME[case.check]
    rate = steady_rate(case) if case.check == "reload" else 0.0
    try:
        refuse_forbidden(scene.environment, policy, paths(look), rate)
    except ForbiddenError as refusal:
        return concluded(case, policy, [wrong("hot_reload.forbidden", str(refusal))])
    return check(look)


@dataclass(frozen=True)
class _Look:
    case: CheckCase
    policy: GatePolicy
    scene: Scene

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        return nodes_of(self.scene, self.policy)

    @cached_property
    def api(self) -> Api:
        given = self.case.options
        return Api(**{name: given[name] for name in ("prefix", "timeout_s") if name in given})

    @cached_property
    def asking(self) -> Asking:
        given = self.case.options
        names = {"confidence": "confidence", "max_answers": "most", "follow_s": "seconds"}
        chosen = {ours: given[name] for name, ours in names.items() if name in given}
        return Asking(**chosen, count=self.policy.options.get("workers"))

    @cached_property
    def calls(self) -> list[HttpCase]:
        return steady_cases(replace(self.case, options={"requests": self.case.options["calls"]}))

    def census(self, node: Node) -> Census:
        return take_census(lambda: ask_worker(self.api, node), self.asking)

    def repeated(
        self,
        node: Node,
        times: int,
        method: str,
        name: str,
        check: Callable[[Mapping[str, Any]], Iterator[Finding]],
    ) -> Iterator[Finding]:
        """What is wrong with an answer, asked so often that every worker is among those who answer.

        The same thing wrong is said once; nobody is asked again who gives no answer.
        """
        seen: set[tuple[str, str]] = set()
        ends = time.monotonic() + self.asking.seconds
        for number in range(times):
            if time.monotonic() > ends:
                told = f"{name} of {node.name} gave {number} of {times} answers"
                message = f"{told} within {self.asking.seconds:g} s: not every worker was seen"
                yield wrong("hot_reload.workers", message, str(times), str(number))
                return
            reply = self.api.ask(node, method, name, check)
            for finding in reply.findings:
                if (finding.code, finding.message) not in seen and len(seen) < MOST_FINDINGS:
                    seen.add((finding.code, finding.message))
                    yield finding
            if reply.value is None:
                return

    def evidence(
        self,
        findings: Sequence[Finding],
        figures: Mapping[str, Sequence[float]] | None = None,
        said: Sequence[str] = (),
    ) -> Evidence:
        evidence = concluded(self.case, self.policy, findings, figures)
        shown = (Attachment("what was seen", "\n".join(said)),) if said else ()
        return replace(evidence, attachments=shown)


MOST_FINDINGS = 20  # of one question that is asked again and again


def _reload(look: _Look) -> Evidence:
    return Reloading(look.case, look.policy, look.scene, look.nodes, look.asking).run()


def _workers(look: _Look) -> Evidence:
    findings: list[Finding] = []
    said: list[str] = []
    count = 0
    for node in look.nodes:
        census = look.census(node)
        said += told([node], [census])
        count += len(census.latest)
        findings += everyone(node, census, look.asking)
        findings += at(node, check_workers(tuple(census.latest.values()), None))
        check = partial(check_versions, modules=look.case.expect.get("modules", ()))
        findings += look.repeated(node, _enough(look, census), "GET", "versions", check)
    return look.evidence(findings, {"workers": [float(count)]}, said)


def _verify(look: _Look) -> Evidence:
    findings: list[Finding] = []
    said: list[str] = []
    for node in look.nodes:
        times = _enough(look, look.census(node))
        said.append(f"{node.name}: verify was asked {times} times, so that every worker answered")
        check = partial(check_verified, names=look.case.expect.get("checks", CHECKS))
        findings += look.repeated(node, times, "POST", "verify", check)
    return look.evidence(findings, said=said)


def _enough(look: _Look, census: Census) -> int:
    """Questions after which no worker that was seen is missed, with the confidence asked for."""
    workers = max(len(census.latest) - 1, 1)
    return min(answers_needed(workers, look.asking.confidence), look.asking.most)


def _endpoints(look: _Look) -> Evidence:
    expect = look.case.expect
    findings: list[Finding] = []
    counts: list[float] = []
    for node in look.nodes:
        check = partial(
            check_registered,
            least=expect.get("min_endpoints", 1),
            required=expect.get("required", ()),
        )
        reply = look.api.ask(node, "POST", "reload-endpoints", check)
        findings += reply.findings
        if reply.value is not None and isinstance(reply.value.get("endpoints"), list):
            counts.append(float(len(reply.value["endpoints"])))
        if "calls" in look.case.options:
            findings += _called(look, node)
    return look.evidence(findings, {"endpoints": counts})


def _called(look: _Look, node: Node) -> list[Finding]:
    """Every endpoint of `calls`, in parallel; no answer, or an empty one, is not a good one."""

    def call(case: HttpCase) -> tuple[Finding, ...]:
        return asked(node, case.request, partial(check_called, name=case.name)).findings

    with ThreadPoolExecutor(MOST_CALLS) as pool:
        return [finding for findings in pool.map(call, look.calls) for finding in findings]


def _nodes(look: _Look) -> Evidence:
    findings: list[Finding] = []
    running: dict[str, dict[str, str]] = {}
    for node in look.nodes:
        reply = look.api.ask(node, "GET", "versions")
        findings += reply.findings
        if reply.value is not None:
            running[node.name] = running_versions(reply.value)
    findings += _differing(running, look.case.expect.get("modules", ()))
    return look.evidence(findings, {"nodes": [float(len(running))]})


def _differing(running: Mapping[str, Mapping[str, str]], modules: Any) -> Iterator[Finding]:  # noqa: ANN401
    known = {name for versions in running.values() for name in versions}
    for module in modules or sorted(known):
        versions = {node: found.get(module, "none") for node, found in running.items()}
        if len(set(versions.values())) > 1 or "none" in versions.values():
            told = ", ".join(f"{version} on {node}" for node, version in versions.items())
            message = f"{module} is not the same on all nodes: {told}"
            yield wrong("hot_reload.nodes-differ", message, "one version", told)


def _history(look: _Look) -> Evidence:
    check = partial(check_history, least=look.case.expect.get("min_reloads", 1))
    findings: list[Finding] = []
    for node in look.nodes:
        findings += look.api.ask(node, "GET", "history", check).findings
    return look.evidence(findings)


def _one_worker(look: _Look) -> Evidence:
    findings: list[Finding] = []
    for node in look.nodes:
        findings += look.api.ask(node, "POST", "check", check_success).findings
    return look.evidence(findings)


def _paths(*names: str) -> Callable[[_Look], list[str]]:
    return lambda look: [f"{look.api.prefix}/{name}" for name in names]


def _reload_paths(look: _Look) -> list[str]:
    own = [ask.request.path for ask in steady_cases(look.case)]
    return [*_paths("worker-sync", "reload-all")(look), *own]


def _endpoint_paths(look: _Look) -> list[str]:
    own = [call.request.path for call in look.calls] if "calls" in look.case.options else []
    return [*_paths("reload-endpoints")(look), *own]


CHECKS_BY_NAME: Mapping[str, tuple[Callable[[_Look], Evidence], Callable[[_Look], list[str]]]] = {
    "reload": (_reload, _reload_paths),
    "workers": (_workers, _paths("worker-sync", "versions")),
    "verify": (_verify, _paths("worker-sync", "verify")),
    "endpoints": (_endpoints, _endpoint_paths),
    "nodes": (_nodes, _paths("versions")),
    "history": (_history, _paths("history")),
    "one_worker": (_one_worker, _paths("check")),
}
