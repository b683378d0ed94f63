"""``fixtures/plans/*.yaml`` -> `Plan`."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from pytest_release.atomic import canonical_json
from pytest_release.config.document import Key, load_document
from pytest_release.config.environments import environment_names
from pytest_release.config.nodes import count, names_of, node_problems, nodes_of
from pytest_release.config.plan import (
    CHANGING,
    CONTINUE,
    ROLLBACK,
    STOP,
    Action,
    Mode,
    Plan,
    Retries,
    Step,
    When,
)
from pytest_release.config.validation import suggestion, validate
from pytest_release.config.variables import Resolved, resolve
from pytest_release.errors import ConfigError, Problem, UsageError
from pytest_release.redaction import MASK, Redactor

PLACEHOLDER = re.compile(r"\{\{\s*([^{}\s]*)\s*\}\}")
RELEASE = ("release", "commit")
BUILT_IN = (*RELEASE, "previous", "previous_commit", "failed", "environment", "rollout", "folder")
NOTIFY = "notify"
ENDED = ("result", "why")  # what is known afterwards
PARTS = ("steps", "rollback", "afterwards")
BY_ITSELF = frozenset({"gate", "promote", "record"})  # types whose adapter has their name


def plan_names(fixtures: Path) -> list[str]:
    """Names of the plans there are, sorted; a leading underscore marks a base."""
    files = (fixtures / "plans").glob("*.yaml")
    return sorted(file.stem for file in files if not file.stem.startswith("_"))


def load_plan(
    fixtures: Path,
    name: str,
    variables: Mapping[str, str],
    values: Mapping[str, str] | None = None,
) -> Plan:
    """Read and check one plan.

    Args:
        fixtures: The folder with ``plans/`` and ``environments/``.
        name: Of the plan, or the path of its file.
        variables: Values of ``${VAR}``; at the top, the process's environment.
        values: Replace values of the plan.

    Raises:
        UsageError: There is no such plan, or no such value.
        ConfigError: The file, or one it extends, is wrong.
    """
    file = _file(fixtures, name)
    document = load_document(file)
    digest = hashlib.sha256(canonical_json(document.value)).hexdigest()
    resolved = resolve(document, variables)
    validate(resolved, "plan")
    if problems := list(_problems(resolved, environment_names(fixtures))):
        raise ConfigError(*problems)
    return _build(resolved, digest, _replaced(resolved, values or {}))


def _file(fixtures: Path, name: str) -> Path:
    if name.endswith(".yaml"):
        return Path(name)
    known = plan_names(fixtures)
    if name not in known:
        there_are = ", ".join(known) or "none (no *.yaml there)"
        raise UsageError(
            f"unknown plan {name!a}{suggestion(name, known)}; "
            f"plans in {fixtures / 'plans'}: {there_are}"
        )
    return fixtures / "plans" / f"{name}.yaml"


def _replaced(resolved: Resolved, given: Mapping[str, str]) -> dict[str, str]:
    own = resolved.document.value.get("values", {})
    for name in given:
        if name not in own:
            there_are = ", ".join(own) or "none"
            raise UsageError(
                f"--set {name}: the plan has no such value{suggestion(name, own)}; "
                f"values: {there_are}"
            )
    return {**{name: _words(value) for name, value in own.items()}, **given}


def _words(value: Any) -> str:  # noqa: ANN401 - a scalar of the file
    return str(value).lower() if isinstance(value, bool) else str(value)


def _problems(resolved: Resolved, environments: Sequence[str]) -> Iterator[Problem]:
    """What a schema cannot say."""
    value, problem = resolved.document.value, resolved.document.problem
    file = resolved.document.file
    if value["name"] != file.stem:
        message = f"expected {file.stem!r}, the file's own name, got {value['name']!r}"
        yield problem(("name",), message)
    for name in set(value.get("values", {})) & {*BUILT_IN, *ENDED}:
        yield problem(("values", name), f"{name!r} has its own meaning: choose another name")
    for part in PARTS:
        for index, step in enumerate(value.get(part, ())):
            yield from _step_problems(resolved, (part, index), step, environments)
    yield from _name_problems(resolved)
    yield from _need_problems(resolved)
    yield from _mode_problems(resolved)
    yield from _rollback_problems(resolved)
    yield from node_problems(resolved)
    yield from _placeholder_problems(resolved)


def _step_problems(
    resolved: Resolved, key: Key, step: Mapping[str, Any], environments: Sequence[str]
) -> Iterator[Problem]:
    problem = resolved.document.problem
    named = step.get("environment", resolved.document.value.get("environment"))
    if named is None:
        yield problem(key, "the key 'environment' is missing, here or for the whole plan")
    elif named not in environments:
        there_are = ", ".join(environments) or "none"
        where = (*key, "environment") if "environment" in step else ("environment",)
        message = f"there is no environment {named!r}{suggestion(named, environments)}"
        yield problem(where, f"{message}; environments: {there_are}")
    kind = step.get("type", NOTIFY)
    if "with" not in step and kind not in BY_ITSELF:
        yield problem(key, f"the key 'with' is missing: how is this {kind} done?")
    adapter = next(iter(step.get("with", {kind: {}})))
    if adapter == "watch" and step.get("timeout_s", 600.0) <= step["with"]["watch"]["for_s"]:
        message = "a watch must end before its step does: timeout_s must be longer than for_s"
        yield problem((*key, "with"), message)
    if adapter in ("promote", "record") and kind != adapter:
        message = f"the adapter {adapter!r} is for steps of type {adapter}, this is a {kind}"
        yield problem((*key, "with"), message)


def _name_problems(resolved: Resolved) -> Iterator[Problem]:
    for part in PARTS:
        seen: dict[str, int] = {}
        for index, step in enumerate(resolved.document.value.get(part, ())):
            first = seen.setdefault(step["name"], index)
            if first != index:
                line = resolved.document.place((part, first)).line
                message = f"the name {step['name']!r} stands twice, first in line {line}"
                yield resolved.document.problem((part, index, "name"), message)


def _needs(steps: Sequence[Mapping[str, Any]]) -> dict[str, tuple[str, ...]]:
    """By a step's name what it needs: what it says, or the step before it."""
    needs: dict[str, tuple[str, ...]] = {}
    before: tuple[str, ...] = ()
    for step in steps:
        needs[step["name"]] = tuple(step.get("needs", before))
        before = (step["name"],)
    return needs


