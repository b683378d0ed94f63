"""Writes into the history that the release is good in the environment: what rollbacks go to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_release.history import SUCCESS, Entry, History
from pytest_release.redaction import reveal
from pytest_release.rollout.stage import Order, Outcome, Stage

ACTION = "deploy"


def describe(options: Mapping[str, Any]) -> str:
    """Its notes."""
    return str(options.get("notes") or "the release is good here")


def repeatable(options: Mapping[str, Any]) -> bool:
    """No: `check` knows whether it was written."""
    return False


def act(order: Order, stage: Stage) -> Outcome:
    """One record, durable when this returns."""
    entry = Entry(
        stack=stage.system,
        env=order.environment,
        action=ACTION,
        version=stage.release,
        status=SUCCESS,
        notes=reveal(order.options.get("notes", "")),
        details={"rollout": stage.rollout, "step": order.step, "commit": stage.commit},
    )
    written = History(stage.paths.history).append(entry, stage.now())
    return Outcome(done=True, why=f"record {written.record.sequence} of {stage.paths.history.name}")


def check(order: Order, stage: Stage) -> Outcome | None:
    """The history knows; what a killed writer left half is mended by the next."""
    with History(stage.paths.history).locked() as book:
        for record in book.records():
            named = (record.details.get("rollout"), record.details.get("step"))
            if record.action == ACTION and named == (stage.rollout, order.step):
                return Outcome(done=True, why=f"record {record.sequence} was written")
    return Outcome(done=False, why="the history has no such record")
