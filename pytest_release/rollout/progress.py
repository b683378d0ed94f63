"""What people see of a rollout while it goes on: a terminal, plain lines, or JSON lines."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TextIO

from pytest_release.config.plan import Step
from pytest_release.hostile import one_line
from pytest_release.rollout.state import AGAIN, DONE, FAILED, SKIPPED, State, Target, TaskState

WIDTH = 24  # characters of a step's name
MARKS = {DONE: "ok", FAILED: "FAILED", AGAIN: "again", SKIPPED: "skipped"}
COLOURS = {DONE: "32", FAILED: "31", AGAIN: "33", SKIPPED: "90"}


class Watcher:
    """Is told what happens; does nothing with it."""

    def say(self, text: str) -> None:
        """Something that is worth a line."""

    def begun(self, step: Step, task: str, attempt: int) -> None:
        """A task is going to be done."""

    def tick(self, step: Step, seconds: float) -> None:
        """It goes on."""

    def ended(self, step: Step, ended: TaskState) -> None:
        """It ended."""

    def turned(self, why: str, targets: Mapping[str, Target]) -> None:
        """The rollout goes back."""

    def closed(self, state: State) -> None:
        """It is over."""


class Quiet(Watcher):
    """Nobody looks."""


class Plain(Watcher):
    """A line an event: for logs."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout

    def say(self, text: str) -> None:
        """A line."""
        self._line(text)

    def begun(self, step: Step, task: str, attempt: int) -> None:
        """A line."""
        number = f" (attempt {attempt})" if attempt > 1 else ""
        self._line(f"{task:<{WIDTH}} begun    {step.type} in {step.environment}{number}")

    def ended(self, step: Step, ended: TaskState) -> None:
        """A line."""
        self._line(_ended(ended))

    def turned(self, why: str, targets: Mapping[str, Target]) -> None:
        """A line."""
        self._line(_turned(why, targets))

    def closed(self, state: State) -> None:
        """A line, and where something failed its last words."""
        if state.result is not None:
            self._line(f"{state.result.status.upper()}  {state.result.why}")
            self._output(state)
        if state.bundle is not None:
            self._line(f"report     {state.bundle}")

    def _output(self, state: State) -> None:
        """The last lines of what failed."""
        failed = [task for task in state.tasks.values() if task.status == FAILED]
        for task in failed[:3]:
            lines = task.outcome.output.text.strip().splitlines()[-15:]
            for line in lines:
                self._line(f"  {task.task} | {line}")

    def _line(self, text: str) -> None:
        clock = datetime.now(UTC).strftime("%H:%M:%S")
        print(f"{clock}  {one_line(text)}", file=self._stream, flush=True)


def _ended(ended: TaskState) -> str:
    seconds = "" if ended.seconds is None else f"{ended.seconds:.1f} s  "
    return f"{ended.task:<{WIDTH}} {MARKS[ended.status]:<8} {seconds}{ended.outcome.why}"


def _turned(why: str, targets: Mapping[str, Target]) -> str:
    there = ", ".join(
        f"{name} to {t.version or 'nothing that is known'}" for name, t in targets.items()
    )
    return f"GOING BACK  {there or 'nothing had been changed'}: {why}"


class Terminal(Plain):
    """Plain lines with colours, and one that moves while a step goes on."""

    def __init__(self, stream: TextIO | None = None) -> None:
        super().__init__(stream)
        self._moving = False

    def begun(self, step: Step, task: str, attempt: int) -> None:
        """A line."""
        self._move(f"{task:<{WIDTH}} ...")

    def tick(self, step: Step, seconds: float) -> None:
        """Nothing, or the line that moves."""
        self._move(f"{step.name:<{WIDTH}} ...      {seconds:.0f} s")

    def ended(self, step: Step, ended: TaskState) -> None:
        """A line."""
        self._line(_ended(ended), COLOURS[ended.status])

    def turned(self, why: str, targets: Mapping[str, Target]) -> None:
        """A line."""
        self._line(_turned(why, targets), "33")

    def _move(self, text: str) -> None:
        self._moving = True
        self._stream.write(f"\r\x1b[K          {one_line(text)}")
        self._stream.flush()

    def _line(self, text: str, colour: str = "") -> None:
        start = "\r\x1b[K" if self._moving else ""
        self._moving = False
        clock = datetime.now(UTC).strftime("%H:%M:%S")
        shown = f"\x1b[{colour}m{one_line(text)}\x1b[0m" if colour else one_line(text)
        self._stream.write(f"{start}{clock}  {shown}\n")
        self._stream.flush()


class Machine(Watcher):
    """A JSON object a line, for programs."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout

    def say(self, text: str) -> None:
        """A line."""
        self._emit("said", text=text)

    def begun(self, step: Step, task: str, attempt: int) -> None:
        """A line."""
        self._emit(
            "begun", task=task, type=step.type, environment=step.environment, attempt=attempt
        )

    def ended(self, step: Step, ended: TaskState) -> None:
        """A line."""
        outcome = ended.outcome
        self._emit("ended", task=ended.task, type=step.type, environment=step.environment,
                   attempt=ended.attempt, status=ended.status, seconds=ended.seconds,
                   why=outcome.why, exit_status=outcome.exit_status,
                   facts=dict(outcome.facts))  # fmt: skip

    def turned(self, why: str, targets: Mapping[str, Target]) -> None:
        """A line."""
        self._emit("turned", why=why, targets={name: vars(t) for name, t in targets.items()})

    def closed(self, state: State) -> None:
        """A line, and where something failed its last words."""
        if state.result is not None:
            self._emit("closed", status=state.result.status, why=state.result.why,
                       bundle=state.bundle, rollout=state.opened.get("rollout"))  # fmt: skip

    def _emit(self, event: str, **members: Any) -> None:  # noqa: ANN401 - JSON values
        line = {"event": event, "at": datetime.now(UTC).isoformat(), **members}
        print(json.dumps(line, sort_keys=True), file=self._stream, flush=True)