def _need_problems(resolved: Resolved) -> Iterator[Problem]:
    steps = resolved.document.value["steps"]
    needs = _needs(steps)
    whole = True
    for index, step in enumerate(steps):
        for position, name in enumerate(step.get("needs", ())):
            if name not in needs:
                whole = False
                message = f"there is no step {name!r}{suggestion(name, needs)}"
                key: Key = ("steps", index, "needs", position)
                yield resolved.document.problem(key, f"{message}; steps: {', '.join(needs)}")
    try:
        if whole:
            TopologicalSorter(needs).prepare()
    except CycleError as error:
        circle = " -> ".join(reversed(error.args[1]))
        yield resolved.document.problem(("steps",), f"steps need each other: {circle}")


def _mode_problems(resolved: Resolved) -> Iterator[Problem]:
    names = [step["name"] for step in resolved.document.value["steps"]]
    for mode, given in resolved.document.value.get("modes", {}).items():
        for part in ("only", "skip"):
            for index, name in enumerate(given.get(part, ())):
                if name not in names:
                    message = f"there is no step {name!r}{suggestion(name, names)}"
                    key: Key = ("modes", mode, part, index)
                    yield resolved.document.problem(key, f"{message}; steps: {', '.join(names)}")


def _rollback_problems(resolved: Resolved) -> Iterator[Problem]:
    """Going back without a gate would prove nothing."""
    value, problem = resolved.document.value, resolved.document.problem
    steps, back = value["steps"], value.get("rollback", ())
    asked = value.get("on_failure") == ROLLBACK or any(
        step.get("on_failure") == ROLLBACK for step in steps
    )
    if asked and not back and not any("undo" in step for step in steps):
        message = "the key 'rollback' is missing: what brings the last good release back?"
        yield problem((), message)
    if not asked and not back:
        return
    whole = value.get("environment")
    gated = {step.get("environment", whole) for step in (*steps, *back) if step["type"] == "gate"}
    for index, step in enumerate(steps):
        name = step.get("environment", whole)
        if step["type"] in CHANGING and name not in gated:
            message = f"no step is a gate of {name}: nothing would show that it is well again"
            yield problem(("steps", index), message)


def _placeholder_problems(resolved: Resolved) -> Iterator[Problem]:
    value = resolved.document.value
    everywhere = [*BUILT_IN, *value.get("values", {})]
    names = [step["name"] for part in ("steps", "rollback") for step in value.get(part, ())]
    for part in PARTS:
        end = ENDED if part == "afterwards" else ()
        for index, step in enumerate(value.get(part, ())):
            known = [*everywhere, *end, *names_of(value, step)]
            for key, text in _texts(step, (part, index)):
                for name in PLACEHOLDER.findall(text):
                    step_name, _, fact = name.partition(".")
                    step_name = step_name.partition("@")[0]
                    if not (name in known or (fact and step_name in names)):
                        near = suggestion(name, known)
                        told = (
                            f"unknown name {{{{{name if not _hidden(resolved, key) else MASK}}}}}"
                        )
                        message = f"{told}{near}; known: {', '.join(known)}, and STEP.FACT"
                        yield resolved.document.problem(key, message)


