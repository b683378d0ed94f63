"""What a journal tells: how far a rollout is. Pure; the driver goes on from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pytest_release.rollout.journal import Event
from pytest_release.rollout.output import Output
from pytest_release.rollout.stage import Outcome

BEGUN, ACTED, DONE, FAILED, AGAIN, SKIPPED = "begun", "acted", "done", "failed", "again", "skipped"
OPEN = frozenset({BEGUN, ACTED})

SUCCESS = "success"
STOPPED = "failed"
ROLLED_BACK = "rolled-back"
NOT_ROLLED_BACK = "rollback-failed"
ABORTED = "aborted"


@dataclass
class TaskState:
    """How far one task is.

    Attributes:
        status: `BEGUN`, `ACTED` (and not yet verified), `DONE`, `FAILED`, `AGAIN` (failed, with
            attempts left) or `SKIPPED`.
        attempt: The last, from 1.
        begun: When that was begun, ISO 8601.
        ended: When it ended.
        seconds: How long it took; None where a crash came between.
        pid: Of the process that it started, with its start time.
    """

    task: str
    status: str
    attempt: int = 1
    begun: str = ""
    ended: str = ""
    seconds: float | None = None
    outcome: Outcome = field(default_factory=lambda: Outcome(done=False))
    pid: tuple[int, int] | None = None


@dataclass(frozen=True)
class Target:
    """A release to which an environment goes back.

    Attributes:
        version: None when the history knows none.
        commit: Of it, if the history knows it.
    """

    version: str | None = None
    commit: str | None = None


@dataclass(frozen=True)
class Turn:
    """The moment from which a rollout goes back.

    Attributes:
        why: One sentence.
        targets: By environment.
        tasks: What is to be done, by id, in order.
        asked: A person asked for it.
    """

    why: str
    targets: Mapping[str, Target]
    tasks: tuple[str, ...]
    asked: bool = False


@dataclass(frozen=True)
class Result:
    """How a rollout ended.

    Attributes:
        status: `SUCCESS`, `STOPPED`, `ROLLED_BACK`, `NOT_ROLLED_BACK` or `ABORTED`.
        why: One sentence.
        at: ISO 8601.
    """

    status: str
    why: str
    at: str = ""


@dataclass
class State:
    """All of it.

    Attributes:
        opened: What the rollout was opened with.
        tasks: Those that were begun or skipped, in order.
        attempts: Every attempt that ended, in order: for timelines.
        drivers: Who drove, in order.
        turn: Set when it goes, or went, back.
        result: Set when nothing more will be done.
        bundle: The folder of its own report.
        closed: Everything is written.
    """

    opened: Mapping[str, Any] = field(default_factory=dict)
    tasks: dict[str, TaskState] = field(default_factory=dict)
    attempts: list[TaskState] = field(default_factory=list)
    drivers: list[Mapping[str, Any]] = field(default_factory=list)
    turn: Turn | None = None
    result: Result | None = None
    bundle: str | None = None
    closed: bool = False
    abort: str | None = None

    @property
    def interrupted(self) -> TaskState | None:
        """The task that was begun and has not ended."""
        return next((task for task in self.tasks.values() if task.status in OPEN), None)

    def take(self, event: Event) -> None:
        """One event more."""
        handle = getattr(self, f"_on_{event['event']}", None)
        if handle is not None:
            handle(event)

    def _on_opened(self, event: Event) -> None:
        self.opened = event

    def _on_driver(self, event: Event) -> None:
        self.drivers.append(event)

    def _on_begun(self, event: Event) -> None:
        name = event["task"]
        self.tasks[name] = TaskState(name, BEGUN, event["attempt"], begun=event["at"])

    def _on_spawned(self, event: Event) -> None:
        self.tasks[event["task"]].pid = (event["pid"], event["started"])

    def _on_acted(self, event: Event) -> None:
        task = self.tasks[event["task"]]
        task.status, task.outcome = ACTED, outcome_of(event["outcome"])

    def _on_ended(self, event: Event) -> None:
        task = self.tasks.setdefault(event["task"], TaskState(event["task"], event["status"]))
        task.status, task.ended = event["status"], event["at"]
        task.begun = task.begun or event.get("begun") or event["at"]
        task.outcome, task.seconds = outcome_of(event["outcome"]), event.get("seconds")
        self.attempts.append(TaskState(**vars(task)))

    def _on_abort(self, event: Event) -> None:
        self.abort = event["why"]

    def _on_turned(self, event: Event) -> None:
        targets = {name: Target(**target) for name, target in event["targets"].items()}
        self.turn = Turn(event["why"], targets, tuple(event["tasks"]), event["asked"])

    def _on_decided(self, event: Event) -> None:
        self.result = Result(event["status"], event["why"], event["at"])

    def _on_sealed(self, event: Event) -> None:
        self.bundle = event["bundle"]

    def _on_closed(self, _: Event) -> None:
        self.closed = True


def fold(events: Iterable[Event]) -> State:
    """The state after these events."""
    state = State()
    for event in events:
        state.take(event)
    return state


def outcome_to_json(outcome: Outcome) -> dict[str, Any]:
    """As journals have it."""
    return {
        "done": outcome.done,
        "why": outcome.why,
        "exit_status": outcome.exit_status,
        "output": outcome.output.to_json(),
        "facts": dict(outcome.facts),
    }


def outcome_of(value: Mapping[str, Any]) -> Outcome:
    """The way back."""
    return Outcome(**{**value, "output": Output.from_json(value["output"])})
