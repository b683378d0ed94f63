"""A step on a group of nodes: a task for each, and what they come to together. Pure.

- ``STEP@NODE`` is a task like any other: begun, verified, tried again and recovered by itself, with
  events and records of its own. What no crash may repeat, it may not repeat on any node.
- A node on which a step failed is down: it stays out of later steps, and counts in them.
- When more are down than may be, no further node is begun; the step itself ends last, in any case.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from pytest_release.config.plan import CHANGING, CONTINUE, Action, Node, Plan, Step
from pytest_release.config.validation import schema
from pytest_release.rollout.stage import Outcome
from pytest_release.rollout.state import AGAIN, DONE, FAILED, SKIPPED, State, TaskState

AT = "@"


def part_name(task: str, node: str) -> str:
    """The id of a task on one node."""
    return f"{task}{AT}{node}"


def whole_name(task: str) -> str:
    """The id of the task whose part this is; its own, if it is none."""
    return task.partition(AT)[0]


def parts(step: Step) -> Iterator[Step]:
    """The step on each of its nodes."""
    for node in step.nodes:
        yield replace(
            step,
            name=part_name(step.name, node.name),
            node=node,
            nodes=(),
            action=_on(node, step.action),
            verify=tuple(_on(node, action) for action in step.verify),
            undo=(),
        )


def _on(node: Node, action: Action) -> Action:
    """The action with the node's ssh, where its adapter has one and the plan does not say."""
    options = action.options
    able = "ssh" in schema(f"adapter.{action.adapter}").get("properties", {})
    if node.ssh is None or not able or "ssh" in options or options.get("here"):
        return action
    config = {} if node.ssh_config is None else {"ssh_config": node.ssh_config}
    return replace(action, options={**options, "ssh": node.ssh, **config})


def chunks(names: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """So many at a time."""
    for start in range(0, len(names), size):
        yield names[start : start + size]


def to_begin(state: State, names: Iterable[str]) -> tuple[tuple[str, int], ...]:
    """Of these tasks those that are to be begun, or begun again, with the attempt's number."""
    found = []
    for name in names:
        task = state.tasks.get(name)
        if task is None:
            found.append((name, 1))
        elif task.status == AGAIN:
            found.append((name, task.attempt + 1))
    return tuple(found)


def begun(state: State, step: Step) -> bool:
    """Whether a step was, on whatever node."""
    return _was_begun(state, step.name) or any(touched(state, step))


def touched(state: State, step: Step) -> Iterator[str]:
    """Names of the nodes on which a step was begun."""
    for node in step.nodes:
        if _was_begun(state, part_name(step.name, node.name)):
            yield node.name


def _was_begun(state: State, task: str) -> bool:
    return task in state.tasks and state.tasks[task].status != SKIPPED


def changed_nodes(plan: Plan, state: State, environment: str) -> frozenset[str] | None:
    """The nodes of an environment that are not as they were; None: it may be any."""
    here = [s for s in plan.steps if s.type in CHANGING and s.environment == environment]
    if any(not step.nodes and begun(state, step) for step in here):
        return None
    return frozenset(name for step in here for name in touched(state, step))


def down(plan: Plan, state: State, step: Step) -> dict[str, str]:
    """By a node of a step that is down, the step that failed there."""
    found: dict[str, str] = {}
    for earlier in plan.steps:
        if earlier.on_failure != CONTINUE or earlier is step:
            for node in step.nodes:
                task = state.tasks.get(part_name(earlier.name, node.name))
                if task is not None and task.status == FAILED:
                    found.setdefault(node.name, earlier.name)
        if earlier is step:
            return found
    return found


def next_nodes(plan: Plan, state: State, step: Step) -> tuple[tuple[str, int], ...]:
    """Which of a step's nodes are next, with the attempt's number; none when the step ends."""
    lost = down(plan, state, step)
    enough = len(lost) > step.max_unavailable
    names = [part_name(step.name, node.name) for node in step.nodes]
    for batch in chunks(names, step.batch):
        if next_ones := to_begin(state, batch):
            return tuple(one for one in next_ones if one[1] > 1) if enough else next_ones
    return ()


def why_not(plan: Plan, state: State, step: Step, task: str) -> str:
    """Why a node is left out; empty when it is not."""
    where = down(plan, state, step).get(task.partition(AT)[2])
    return f"the node is down since {where}" if where else ""


def gathered(plan: Plan, state: State, step: Step, previous: str | None) -> tuple[str, Outcome]:
    """What a step came to on all of its nodes: its status, and which node is on which release.

    Args:
        plan: The plan.
        state: After all that was done.
        step: That ends.
        previous: The release that was good there before; None when nobody knows.
    """
    tasks = {n.name: state.tasks.get(part_name(step.name, n.name)) for n in step.nodes}
    lost = down(plan, state, step)
    well = [name for name, task in tasks.items() if task is not None and task.status == DONE]
    ended = [task for task in tasks.values() if task is not None]
    if not lost and ended and all(task.status == SKIPPED for task in ended):
        return SKIPPED, Outcome(done=True, why=ended[0].outcome.why)
    too_many = len(lost) > step.max_unavailable
    stopped = f"stopped: {len(lost)} down, {step.max_unavailable} may be" if too_many else ""
    lists = _standings(plan, state, step, previous or "what was there before")
    failed = [f"{name} ({_reason(tasks[name], where)})" for name, where in lost.items()]
    told = [f"{len(well)} of {len(tasks)} nodes", stopped, *lists]
    told += [f"down: {', '.join(failed)}"] if failed else []
    untouched = [name for name, task in tasks.items() if task is None]
    facts = {"done": " ".join(well), "down": " ".join(lost), "not_begun": " ".join(untouched)}
    return (FAILED if too_many else DONE), Outcome(
        done=not too_many, why="; ".join(filter(None, told)), facts=facts
    )


def _reason(task: TaskState | None, where: str) -> str:
    return task.outcome.why if task is not None and task.status == FAILED else f"since {where}"


def _standings(plan: Plan, state: State, step: Step, previous: str) -> Iterator[str]:
    """Which nodes are on which release, as far as the plan's steps can have changed it."""
    steps = [s for s in plan.steps if s.type in CHANGING and s.environment == step.environment]
    steps = [s for s in steps if s.nodes and begun(state, s)]
    if not steps:
        return
    release = str(state.opened["release"])
    on: dict[str, list[str]] = {release: [], "not known": [], previous: []}
    for node in step.nodes:
        found = [state.tasks.get(part_name(s.name, node.name)) for s in steps]
        states = [task.status for task in found if task is not None and task.status != SKIPPED]
        sure = all(status == DONE for status in states)
        on[previous if not states else release if sure else "not known"].append(node.name)
    for version, names in on.items():
        if names:
            yield (
                f"on {version}: {', '.join(names)}"
                if version != "not known"
                else (f"on either release: {', '.join(names)}")
            )


def span(state: State, step: Step) -> tuple[str, float] | None:
    """When a step was begun on its first node, and the seconds until it ended on the last."""
    tasks = [state.tasks.get(part_name(step.name, node.name)) for node in step.nodes]
    times = [(task.begun, task.ended) for task in tasks if task is not None and task.ended]
    if not times:
        return None
    first, last = min(begin for begin, _ in times), max(end for _, end in times)
    seconds = (datetime.fromisoformat(last) - datetime.fromisoformat(first)).total_seconds()
    return first, max(0.0, seconds)