def _hidden(resolved: Resolved, key: Key) -> bool:
    return key in resolved.secret_keys


def _texts(value: Any, key: Key) -> Iterator[tuple[Key, str]]:  # noqa: ANN401 - any JSON value
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, dict):
        for name, child in value.items():
            yield from _texts(child, (*key, name))
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from _texts(child, (*key, index))


def _build(resolved: Resolved, digest: str, values: Mapping[str, str]) -> Plan:
    value = resolved.document.value
    needs = _needs(value["steps"])
    read = _Reader(resolved, value.get("on_failure", STOP))
    steps = {
        step["name"]: read.step(("steps", index), needs[step["name"]])
        for index, step in enumerate(value["steps"])
    }
    return Plan(
        name=value["name"],
        system=value["system"],
        source=resolved.document.file,
        digest=digest,
        steps=tuple(steps[name] for name in _in_order(needs)),
        rollback=read.steps("rollback"),
        afterwards=read.steps("afterwards"),
        values=values,
        modes={name: _mode(given) for name, given in value.get("modes", {}).items()},
        description=value.get("description", ""),
        redactor=Redactor(resolved.secrets),
    )


def _in_order(needs: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """As the file has them, but each after what it needs."""
    left = dict(needs)
    while left:
        name = next(name for name, before in left.items() if not left.keys() & set(before))
        del left[name]
        yield name


def _mode(given: Mapping[str, Any]) -> Mode:
    waiver = given.get("waiver")
    return Mode(
        only=frozenset(given["only"]) if "only" in given else None,
        skip=frozenset(given.get("skip", ())),
        waiver=(waiver["environment"], waiver["gate"]) if waiver else None,
    )


class _Reader:
    """Makes steps of what a plan says.

    Args:
        resolved: The plan.
        on_failure: Of steps that do not say.
    """

    def __init__(self, resolved: Resolved, on_failure: str) -> None:
        self._resolved = resolved
        self._on_failure = on_failure

    def steps(self, part: str) -> tuple[Step, ...]:
        """All of a part whose steps are done one after the other."""
        given = self._resolved.document.value.get(part, ())
        return tuple(self.step((part, index)) for index in range(len(given)))

    def step(self, key: Key, needs: tuple[str, ...] = ()) -> Step:
        """The step that stands at `key`."""
        value = self._at(key)
        kind = value.get("type", NOTIFY)
        line = self._line(key)
        by_itself = Action(kind, {}, line)
        own = CONTINUE if kind == NOTIFY else self._on_failure
        return Step(
            name=value["name"],
            type=kind,
            environment=value.get("environment") or self._at(("environment",)),
            action=self._action((*key, "with")) if "with" in value else by_itself,
            needs=needs,
            timeout_s=value.get("timeout_s", 600.0),
            retries=Retries(**value.get("retries", {})),
            when=self._when(value["when"], key) if "when" in value else None,
            on_failure=value.get("on_failure", own),
            idempotent=value.get("idempotent"),
            verify=self._actions((*key, "verify")) if "verify" in value else (),
            verify_within_s=value.get("verify_within_s", 0.0),
            undo=self._actions((*key, "undo")) if "undo" in value else (),
            line=line,
            ended=tuple(value.get("ended", ())),
            **self._nodes(value),
        )

    def _nodes(self, step: Mapping[str, Any]) -> dict[str, Any]:
        """The members of a step that is done on nodes."""
        if "nodes" not in step:
            return {}
        nodes = nodes_of(self._at(("nodes", step["nodes"])))
        return {
            "group": step["nodes"],
            "nodes": nodes,
            "batch": max(1, count(step.get("batch", 1), len(nodes))),
            "max_unavailable": count(step.get("max_unavailable", 0), len(nodes)),
        }

    def _at(self, key: Key) -> Any:  # noqa: ANN401 - any JSON value
        value = self._resolved.document.value
        for part in key:
            value = value[part]
        return value

    def _line(self, key: Key) -> int:
        return self._resolved.document.place(key).line

    def _actions(self, key: Key) -> tuple[Action, ...]:
        return tuple(self._action((*key, index)) for index in range(len(self._at(key))))

    def _action(self, key: Key) -> Action:
        (adapter,) = self._at(key)
        return Action(adapter, self._resolved.sealed((*key, adapter)), self._line(key))

    def _when(self, given: Mapping[str, Any], key: Key) -> When:
        """Its repository is relative to the file that names it."""
        repository = Path()
        if "repository" in given:
            file = self._resolved.document.place((*key, "when", "repository")).file
            repository = file.parent / given["repository"]
        ends = {"since": given.get("from"), "until": given.get("to")}
        named = {name: value for name, value in ends.items() if value is not None}
        return When(tuple(given["changed"]), repository, **named)
