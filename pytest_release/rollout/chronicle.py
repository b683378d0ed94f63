"""A rollout in the history: every step that ended, and how it ended itself.

- A record of a step has the status `done`, `failed`, `again` or `skipped`, never ``success``: that
  a release is good somewhere is said by a record of the action ``deploy``, ``rollout`` or
  ``rollback``.
- A record carries the rollout's id and a key; after a crash what is missing is added, once.
- What cannot be written is kept and tried again: a rollout does not begin a further step meanwhile,
  but it does go back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from pytest_release.config.plan import Plan, Step
from pytest_release.errors import HistoryError
from pytest_release.history import ROLLBACK, ROLLOUT, SUCCESS, Entry, History, Record, is_good
from pytest_release.rollout.course import changed
from pytest_release.rollout.fleet import begun
from pytest_release.rollout.journal import At
from pytest_release.rollout.state import (
    ABORTED,
    NOT_ROLLED_BACK,
    ROLLED_BACK,
    State,
    Target,
    TaskState,
)

SHOWN = 2_000  # characters of a step's output that the history keeps
LONGEST = 500  # characters of notes


class Chronicle:
    """Writes the records of one rollout.

    Args:
        path: Of the history.
        rollout: Its id.
        now: The time on the wall.
        at: Called before and after each record.
        known: Keys of the records that are there already.
    """

    def __init__(
        self,
        path: Path,
        rollout: str,
        now: Callable[[], datetime],
        at: At,
        known: Iterable[str] = (),
    ) -> None:
        self._history = History(path)
        self._rollout = rollout
        self._now = now
        self._at = at
        self._known = set(known)
        self._waiting: dict[str, Entry] = {}
        self.failure = ""

    @property
    def behind(self) -> int:
        """Records that could not yet be written."""
        return len(self._waiting)

    def write(self, entries: Iterable[tuple[str, Entry]]) -> None:
        """Write those that are not there yet, in order; what fails is kept."""
        for key, entry in entries:
            if key not in self._known:
                self._waiting.setdefault(key, entry)
        self.flush()

    def flush(self) -> None:
        """Try what is kept again."""
        self.failure = ""
        for key, entry in list(self._waiting.items()):
            self._at(f"history {key}, before")
            try:
                self._history.append(entry, self._now())
            except HistoryError as error:
                self.failure = str(error)
                return
            del self._waiting[key]
            self._known.add(key)
            self._at(f"history {key}, after")


def keys_of(records: Iterable[Record], rollout: str) -> set[str]:
    """Keys of the records that a rollout has written."""
    return {
        str(record.details.get("key"))
        for record in records
        if record.details.get("rollout") == rollout
    }


def good_releases(records: Iterable[Record], stack: str, besides: str) -> dict[str, list[Record]]:
    """By environment the releases that were good there, the newest first, each version once.

    Args:
        records: Of the history.
        stack: The system.
        besides: Id of a rollout whose own records do not count.
    """
    found: dict[str, dict[str, Record]] = {}
    for record in reversed(list(records)):
        if record.stack == stack and record.details.get("rollout") != besides and is_good(record):
            found.setdefault(record.env, {}).setdefault(record.version, record)
    return {name: list(versions.values()) for name, versions in found.items()}


def target_of(record: Record | None) -> Target:
    """The release that a record speaks of."""
    if record is None:
        return Target()
    commit = record.details.get("commit")
    return Target(record.version, commit if isinstance(commit, str) else None)


def opening(plan: Plan, state: State) -> Iterator[tuple[str, Entry]]:
    """The record of a rollout's beginning, for each of its environments."""
    opened = state.opened
    for name in plan.environments:
        details = {"plan": plan.name, "plan_sha256": plan.digest, "commit": opened.get("commit")}
        notes = f"begun by {opened['who']}"
        yield _entry(state, plan, f"begin:{name}", name, ROLLOUT, "begun", notes, details)


def step_entry(plan: Plan, state: State, task: Step, ended: TaskState) -> tuple[str, Entry]:
    """The record of a step's attempt that ended."""
    outcome = ended.outcome
    driver = state.drivers[-1] if state.drivers else {}
    details = {
        "task": ended.task,
        **({"node": task.node.name} if task.node else {}),
        "attempt": ended.attempt,
        "begun": ended.begun,
        "ended": ended.ended,
        "seconds": ended.seconds,
        "exit_status": outcome.exit_status,
        "output": {
            "size": outcome.output.size,
            "sha256": outcome.output.sha256,
            "tail": outcome.output.text[-SHOWN:],
        },
        "facts": dict(outcome.facts),
        "who": driver.get("who", state.opened.get("who")),
    }
    notes = f"{ended.task}: {outcome.why}"
    key = f"step:{ended.task}:{ended.attempt}"
    target = _target(state, ended.task, task.environment)
    return _entry(
        state, plan, key, task.environment, task.type, ended.status, notes, details, target
    )


def _target(state: State, task: str, environment: str) -> str | None:
    """The version that a task is about, where that is not the rollout's."""
    if state.turn is None or not task.startswith("back/"):
        return None
    target = state.turn.targets.get(environment)
    return target.version if target else None


def closing(plan: Plan, state: State) -> Iterator[tuple[str, Entry]]:
    """The records of a rollout's end: what it came to in each environment that it touched."""
    assert state.result is not None
    result, turned = state.result, state.turn
    moved = changed(plan, state)
    touched = {step.environment for step in plan.steps if begun(state, step)}
    for name in plan.environments:
        if name in touched:
            details = {
                "changed": name in moved,
                "plan": plan.name,
                "commit": state.opened.get("commit"),
            }
            status = SUCCESS if result.status == SUCCESS else result.status
            yield _entry(state, plan, f"end:{name}", name, ROLLOUT, status, result.why, details)
    for name, target in turned.targets.items() if turned else ():
        good = result.status in (ROLLED_BACK, ABORTED)
        status = SUCCESS if good else NOT_ROLLED_BACK
        why = turned.why if turned and good else result.why
        details = {"commit": target.commit, "from": state.opened.get("release")}
        version = target.version or "-"
        yield _entry(state, plan, f"back:{name}", name, ROLLBACK, status, why, details, version)


def _entry(
    state: State,
    plan: Plan,
    key: str,
    environment: str,
    action: str,
    status: str,
    notes: str,
    details: Mapping[str, Any],
    version: str | None = None,
) -> tuple[str, Entry]:
    opened = state.opened
    return key, Entry(
        stack=plan.system,
        env=environment,
        action=action,
        version=version or opened["release"],
        status=status,
        notes=notes if len(notes) <= LONGEST else f"{notes[:LONGEST]}...",
        details={"rollout": opened["rollout"], "key": key, **details},
    )
