"""A rollout as it is now, told truthfully: by its journal, and by whether its driver lives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pytest_release.hostile import one_line
from pytest_release.rollout.desk import Look
from pytest_release.rollout.progress import WIDTH
from pytest_release.rollout.state import OPEN, SUCCESS

RUNNING, UNFINISHED = "running", "interrupted"


def standing(look: Look) -> str:
    """``running``, ``interrupted``, or how it ended."""
    state = look.state
    if state.closed and state.result is not None:
        return state.result.status
    return RUNNING if look.driver is not None else UNFINISHED


def as_lines(look: Look) -> list[str]:
    """For people."""
    return [one_line(line) for line in _lines(look)]


def _lines(look: Look) -> Iterator[str]:
    state, opened = look.state, look.state.opened
    commit = f" ({opened['commit'][:12]})" if opened.get("commit") else ""
    yield f"{look.folder.name}  {standing(look).upper()}"
    yield f"  plan {opened['plan']}, release {opened['release']}{commit}, by {opened['who']}"
    yield f"  environments {', '.join(opened['environments'])}, begun {opened['at'][:19]}"
    for task in state.tasks.values():
        word = "INTERRUPTED" if task.status in OPEN and look.driver is None else task.status
        seconds = "" if task.seconds is None else f"{task.seconds:.1f} s"
        number = f"attempt {task.attempt}, " if task.attempt > 1 else ""
        yield f"  {task.task:<{WIDTH}} {word:<11} {seconds:>8}  {number}{task.outcome.why}".rstrip()
    if state.turn is not None:
        yield f"  went back: {state.turn.why}"
    if state.result is not None:
        yield f"  {state.result.status}: {state.result.why}"
    if look.driver is not None:
        yield f"  driven by {look.driver}"
    elif not state.closed:
        verb = "abort it" if state.turn is None else "it goes on going back"
        yield f"  nobody drives it: pytest-release rollout resume {look.folder.name}, or {verb}"
    elif state.result is not None and state.result.status != SUCCESS and state.bundle:
        yield f"  report {state.bundle}"


def as_json(look: Look) -> dict[str, Any]:
    """For programs."""
    state, opened = look.state, look.state.opened
    return {
        "rollout": look.folder.name,
        "standing": standing(look),
        "plan": opened["plan"],
        "release": opened["release"],
        "commit": opened["commit"],
        "environments": opened["environments"],
        "who": opened["who"],
        "begun": opened["at"],
        "driver": vars(look.driver) if look.driver else None,
        "tasks": [
            {
                "task": task.task,
                "status": task.status,
                "attempt": task.attempt,
                "seconds": task.seconds,
                "why": task.outcome.why,
                "exit_status": task.outcome.exit_status,
            }
            for task in state.tasks.values()
        ],
        "went_back": state.turn.why if state.turn else None,
        "result": vars(state.result) if state.result else None,
        "bundle": state.bundle,
    }
