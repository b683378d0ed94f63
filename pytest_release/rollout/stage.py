"""What an adapter is given, and what it gives back.

An adapter is a module in ``rollout/adapters`` with::

    def describe(options) -> str        # one line, for pictures and dry runs
    def repeatable(options) -> bool     # may be done again when nobody knows whether it was done
    def act(order, stage) -> Outcome    # does it; a ReleaseError or an OSError is a failure, too
    def check(order, stage) -> Outcome | None    # after a crash: was it done? None: cannot say

and a schema ``schemas/adapter.<name>.schema.json``, named once in ``plan.schema.json``.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pytest_release.config.environment import Environment
from pytest_release.errors import RolloutError
from pytest_release.redaction import Redactor
from pytest_release.rollout.output import Output
from pytest_release.rollout.process import Command, Ran, run

MARKER = "PYTEST_RELEASE_STEP"  # in the environment of every process that a step starts


@dataclass(frozen=True)
class Outcome:
    """What came of an action.

    Attributes:
        done: It is as it was to be.
        why: One sentence: what was found, or what went wrong.
        exit_status: Of the process, if there was one that ended.
        facts: For later steps, as ``{{STEP.FACT}}``: short texts, no secrets.
    """

    done: bool
    why: str = ""
    exit_status: int | None = None
    output: Output = field(default_factory=Output)
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Order:
    """One action that is to be done.

    Attributes:
        step: Name of the step.
        type: What the step means.
        environment: Where, by name.
        options: Of the adapter, filled in; the values of variables are `Secret`: reveal them where
            they are used.
        attempt: From 1.
        deadline: By `time.monotonic`.
        key: Of this attempt, unique among all rollouts.
    """

    step: str
    type: str
    environment: str
    options: Mapping[str, Any]
    attempt: int
    deadline: float
    key: str

    @property
    def seconds(self) -> float:
        """What is left of its time; 0 when nothing is."""
        return max(0.0, self.deadline - time.monotonic())


@dataclass(frozen=True)
class Paths:
    """The files and folders of a command; all absolute.

    Attributes:
        folder: Of the rollout itself: its journal, and what adapters keep there.
        history: Its file.
        records: The folder of signed promotions.
    """

    fixtures: Path
    folder: Path
    reports: Path
    history: Path
    records: Path


@dataclass(frozen=True)
class Stage:
    """What is around an action.

    Attributes:
        rollout: Its id.
        system: The stack in the history.
        release: That is to be there now: while a rollout goes back, the old one.
        commit: Of it; None when nobody named one.
        environments: Those of the plan, by name.
        sign_with: URI of the key that signs; None for ephemeral ones.
        variables: The process's environment.
        redactor: Removes all secrets of plan and environments.
        bundles: Folders that the gates of this rollout left so far.
        spawned: Told of each process that is started, right after.
        tick: Told now and then how long it takes, in seconds.
        say: Told what is worth a line while it goes on.
        now: The time on the wall; for durations take `time.monotonic`.
        pause: Sleeps.
    """

    rollout: str
    system: str
    release: str
    commit: str | None
    paths: Paths
    environments: Mapping[str, Environment] = field(default_factory=dict)
    sign_with: str | None = None
    variables: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)
    redactor: Redactor = field(default_factory=Redactor)
    bundles: tuple[Path, ...] = ()
    spawned: Callable[[int], None] = lambda _: None
    tick: Callable[[float], None] = lambda _: None
    say: Callable[[str], None] = lambda _: None
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    pause: Callable[[float], None] = time.sleep

    def environment(self, name: str) -> Environment:
        """One of the plan's environments.

        Raises:
            RolloutError: It is none of them.
        """
        if name not in self.environments:
            raise RolloutError(f"{name} is not an environment of this plan")
        return self.environments[name]

    def run(self, order: Order, command: Command) -> Ran:
        """Run a program until its end or the order's deadline; its output is kept, bounded.

        Raises:
            RolloutError: It cannot be started.
        """
        marked = {**command.env, MARKER: order.key}
        return run(command.with_env(marked), order.deadline, self.spawned, self.tick)
