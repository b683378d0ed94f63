"""What is next: it follows from the plan and from what the journal tells, and from nothing else.

The tasks of a rollout are its steps; once it goes back they are, in this order, what takes steps
back (``undo/STEP/N``, the last step first) and what brings the last good release back
(``back/STEP``), with a gate at the end. Once it is decided, people are told (``after/STEP``). On
nodes there is a task for each; see `rollout.fleet`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TypeAlias

from pytest_release.config.plan import CHANGING, CONTINUE, ROLLBACK, STOP, Mode, Plan, Step
from pytest_release.rollout import fleet
from pytest_release.rollout.fleet import part_name, parts, whole_name
from pytest_release.rollout.state import (
    ABORTED,
    AGAIN,
    DONE,
    FAILED,
    NOT_ROLLED_BACK,
    ROLLED_BACK,
    SKIPPED,
    STOPPED,
    SUCCESS,
    Result,
    State,
    Target,
    Turn,
)

UNDO, BACK, AFTER = "undo", "back", "after"


@dataclass(frozen=True)
class Start:
    """Begin a task, or begin it again."""

    task: str
    attempt: int = 1


@dataclass(frozen=True)
class Together:
    """Begin some tasks at the same time."""

    starts: tuple[Start, ...]


@dataclass(frozen=True)
class Gather:
    """End a step of which nothing more is to be done on any node."""

    task: str


@dataclass(frozen=True)
class Skip:
    """Do not do a step, and say so."""

    task: str
    why: str


@dataclass(frozen=True)
class Recover:
    """Find out what became of a task that was begun before a crash."""

    task: str


@dataclass(frozen=True)
class GoBack:
    """Turn around."""

    why: str
    failed: str | None = None
    asked: bool = False


@dataclass(frozen=True)
class Decide:
    """Nothing more is to be done: this is how it ended."""

    result: Result


Move: TypeAlias = "Start | Together | Gather | Skip | Recover | GoBack | Decide | None"


def tasks_of(plan: Plan) -> dict[str, Step]:
    """Every task that the plan may lead to, as a step, by its id."""
    tasks = {step.name: step for step in plan.steps}
    for step in plan.steps:
        for number, action in enumerate(step.undo, 1):
            name = f"{UNDO}/{step.name}/{number}"
            tasks[name] = replace(
                step, name=name, action=action, verify=(), undo=(), when=None, idempotent=None
            )
    backs = {step.name: step for step in (*_gates(plan.steps), *plan.rollback)}
    for step in backs.values():
        name = f"{BACK}/{step.name}"
        tasks[name] = replace(step, name=name, undo=(), when=None, on_failure=STOP)
    for step in plan.afterwards:
        name = f"{AFTER}/{step.name}"
        tasks[name] = replace(step, name=name)
    return tasks | {part.name: part for step in tasks.values() for part in parts(step)}


def _gates(steps: Sequence[Step]) -> list[Step]:
    return [step for step in steps if step.type == "gate"]


def next_move(plan: Plan, mode: Mode, state: State) -> Move:
    """What is next; None when everything that is to be done is done and decided."""
    if (left := state.interrupted) is not None:
        return Recover(left.task)
    if state.result is not None:
        return _afterwards(plan, state, state.result)
    if state.turn is not None:
        return _backward(plan, state, state.turn)
    if state.abort is not None:
        return GoBack(state.abort, asked=True)
    if state.opened.get("back"):
        return GoBack(f"asked for by {state.opened['who']}")
    return _forward(plan, mode, state)


def _forward(plan: Plan, mode: Mode, state: State) -> Move:
    for step in plan.steps:
        task = state.tasks.get(step.name)
        if task is None and not mode.has(step.name):
            return Skip(step.name, "not in this mode")
        if task is None:
            return _on_nodes(plan, state, step) if step.nodes else Start(step.name)
        if task.status == AGAIN:
            return Start(step.name, task.attempt + 1)
        if task.status == FAILED and step.on_failure != CONTINUE:
            why = f"{step.name}: {task.outcome.why}"
            if step.on_failure == ROLLBACK:
                return GoBack(why, step.name)
            return Decide(Result(STOPPED, why))
    return Decide(Result(SUCCESS, _finished(plan, state)))


def _afterwards(plan: Plan, state: State, result: Result) -> Start | None:
    """Everybody is told, whatever became of the others."""
    for step in plan.afterwards:
        if step.ended and result.status not in step.ended:
            continue
        task = state.tasks.get(name := f"{AFTER}/{step.name}")
        if task is None or task.status == AGAIN:
            return Start(name, task.attempt + 1 if task else 1)
    return None


def _on_nodes(plan: Plan, state: State, step: Step) -> Move:
    starts = fleet.next_nodes(plan, state, step)
    for name, attempt in starts:
        if attempt == 1 and (why := fleet.why_not(plan, state, step, name)):
            return Skip(name, why)
    return _begin(starts) if starts else Gather(step.name)


def _begin(starts: Sequence[tuple[str, int]]) -> Start | Together:
    moves = tuple(Start(*start) for start in starts)
    return moves[0] if len(moves) == 1 else Together(moves)


def _finished(plan: Plan, state: State) -> str:
    counts = dict.fromkeys((DONE, SKIPPED, FAILED), 0)
    for step in plan.steps:
        counts[state.tasks[step.name].status] += 1
    words = {DONE: "steps done", SKIPPED: "skipped", FAILED: "failed and did not count"}
    told = ", ".join(f"{counts[s]} {word}" for s, word in words.items() if counts[s] or s == DONE)
    lost = {
        node: name
        for step in plan.steps
        if step.on_failure != CONTINUE
        for node, name in fleet.down(plan, state, step).items()
    }
    return told + "".join(f"; {node} is down since {name}" for node, name in lost.items())


def _backward(plan: Plan, state: State, turn: Turn) -> Move:
    """Each node of a step goes back, whatever becomes of the others."""
    failures = []
    for whole, group in groupby(turn.tasks, whole_name):
        names = tuple(group)
        for batch in fleet.chunks(names, _batch(plan, whole) if names != (whole,) else 1):
            if starts := fleet.to_begin(state, batch):
                return _begin(starts)
        lost = [name for name in names if state.tasks[name].status == FAILED]
        failures += [f"{name}: {state.tasks[name].outcome.why}" for name in lost]
        if lost and whole.startswith(f"{BACK}/"):
            break  # gates on half a release prove nothing
    return Decide(_gone_back(turn, failures))


def _batch(plan: Plan, whole: str) -> int:
    return tasks_of(plan)[whole].batch


def _gone_back(turn: Turn, failures: Sequence[str]) -> Result:
    lost = [name for name, target in turn.targets.items() if target.version is None]
    failures = [*(f"{name} has no earlier good release to go back to" for name in lost), *failures]
    if failures:
        reason = f"{turn.why}; the rollback did not restore health: {'; '.join(failures)}"
        return Result(NOT_ROLLED_BACK, reason)
    if not turn.targets:
        status = ABORTED if turn.asked else STOPPED
        return Result(status, f"{turn.why}; no environment had been changed")
    there = ", ".join(
        f"{name} is back at {target.version}" for name, target in turn.targets.items()
    )
    return Result(ABORTED if turn.asked else ROLLED_BACK, f"{turn.why}; {there}, and well")


def changed(plan: Plan, state: State) -> tuple[str, ...]:
    """Environments that are not as they were: a step that changes them was begun."""
    steps = (step for step in plan.steps if step.type in CHANGING)
    begun = (step.environment for step in steps if fleet.begun(state, step))
    return tuple(dict.fromkeys(begun))


def _good(plan: Plan, state: State) -> set[str]:
    """Environments of which the rollout has recorded that the release is good there."""
    records = (step for step in plan.steps if step.type == "record")
    return {
        s.environment
        for s in records
        if s.name in state.tasks and state.tasks[s.name].status == DONE
    }


def kept(plan: Plan, state: State, failed: str | None) -> frozenset[str]:
    """Environments that stay as they are: the rollout recorded that the release is good there.

    Args:
        plan: The plan.
        state: So far.
        failed: The step because of which it goes back; its environment does in any case.
    """
    own = {step.environment for step in plan.steps if step.name == failed}
    return frozenset(_good(plan, state) - own)


def way_back(
    plan: Plan, state: State, stay: frozenset[str], targets: Mapping[str, Target]
) -> tuple[str, ...]:
    """The ids of the tasks that lead back, in order."""
    undo = (
        task
        for step in reversed(plan.steps)
        if step.environment not in stay and fleet.begun(state, step)
        for number in range(1, len(step.undo) + 1)
        for task in _undone(step, f"{UNDO}/{step.name}/{number}", state)
    )
    return (*undo, *returning(plan, targets, state))


def _undone(step: Step, task: str, state: State) -> Iterator[str]:
    """A step that was done on nodes is taken back on these, and on no others."""
    if not step.nodes:
        yield task
    yield from (part_name(task, node) for node in fleet.touched(state, step))


def returning(
    plan: Plan, targets: Mapping[str, Target], state: State | None = None
) -> Iterator[str]:
    """The ids of the tasks that bring old releases back.

    Args:
        plan: The plan.
        targets: By environment.
        state: Of what was done: nodes that are as they were stay so. None: all go back.
    """
    for name, target in targets.items():
        if target.version is None:
            continue
        here = [step for step in plan.rollback if step.environment == name]
        gates = [] if _gates(here) else [s for s in _gates(plan.steps) if s.environment == name]
        only = None if state is None else fleet.changed_nodes(plan, state, name)
        for step in (*here, *gates):
            if not step.nodes:
                yield f"{BACK}/{step.name}"
            for node in step.nodes:
                if only is None or node.name in only:
                    yield part_name(f"{BACK}/{step.name}", node.name)
