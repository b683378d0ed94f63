"""What is next: it follows from the plan and from what the journal tells, and from nothing else.

The tasks of a rollout are its steps; once it goes back they are, in this order, what takes steps
back (``undo/STEP/N``, the last step first) and what brings the last good release back
(``back/STEP``), with a gate at the end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from pytest_release.config.plan import CHANGING, CONTINUE, ROLLBACK, STOP, Mode, Plan, Step
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

UNDO, BACK = "undo", "back"


@dataclass(frozen=True)
class Start:
    """Begin a task, or begin it again."""

    task: str
    attempt: int = 1


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


Move: TypeAlias = "Start | Skip | Recover | GoBack | Decide | None"


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
    return tasks


def _gates(steps: Sequence[Step]) -> list[Step]:
    return [step for step in steps if step.type == "gate"]


def next_move(plan: Plan, mode: Mode, state: State) -> Move:
    """What is next; None when everything that is to be done is done and decided."""
    if state.result is not None:
        return None
    if (left := state.interrupted) is not None:
        return Recover(left.task)
    if state.turn is not None:
        return _backward(state, state.turn)
    if state.abort is not None:
        return GoBack(state.abort, asked=True)
    if state.opened.get("back"):
        return GoBack(f"asked for by {state.opened['who']}")
    return _forward(plan, mode, state)


def _forward(plan: Plan, mode: Mode, state: State) -> Move:
    for step in plan.steps:
        task = state.tasks.get(step.name)
        if task is None:
            return Start(step.name) if mode.has(step.name) else Skip(step.name, "not in this mode")
        if task.status == AGAIN:
            return Start(step.name, task.attempt + 1)
        if task.status == FAILED and step.on_failure != CONTINUE:
            why = f"{step.name}: {task.outcome.why}"
            if step.on_failure == ROLLBACK:
                return GoBack(why, step.name)
            return Decide(Result(STOPPED, why))
    return Decide(Result(SUCCESS, _finished(plan, state)))


def _finished(plan: Plan, state: State) -> str:
    counts = dict.fromkeys((DONE, SKIPPED, FAILED), 0)
    for step in plan.steps:
        counts[state.tasks[step.name].status] += 1
    words = {DONE: "steps done", SKIPPED: "skipped", FAILED: "failed and did not count"}
    return ", ".join(f"{counts[s]} {word}" for s, word in words.items() if counts[s] or s == DONE)


def _backward(state: State, turn: Turn) -> Move:
    failures = []
    for name in turn.tasks:
        task = state.tasks.get(name)
        if task is None:
            return Start(name)
        if task.status == AGAIN:
            return Start(name, task.attempt + 1)
        if task.status == FAILED:
            failures.append(f"{name}: {task.outcome.why}")
            if name.startswith(f"{BACK}/"):
                break  # gates on half a release prove nothing
    return Decide(_gone_back(turn, failures))


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
    begun = (step.environment for step in steps if _was_begun(state, step.name))
    return tuple(dict.fromkeys(begun))


def _was_begun(state: State, name: str) -> bool:
    return name in state.tasks and state.tasks[name].status != SKIPPED


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
        f"{UNDO}/{step.name}/{number}"
        for step in reversed(plan.steps)
        if step.environment not in stay and _was_begun(state, step.name)
        for number in range(1, len(step.undo) + 1)
    )
    return (*undo, *returning(plan, targets))


def returning(plan: Plan, targets: Mapping[str, Target]) -> Iterator[str]:
    """The ids of the tasks that bring old releases back."""
    for name, target in targets.items():
        if target.version is None:
            continue
        here = [step for step in plan.rollback if step.environment == name]
        gates = [] if _gates(here) else [s for s in _gates(plan.steps) if s.environment == name]
        yield from (f"{BACK}/{step.name}" for step in (*here, *gates))
