"""Drives one rollout: asks what is next, does it, and writes it down before and after.

Whatever ends this process, the next one asks the same question of the same journal.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from pytest_release.config.environment import Environment
from pytest_release.config.plan import Mode, Plan, Step
from pytest_release.errors import RolloutError
from pytest_release.history import verify
from pytest_release.redaction import Redactor
from pytest_release.rollout import course, fleet
from pytest_release.rollout.adapters.gate import bundle_of
from pytest_release.rollout.attempt import perform, recovered, verified
from pytest_release.rollout.chronicle import (
    Chronicle,
    closing,
    good_releases,
    keys_of,
    opening,
    step_entry,
    target_of,
)
from pytest_release.rollout.condition import unchanged
from pytest_release.rollout.journal import At, Journal
from pytest_release.rollout.process import end_group
from pytest_release.rollout.processes import marked, start_time
from pytest_release.rollout.progress import Quiet, Watcher
from pytest_release.rollout.stage import MARKER, Outcome, Paths, Stage
from pytest_release.rollout.state import (
    ACTED,
    AGAIN,
    DONE,
    FAILED,
    SKIPPED,
    Result,
    State,
    Target,
    TaskState,
    outcome_to_json,
)
from pytest_release.rollout.together import Crew

Seal = Callable[["Driver"], str | None]


@dataclass(frozen=True)
class Setting:
    """With what a rollout is driven.

    Attributes:
        environments: Those of the plan, by name.
        sign_with: URI of the key that signs bundles and promotions; None for ephemeral ones.
        who: The person who drives.
        seal: Makes the rollout's own bundle and says its folder.
        watcher: Is told what happens, for people.
        at: Is called at every boundary; see `rollout.journal`. Tests kill the driver there.
        held: Raises when the environments are no longer this driver's.
    """

    plan: Plan
    mode: Mode
    paths: Paths
    environments: Mapping[str, Environment]
    sign_with: str | None = None
    variables: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)
    who: str = ""
    seal: Seal = lambda _: None
    watcher: Watcher = field(default_factory=Quiet)
    at: At = lambda _: None
    held: Callable[[], None] = lambda: None
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    pause: Callable[[float], None] = time.sleep

    @property
    def redactor(self) -> Redactor:
        """Removes the secrets of the plan and of its environments."""
        values = [e.redactor.values for e in self.environments.values()]
        return Redactor(self.plan.redactor.values.union(*values))


class Driver:
    """Drives a rollout that was opened; its environments are locked.

    Args:
        setting: With what.
        journal: Of the rollout; its first event is ``opened``.
        state: What the journal tells.
    """

    def __init__(self, setting: Setting, journal: Journal, state: State) -> None:
        self.setting = setting
        self.state = state
        self._journal = journal
        self._crew = Crew(setting.pause)
        self._tasks = course.tasks_of(setting.plan)
        self._redactor = setting.redactor
        records = verify(setting.paths.history).records if setting.paths.history.exists() else ()
        rollout = str(state.opened["rollout"])
        self._good = good_releases(records, setting.plan.system, rollout)
        known = keys_of(records, rollout)
        self._chronicle = Chronicle(setting.paths.history, rollout, setting.now, setting.at, known)

    def drive(self) -> Result:
        """To the end; what is written at the end is written then.

        Raises:
            RolloutError: Something cannot be told, or cannot be written; `resume` goes on then.
        """
        self._catch_up()
        while (
            move := course.next_move(self.setting.plan, self.setting.mode, self.state)
        ) is not None:
            self.setting.held()
            self._make(move)
        return self._finish()

    def note(self, event: str, **members: Any) -> None:  # noqa: ANN401 - JSON values
        """Write an event, and let the state know."""
        with self._crew.turn():
            self.state.take(self._journal.append(event, **members))

    def _catch_up(self) -> None:
        """Whatever the history lacks of what the journal tells."""
        entries = [step_entry(self.setting.plan, self.state, self._tasks[e.task], e)
                   for e in self.state.attempts]  # fmt: skip
        self._chronicle.write([*opening(self.setting.plan, self.state), *entries])
        if self.state.turn is None and self.state.abort is None:
            self._refuse_to_be_behind()

    def _refuse_to_be_behind(self) -> None:
        with self._crew.turn():  # another node's record may just be on its way
            behind = self._chronicle.behind
        if behind:
            raise RolloutError(
                f"{self._chronicle.failure}: nothing goes on that cannot be recorded; mend that, "
                f"then pytest-release rollout resume"
            )

    def _make(self, move: course.Move) -> None:
        match move:
            case course.Start(task, attempt):
                self._start(self._tasks[task], task, attempt)
            case course.Together(starts):
                self._together(starts)
            case course.Gather(task):
                self._gather(self._tasks[task])
            case course.Skip(task, why):
                self._ended(task, 1, SKIPPED, Outcome(done=True, why=why), None)
            case course.Recover(task):
                self._recover(self._tasks[task], self.state.tasks[task])
            case course.GoBack(why, failed, asked):
                self._turn(why, failed, asked=asked)
            case course.Decide(result):
                self.note("decided", status=result.status, why=result.why)

    # -- some nodes at the same time

    def _together(self, starts: Sequence[course.Start]) -> None:
        """What one thread writes, it writes while the others do not."""
        tasks = [(self._tasks[s.task], s.task, s.attempt) for s in starts]
        work = [partial(self._start, *task) for task in tasks]
        self._crew.work(work, lambda: self._stop_programs([s.task for s in starts]))

    def _stop_programs(self, names: Sequence[str]) -> None:
        for pid, started in filter(None, (self.state.tasks[n].pid for n in names
                                          if n in self.state.tasks)):  # fmt: skip
            if start_time(pid) == started:
                end_group(pid)

    def _gather(self, step: Step) -> None:
        previous = target_of(next(iter(self._good.get(step.environment, ())), None)).version
        status, outcome = fleet.gathered(self.setting.plan, self.state, step, previous)
        begun, seconds = fleet.span(self.state, step) or (None, None)
        self._ended(step.name, 1, status, outcome, seconds, begun)

    # -- one task

    def _start(self, step: Step, task: str, attempt: int) -> None:
        if self.state.turn is None and self.state.result is None:
            self._refuse_to_be_behind()
        names = self._names(step)
        if attempt == 1 and step.when is not None:
            try:
                why = unchanged(step.when, names)
            except RolloutError as error:
                self._ended(task, 1, FAILED, Outcome(done=False, why=str(error)), None)
                return
            if why:
                self._ended(task, 1, SKIPPED, Outcome(done=True, why=why), None)
                return
        before = self.state.tasks.get(task)
        if before is not None and before.seconds is not None:  # not what a crash interrupted
            self._crew.pause(step.retries.pause(attempt - 1))
        with self._crew.turn():
            self.setting.watcher.begun(step, task, attempt)
            self.note("begun", task=task, attempt=attempt)
        began = time.monotonic()
        stage = self._stage(step, task, attempt)
        outcome = perform(step.action, step, attempt, stage, names)
        if outcome.done and step.verify:
            self.note("acted", task=task, attempt=attempt, outcome=outcome_to_json(outcome))
            outcome = verified(outcome, step, attempt, stage, names)
        self._judge(step, task, attempt, outcome, time.monotonic() - began)

    def _judge(
        self, step: Step, task: str, attempt: int, outcome: Outcome, seconds: float | None
    ) -> None:
        again = not outcome.done and attempt <= step.retries.times
        status = DONE if outcome.done else AGAIN if again else FAILED
        self._ended(task, attempt, status, outcome, seconds)

    def _ended(
        self,
        task: str,
        attempt: int,
        status: str,
        outcome: Outcome,
        seconds: float | None,
        begun: str | None = None,
    ) -> None:
        told = None if seconds is None else round(seconds, 4)
        more = {"begun": begun} if begun else {}
        with self._crew.turn():
            self.note("ended", task=task, attempt=attempt, status=status, seconds=told,
                      outcome=outcome_to_json(outcome), **more)  # fmt: skip
            ended = self.state.attempts[-1]
            step = self._tasks[task]
            self.setting.watcher.ended(step, ended)
            self._chronicle.write([step_entry(self.setting.plan, self.state, step, ended)])

    def _recover(self, step: Step, left: TaskState) -> None:
        """A crash came between: what is left of it is ended, then it is asked for."""
        self._end_what_is_left(left)
        stage, names = self._stage(step, left.task, left.attempt), self._names(step)
        acted = left.outcome if left.status == ACTED else None
        if self.state.abort is not None and self.state.turn is None:
            outcome: Outcome | None = Outcome(done=False, why="it was interrupted, then aborted")
            self._ended(left.task, left.attempt, FAILED, outcome, None)  # type: ignore[arg-type]
            return
        outcome = recovered(step, left.attempt, stage, names, acted)
        if outcome is None:
            why = "it was interrupted, and is done again"
            self._ended(left.task, left.attempt, AGAIN, Outcome(done=False, why=why), None)
        else:
            self._judge(step, left.task, left.attempt, outcome, None)

    def _end_what_is_left(self, left: TaskState) -> None:
        boots = [driver["boot"] for driver in self.state.drivers[-2:]]
        if len(set(boots)) > 1:
            return  # the machine was started again since: nothing is
        pids = set(marked(MARKER, f"{self.state.opened['rollout']}/{left.task}/{left.attempt}"))
        if left.pid is not None:
            pid, started = left.pid
            pids = {pid} if start_time(pid) == started else set()
        for pid in pids:
            self.setting.watcher.say(f"ending process {pid}, which is left of {left.task}")
            end_group(pid)

    # -- what is around it

    def _stage(self, step: Step, task: str, attempt: int) -> Stage:
        target = self._target(step, task)
        opened = self.state.opened

        def spawned(pid: int) -> None:
            started = start_time(pid) or 0
            self.note(
                "spawned", durable=False, task=task, attempt=attempt, pid=pid, started=started
            )

        def tick(seconds: float) -> None:
            with self._crew.turn():
                self.setting.watcher.tick(step, seconds)

        def say(text: str) -> None:
            with self._crew.turn():
                self.setting.watcher.say(self._redactor(text))

        with self._crew.turn():
            ended = [t.outcome for t in self.state.tasks.values() if t.status == DONE]
        bundles = map(bundle_of, ended)
        return Stage(
            rollout=str(opened["rollout"]),
            system=self.setting.plan.system,
            release=target.version or str(opened["release"]),
            commit=target.commit if target.version else opened["commit"],
            paths=self.setting.paths,
            environments=self._environments(step),
            sign_with=self.setting.sign_with,
            variables=self.setting.variables,
            redactor=self._redactor,
            bundles=tuple(bundle for bundle in bundles if bundle is not None),
            spawned=spawned,
            tick=tick,
            say=say,
            now=self.setting.now,
            pause=self._crew.pause,
        )

    def _environments(self, step: Step) -> Mapping[str, Environment]:
        """A node may answer at an address of its own."""
        own = self.setting.environments
        if step.node is None or step.node.base_url is None:
            return own
        environment = replace(own[step.environment], base_url=step.node.base_url)
        return {**own, step.environment: environment}

    def _target(self, step: Step, task: str) -> Target:
        """The old release, where a task brings that back."""
        turn = self.state.turn
        if turn is None or not task.startswith(f"{course.BACK}/"):
            return Target()
        return turn.targets[step.environment]

    def _names(self, step: Step) -> dict[str, str | None]:
        """What ``{{name}}`` means for a task."""
        opened = self.state.opened
        target = self._target(step, step.name)
        previous = target_of(next(iter(self._good.get(step.environment, ())), None))
        built_in: dict[str, str | None] = {
            "release": target.version or opened["release"],
            "commit": target.commit if target.version else opened["commit"],
            "previous": previous.version,
            "previous_commit": previous.commit,
            "failed": opened["release"] if self.state.turn else None,
            "environment": step.environment,
            "rollout": opened["rollout"],
            "folder": str(self.setting.paths.folder),
            "result": self.state.result.status if self.state.result else None,
            "why": self.state.result.why if self.state.result else None,
        }
        node = step.node.names if step.node else {}
        return {**self.setting.plan.values, **self._facts(step), **built_in, **node}

    def _facts(self, step: Step) -> dict[str, str]:
        """What steps said; on a node, first what they said of that one."""
        with self._crew.turn():
            tasks = [  # on the way back a step's newest facts are those of the old release
                (name.removeprefix(f"{course.BACK}/"), task.outcome.facts)
                for name, task in self.state.tasks.items()
            ]
        facts = {f"{name}.{fact}": text for name, told in tasks for fact, text in told.items()}
        end = fleet.part_name("", step.node.name) if step.node else None
        own = [(fleet.whole_name(name), told) for name, told in tasks if end and name.endswith(end)]
        return facts | {f"{name}.{fact}": text for name, told in own for fact, text in told.items()}

    # -- the way back, and the end

    def _turn(self, why: str, failed: str | None, *, asked: bool) -> None:
        plan, back = self.setting.plan, self.state.opened.get("back")
        if back is not None:
            targets = {back["environment"]: Target(back["version"], back["commit"])}
            tasks = tuple(course.returning(plan, targets))
        else:
            stay = course.kept(plan, self.state, failed)
            gone = [name for name in course.changed(plan, self.state) if name not in stay]
            targets = {name: target_of(next(iter(self._good.get(name, ())), None)) for name in gone}
            tasks = course.way_back(plan, self.state, stay, targets)
        told = {name: vars(target) for name, target in targets.items()}
        self.note("turned", why=why, targets=told, tasks=list(tasks), asked=asked)
        self.setting.watcher.turned(why, targets)

    def _finish(self) -> Result:
        """Records, then the bundle, then the last line."""
        assert self.state.result is not None
        self._chronicle.write(closing(self.setting.plan, self.state))
        self._refuse_to_be_behind()
        if self.state.bundle is None and (name := self.setting.seal(self)) is not None:
            self.note("sealed", bundle=name)
        if not self.state.closed:
            self.note("closed")
        self.setting.watcher.closed(self.state)
        return self.state.result
