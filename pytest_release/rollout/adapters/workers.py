"""Asks a deployment's hot-reload API whether every worker runs what is on disk; for ``verify``.

- Whichever worker takes the connection answers: it is asked until all were seen, as the gate
  ``hot_reload`` does. One answer, or one good worker, proves nothing.
- Nothing is reloaded; only the environment's own address is asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from pytest_release.config.cases import CheckCase
from pytest_release.config.environment import Environment, GatePolicy
from pytest_release.evidence import Evidence
from pytest_release.gates import hot_reload
from pytest_release.gates._scene import Scene
from pytest_release.redaction import reveal
from pytest_release.rollout.stage import Order, Outcome, Stage
from pytest_release.targets.http import HttpTarget

GATE = "hot_reload"
NAMED = 3  # problems in the sentence


def describe(options: Mapping[str, Any]) -> str:
    """What is looked at."""
    least = f", {options['min_endpoints']} endpoints at least" if "min_endpoints" in options else ""
    return f"every worker runs what is on disk{least}"


def repeatable(options: Mapping[str, Any]) -> bool:
    """It only looks."""
    return True


def act(order: Order, stage: Stage) -> Outcome:
    """Every worker, then the endpoints, where they are asked for."""
    environment = stage.environment(order.environment)
    problems: list[str] = []
    seen = 0.0
    for case in _cases(order, environment):
        evidence = _made(case, environment)
        problems += [finding.message for finding in evidence.failures]
        counts = (m.samples[0].value for m in evidence.measurements if m.name == "workers")
        seen += sum(counts)
        if problems:
            break
    if problems:
        more = f"; and {len(problems) - NAMED} more" if len(problems) > NAMED else ""
        return Outcome(done=False, why="; ".join(problems[:NAMED]) + more)
    facts = {"workers": f"{seen:g}"}
    return Outcome(done=True, why=f"all {seen:g} workers run what is on disk", facts=facts)


def check(order: Order, stage: Stage) -> Outcome | None:
    """The same: it only looks."""
    return act(order, stage)


def _made(case: CheckCase, environment: Environment) -> Evidence:
    """One check of the gate; its policy holds, but for its other nodes and thresholds."""
    own = environment.gates.get(GATE, GatePolicy())
    options = {name: value for name, value in own.options.items() if name != "nodes"}
    if (count := case.options.get("workers")) is not None:
        options["workers"] = count
    policy = replace(own, options=options, thresholds={})
    with HttpTarget(environment) as target:
        return hot_reload.measure(case, policy, Scene(environment, target))


def _cases(order: Order, environment: Environment) -> Iterator[CheckCase]:
    options = {name: reveal(value) for name, value in order.options.items()}
    most = min(options.get("follow_s", 15.0), max(order.seconds, 0.001))
    names = ("prefix", "timeout_s", "workers")
    asking: dict[str, Any] = {name: options[name] for name in names if name in options}
    asking["follow_s"] = most
    yield _case(order, environment, "workers", asking, {"modules": options.get("modules", [])})
    if "min_endpoints" in options:
        expect = {"min_endpoints": options["min_endpoints"]}
        yield _case(order, environment, "endpoints", asking, expect)


def _case(
    order: Order,
    environment: Environment,
    name: str,
    options: Mapping[str, Any],
    expect: Mapping[str, Any],
) -> CheckCase:
    return CheckCase(
        id=f"{order.step}-{name}",
        gate=GATE,
        name=name,
        file=environment.source,
        line=1,
        expect=expect,
        check=name,
        options=options,
    )
