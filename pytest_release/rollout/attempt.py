"""One attempt at one task: done, verified, and put into words."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from pytest_release.config.plan import Action, Step
from pytest_release.errors import ReleaseError, RolloutError
from pytest_release.hostile import one_line
from pytest_release.redaction import Redactor
from pytest_release.rollout.adapters import adapter
from pytest_release.rollout.stage import Order, Outcome, Stage
from pytest_release.rollout.values import fill

ASK_S = 0.5  # between two questions whether something shows
LONGEST = 4_000  # characters of a sentence


def perform(
    action: Action, task: Step, attempt: int, stage: Stage, names: Mapping[str, str | None]
) -> Outcome:
    """Do it; whatever goes wrong is an outcome."""
    return _guarded(
        lambda: adapter(action.adapter).act(_order(action, task, attempt, stage, names), stage),
        stage.redactor,
    )


def verified(
    done: Outcome, task: Step, attempt: int, stage: Stage, names: Mapping[str, str | None]
) -> Outcome:
    """What is left of an outcome once it was looked at: it was done only if that shows."""
    until = time.monotonic() + task.verify_within_s
    while True:
        problem = _not_shown(task, attempt, stage, names)
        if not problem:
            return replace(done, why=f"{done.why}; verified" if done.why else "verified")
        if time.monotonic() >= until:
            return replace(done, done=False, why=f"{done.why}, but it does not show: {problem}")
        stage.pause(min(ASK_S, max(0.0, until - time.monotonic())))


def _not_shown(task: Step, attempt: int, stage: Stage, names: Mapping[str, str | None]) -> str:
    for action in task.verify:
        outcome = perform(action, task, attempt, stage, names)
        if not outcome.done:
            return outcome.why
    return ""


def recovered(
    task: Step, attempt: int, stage: Stage, names: Mapping[str, str | None], acted: Outcome | None
) -> Outcome | None:
    """What became of an attempt that a crash interrupted; None: it may be repeated.

    Args:
        task: The step.
        attempt: The one that was begun.
        stage: As for the attempt itself.
        names: As for the attempt itself.
        acted: What came of it, if it was done and only not yet verified.

    Raises:
        RolloutError: Nobody can tell whether it was done, and it may not be done again.
    """
    if acted is not None:
        return verified(acted, task, attempt, stage, names)
    if not task.verify:
        return _asked(task, attempt, stage, names)
    problem = _not_shown(task, attempt, stage, names)
    if not problem:
        return Outcome(done=True, why="it was interrupted, and shows that it was done")
    if _repeatable(task):
        return None
    raise RolloutError(
        f"{task.name} was interrupted and does not show that it was done ({problem}), and it may "
        f"not be done again: finish it by hand until it shows and resume, or abort"
    )


def _repeatable(task: Step) -> bool:
    if task.idempotent is not None:
        return task.idempotent
    return adapter(task.action.adapter).repeatable(task.action.options)


def _asked(
    task: Step, attempt: int, stage: Stage, names: Mapping[str, str | None]
) -> Outcome | None:
    how = adapter(task.action.adapter)
    found = how.check(_order(task.action, task, attempt, stage, names), stage)
    if found is not None and found.done:
        return masked(replace(found, why=f"it was interrupted; {found.why}"), stage.redactor)
    if _repeatable(task) or found is not None:  # it says that it was not done, so that once is once
        return None
    raise RolloutError(
        f"{task.name} was interrupted: nobody can tell whether it was done, and it may not be done "
        f"again: abort the rollout, and give the step a 'verify' or 'idempotent: true' for the next"
    )


def _order(
    action: Action, task: Step, attempt: int, stage: Stage, names: Mapping[str, str | None]
) -> Order:
    return Order(
        step=task.name,
        type=task.type,
        environment=task.environment,
        options=fill(action.options, names),
        attempt=attempt,
        deadline=time.monotonic() + task.timeout_s,
        key=f"{stage.rollout}/{task.name}/{attempt}",
    )


def _guarded(do: Callable[[], Outcome], redact: Redactor) -> Outcome:
    try:
        outcome = do()
    except ReleaseError as error:
        outcome = Outcome(done=False, why=" ".join(str(error).split()))
    except OSError as error:
        named = f"{error.filename}: " if error.filename else ""
        outcome = Outcome(done=False, why=f"{named}{error.strerror or error}")
    except Exception as error:  # noqa: BLE001 - whatever an adapter does, the journal goes on
        outcome = Outcome(done=False, why=f"the adapter failed: {type(error).__name__}: {error}")
    return masked(outcome, redact)


def masked(outcome: Outcome, redact: Redactor) -> Outcome:
    """Without secrets, and without what steers a terminal."""
    why = one_line(redact(outcome.why))
    return replace(
        outcome,
        why=why if len(why) <= LONGEST else f"{why[:LONGEST]}...",
        output=outcome.output.masked(redact),
        facts={name: one_line(redact(str(value))) for name, value in outcome.facts.items()},
    )
